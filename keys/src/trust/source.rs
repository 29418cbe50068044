//! `trust.toml`: what a security team writes and reviews (`trust.md` section 7).
//!
//! Decides what a team may say. Beyond what the formats demand: no weak keys, at least two root holders must sign, at
//! least two people behind every environment and two reviewers behind a protected one (authorship is self-declared), at
//! most 400 days. What is legal but unwise comes back as [`Warning`]s.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use sealift_spec::Timestamp;
use sealift_spec::key::{KeyId, PublicKey};
use sealift_spec::name::{Name, Person};
use sealift_spec::policy::{Environment, Holder, Member, Policy, Requirement, Revoked, Validity, WARNING_DAYS};
use sealift_spec::statement::PredicateKind;
use sealift_spec::text::Plain;
use sealift_spec::time::DAY;
use sealift_verifier::signature;
use serde::Deserialize;
use toml::Spanned;

use crate::place;
use crate::trust::assessment::{self, Assessment};
use crate::trust::problem::{Problem, SourceError, Warning};
use crate::trust::{Draft, Terms};

/// How long a root is valid unless the team says otherwise, in days.
pub const DEFAULT_DAYS: u64 = 180;
/// The longest a root may be valid, in days.
pub const LONGEST_DAYS: u64 = 400;
/// The role that signs permits where an environment does not say otherwise.
const OPERATE: &str = "operate";
/// The largest `trust.toml` that is read, in bytes.
pub const LIMIT: u64 = 1024 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    people: BTreeMap<Spanned<Person>, WirePerson>,
    roles: BTreeMap<Spanned<Name>, Spanned<WireRole>>,
    environments: BTreeMap<Spanned<Name>, WireEnvironment>,
    #[serde(default)]
    root: WireRoot,
    #[serde(default)]
    predicates: BTreeMap<Spanned<PredicateKind>, BTreeSet<Name>>,
    #[serde(default)]
    revoked: Revoked,
    #[serde(default)]
    validity: BTreeMap<KeyId, Validity>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WirePerson {
    kind: Holder,
    #[serde(default)]
    keys: Vec<Spanned<PublicKey>>,
    root_key: Option<Spanned<PublicKey>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireRole {
    people: Vec<Spanned<Person>>,
    threshold: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WireEnvironment {
    #[serde(default)]
    protected: bool,
    max_age_days: Option<u32>,
    min_sequence: Option<u64>,
    require: Vec<Spanned<Requirement>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WireRoot {
    #[serde(default = "default_days")]
    expires_in_days: Spanned<u64>,
    warning_days: Option<u32>,
}

fn default_days() -> Spanned<u64> {
    Spanned::new(0..0, DEFAULT_DAYS)
}

impl Default for WireRoot {
    fn default() -> Self {
        Self { expires_in_days: default_days(), warning_days: None }
    }
}

/// What a `trust.toml` compiles to.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// The root, unsigned, and its policy.
    pub draft: Draft,
    /// What each environment takes.
    pub environments: BTreeMap<Name, Assessment>,
    /// What is worth a second thought.
    pub warnings: Vec<Warning>,
}

/// Compiles a `trust.toml` into the first root.
///
/// # Errors
/// [`SourceError`].
pub fn compile(text: &str, now: Timestamp) -> Result<Compiled, SourceError> {
    compile_next(text, now, 0)
}

/// Compiles a `trust.toml` into the root that follows version `before`.
///
/// # Errors
/// [`SourceError`].
pub fn compile_next(text: &str, now: Timestamp, before: u64) -> Result<Compiled, SourceError> {
    let wire: Wire = toml::from_str(text).map_err(|error| {
        let message = shape(error.message());
        refuse(text, error.span().as_ref(), Problem::Shape { message })
    })?;
    Compiler { text, warnings: Vec::new() }.compile(wire, now, before + 1)
}

/// The reader's words, on one line and in plain ASCII.
fn shape(message: &str) -> String {
    let lines: Vec<&str> = message.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    Plain(&lines.join("; ")).to_string()
}

fn refuse(text: &str, span: Option<&Range<usize>>, problem: Problem) -> SourceError {
    SourceError { line: span.map(|span| place::line(text, span)), problem }
}

struct Compiler<'t> {
    text: &'t str,
    warnings: Vec<Warning>,
}

impl Compiler<'_> {
    fn refuse<T>(&self, at: &Spanned<T>, problem: Problem) -> SourceError {
        refuse(self.text, Some(&at.span()), problem)
    }

    fn compile(mut self, wire: Wire, now: Timestamp, version: u64) -> Result<Compiled, SourceError> {
        let whole = |problem| SourceError { line: None, problem };
        let days = *wire.root.expires_in_days.get_ref();
        if !(1..=LONGEST_DAYS).contains(&days) {
            return Err(self.refuse(&wire.root.expires_in_days, Problem::Days { days }));
        }
        let people = self.people(&wire.people)?;
        let (keys, threshold) = self.root(&wire)?;
        let roles = self.roles(&wire.roles, &people)?;
        let mut environments = BTreeMap::new();
        for (name, environment) in &wire.environments {
            let mut require: Vec<_> =
                environment.require.iter().map(|requirement| requirement.get_ref().clone()).collect();
            // Protected means that runs need a permit; where nothing else is said, one person who operates gives it.
            let asks = require.iter().any(|requirement| requirement.statement == PredicateKind::Permit);
            if let Some((role, _)) = roles.get_key_value(OPERATE).filter(|_| environment.protected && !asks) {
                require.push(Requirement { people: 1, role: role.clone(), statement: PredicateKind::Permit });
            } else if environment.protected && !asks {
                self.warnings.push(Warning::Unguarded { environment: name.get_ref().clone() });
            }
            let WireEnvironment { protected, max_age_days, min_sequence, .. } = *environment;
            let environment = Environment { max_age_days, min_sequence, protected, require };
            environments.insert(name.get_ref().clone(), environment);
        }
        let mut predicates = crate::trust::predicates(&roles, &environments);
        for (statement, may_sign) in &wire.predicates {
            if let Some(role) = may_sign.iter().find(|role| !roles.contains_key(*role)) {
                let problem = Problem::Role { role: role.clone(), statement: *statement.get_ref(), exists: false };
                return Err(self.refuse(statement, problem));
            }
            predicates.insert(*statement.get_ref(), may_sign.clone());
        }
        let warning_days = wire.root.warning_days.unwrap_or(WARNING_DAYS);
        let (revoked, validity) = (wire.revoked, wire.validity);
        let policy = Policy { environments, people, predicates, revoked, roles, validity, warning_days };
        let mut assessments = BTreeMap::new();
        for (name, environment) in &wire.environments {
            let assessment = self.environment(name, environment, &policy)?;
            assessments.insert(name.get_ref().clone(), assessment);
        }
        self.look_at_people(&policy, &keys, now);
        let terms = Terms { version, expires: now.plus(days * DAY), keys, threshold };
        let draft = Draft::new(policy, terms).map_err(|error| whole(Problem::Draft(error)))?;
        Ok(Compiled { draft, environments: assessments, warnings: self.warnings })
    }

    fn people(&self, wire: &BTreeMap<Spanned<Person>, WirePerson>) -> Result<BTreeMap<Person, Member>, SourceError> {
        let mut people = BTreeMap::new();
        let mut owners: BTreeMap<PublicKey, &Person> = BTreeMap::new();
        for (person, listed) in wire {
            let person = person.get_ref();
            let mut keys: Vec<PublicKey> = Vec::new();
            // The root key may stand among the others too: it is theirs all the same.
            let root_key =
                listed.root_key.iter().filter(|key| !listed.keys.iter().any(|k| k.get_ref() == key.get_ref()));
            for key in listed.keys.iter().chain(root_key) {
                signature::check_key(key.get_ref())
                    .map_err(|source| self.refuse(key, Problem::WeakKey { person: person.clone(), source }))?;
                if let Some(first) = owners.insert(*key.get_ref(), person) {
                    let key_id = key.get_ref().id();
                    let (first, second) = (first.clone(), person.clone());
                    return Err(self.refuse(key, Problem::SharedKey { key_id, first, second }));
                }
                keys.push(*key.get_ref());
            }
            people.insert(person.clone(), Member { keys, kind: listed.kind });
        }
        Ok(people)
    }

    fn root(&self, wire: &Wire) -> Result<(Vec<PublicKey>, u64), SourceError> {
        let role = wire.roles.iter().find(|(name, _)| name.get_ref().as_str() == "root").map(|(_, role)| role);
        let role = role.ok_or(SourceError { line: None, problem: Problem::NoRoot })?;
        let holders = role.get_ref().people.len();
        let threshold = role.get_ref().threshold;
        let Some(threshold) = threshold.filter(|threshold| (2..=holders as u64).contains(threshold)) else {
            return Err(self.refuse(role, Problem::Threshold { threshold, holders }));
        };
        let mut keys = Vec::new();
        for person in &role.get_ref().people {
            // Who is not among the people is refused with the other roles.
            let Some(listed) = wire.people.iter().find(|(p, _)| p.get_ref() == person.get_ref()).map(|(_, l)| l) else {
                continue;
            };
            let key = match (&listed.root_key, listed.keys.as_slice()) {
                (Some(key), _) => key,
                (None, [key]) => key,
                (None, keys) => {
                    let problem = Problem::RootKey { person: person.get_ref().clone(), keys: keys.len() };
                    return Err(self.refuse(person, problem));
                }
            };
            keys.push(*key.get_ref());
        }
        Ok((keys, threshold))
    }

    fn roles(
        &self,
        wire: &BTreeMap<Spanned<Name>, Spanned<WireRole>>,
        people: &BTreeMap<Person, Member>,
    ) -> Result<BTreeMap<Name, BTreeSet<Person>>, SourceError> {
        let mut roles = BTreeMap::new();
        for (name, role) in wire {
            let (name, is_root) = (name.get_ref(), name.get_ref().as_str() == "root");
            if role.get_ref().people.is_empty() {
                return Err(self.refuse(role, Problem::EmptyRole { role: name.clone() }));
            }
            if !is_root && role.get_ref().threshold.is_some() {
                return Err(self.refuse(role, Problem::StrayThreshold { role: name.clone() }));
            }
            let mut holders = BTreeSet::new();
            for person in &role.get_ref().people {
                let twice = !holders.insert(person.get_ref().clone());
                if twice || !people.contains_key(person.get_ref()) {
                    let problem = Problem::Holder { role: name.clone(), person: person.get_ref().clone(), twice };
                    return Err(self.refuse(person, problem));
                }
            }
            if !is_root {
                roles.insert(name.clone(), holders);
            }
        }
        Ok(roles)
    }

    fn environment(
        &mut self,
        name: &Spanned<Name>,
        wire: &WireEnvironment,
        policy: &Policy,
    ) -> Result<Assessment, SourceError> {
        let environment = name.get_ref().clone();
        if environment.is_reserved_environment() {
            return Err(self.refuse(name, Problem::Reserved { environment }));
        }
        for at in &wire.require {
            let Requirement { people, role, statement } = at.get_ref();
            if *people == 0 {
                return Err(self.refuse(at, Problem::Nobody { environment }));
            }
            let (exists, listed) = (policy.roles.contains_key(role), policy.predicates.get(statement));
            if !exists || !listed.is_some_and(|roles| roles.contains(role)) {
                return Err(self.refuse(at, Problem::Role { role: role.clone(), statement: *statement, exists }));
            }
        }
        if !wire.require.iter().any(|requirement| requirement.get_ref().statement == PredicateKind::Release) {
            return Err(self.refuse(name, Problem::NoRelease { environment }));
        }
        let assessment = assessment::assess(policy, &policy.environments[&environment]).map_err(|source| {
            let environment = environment.clone();
            self.refuse(name, Problem::Unmeetable { environment, source })
        })?;
        let reviewers = assessment.reviewers;
        if wire.protected && reviewers < 2 {
            return Err(self.refuse(name, Problem::TooFewReviewers { environment, reviewers }));
        }
        if assessment.smallest < 2 {
            return Err(self.refuse(name, Problem::TooFew { environment, people: assessment.smallest }));
        }
        if reviewers == 0 {
            self.warnings.push(Warning::Unreviewed { environment: environment.clone() });
        }
        for service in &assessment.reviewing_services {
            let (environment, service) = (environment.clone(), service.clone());
            self.warnings.push(Warning::ServiceReviews { environment, service });
        }
        for torn in &assessment.torn {
            self.warnings.push(Warning::Torn { environment: environment.clone(), torn: torn.clone() });
        }
        Ok(assessment)
    }

    fn look_at_people(&mut self, policy: &Policy, root_keys: &[PublicKey], now: Timestamp) {
        for (person, member) in &policy.people {
            let holds_root = member.keys.iter().any(|key| root_keys.contains(key));
            if holds_root && member.kind == Holder::Service {
                self.warnings.push(Warning::ServiceHoldsRoot { service: person.clone() });
            }
            for key in member.keys.iter().filter(|key| policy.revoked.keys.contains(&key.id())) {
                self.warnings.push(Warning::RevokedKey { person: person.clone(), key_id: key.id() });
            }
            for key in &member.keys {
                let key_id = key.id();
                let ended = policy.validity.get(&key_id).and_then(|validity| validity.not_after);
                if let Some(not_after) = ended.filter(|time| *time <= now) {
                    self.warnings.push(Warning::KeyEnded { person: person.clone(), key_id, not_after });
                }
            }
            if !holds_root && assessment::roles_of(policy, person).is_empty() {
                self.warnings.push(Warning::Idle { person: person.clone() });
            }
        }
    }
}
