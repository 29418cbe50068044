//! Trust roots in the making: from a description of people, roles and environments to `N.root.json` and `N.policy.json`
//! (`trust.md` sections 2, 3 and 7).
//!
//! [`Draft`] makes any root that hosts would accept, also those of the reserved environments that live in memory only.
//! What a team may not write into `trust.toml` is decided in [`source`]. Verifying is the verifier's business.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use sealift_spec::key::PublicKey;
use sealift_spec::name::{Name, Person};
use sealift_spec::policy::{Environment, Policy, PolicyError};
use sealift_spec::root::{Root, RootError, RootFile};
use sealift_spec::statement::{Content, PredicateKind};
use sealift_spec::{Digest, Timestamp};

pub mod assessment;
pub mod difference;
pub mod folder;
pub mod problem;
pub mod source;
pub mod update;

/// Every kind of statement there is.
pub const STATEMENTS: [PredicateKind; 4] =
    [PredicateKind::Release, PredicateKind::Review, PredicateKind::Credentials, PredicateKind::Permit];

/// What a root says beside its policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// 1 for the first root.
    pub version: u64,
    /// Not valid from this time on.
    pub expires: Timestamp,
    /// The root keys, at most one a person; each must be among the keys of its person.
    pub keys: Vec<PublicKey>,
    /// How many of them must sign.
    pub threshold: u64,
}

/// A root and the policy it vouches for. Signatures are added by
/// [`Signer::sign_root`](crate::signer::Signer::sign_root).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The root; unsigned at first.
    pub root: RootFile,
    policy: Policy,
    policy_bytes: Vec<u8>,
}

/// Why there is no such root.
#[derive(Debug)]
#[non_exhaustive]
pub enum DraftError {
    /// The policy contradicts itself, or is too large.
    Policy(PolicyError),
    /// The terms are not ones the format allows.
    Root(RootError),
    /// A root key belongs to nobody, or is revoked.
    Stray {
        /// The key.
        key: PublicKey,
    },
    /// One person holds two root keys, and would count twice.
    Twice {
        /// The person.
        person: Person,
    },
}

impl fmt::Display for DraftError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(_) => f.write_str("the policy is not acceptable"),
            Self::Root(_) => f.write_str("the root is not acceptable"),
            Self::Stray { key } => write!(f, "root key `{}` is revoked or belongs to nobody", key.id()),
            Self::Twice { person } => write!(f, "`{person}` holds two root keys"),
        }
    }
}

impl std::error::Error for DraftError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Policy(error) => Some(error),
            Self::Root(error) => Some(error),
            _ => None,
        }
    }
}

impl Draft {
    /// Compiles a policy and the terms of its root.
    ///
    /// # Errors
    /// [`DraftError`] for what no host would accept.
    pub fn new(policy: Policy, terms: Terms) -> Result<Self, DraftError> {
        let policy_bytes = policy.write();
        // Through the reader, so that nothing can be written that would not be read.
        let policy = Policy::read(&policy_bytes).map_err(DraftError::Policy)?;
        let mut holders = BTreeSet::new();
        for key in &terms.keys {
            let person = policy.holder(key).ok_or(DraftError::Stray { key: *key })?;
            if !holders.insert(person) {
                return Err(DraftError::Twice { person: person.clone() });
            }
        }
        let Terms { version, expires, keys, threshold } = terms;
        let content = Content { sha256: Digest::of(&policy_bytes), size: policy_bytes.len() as u64 };
        let root = RootFile::new(Root { version, expires, keys, threshold, policy: content });
        Ok(Self { root: root.map_err(DraftError::Root)?, policy, policy_bytes })
    }

    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The exact bytes of the policy file, which the root names by digest.
    pub fn policy_bytes(&self) -> &[u8] {
        &self.policy_bytes
    }
}

/// Which roles may sign which statement unless a team says otherwise: the role of the statement's name, if it exists, and
/// every role that an environment requires for it.
pub fn predicates(
    roles: &BTreeMap<Name, BTreeSet<Person>>,
    environments: &BTreeMap<Name, Environment>,
) -> BTreeMap<PredicateKind, BTreeSet<Name>> {
    let mut predicates = BTreeMap::new();
    for statement in STATEMENTS {
        let namesake = roles.keys().filter(|role| role.as_str() == statement.to_string());
        let require = environments.values().flat_map(|environment| &environment.require);
        let required = require.filter(|requirement| requirement.statement == statement).map(|r| &r.role);
        let roles: BTreeSet<Name> = namesake.chain(required).cloned().collect();
        if !roles.is_empty() {
            predicates.insert(statement, roles);
        }
    }
    predicates
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signer::Signer;
    use sealift_spec::policy::{Holder, Member, Requirement, Revoked};
    use sealift_verifier::trust::{Trust, TrustFiles};

    fn terms(signers: &[&Signer]) -> Terms {
        Terms {
            version: 1,
            expires: Timestamp::from_seconds(2_000_000_000).unwrap(),
            keys: signers.iter().map(|signer| signer.public_key()).collect(),
            threshold: 1,
        }
    }

    fn dev(signers: &[&Signer]) -> Policy {
        let me: Person = "me".parse().unwrap();
        let role: Name = "release".parse().unwrap();
        let member = Member { keys: signers.iter().map(|s| s.public_key()).collect(), kind: Holder::Human };
        let require = vec![Requirement { people: 1, role: role.clone(), statement: PredicateKind::Release }];
        let roles = [(role, [me.clone()].into())].into();
        let environments = [("dev".parse().unwrap(), Environment { require, ..Environment::default() })].into();
        Policy {
            validity: BTreeMap::new(),
            warning_days: 30,
            people: [(me, member)].into(),
            predicates: predicates(&roles, &environments),
            roles,
            environments,
            revoked: Revoked::default(),
        }
    }

    #[test]
    fn a_root_in_memory_passes_through_the_verifier() {
        let signer = Signer::generate().unwrap();
        let mut draft = Draft::new(dev(&[&signer]), terms(&[&signer])).unwrap();
        signer.sign_root(&mut draft.root).unwrap();
        let files = TrustFiles::from_bytes(vec![(draft.root.write(), draft.policy_bytes().to_vec())]);
        let now = Timestamp::from_seconds(1_900_000_000).unwrap();
        let trust = Trust::verify(&files, draft.root.digest(), 0, now).unwrap();
        assert_eq!(trust.policy(), draft.policy());
    }

    #[test]
    fn root_keys_belong_to_people_and_only_one_to_each() {
        let [one, two, stranger] = [(); 3].map(|()| Signer::generate().unwrap());
        let policy = dev(&[&one, &two]);
        assert!(matches!(Draft::new(policy.clone(), terms(&[&one, &stranger])), Err(DraftError::Stray { .. })));
        assert!(matches!(Draft::new(policy.clone(), terms(&[&one, &two])), Err(DraftError::Twice { .. })));
        let mut revoked = policy;
        revoked.revoked.keys.insert(one.public_key().id());
        assert!(matches!(Draft::new(revoked, terms(&[&one])), Err(DraftError::Stray { .. })));
    }
}
