//! What somebody who operates a database signs before it is changed: one plan, shown in full (`trust.md` section 5.3).
//!
//! The plan comes from the host, which is not believed: every script in it must be one of the verified bundle's, of a unit
//! that may run there. What cannot be checked here (the head of the history, the id of the database) is compared on the
//! host, under the lock; it is shown, and signed as it is.

use std::fmt;

use sealift_spec::Timestamp;
use sealift_spec::action::Action;
use sealift_spec::envelope::{Envelope, EnvelopeError};
use sealift_spec::json::{self, JsonError};
use sealift_spec::manifest::Direction;
use sealift_spec::name::{Label, UnitId};
use sealift_spec::plan::PlanDocument;
use sealift_spec::statement::{Permit, RELEASE_SUBJECT, Statement, Subject};
use sealift_spec::time::DAY;
use sealift_verifier::bundle::{Reviewed, Unreviewed, VerifiedBundle};
use sealift_verifier::trust::Trust;
use serde::Deserialize;
use serde_json::Value;

use crate::signer::RandomError;

/// The largest file that `sealift-runner plan --json` prints: it holds the SQL too.
pub const LISTING: u64 = 1024 * 1024 * 1024;
/// The largest plan document.
const DOCUMENT: usize = 64 * 1024 * 1024;
/// How far the clock of a host may be behind that of the signer.
const TOLERANCE: u64 = 300;

/// Why a plan is not permitted.
#[derive(Debug)]
#[non_exhaustive]
pub enum PlanError {
    /// The text is not what `sealift-runner plan --json` prints.
    Lines,
    /// There are several plans in it, or none.
    Count {
        /// How many.
        count: usize,
    },
    /// The plan is not well formed.
    Document(JsonError),
    /// Its `schema` is another one.
    Schema,
    /// It is for another release, project or environment than the bundle.
    Other {
        /// What differs.
        field: &'static str,
        /// What the bundle says.
        expected: String,
        /// What the plan says.
        found: String,
    },
    /// A step is not of the bundle, or goes where its action does not.
    Step {
        /// The unit.
        id: UnitId,
    },
    /// A unit may not run there.
    Unreviewed(Unreviewed),
    /// The nonce could not be made.
    Random(RandomError),
    /// The statement is too long to be signed.
    Envelope(EnvelopeError),
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lines => f.write_str("the plan is not the output of `sealift-runner plan --json`"),
            Self::Count { count } => write!(f, "there are {count} plans, not one"),
            Self::Document(_) | Self::Schema => f.write_str("the plan is not well formed"),
            Self::Other { field, expected, found } => {
                write!(f, "the plan is for {field} `{found}`, not for `{expected}`")
            }
            Self::Step { id } => write!(f, "what the plan would run of migration `{id}` is not in the bundle"),
            Self::Unreviewed(source) => write!(f, "{source}"),
            Self::Random(source) => write!(f, "{source}"),
            Self::Envelope(_) => f.write_str("the permit cannot be signed"),
        }
    }
}

impl std::error::Error for PlanError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Document(error) => Some(error),
            Self::Unreviewed(error) => error.source(),
            Self::Random(error) => error.source(),
            Self::Envelope(error) => Some(error),
            _ => None,
        }
    }
}

/// Finds the plan in what `sealift-runner plan --json` printed.
///
/// # Errors
/// [`PlanError::Lines`], [`PlanError::Count`], [`PlanError::Document`] or [`PlanError::Schema`].
pub fn find(text: &[u8]) -> Result<PlanDocument, PlanError> {
    #[derive(Deserialize)]
    struct Line {
        data: Value,
        #[serde(rename = "type")]
        kind: String,
    }
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let lines = lines.map(serde_json::from_slice::<Line>).collect::<Result<Vec<_>, _>>();
    let mut plans = lines.map_err(|_| PlanError::Lines)?;
    plans.retain(|line| line.kind == "plan");
    let [plan] = plans.as_slice() else { return Err(PlanError::Count { count: plans.len() }) };
    // What is shown, and signed by its digest, is the canonical form.
    let document: PlanDocument = json::read(&json::write(&plan.data), DOCUMENT).map_err(PlanError::Document)?;
    if document.schema == PlanDocument::schema() { Ok(document) } else { Err(PlanError::Schema) }
}

/// A plan of which every script is of a verified bundle, and may run there as far as release and reviews go.
pub struct CheckedPlan<'b> {
    document: PlanDocument,
    units: Vec<Reviewed<'b>>,
}

/// Checks a plan against a bundle.
///
/// # Errors
/// [`PlanError::Other`], [`PlanError::Step`] or [`PlanError::Unreviewed`].
pub fn check<'b>(
    document: PlanDocument,
    bundle: &'b VerifiedBundle,
    trust: &Trust,
) -> Result<CheckedPlan<'b>, PlanError> {
    let release = bundle.release();
    let differs = |field, expected: String, found: String| {
        if expected == found { Ok(()) } else { Err(PlanError::Other { field, expected, found }) }
    };
    differs("release", release.digest().to_string(), document.release.to_string())?;
    differs("project", release.statement().project.to_string(), document.project.to_string())?;
    differs("environment", release.environment().to_string(), document.environment.to_string())?;
    let judge = |step: &sealift_spec::plan::PlanStep| {
        let unknown = || PlanError::Step { id: step.id.clone() };
        let fits = match document.action {
            // An earlier target is reached by going back first.
            Action::Apply => true,
            Action::Revert => step.direction == Direction::Down,
            Action::Rebind => false,
        };
        if !fits || bundle.unit_digest(&step.id) != Some(step.unit) {
            return Err(unknown());
        }
        let reviewed = bundle.judge(&step.id, trust).map_err(PlanError::Unreviewed)?;
        let script = reviewed.unit().script(step.direction).ok_or_else(unknown)?;
        if script.sha256 == step.script { Ok(reviewed) } else { Err(unknown()) }
    };
    let units = document.steps.iter().map(judge).collect::<Result<_, _>>()?;
    Ok(CheckedPlan { document, units })
}

impl<'b> CheckedPlan<'b> {
    /// The plan.
    pub fn document(&self) -> &PlanDocument {
        &self.document
    }

    /// What runs, in order.
    pub fn steps(&self) -> impl Iterator<Item = (Direction, &Reviewed<'b>)> {
        self.document.steps.iter().map(|step| step.direction).zip(&self.units)
    }

    /// Whether a permit was given for this very plan.
    pub fn is_that_of(&self, permit: &Permit) -> bool {
        let PlanDocument { action, database, environment, head, project, .. } = &self.document;
        permit.plan == self.document.digest()
            && (permit.action, permit.head) == (*action, *head)
            && (&permit.database, &permit.environment, &permit.project) == (database, environment, project)
    }

    /// An unsigned permit for it, for so many seconds from now, and at most a day in all.
    ///
    /// # Errors
    /// [`PlanError::Random`] or [`PlanError::Envelope`].
    pub fn permit(&self, root: u64, now: Timestamp, seconds: u64) -> Result<Envelope, PlanError> {
        let not_after = now.plus(seconds.min(DAY));
        // Hosts whose clocks are a little behind can use it at once.
        let earliest = now.seconds().saturating_sub(TOLERANCE).max(not_after.seconds().saturating_sub(DAY));
        let document = self.document.clone();
        let statement = Statement {
            subjects: vec![Subject { name: label(RELEASE_SUBJECT)?, sha256: document.release }],
            predicate: Permit {
                action: document.action,
                database: document.database.clone(),
                environment: document.environment.clone(),
                head: document.head,
                nonce: nonce()?,
                not_after,
                not_before: Timestamp::from_seconds(earliest).unwrap_or(now),
                plan: document.digest(),
                project: document.project,
                root,
            },
        };
        Envelope::new(statement.write()).map_err(PlanError::Envelope)
    }
}

fn label(text: &str) -> Result<Label, PlanError> {
    // Constants and hexadecimal digits are labels.
    text.parse().map_err(|_| PlanError::Schema)
}

fn nonce() -> Result<Label, PlanError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| PlanError::Random(RandomError(error)))?;
    label(&bytes.map(|byte| format!("{byte:02x}")).concat())
}

/// Seconds of `30m` or `2h`: at least a minute, at most a day.
///
/// # Errors
/// What is expected.
pub fn seconds(text: &str) -> Result<u64, String> {
    let expected = || "expected minutes or hours such as `30m` or `2h`, at most `24h`".to_owned();
    let (number, unit) = match (text.strip_suffix('m'), text.strip_suffix('h')) {
        (Some(minutes), _) => (minutes, 60),
        (_, Some(hours)) => (hours, 3_600),
        _ => return Err(expected()),
    };
    let plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = if plain { number.parse().map_err(|_| expected())? } else { return Err(expected()) };
    number.checked_mul(unit).filter(|seconds| (60..=DAY).contains(seconds)).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_lasts_from_a_minute_to_a_day() {
        assert_eq!(seconds("1m"), Ok(60));
        assert_eq!(seconds("2h"), Ok(7_200));
        assert_eq!(seconds("24h"), Ok(DAY));
        for wrong in ["", "h", "0m", "25h", "1441m", "2", "2d", "-1h", "+1h", "1 h", "99999999999999999999h", "2ä"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn there_must_be_one_plan() {
        assert!(matches!(find(b"not json"), Err(PlanError::Lines)));
        assert!(matches!(find(b"{\"data\":{},\"type\":\"step\"}\n"), Err(PlanError::Count { count: 0 })));
        let plan = b"{\"data\":{},\"type\":\"plan\"}\n";
        assert!(matches!(find(&plan.repeat(2)), Err(PlanError::Count { count: 2 })));
        assert!(matches!(find(plan), Err(PlanError::Document(_))));
    }
}
