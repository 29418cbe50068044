//! The trust of the world: people, roles, environments, and the root chain that vouches for them.

use std::collections::BTreeMap;

use ed25519_dalek::Signer as _;
use sealift_spec::policy::{Environment, Holder, Member, Policy, Requirement, Revoked, WARNING_DAYS};
use sealift_spec::root::{Root, RootFile, tuf_key_id};
use sealift_spec::statement::{Content, PredicateKind};
use sealift_spec::{Digest, Timestamp};

use super::{Change, key, public, word};

/// One root of the chain, and its policy.
#[derive(Debug, Clone)]
pub struct RootPlan {
    /// Its version.
    pub version: u64,
    /// When it expires.
    pub expires: Timestamp,
    /// Whose keys are the root's.
    pub keys: Vec<&'static str>,
    /// How many must sign.
    pub threshold: u64,
    /// Who signs.
    pub signers: Vec<&'static str>,
    /// The policy beside it.
    pub policy: Policy,
}

impl RootPlan {
    /// Root 1: alice, bob and erin, two of whom sign.
    pub fn first() -> Self {
        Self {
            version: 1,
            expires: word("2027-07-01T00:00:00Z"),
            keys: vec!["alice", "bob", "erin"],
            threshold: 2,
            signers: vec!["alice", "bob"],
            policy: policy(),
        }
    }

    /// Root 2: erin and dave, signed by two of root 1 and two of its own.
    pub fn second() -> Self {
        Self {
            version: 2,
            expires: word("2027-09-01T00:00:00Z"),
            keys: vec!["dave", "erin"],
            signers: vec!["alice", "bob", "dave", "erin"],
            ..Self::first()
        }
    }

    /// Root 3: as root 2, signed by its keys.
    pub fn third() -> Self {
        Self { version: 3, signers: vec!["dave", "erin"], ..Self::second() }
    }
}

fn policy() -> Policy {
    let member = |kind, keys: &[&str]| Member { keys: keys.iter().map(|holder| public(holder)).collect(), kind };
    let people = [
        ("alice@example.com", member(Holder::Human, &["alice"])),
        ("bob@example.com", member(Holder::Human, &["bob", "bob-2"])),
        ("carol@example.com", member(Holder::Human, &["carol", "carol-2"])),
        ("ci@example.com", member(Holder::Service, &["ci"])),
        ("dave@example.com", member(Holder::Human, &["dave"])),
        ("erin@example.com", member(Holder::Human, &["erin"])),
    ];
    let roles: [(&str, &[&str]); 3] = [
        ("credentials", &["alice@example.com"]),
        ("release", &["carol@example.com", "ci@example.com"]),
        ("review", &["alice@example.com", "bob@example.com", "dave@example.com"]),
    ];
    let need = |people, role, statement| Requirement { people, role: word(role), statement };
    let environment = |people| Environment {
        require: vec![need(people, "review", PredicateKind::Review), need(people, "release", PredicateKind::Release)],
        ..Environment::default()
    };
    let own = |role: &str| [word(role)].into();
    Policy {
        environments: BTreeMap::from([(word("production"), environment(2)), (word("staging"), environment(1))]),
        people: people.map(|(person, member)| (word(person), member)).into(),
        predicates: BTreeMap::from([
            (PredicateKind::Credentials, own("credentials")),
            (PredicateKind::Release, own("release")),
            (PredicateKind::Review, own("review")),
        ]),
        revoked: Revoked::default(),
        validity: BTreeMap::new(),
        warning_days: WARNING_DAYS,
        roles: roles.map(|(role, people)| (word(role), people.iter().map(|person| word(person)).collect())).into(),
    }
}

/// A root file and the policy file beside it.
pub type Files = (Vec<u8>, Vec<u8>);

/// Root and policy files, oldest first, and the digest of the first root.
pub(super) fn forge(roots: &[RootPlan], change: Change) -> (Vec<Files>, Digest) {
    let mut files = Vec::new();
    let mut policies = Vec::new();
    let mut first = None;
    for (index, plan) in roots.iter().enumerate() {
        let newest = index + 1 == roots.len();
        let mut policy = String::from_utf8(plan.policy.write()).expect("JSON is UTF-8");
        if let Change::Policy(edit) = change
            && newest
        {
            policy = edit(policy);
        }
        let mut signed = signed(plan, policy.as_bytes());
        if let Change::Root(edit) = change
            && newest
        {
            signed = edit(signed);
        }
        if let Change::PolicyFile(edit) = change
            && newest
        {
            policy = edit(policy);
        }
        first.get_or_insert(Digest::of(signed.as_bytes()));
        let signatures = plan.signers.iter().map(|holder| {
            let sig = key(holder).sign(signed.as_bytes()).to_bytes().map(|byte| format!("{byte:02x}")).concat();
            format!(r#"{{"keyid":"{}","sig":"{sig}"}}"#, tuf_key_id(&public(holder)))
        });
        let signatures = signatures.collect::<Vec<_>>().join(",");
        files.push(format!(r#"{{"signatures":[{signatures}],"signed":{signed}}}"#));
        policies.push(policy);
    }
    if let Change::RootFiles(edit) = change {
        edit(&mut files);
    }
    let bytes = files.into_iter().zip(policies).map(|(root, policy)| (root.into_bytes(), policy.into_bytes()));
    (bytes.collect(), first.expect("a root"))
}

fn signed(plan: &RootPlan, policy: &[u8]) -> String {
    let root = Root {
        version: plan.version,
        expires: plan.expires,
        keys: plan.keys.iter().map(|holder| public(holder)).collect(),
        threshold: plan.threshold,
        policy: Content { sha256: Digest::of(policy), size: policy.len() as u64 },
    };
    let file = RootFile::new(root).expect("a root that can be written");
    String::from_utf8(file.signed_bytes().to_vec()).expect("JSON is UTF-8")
}

/// The digest by which a host pins a root.
pub fn digest(plan: &RootPlan) -> Digest {
    Digest::of(signed(plan, &plan.policy.write()).as_bytes())
}
