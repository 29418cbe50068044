//! Rows F and D3: the root chain, the policy it vouches for, and what a host expects of a release.

use sealift_spec::Digest;
use sealift_spec::policy::Validity;
use sealift_spec::root::tuf_key_id;

use super::review::{second_root, third_root};
use super::{Form, Origin, Vector, base, bundle};
use crate::forge::trust::RootPlan;
use crate::forge::{Change, World, public, replaced, word};

const ROOT_THRESHOLD: (&str, &str) = ("TrustError::Threshold", "");
const FIELD: (&str, &str) = ("TrustError::Root", "RootError::Field");

pub(super) fn vectors() -> Vec<Vector> {
    let mut vectors = hosts();
    vectors.extend(chains());
    vectors.extend(roots());
    vectors.extend(policies());
    vectors
}

fn root(
    name: &'static str,
    row: &'static str,
    about: &'static str,
    (expect, cause): (&'static str, &'static str),
    world: fn() -> World,
    change: Change,
) -> Vector {
    Vector { name, form: Form::Root, row, about, expect, cause, origin: Origin::World(world, change) }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("UTF-8")
}

fn edited(document: String, from: &str, to: &str) -> String {
    text(replaced(document.into_bytes(), from, to))
}

fn hosts() -> Vec<Vector> {
    vec![
        bundle(
            "project-other",
            "F6",
            "The host serves another project.",
            ("VerifyError::Project", ""),
            Change::Host(|host| host.project = word("billing")),
        ),
        bundle(
            "environment-other",
            "F6",
            "The host is another environment, which the policy knows.",
            ("VerifyError::Environment", ""),
            Change::Host(|host| host.environment = word("staging")),
        ),
        bundle(
            "environment-none",
            "F6",
            "The release names no environment.",
            ("VerifyError::Environment", ""),
            Change::Release(|statement| statement.predicate.environments.clear()),
        ),
        bundle(
            "environment-wildcard",
            "F6",
            "The release names the environment `*`.",
            ("VerifyError::Statement", "JsonError::Shape"),
            Change::Statement(|statement| replaced(statement, r#"["production"]"#, r#"["*"]"#)),
        ),
        bundle(
            "environment-prefix",
            "F6",
            "The release names an environment that begins like the host's.",
            ("VerifyError::Environment", ""),
            Change::Release(|statement| statement.predicate.environments = vec![word("production-eu"), word("prod")]),
        ),
        bundle(
            "environment-unknown",
            "F6",
            "The policy does not know the environment of release and host.",
            ("VerifyError::UnknownEnvironment", ""),
            Change::World(|world| {
                world.policy().environments.remove("production");
            }),
        ),
        bundle(
            "not-yet",
            "F4",
            "The release becomes valid a second after the judgement.",
            ("VerifyError::NotYet", ""),
            Change::Release(|statement| statement.predicate.not_before = word("2027-01-20T12:00:01Z")),
        ),
        bundle(
            "expired",
            "F4",
            "The release expires at the moment of the judgement.",
            ("VerifyError::Expired", ""),
            Change::Release(|statement| statement.predicate.not_after = word("2027-01-20T12:00:00Z")),
        ),
        bundle(
            "older-than-maximum",
            "F5",
            "The release became valid as many days ago as the environment allows a release to be old.",
            ("VerifyError::TooOld", ""),
            Change::World(|world| {
                let production = world.policy().environments.get_mut("production").expect("the environment");
                production.max_age_days = Some(5);
            }),
        ),
        bundle(
            "sequence-below-floor",
            "F5",
            "The environment takes releases from a later sequence on.",
            ("VerifyError::Sequence", ""),
            Change::World(|world| {
                let production = world.policy().environments.get_mut("production").expect("the environment");
                production.min_sequence = Some(1_000);
            }),
        ),
        bundle(
            "expired-before-valid",
            "F4",
            "The release expires before it becomes valid.",
            ("VerifyError::Times", ""),
            Change::Release(|statement| statement.predicate.not_after = word("2027-01-14T00:00:00Z")),
        ),
        bundle(
            "root-too-old",
            "F1",
            "The release asks for a newer root than the host has.",
            ("VerifyError::MinRoot", ""),
            Change::Release(|statement| statement.predicate.min_root = 2),
        ),
        bundle(
            "release-revoked",
            "F8",
            "The release is revoked.",
            ("VerifyError::Revoked", ""),
            Change::World(|world| {
                let release = world.release_envelope().digest();
                world.policy().revoked.releases.insert(release);
            }),
        ),
        bundle(
            "content-revoked",
            "F8",
            "The content of the payload is revoked.",
            ("VerifyError::Revoked", ""),
            Change::World(|world| {
                let content = world.content_digest();
                world.policy().revoked.contents.insert(content);
            }),
        ),
        bundle(
            "release-key-ended",
            "F8",
            "The key of ci is valid no more, from the moment of the judgement on.",
            ("VerifyError::UnknownSigner", ""),
            Change::World(|world| {
                let until = Validity { not_after: Some(word("2027-01-20T12:00:00Z")), not_before: None };
                world.policy().validity.insert(crate::forge::key_id("ci"), until);
            }),
        ),
        bundle(
            "release-key-not-yet",
            "F8",
            "The key of ci becomes valid a second after the judgement.",
            ("VerifyError::UnknownSigner", ""),
            Change::World(|world| {
                let from = Validity { not_after: None, not_before: Some(word("2027-01-20T12:00:01Z")) };
                world.policy().validity.insert(crate::forge::key_id("ci"), from);
            }),
        ),
        bundle(
            "review-key-ended",
            "F8",
            "The key with which alice reviewed is valid no more.",
            ("Unreviewed::Threshold", ""),
            Change::World(|world| {
                let until = Validity { not_after: Some(word("2027-01-01T00:00:00Z")), not_before: None };
                world.policy().validity.insert(crate::forge::key_id("alice"), until);
            }),
        ),
        bundle(
            "release-role-emptier",
            "F8",
            "Ci has left the role that releases.",
            ("VerifyError::UnknownSigner", ""),
            Change::World(|world| {
                let policy = world.policy();
                let role = policy.roles.get_mut("release").expect("a role");
                role.remove("ci@example.com");
                role.insert(word("erin@example.com"));
            }),
        ),
    ]
}

fn chains() -> Vec<Vector> {
    vec![
        root(
            "root-pinned-other",
            "F1",
            "The host pins another first root.",
            ("TrustError::Pinned", ""),
            base,
            Change::Host(|host| host.pinned = Some(Digest::of(b"another root"))),
        ),
        root(
            "root-pinned-second",
            "F1",
            "The host pins the second root; the chain starts with the first.",
            ("TrustError::Pinned", ""),
            second_root,
            Change::Host(|host| {
                let second = second_root().roots.split_off(1);
                host.pinned = Some(crate::forge::trust::digest(&second[0]));
            }),
        ),
        root(
            "root-floor",
            "F1",
            "The host has seen root 2; there is root 1 only.",
            ("TrustError::Rollback", ""),
            base,
            Change::Host(|host| host.floor = 2),
        ),
        root(
            "root-expired",
            "F4",
            "The only root expires at the moment of the judgement.",
            ("TrustError::Expired", ""),
            base,
            Change::World(|world| world.roots[0].expires = word("2027-01-20T12:00:00Z")),
        ),
        root(
            "root-newest-expired",
            "F4",
            "The newest root has expired, the one before it has not.",
            ("TrustError::Expired", ""),
            second_root,
            Change::World(|world| world.roots[1].expires = word("2027-01-20T11:59:59Z")),
        ),
        root(
            "root-skipped",
            "F1",
            "Root 3 follows root 1.",
            ("TrustError::Version", ""),
            third_root,
            Change::World(|world| {
                world.roots.remove(1);
            }),
        ),
        root(
            "root-repeated",
            "F1",
            "Root 1 follows root 1.",
            ("TrustError::Version", ""),
            base,
            Change::World(|world| world.roots.push(RootPlan::first())),
        ),
        root(
            "root-backwards",
            "F1",
            "The third file holds a root 1.",
            ("TrustError::Version", ""),
            third_root,
            Change::World(|world| world.roots[2].version = 1),
        ),
        root(
            "root-version-huge",
            "F9",
            "The second root is version 2147483648.",
            FIELD,
            second_root,
            Change::Root(|signed| edited(signed, r#""version":2"#, r#""version":2147483648"#)),
        ),
        root(
            "root-by-old-keys-only",
            "F1",
            "The second root is signed by the keys of the first, not by its own.",
            ROOT_THRESHOLD,
            second_root,
            Change::World(|world| world.roots[1].signers = vec!["alice", "bob"]),
        ),
        root(
            "root-by-new-keys-only",
            "F1",
            "The second root is signed by its own keys, of which the first knows one.",
            ROOT_THRESHOLD,
            second_root,
            Change::World(|world| world.roots[1].signers = vec!["dave", "erin"]),
        ),
        root(
            "root-middle-by-new-keys-only",
            "F1",
            "The third root is good, the second lacks signatures of the first.",
            ROOT_THRESHOLD,
            third_root,
            Change::World(|world| world.roots[1].signers = vec!["dave", "erin"]),
        ),
        root(
            "root-middle-of-another-chain",
            "F2",
            "The second root says something else than the one that was signed.",
            ROOT_THRESHOLD,
            third_root,
            Change::RootFiles(|files| {
                let second = std::mem::take(&mut files[1]);
                files[1] = edited(second, "2027-09-01T00:00:00Z", "2027-09-02T00:00:00Z");
            }),
        ),
        root(
            "root-version-beyond-limit",
            "F9",
            "The second root is version 1025.",
            FIELD,
            second_root,
            Change::Root(|signed| edited(signed, r#""version":2"#, r#""version":1025"#)),
        ),
        root(
            "root-version-beyond-integers",
            "F9",
            "The second root is version 9223372036854775808.",
            ("TrustError::Root", "JsonError::Number"),
            second_root,
            Change::Root(|signed| edited(signed, r#""version":2"#, r#""version":9223372036854775808"#)),
        ),
        root(
            "root-expires-offset",
            "F4",
            "The time of expiry is not in UTC.",
            ("TrustError::Root", "JsonError::Shape"),
            base,
            Change::Root(|signed| edited(signed, "2027-07-01T00:00:00Z", "2027-07-01T00:00:00+00:00")),
        ),
        root(
            "root-expires-leap-second",
            "F4",
            "The root expires in a leap second.",
            ("TrustError::Root", "JsonError::Shape"),
            base,
            Change::Root(|signed| edited(signed, "2027-07-01T00:00:00Z", "2027-06-30T23:59:60Z")),
        ),
        root(
            "root-expires-year-10000",
            "F4",
            "The root expires in the year 10000.",
            ("TrustError::Root", "JsonError::Shape"),
            base,
            Change::Root(|signed| edited(signed, "2027-07-01T00:00:00Z", "10000-01-01T00:00:00Z")),
        ),
        root(
            "root-one-of-two",
            "F1",
            "One of two signatures is missing.",
            ROOT_THRESHOLD,
            base,
            Change::World(|world| world.roots[0].signers = vec!["alice"]),
        ),
    ]
}

fn roots() -> Vec<Vector> {
    vec![
        root(
            "root-signature-repeated",
            "D2",
            "The same signature stands twice.",
            ("TrustError::Root", "RootError::Signatures"),
            base,
            Change::World(|world| world.roots[0].signers = vec!["alice", "alice"]),
        ),
        root(
            "root-signature-borrowed-id",
            "D2",
            "Alice's signature stands twice, once under bob's key ID.",
            ROOT_THRESHOLD,
            base,
            Change::RootFiles(|files| {
                let [alice, bob] = ["alice", "bob"].map(|holder| tuf_key_id(&public(holder)).to_string());
                let signature = |id: &str, file: &str| {
                    let start = file.find(id).expect("a signature") + id.len() + r#"","sig":""#.len();
                    file[start..start + 128].to_owned()
                };
                let (by_alice, by_bob) = (signature(&alice, &files[0]), signature(&bob, &files[0]));
                files[0] = edited(std::mem::take(&mut files[0]), &by_bob, &by_alice);
            }),
        ),
        root(
            "root-threshold-zero",
            "D3",
            "The threshold is 0.",
            FIELD,
            base,
            Change::Root(|signed| edited(signed, r#""threshold":2"#, r#""threshold":0"#)),
        ),
        root(
            "root-threshold-beyond-keys",
            "D3",
            "The threshold is beyond the number of keys.",
            FIELD,
            base,
            Change::Root(|signed| edited(signed, r#""threshold":2"#, r#""threshold":4"#)),
        ),
        root(
            "root-threshold-negative",
            "D3",
            "The threshold is -1.",
            ("TrustError::Root", "JsonError::Shape"),
            base,
            Change::Root(|signed| edited(signed, r#""threshold":2"#, r#""threshold":-1"#)),
        ),
        root(
            "root-threshold-of-targets-zero",
            "D3",
            "The threshold of the role `targets`, which nobody holds, is 0.",
            FIELD,
            base,
            Change::Root(|signed| {
                edited(signed, r#""targets":{"keyids":[],"threshold":1"#, r#""targets":{"keyids":[],"threshold":0"#)
            }),
        ),
        root(
            "root-without-keys",
            "D3",
            "The root role has no keys and needs one of them.",
            FIELD,
            base,
            Change::Root(|signed| {
                let (from, to) = (r#""keys":{"#, r#"},"roles":{"root":{"keyids":["#);
                let keys = signed.find(from).expect("keys") + from.len();
                let ids = signed.find(to).expect("roles");
                let end = ids + to.len() + signed[ids + to.len()..].find(']').expect("key IDs");
                let rest = edited(signed[end..].to_owned(), r#""threshold":2"#, r#""threshold":1"#);
                format!("{}{to}{rest}", &signed[..keys])
            }),
        ),
        root(
            "root-key-id-repeated",
            "D2",
            "The root role names the key of erin twice.",
            FIELD,
            base,
            Change::Root(|signed| {
                let id = format!(r#""{}""#, tuf_key_id(&public("erin")));
                let at = signed.find(r#""keyids":["#).expect("key IDs");
                format!("{}{}", &signed[..at], edited(signed[at..].to_owned(), &id, &format!("{id},{id}")))
            }),
        ),
        root(
            "root-key-under-other-id",
            "D2",
            "A key stands under an ID that is not its own.",
            FIELD,
            base,
            Change::Root(|signed| {
                let id = tuf_key_id(&public("erin")).to_string();
                let other = format!("{}{}", &id[..63], if id.ends_with('0') { '1' } else { '0' });
                signed.replace(&id, &other)
            }),
        ),
        root(
            "root-targets-key",
            "F3",
            "The role `targets` has a key.",
            FIELD,
            base,
            Change::Root(|signed| {
                let id = tuf_key_id(&public("erin"));
                edited(signed, r#""targets":{"keyids":[]"#, &format!(r#""targets":{{"keyids":["{id}"]"#))
            }),
        ),
        root(
            "root-other-role",
            "F3",
            "There is a fifth role.",
            FIELD,
            base,
            Change::Root(|signed| {
                edited(signed, r#""targets":{"#, r#""superuser":{"keyids":[],"threshold":1},"targets":{"#)
            }),
        ),
        root(
            "root-type-other",
            "D4",
            "The metadata is of type `targets`.",
            FIELD,
            base,
            Change::Root(|signed| edited(signed, r#""_type":"root""#, r#""_type":"targets""#)),
        ),
        root(
            "root-spec-version-other",
            "J3",
            "The metadata follows a specification that we do not write.",
            FIELD,
            base,
            Change::Root(|signed| edited(signed, r#""spec_version":"1.0.34""#, r#""spec_version":"1.1.0""#)),
        ),
        root(
            "root-unknown-field",
            "J3",
            "The signed object has a field that the format does not know.",
            ("TrustError::Root", "JsonError::Shape"),
            base,
            Change::Root(|signed| edited(signed, r#""version":1"#, r#""version":1,"x-other":{}"#)),
        ),
        root(
            "root-duplicate-key",
            "J1",
            "The signed object states its version twice.",
            ("TrustError::Root", "JsonError::Shape"),
            base,
            Change::Root(|signed| edited(signed, r#""version":1"#, r#""version":1,"version":1"#)),
        ),
        root(
            "root-white-space",
            "J5",
            "The file ends with a line feed.",
            ("TrustError::Root", "JsonError::NotCanonical"),
            base,
            Change::RootFiles(|files| files[0].push('\n')),
        ),
        root(
            "root-key-not-in-policy",
            "F8",
            "A root key belongs to nobody of the policy.",
            ("TrustError::RootKeys", ""),
            base,
            Change::World(|world| world.roots[0].keys[2] = "mallory"),
        ),
        root(
            "root-two-keys-one-person",
            "D2",
            "Two root keys are bob's.",
            ("TrustError::RootKeys", ""),
            base,
            Change::World(|world| world.roots[0].keys[2] = "bob-2"),
        ),
        root(
            "root-key-revoked",
            "F8",
            "A root key is revoked by the policy that the root vouches for.",
            ("TrustError::RootKeys", ""),
            base,
            Change::World(|world| {
                world.policy().revoked.keys.insert(crate::forge::key_id("erin"));
            }),
        ),
    ]
}

fn policies() -> Vec<Vector> {
    vec![
        root(
            "policy-digest-other",
            "F7",
            "The policy is not the one that the root names.",
            ("TrustError::PolicyDigest", ""),
            base,
            Change::PolicyFile(|policy| edited(policy, r#""people":2"#, r#""people":1"#)),
        ),
        root(
            "policy-longer",
            "F7",
            "A line feed follows the policy that the root names.",
            ("TrustError::PolicyDigest", ""),
            base,
            Change::PolicyFile(|policy| policy + "\n"),
        ),
        root(
            "policy-missing",
            "F7",
            "The policy is an empty file.",
            ("TrustError::PolicyDigest", ""),
            base,
            Change::PolicyFile(|_| String::new()),
        ),
        root(
            "policy-of-older-root",
            "F7",
            "The second root names another policy; beside it lies that of the first.",
            ("TrustError::PolicyDigest", ""),
            || {
                let mut world = second_root();
                world.policy().revoked.units.insert(Digest::of(b"unit"));
                world
            },
            Change::PolicyFile(|_| text(RootPlan::first().policy.write())),
        ),
        root(
            "policy-validity-of-nobody",
            "F8",
            "The validity of a key that is nobody's is stated.",
            ("TrustError::Policy", "PolicyError::Validity"),
            base,
            Change::Policy(|policy| {
                let rule = format!(r#","validity":{{"{}":{{}}}}}}"#, crate::forge::key_id("mallory"));
                format!("{}{rule}", policy.strip_suffix('}').expect("an object"))
            }),
        ),
        root(
            "policy-validity-ends-first",
            "F8",
            "The validity of erin's key ends when it begins.",
            ("TrustError::Policy", "PolicyError::Validity"),
            base,
            Change::Policy(|policy| {
                let rule = format!(
                    r#","validity":{{"{}":{{"notAfter":"2027-01-01T00:00:00Z","notBefore":"2027-01-01T00:00:00Z"}}}}}}"#,
                    crate::forge::key_id("erin")
                );
                format!("{}{rule}", policy.strip_suffix('}').expect("an object"))
            }),
        ),
        root(
            "policy-unmeetable",
            "D3",
            "An environment asks for nobody.",
            ("TrustError::Policy", "PolicyError::Unmeetable"),
            base,
            Change::Policy(|policy| edited(policy, r#""people":2"#, r#""people":0"#)),
        ),
    ]
}
