//! `N.policy.json`: people, keys, roles and what each environment requires (`trust.md` section 3).
//!
//! A policy is read only after the root that names its digest has been verified. Attack -> defence: one key for two
//! people, a role nobody holds, a requirement of nobody: refused here, so that counting people
//! later can rely on it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::json::{self, JsonError};
use crate::key::{KeyId, PublicKey};
use crate::name::{Name, Person};
use crate::statement::PredicateKind;
use crate::{Digest, Timestamp, limit};

/// The `schema` of this version.
pub const SCHEMA: &str = "urn:sealift:policy:v1";

/// Whether a holder of keys is a person or a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Holder {
    /// A human being.
    Human,
    /// A pipeline, a host, a bot.
    Service,
}

/// A person or service and their keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Their public keys.
    pub keys: Vec<PublicKey>,
    /// Who they are.
    pub kind: Holder,
}

/// So many people of a role must have signed a statement of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// How many different people.
    pub people: u32,
    /// Of which role.
    pub role: Name,
    /// What they must have signed.
    pub statement: PredicateKind,
}

/// What an environment requires.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Environment {
    /// Releases that became valid longer ago than this are refused, in days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_days: Option<u32>,
    /// Releases of a lower sequence are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_sequence: Option<u64>,
    /// Whether every run needs a permit.
    pub protected: bool,
    /// What must all hold, with nobody counted twice.
    pub require: Vec<Requirement>,
}

/// When a key may be used. Judged at the time of judging, never at a claimed time of signing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Validity {
    /// Not from this time on. (`trust.toml` spells it its own way.)
    #[serde(default, alias = "not-after", skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
    /// Not before this time.
    #[serde(default, alias = "not-before", skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
}

/// What was once trusted and no longer is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoked {
    /// Payload contents (the digest of the uncompressed tar).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub contents: BTreeSet<Digest>,
    /// Keys.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub keys: BTreeSet<KeyId>,
    /// Releases, by release digest.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub releases: BTreeSet<Digest>,
    /// Units, by unit digest.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub units: BTreeSet<Digest>,
}

impl Revoked {
    /// Whether nothing is revoked.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Wire {
    environments: BTreeMap<Name, Environment>,
    people: BTreeMap<Person, Member>,
    predicates: BTreeMap<PredicateKind, BTreeSet<Name>>,
    #[serde(default, skip_serializing_if = "Revoked::is_empty")]
    revoked: Revoked,
    roles: BTreeMap<Name, BTreeSet<Person>>,
    schema: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    validity: BTreeMap<KeyId, Validity>,
    #[serde(default = "default_warning", skip_serializing_if = "is_default_warning")]
    warning_days: u32,
}

/// How long before the root expires programs begin to warn, where the policy does not say.
pub const WARNING_DAYS: u32 = 30;

fn default_warning() -> u32 {
    WARNING_DAYS
}

fn is_default_warning(days: &u32) -> bool {
    *days == WARNING_DAYS
}

/// A well-formed policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// By name.
    pub environments: BTreeMap<Name, Environment>,
    /// By name.
    pub people: BTreeMap<Person, Member>,
    /// Which roles may sign which statement.
    pub predicates: BTreeMap<PredicateKind, BTreeSet<Name>>,
    /// What is revoked.
    pub revoked: Revoked,
    /// Who holds which role. The root role is the root's business and does not appear.
    pub roles: BTreeMap<Name, BTreeSet<Person>>,
    /// When keys may be used; a key that is not listed, always.
    pub validity: BTreeMap<KeyId, Validity>,
    /// How long before the root expires programs begin to warn, in days.
    pub warning_days: u32,
}

/// The role whose keys sign checkpoints of audit logs. It signs no statement.
pub const RECORD_ROLE: &str = "record";

/// Why a policy is refused.
#[derive(Debug)]
#[non_exhaustive]
pub enum PolicyError {
    /// Not canonical JSON of the format.
    Json(JsonError),
    /// The `schema` is another one.
    Schema,
    /// A key belongs to two people, or stands twice.
    SharedKey {
        /// The key.
        key_id: KeyId,
    },
    /// A role is held by somebody who is not listed.
    UnknownPerson {
        /// The role.
        role: Name,
        /// The person.
        person: Person,
    },
    /// A requirement or predicate names a role that does not exist or may not sign that statement.
    UnknownRole {
        /// The role.
        role: Name,
    },
    /// A key whose validity is stated is nobody's, or its validity ends before it begins.
    Validity {
        /// The key.
        key_id: KeyId,
    },
    /// A requirement asks for nobody, or for more people than hold the role.
    Unmeetable {
        /// The environment.
        environment: Name,
        /// The role.
        role: Name,
    },
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(_) => f.write_str("the policy is not well formed"),
            Self::Schema => write!(f, "the schema of the policy is not `{SCHEMA}`"),
            Self::SharedKey { key_id } => write!(f, "key `{key_id}` appears more than once"),
            Self::UnknownPerson { role, person } => {
                write!(f, "role `{role}` names `{person}`, who is not among the people")
            }
            Self::UnknownRole { role } => write!(f, "role `{role}` does not exist or may not sign what is asked of it"),
            Self::Validity { key_id } => {
                write!(f, "the validity of key `{key_id}` is nobody's, or ends before it begins")
            }
            Self::Unmeetable { environment, role } => {
                write!(f, "environment `{environment}` asks role `{role}` for nobody, or for more people than hold it")
            }
        }
    }
}

impl std::error::Error for PolicyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Json(error) => Some(error),
            _ => None,
        }
    }
}

impl Policy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// [`PolicyError`].
    pub fn read(bytes: &[u8]) -> Result<Self, PolicyError> {
        let Wire { environments, people, predicates, revoked, roles, schema, validity, warning_days } =
            json::read(bytes, limit::POLICY).map_err(PolicyError::Json)?;
        if schema != SCHEMA {
            return Err(PolicyError::Schema);
        }
        let policy = Self { environments, people, predicates, revoked, roles, validity, warning_days };
        policy.check()?;
        Ok(policy)
    }

    /// Writes the policy in canonical form.
    pub fn write(&self) -> Vec<u8> {
        let Self { environments, people, predicates, revoked, roles, validity, warning_days } = self.clone();
        let schema = SCHEMA.to_owned();
        json::write(&Wire { environments, people, predicates, revoked, roles, schema, validity, warning_days })
    }

    /// Checks the parts against each other (`trust.md` 3.4). Reserved environments pass:
    /// programs that read files refuse them (`trust draft`, `pack`, `sealift-runner`).
    ///
    /// # Errors
    /// [`PolicyError`].
    pub fn check(&self) -> Result<(), PolicyError> {
        let mut keys = BTreeSet::new();
        for key in self.people.values().flat_map(|member| &member.keys) {
            if !keys.insert(key) {
                return Err(PolicyError::SharedKey { key_id: key.id() });
            }
        }
        for (role, holders) in &self.roles {
            if let Some(person) = holders.iter().find(|person| !self.people.contains_key(*person)) {
                return Err(PolicyError::UnknownPerson { role: role.clone(), person: person.clone() });
            }
        }
        for (key_id, Validity { not_after, not_before }) in &self.validity {
            let known = keys.iter().any(|key| key.id() == *key_id);
            if !known || matches!((not_before, not_after), (Some(from), Some(to)) if to <= from) {
                return Err(PolicyError::Validity { key_id: *key_id });
            }
        }
        let unknown = |role: &Name| PolicyError::UnknownRole { role: role.clone() };
        for role in self.predicates.values().flatten() {
            self.roles.get(role).ok_or_else(|| unknown(role))?;
        }
        for (environment, rules) in &self.environments {
            for requirement in &rules.require {
                let role = &requirement.role;
                let may_sign = self.predicates.get(&requirement.statement).is_some_and(|roles| roles.contains(role));
                let holders = self.roles.get(role).filter(|_| may_sign).ok_or_else(|| unknown(role))?;
                if requirement.people == 0 || requirement.people as usize > holders.len() {
                    return Err(PolicyError::Unmeetable { environment: environment.clone(), role: role.clone() });
                }
            }
        }
        Ok(())
    }

    /// Whose key this is, unless it is nobody's or revoked.
    pub fn holder(&self, key: &PublicKey) -> Option<&Person> {
        let holder = self.people.iter().find(|(_, member)| member.keys.contains(key))?;
        (!self.revoked.keys.contains(&key.id())).then_some(holder.0)
    }

    /// The keys that may sign a statement of a kind at a time, with whose they are. Revoked keys are left out.
    pub fn signers(&self, statement: PredicateKind, now: Timestamp) -> BTreeMap<&PublicKey, &Person> {
        self.keys_of(&self.may_sign(statement), now)
    }

    /// The people whose roles let them sign a statement of a kind, whatever their keys.
    pub fn may_sign(&self, statement: PredicateKind) -> BTreeSet<&Person> {
        let roles = self.predicates.get(&statement).into_iter().flatten();
        roles.filter_map(|role| self.roles.get(role)).flatten().collect()
    }

    /// The keys that may sign checkpoints at a time, with whose they are. Revoked keys are left out.
    pub fn recorders(&self, now: Timestamp) -> BTreeMap<&PublicKey, &Person> {
        self.keys_of(&self.roles.get(RECORD_ROLE).into_iter().flatten().collect(), now)
    }

    fn keys_of(&self, holders: &BTreeSet<&Person>, now: Timestamp) -> BTreeMap<&PublicKey, &Person> {
        let usable = |key: &PublicKey| {
            let id = key.id();
            let Validity { not_after, not_before } = self.validity.get(&id).copied().unwrap_or_default();
            let in_time = not_before.is_none_or(|time| now >= time) && not_after.is_none_or(|time| now < time);
            in_time && !self.revoked.keys.contains(&id)
        };
        let members = self.people.iter().filter(|(person, _)| holders.contains(person));
        members
            .flat_map(|(person, member)| member.keys.iter().map(move |key| (key, person)))
            .filter(|(key, _)| usable(key))
            .collect()
    }

    /// Whether a person is a human being, as far as the policy says.
    pub fn is_human(&self, person: &Person) -> bool {
        self.people.get(person).is_some_and(|member| member.kind == Holder::Human)
    }

    /// Whether somebody holds a role.
    pub fn holds(&self, person: &Person, role: &Name) -> bool {
        self.roles.get(role).is_some_and(|holders| holders.contains(person))
    }
}
