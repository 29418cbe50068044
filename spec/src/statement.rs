//! in-toto Statements v1 and our predicates (`bundle.md` section 5, `trust.md` section 5).

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::json::{self, JsonError};
use crate::name::{Label, Name, UnitId};
use crate::{Digest, Timestamp, limit};

/// The `_type` of every statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// The name of the payload in a release statement and in a bundle.
pub const PAYLOAD_MEMBER: &str = "payload.tar.zst";
/// The name of the sealed payload in a credentials statement and container.
pub const SEALED_MEMBER: &str = "payload.age";

/// What statements can be about; roles are given by predicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PredicateKind {
    /// A release: this payload may run there, then.
    Release,
    /// A review: this unit, or this list of units, was read and judged.
    Review,
    /// Credentials: these secrets belong to these endpoints.
    Credentials,
    /// A permit: this release may do this to that database, once, today.
    Permit,
}

const KINDS: [PredicateKind; 4] =
    [PredicateKind::Release, PredicateKind::Review, PredicateKind::Credentials, PredicateKind::Permit];

impl PredicateKind {
    /// The URI that names the predicate in statements.
    pub fn uri(self) -> &'static str {
        match self {
            Self::Release => "urn:sealift:release:v1",
            Self::Review => "urn:sealift:review:v1",
            Self::Credentials => "urn:sealift:credentials:v1",
            Self::Permit => "urn:sealift:permit:v1",
        }
    }
}

impl fmt::Display for PredicateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Release => "release",
            Self::Review => "review",
            Self::Credentials => "credentials",
            Self::Permit => "permit",
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireDigest {
    sha256: Digest,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireSubject {
    digest: WireDigest,
    name: Label,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Wire<P> {
    #[serde(rename = "_type")]
    statement_type: String,
    predicate: P,
    predicate_type: String,
    subject: Vec<WireSubject>,
}

/// What a statement is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Its name.
    pub name: Label,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
}

/// A predicate of ours.
pub trait Predicate: Serialize + DeserializeOwned {
    /// Which one.
    const KIND: PredicateKind;
}

/// A statement with a predicate of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement<P> {
    /// What it is about.
    pub subjects: Vec<Subject>,
    /// What it says.
    pub predicate: P,
}

/// Why bytes are not the statement that was expected.
#[derive(Debug)]
#[non_exhaustive]
pub enum StatementError {
    /// Not canonical JSON of such a statement.
    Json(JsonError),
    /// The `_type` is not [`STATEMENT_TYPE`].
    Type,
    /// The predicate is of another type.
    PredicateType {
        /// The type expected.
        expected: PredicateKind,
    },
}

impl fmt::Display for StatementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(_) => f.write_str("the statement is not well formed"),
            Self::Type => write!(f, "the statement is not of type `{STATEMENT_TYPE}`"),
            Self::PredicateType { expected } => write!(f, "the statement is not a `{}`", expected.uri()),
        }
    }
}

impl std::error::Error for StatementError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Json(error) => Some(error),
            _ => None,
        }
    }
}

/// The kind of a statement, if it claims one of ours. The rest of it is not looked at.
pub fn kind(bytes: &[u8]) -> Option<PredicateKind> {
    #[derive(Deserialize)]
    struct Claim {
        #[serde(rename = "predicateType")]
        predicate_type: String,
    }
    let claim: Claim = serde_json::from_slice(bytes).ok()?;
    KINDS.into_iter().find(|kind| kind.uri() == claim.predicate_type)
}

impl<P: Predicate> Statement<P> {
    /// Reads a statement whose predicate must be of this kind.
    ///
    /// # Errors
    /// [`StatementError`].
    pub fn read(bytes: &[u8]) -> Result<Self, StatementError> {
        if kind(bytes) != Some(P::KIND) {
            return Err(StatementError::PredicateType { expected: P::KIND });
        }
        let wire: Wire<P> = json::read(bytes, limit::STATEMENT).map_err(StatementError::Json)?;
        if wire.statement_type != STATEMENT_TYPE {
            return Err(StatementError::Type);
        }
        let subjects = wire.subject.into_iter();
        Ok(Self {
            subjects: subjects.map(|s| Subject { name: s.name, sha256: s.digest.sha256 }).collect(),
            predicate: wire.predicate,
        })
    }

    /// Writes the statement in canonical form.
    pub fn write(&self) -> Vec<u8> {
        let subjects = self.subjects.iter();
        json::write(&Wire {
            statement_type: STATEMENT_TYPE.to_owned(),
            predicate: &self.predicate,
            predicate_type: P::KIND.uri().to_owned(),
            subject: subjects
                .map(|s| WireSubject { digest: WireDigest { sha256: s.sha256 }, name: s.name.clone() })
                .collect(),
        })
    }
}

/// A digest and a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// SHA-256 of the bytes.
    pub sha256: Digest,
    /// Their number.
    pub size: u64,
}

/// The evidence lines of a bundle, bound as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// How many lines.
    pub count: u64,
    /// SHA-256 over all of them, each with its line feed.
    pub sha256: Digest,
}

/// `urn:sealift:release:v1`: what may run, where and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Release {
    /// The uncompressed tar: identical across zstd versions.
    pub content: Content,
    /// Where it may run: at least one, equality, no wildcards.
    pub environments: Vec<Name>,
    /// The evidence lines that travel with it.
    pub evidence: Evidence,
    /// The oldest root it may be judged under.
    pub min_root: u64,
    /// What people call it.
    pub name: Label,
    /// Not valid from this time on.
    pub not_after: Timestamp,
    /// Not valid before this time.
    pub not_before: Timestamp,
    /// Units that may run although later ones have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub out_of_order: Vec<UnitId>,
    /// The payload as it travels.
    pub payload: Content,
    /// The project.
    pub project: Name,
    /// Its place in the order of releases.
    pub sequence: u64,
}

impl Predicate for Release {
    const KIND: PredicateKind = PredicateKind::Release;
}

/// One answer of a review.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The reviewer's answer.
    pub answer: Verdict,
    /// The item of the checklist.
    pub item: Label,
    /// Why, where it is not plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Label>,
}

/// What a reviewer says to a checklist item. There is no "no": who disagrees does not sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Looked at and in order.
    Ok,
    /// Does not apply to this unit.
    NotApplicable,
}

/// `urn:sealift:review:v1`: a person read a unit, or a list of units, and agrees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// The checklist and its answers.
    pub checklist: Vec<Answer>,
    /// Words of the reviewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Label>,
    /// The project.
    pub project: Name,
    /// When, as the reviewer's machine claims; never relied upon.
    pub time: Timestamp,
}

impl Predicate for Review {
    const KIND: PredicateKind = PredicateKind::Review;
}

/// The subject name of a review of one unit; the digest is the unit digest.
pub const UNIT_SUBJECT: &str = "unit";
/// The subject name of a review of several units; the digest is that of the list.
pub const UNITS_SUBJECT: &str = "units";

/// `urn:sealift:permit:v1`: one run on one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Permit {
    /// What may be done.
    pub action: Action,
    /// The id of the database, or [`FIRST_USE`].
    pub database: Label,
    /// The environment.
    pub environment: Name,
    /// The newest history event that the plan was made from.
    pub head: Digest,
    /// Eight random bytes in hexadecimal digits, so that no two permits are the same.
    pub nonce: Label,
    /// Not valid from this time on; at most a day after `notBefore`.
    pub not_after: Timestamp,
    /// Not valid before this time.
    pub not_before: Timestamp,
    /// The plan digest.
    pub plan: Digest,
    /// The project.
    pub project: Name,
    /// The newest root that the signer has seen; a host with an older one is out of date.
    pub root: u64,
}

impl Predicate for Permit {
    const KIND: PredicateKind = PredicateKind::Permit;
}

/// Where a permit names the database, for one that has no id yet.
pub const FIRST_USE: &str = "first-use";
/// [`FIRST_USE`] as a label.
pub fn first_use() -> Label {
    Label::fixed(FIRST_USE)
}

/// The subject name of a permit; the digest is the release digest.
pub const RELEASE_SUBJECT: &str = "release";

/// `urn:sealift:credentials:v1`: which endpoints sealed credentials open, and for whom they were sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Credentials {
    /// The databases.
    pub databases: Vec<crate::credentials::Database>,
    /// The environment.
    pub environment: Name,
    /// Not valid from this time on.
    pub not_after: Timestamp,
    /// The sealed payload.
    pub payload: Content,
    /// The project.
    pub project: Name,
    /// The age recipients it was encrypted to.
    pub recipients: Vec<Label>,
    /// Grows with every new sealing; lower ones are refused.
    pub serial: u64,
}

impl Predicate for Credentials {
    const KIND: PredicateKind = PredicateKind::Credentials;
}
