//! Why a `trust.toml` is refused, and what is said about one that is not: the words of [`source`](super::source).

use std::fmt;

use sealift_spec::Timestamp;
use sealift_spec::key::KeyId;
use sealift_spec::name::{Name, Person};
use sealift_spec::statement::PredicateKind;
use sealift_verifier::requirement::Shortfall;
use sealift_verifier::signature::KeyWeakness;

use crate::trust::DraftError;
use crate::trust::assessment::Torn;
use crate::trust::source::LONGEST_DAYS;

/// Why a `trust.toml` is refused, and at which line.
#[derive(Debug)]
pub struct SourceError {
    /// The line, from 1, if one is to blame.
    pub line: Option<usize>,
    /// The reason.
    pub problem: Problem,
}

/// Why a `trust.toml` is refused.
#[derive(Debug)]
#[non_exhaustive]
pub enum Problem {
    /// It is not TOML of this shape: unknown fields, names and keys that are none.
    Shape {
        /// What the reader says.
        message: String,
    },
    /// A key must not be trusted.
    WeakKey {
        /// Whose.
        person: Person,
        /// Why.
        source: KeyWeakness,
    },
    /// A key stands twice.
    SharedKey {
        /// The key.
        key_id: KeyId,
        /// Who has it first.
        first: Person,
        /// Who has it again.
        second: Person,
    },
    /// Somebody is named who is not among the people, or twice.
    Holder {
        /// The role.
        role: Name,
        /// The person.
        person: Person,
        /// Whether they are named twice.
        twice: bool,
    },
    /// A role is held by nobody.
    EmptyRole {
        /// The role.
        role: Name,
    },
    /// There is no role `root`.
    NoRoot,
    /// The root's threshold is missing, below 2, or above the number of holders.
    Threshold {
        /// The threshold.
        threshold: Option<u64>,
        /// How many hold the role.
        holders: usize,
    },
    /// A role other than `root` has a threshold.
    StrayThreshold {
        /// The role.
        role: Name,
    },
    /// A root holder has no key, or several and none is called the root key.
    RootKey {
        /// The person.
        person: Person,
        /// How many keys they have.
        keys: usize,
    },
    /// The root would be valid for no time, or too long.
    Days {
        /// For how many days.
        days: u64,
    },
    /// The environment's name is reserved.
    Reserved {
        /// The environment.
        environment: Name,
    },
    /// The environment asks nobody to sign the release.
    NoRelease {
        /// The environment.
        environment: Name,
    },
    /// A requirement names a role that does not exist or may not sign that statement.
    Role {
        /// The role.
        role: Name,
        /// The statement it is to sign.
        statement: PredicateKind,
        /// Whether the role exists.
        exists: bool,
    },
    /// A requirement asks for nobody.
    Nobody {
        /// The environment.
        environment: Name,
    },
    /// All people together cannot satisfy the environment.
    Unmeetable {
        /// The environment.
        environment: Name,
        /// What falls short.
        source: Shortfall,
    },
    /// Too few people could satisfy the environment.
    TooFew {
        /// The environment.
        environment: Name,
        /// How many would do.
        people: usize,
    },
    /// Too few people need to review for a protected environment.
    TooFewReviewers {
        /// The environment.
        environment: Name,
        /// How many must review.
        reviewers: u32,
    },
    /// The whole is not acceptable.
    Draft(DraftError),
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.problem),
            None => fmt::Display::fmt(&self.problem, f),
        }
    }
}

impl std::error::Error for SourceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.problem {
            Problem::WeakKey { source, .. } => Some(source),
            Problem::Unmeetable { source, .. } => Some(source),
            Problem::Draft(error) => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape { message } => f.write_str(message),
            Self::WeakKey { person, .. } => write!(f, "a key of `{person}` must not be trusted"),
            Self::SharedKey { key_id, first, second } if first == second => {
                write!(f, "key `{key_id}` of `{first}` is listed twice")
            }
            Self::SharedKey { key_id, first, second } => {
                write!(f, "key `{key_id}` belongs to both `{first}` and `{second}`")
            }
            Self::Holder { role, person, twice: true } => write!(f, "role `{role}` names `{person}` twice"),
            Self::Holder { role, person, twice: false } => {
                write!(f, "role `{role}` names `{person}`, who is not among the people")
            }
            Self::EmptyRole { role } => write!(f, "role `{role}` is held by nobody"),
            Self::NoRoot => f.write_str("there is no role `root`"),
            Self::Threshold { threshold: None, .. } => f.write_str("role `root` has no threshold"),
            Self::Threshold { threshold: Some(threshold), holders } => {
                write!(
                    f,
                    "the threshold of role `root` is {threshold}, expected 2 to {holders}, the number of its holders"
                )
            }
            Self::StrayThreshold { role } => {
                write!(
                    f,
                    "role `{role}` has a threshold; only `root` has one, environments say how many people they require"
                )
            }
            Self::RootKey { person, keys: 0 } => write!(f, "`{person}` holds role `root` but has no key"),
            Self::RootKey { person, keys } => {
                write!(f, "`{person}` holds role `root` and has {keys} keys, none of them called `root-key`")
            }
            Self::Days { days } => {
                write!(f, "the root would expire in {days} days, expected 1 to {LONGEST_DAYS}")
            }
            Self::Reserved { environment } => {
                write!(f, "environment `{environment}` is reserved for keys that exist in memory only")
            }
            Self::NoRelease { environment } => {
                write!(f, "environment `{environment}` requires nobody to sign the release")
            }
            Self::Role { role, exists: false, .. } if role.as_str() == "root" => {
                f.write_str("role `root` signs roots and nothing else")
            }
            Self::Role { role, exists: false, .. } => write!(f, "there is no role `{role}`"),
            Self::Role { role, statement, exists: true } => {
                write!(f, "role `{role}` may not sign the {statement}: `[predicates]` does not list it")
            }
            Self::Nobody { environment } => write!(f, "environment `{environment}` has a requirement of 0 people"),
            Self::Unmeetable { environment, .. } => {
                write!(f, "nobody can satisfy environment `{environment}`, not even all people together")
            }
            Self::TooFew { environment, people } => {
                write!(f, "environment `{environment}` could be satisfied by {people} person alone, expected 2 or more")
            }
            Self::TooFewReviewers { environment, reviewers } => {
                let people = if *reviewers == 1 { "reviewer" } else { "reviewers" };
                write!(f, "protected environment `{environment}` requires {reviewers} {people}, expected 2 or more")
            }
            Self::Draft(_) => f.write_str("these people, roles and environments make no root"),
        }
    }
}

impl SourceError {
    /// What to do about it, if that is known.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match &self.problem {
            Problem::WeakKey { .. } => {
                "ask them for a new key, made with `sealift-keys generate` or `ssh-keygen -t ed25519`"
            }
            Problem::SharedKey { .. } => "every key belongs to one person, and everybody makes their own",
            Problem::NoRoot | Problem::Threshold { .. } => {
                "[roles] root = { people = [\"a@example.com\", \"b@example.com\", \"c@example.com\"], threshold = 2 }"
            }
            Problem::RootKey { .. } => "name the key they sign roots with: root-key = \"ssh-ed25519 ..\"",
            Problem::Reserved { .. } => "`sealift-bundler dev` and `rehearse` need no entry here",
            Problem::NoRelease { .. } => {
                "add { statement = \"release\", role = \"release\", people = 1 } to its requirements"
            }
            Problem::Unmeetable { .. } => "nobody is counted twice: give the role to more people, or require fewer",
            Problem::TooFew { .. } => "one stolen key must not suffice: require a second person",
            Problem::TooFewReviewers { .. } => {
                "an author can review their own change under another name: require a second reviewer"
            }
            _ => return None,
        })
    }
}

/// Legal, and worth a second thought.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// It is protected, and nobody may sign the permits that its runs need.
    Unguarded {
        /// The environment.
        environment: Name,
    },
    /// Whatever is released runs there unreviewed.
    Unreviewed {
        /// The environment.
        environment: Name,
    },
    /// A program may review.
    ServiceReviews {
        /// The environment.
        environment: Name,
        /// The program.
        service: Person,
    },
    /// A program holds a root key.
    ServiceHoldsRoot {
        /// The program.
        service: Person,
    },
    /// Somebody's roles overlap so that they are needed in two places.
    Torn {
        /// The environment.
        environment: Name,
        /// Who, and what falls short.
        torn: Torn,
    },
    /// A listed key is revoked.
    RevokedKey {
        /// Whose.
        person: Person,
        /// The key.
        key_id: KeyId,
    },
    /// A listed key is valid no more.
    KeyEnded {
        /// Whose.
        person: Person,
        /// The key.
        key_id: KeyId,
        /// Since when.
        not_after: Timestamp,
    },
    /// Somebody holds no role.
    Idle {
        /// Who.
        person: Person,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unguarded { environment } => write!(
                f,
                "environment `{environment}` is protected and nobody may sign its permits: nothing can be applied there \
                 until role `operate` exists, or a requirement {{ statement = \"permit\", .. }}"
            ),
            Self::Unreviewed { environment } => {
                write!(f, "environment `{environment}` requires no review: whatever is released runs there")
            }
            Self::ServiceReviews { environment, service } => {
                write!(f, "`{service}` is a service, and its reviews do not count for environment `{environment}`")
            }
            Self::ServiceHoldsRoot { service } => write!(f, "`{service}` is a service and holds a root key"),
            Self::Torn { environment, torn: Torn { person, spent_on, shortfall } } => {
                write!(f, "environment `{environment}`: if `{person}` is counted for the {spent_on}, {shortfall}")
            }
            Self::RevokedKey { person, key_id } => {
                write!(f, "key `{key_id}` of `{person}` is revoked and counts nowhere")
            }
            Self::KeyEnded { person, key_id, not_after } => {
                write!(f, "key `{key_id}` of `{person}` is valid no more, since {not_after}")
            }
            Self::Idle { person } => write!(f, "`{person}` holds no role"),
        }
    }
}
