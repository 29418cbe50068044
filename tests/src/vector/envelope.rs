//! Rows E and D: signatures, key IDs, thresholds of releases, and statements that are not what they are taken for.

use sealift_spec::Digest;
use sealift_spec::envelope::{PAYLOAD_TYPE, pae};
use sealift_spec::key::PublicKey;
use sealift_spec::name::Name;
use sealift_spec::policy::Requirement;
use sealift_spec::statement::{Content, PredicateKind};

use super::{Form, Origin, Vector, base, bundle};
use crate::forge::{Change, Hand, World, curve, hands, key, key_id, public, replaced, sign, word};

const ENVELOPE: &str = "VerifyError::Container";
const UNKNOWN: (&str, &str) = ("VerifyError::UnknownSigner", "");
const THRESHOLD: (&str, &str) = ("VerifyError::Threshold", "");
const STATEMENT: &str = "VerifyError::Statement";
const SUBJECTS: (&str, &str) = ("VerifyError::Subjects", "");
const BASE64: (&str, &str) = (ENVELOPE, "EnvelopeError::Base64");

pub(super) fn vectors() -> Vec<Vector> {
    let mut vectors = signatures();
    vectors.extend(signers());
    vectors.extend(statements());
    vectors.extend(spellings());
    vectors.extend(credentials());
    vectors
}

fn signatures() -> Vec<Vector> {
    vec![
        bundle(
            "signature-malleated",
            "E1",
            "The group order is added to `S` of one signature.",
            UNKNOWN,
            Change::Envelope(|envelope| {
                let other = curve::malleate(envelope.signature(0));
                envelope.set_signature(0, &other);
            }),
        ),
        bundle(
            "signature-halves-swapped",
            "E1",
            "`R` and `S` of one signature stand in each other's place.",
            UNKNOWN,
            Change::Envelope(|envelope| {
                let mut other = envelope.signature(0);
                other.rotate_left(32);
                envelope.set_signature(0, &other);
            }),
        ),
        bundle(
            "signature-zero",
            "E1",
            "One signature is 64 zero bytes.",
            UNKNOWN,
            Change::Envelope(|envelope| envelope.set_signature(0, &[0; 64])),
        ),
        bundle(
            "signature-63-bytes",
            "E1",
            "One signature has 63 bytes.",
            BASE64,
            Change::Envelope(|envelope| {
                let other = envelope.signature(0);
                envelope.set_signature(0, &other[..63]);
            }),
        ),
        bundle(
            "signature-65-bytes",
            "E1",
            "One signature has 65 bytes.",
            BASE64,
            Change::Envelope(|envelope| {
                let other = [&envelope.signature(0)[..], &[0]].concat();
                envelope.set_signature(0, &other);
            }),
        ),
        bundle(
            "signature-without-pae",
            "E5",
            "One signature is over the statement alone.",
            UNKNOWN,
            Change::Envelope(|envelope| {
                let statement = envelope.statement();
                envelope.set_signature(0, &sign_raw("carol", &statement));
            }),
        ),
        bundle(
            "signature-prehashed",
            "E5",
            "One signature is over the digest of the signed bytes.",
            UNKNOWN,
            Change::Envelope(|envelope| {
                let statement = envelope.statement();
                let digest = Digest::of(&pae(PAYLOAD_TYPE, &statement));
                envelope.set_signature(0, &sign_raw("carol", digest.as_bytes()));
            }),
        ),
        bundle(
            "signature-small-order-r",
            "E2",
            "Carol chose the neutral element for `R` of her signature.",
            UNKNOWN,
            Change::Envelope(|envelope| {
                let message = pae(PAYLOAD_TYPE, &envelope.statement());
                envelope.set_signature(0, &curve::sign_with_neutral("carol", &message));
            }),
        ),
        weak(
            "key-small-order-signs",
            "E2",
            "A key of carol's in the policy is the neutral element, under which a constant signature verifies.",
            || with_key(curve::neutral()),
            Change::Envelope(|envelope| {
                envelope.signatures[0].0 = curve::neutral().id().to_string();
                envelope.set_signature(0, &curve::neutral_signature());
            }),
        ),
        weak(
            "key-mixed-order-signs",
            "E3",
            "A key of carol's in the policy has a component of small order; its signature verifies even strictly.",
            || with_key(curve::mixed("carol")),
            Change::Envelope(|envelope| {
                let statement = envelope.statement();
                envelope.signatures[0].0 = curve::mixed("carol").id().to_string();
                envelope.set_signature(0, &curve::sign_mixed("carol", &pae(PAYLOAD_TYPE, &statement)));
            }),
        ),
    ]
}

fn sign_raw(holder: &str, message: &[u8]) -> [u8; 64] {
    use ed25519_dalek::Signer as _;
    key(holder).sign(message).to_bytes()
}

fn with_key(key: PublicKey) -> World {
    let mut world = base();
    world.policy().people.get_mut("carol@example.com").expect("carol is there").keys.push(key);
    world
}

/// A bundle of a world in which carol has one more key, and uses it.
fn weak(name: &'static str, row: &'static str, about: &'static str, world: fn() -> World, change: Change) -> Vector {
    let (expect, cause) = UNKNOWN;
    Vector { name, form: Form::Bundle, row, about, expect, cause, origin: Origin::World(world, change) }
}

fn signers() -> Vec<Vector> {
    vec![
        bundle(
            "unsigned",
            "D1",
            "Nobody signed the release.",
            ("VerifyError::Unsigned", ""),
            Change::World(|world| world.signers.clear()),
        ),
        bundle(
            "one-of-two",
            "D1",
            "One signature was taken away.",
            THRESHOLD,
            Change::Envelope(|envelope| {
                envelope.signatures.pop();
            }),
        ),
        bundle(
            "same-signature-twice",
            "D2",
            "The same signature stands twice.",
            (ENVELOPE, "EnvelopeError::RepeatedKey"),
            Change::Envelope(|envelope| envelope.signatures[1] = envelope.signatures[0].clone()),
        ),
        bundle(
            "same-key-two-ids",
            "D2",
            "Carol's key signed twice, once under the key ID of ci.",
            UNKNOWN,
            Change::World(|world| world.signers[1] = Hand { named: "ci", by: "carol" }),
        ),
        bundle(
            "ids-exchanged",
            "D2",
            "Two good signatures carry each other's key ID.",
            UNKNOWN,
            Change::World(|world| {
                world.signers = vec![Hand { named: "ci", by: "carol" }, Hand { named: "carol", by: "ci" }];
            }),
        ),
        bundle(
            "same-person-two-keys",
            "D2",
            "Carol signed with both of her keys.",
            THRESHOLD,
            Change::World(|world| world.signers = hands(&["carol", "carol-2"])),
        ),
        bundle(
            "unknown-signer",
            "D1",
            "A key that the policy does not know signed as well.",
            UNKNOWN,
            Change::World(|world| world.signers.extend(hands(&["mallory"]))),
        ),
        bundle(
            "signer-of-other-role",
            "D6",
            "Alice, who may review and not release, signed instead of ci.",
            UNKNOWN,
            Change::World(|world| world.signers = hands(&["carol", "alice"])),
        ),
        bundle(
            "revoked-key",
            "F8",
            "The key of ci is revoked.",
            UNKNOWN,
            Change::World(|world| {
                world.policy().revoked.keys.insert(key_id("ci"));
            }),
        ),
        bundle(
            "seventeen-signatures",
            "D9",
            "There are seventeen signatures.",
            (ENVELOPE, "EnvelopeError::TooManySignatures"),
            Change::Envelope(|envelope| {
                for number in envelope.signatures.len()..17 {
                    let other = (key_id(&format!("signer {number}")).to_string(), envelope.signatures[0].1.clone());
                    envelope.signatures.push(other);
                }
            }),
        ),
        bundle(
            "halves-in-two-envelopes",
            "F7",
            "Carol signed this release, and ci another one, whose envelope lies beside it.",
            THRESHOLD,
            Change::World(|world| {
                world.signers = hands(&["carol"]);
                let mut other = base();
                other.signers = hands(&["ci"]);
                other.release.sequence = 41;
                world.evidence.push(other.release_envelope());
            }),
        ),
    ]
}

fn statements() -> Vec<Vector> {
    vec![
        bundle(
            "payload-type-changed",
            "D4",
            "The payload type is another one; the signatures are over it.",
            (ENVELOPE, "EnvelopeError::PayloadType"),
            Change::World(|world| world.payload_type = "application/json".to_owned()),
        ),
        bundle(
            "payload-type-of-signature-changed",
            "D4",
            "The signatures are over another payload type than the envelope states.",
            UNKNOWN,
            Change::Envelope(|envelope| {
                let statement = envelope.statement();
                envelope.signatures = sign("application/json", &statement, &hands(&["carol", "ci"])).signatures;
            }),
        ),
        bundle(
            "credentials-as-release",
            "D4",
            "The statement is a credentials statement, signed by people who may release.",
            (STATEMENT, "StatementError::PredicateType"),
            Change::Statement(|_| base().credentials_statement()),
        ),
        bundle(
            "predicate-type-changed",
            "D5",
            "The predicate type is that of a review.",
            (STATEMENT, "StatementError::PredicateType"),
            Change::Statement(|text| replaced(text, "urn:sealift:release:v1", "urn:sealift:review:v1")),
        ),
        bundle(
            "predicate-type-unknown",
            "D5",
            "The predicate type is a later version of it.",
            (STATEMENT, "StatementError::PredicateType"),
            Change::Statement(|text| replaced(text, "urn:sealift:release:v1", "urn:sealift:release:v2")),
        ),
        bundle(
            "statement-type-old",
            "D5",
            "The statement is of type v0.1.",
            (STATEMENT, "StatementError::Type"),
            Change::Statement(|text| replaced(text, "in-toto.io/Statement/v1", "in-toto.io/Statement/v0.1")),
        ),
        bundle(
            "statement-duplicate-key",
            "J1",
            "The statement states its project twice.",
            (STATEMENT, "JsonError::Shape"),
            Change::Statement(|text| replaced(text, r#""project":"#, r#""project":"billing","project":"#)),
        ),
        bundle(
            "statement-unknown-field",
            "J3",
            "The predicate has a field that the format does not know.",
            (STATEMENT, "JsonError::Shape"),
            Change::Statement(|text| replaced(text, r#""project":"#, r#""optional":true,"project":"#)),
        ),
        bundle(
            "statement-trailing",
            "J5",
            "A line feed follows the statement.",
            (STATEMENT, "JsonError::NotCanonical"),
            Change::Statement(|mut text| {
                text.push(b'\n');
                text
            }),
        ),
        bundle(
            "statement-too-large",
            "D9",
            "The statement has more than 4,000 bytes.",
            (ENVELOPE, "EnvelopeError::StatementTooLarge"),
            Change::Release(|statement| {
                let names = (0..400).map(|number| word::<Name>(&format!("staging-{number}")));
                statement.predicate.environments.extend(names);
            }),
        ),
        bundle(
            "time-with-offset",
            "F4",
            "The end of validity is written with an offset instead of `Z`.",
            (STATEMENT, "JsonError::Shape"),
            Change::Statement(|text| replaced(text, "2027-02-14T00:00:00Z", "2027-02-14T00:00:00+00:00")),
        ),
        bundle(
            "subjects-none",
            "D5",
            "The statement has no subject.",
            SUBJECTS,
            Change::Release(|statement| statement.subjects.clear()),
        ),
        bundle(
            "subjects-manifest-only",
            "D5",
            "The statement's only subject is the manifest.",
            SUBJECTS,
            Change::Release(|statement| {
                statement.subjects.remove(0);
            }),
        ),
        bundle(
            "subjects-one-more",
            "D5",
            "The statement has a third subject.",
            SUBJECTS,
            Change::Release(|statement| {
                let manifest = statement.subjects[1].clone();
                statement.subjects.push(manifest);
            }),
        ),
        bundle(
            "subjects-exchanged",
            "D5",
            "The subjects stand in each other's place.",
            SUBJECTS,
            Change::Release(|statement| statement.subjects.reverse()),
        ),
        bundle(
            "subject-payload-other",
            "D5",
            "The payload's digest among the subjects is another than in the predicate.",
            SUBJECTS,
            Change::Release(|statement| statement.subjects[0].sha256 = Digest::of(b"another payload")),
        ),
        bundle(
            "payload-digest-other",
            "F7",
            "The signed digest is that of another payload, in both places.",
            ("VerifyError::Payload", ""),
            Change::Release(|statement| {
                let other = Digest::of(b"another payload");
                statement.subjects[0].sha256 = other;
                statement.predicate.payload = Content { sha256: other, ..statement.predicate.payload };
            }),
        ),
        bundle(
            "payload-size-other",
            "F7",
            "The signed size is one byte more than the payload has.",
            ("VerifyError::Payload", ""),
            Change::Release(|statement| statement.predicate.payload.size += 1),
        ),
        bundle(
            "payload-of-other-release",
            "F7",
            "The payload is that of another release of the same project.",
            ("VerifyError::Payload", ""),
            Change::Payload(|_| {
                let mut other = base();
                other.manifest.release.sequence = 41;
                other.payload_bytes()
            }),
        ),
        bundle(
            "content-digest-other",
            "J7",
            "The signed content digest is not that of the archive.",
            ("OpenError::Content", ""),
            Change::Release(|statement| statement.predicate.content.sha256 = Digest::of(b"another archive")),
        ),
    ]
}

fn spellings() -> Vec<Vector> {
    vec![
        bundle(
            "base64-spare-bits",
            "D7",
            "The spare bits of a signature's base64 are not zero.",
            BASE64,
            Change::Envelope(|envelope| {
                let sig = envelope.signatures[0].1.strip_suffix("==").expect("64 bytes leave two pads");
                let (rest, last) = sig.split_at(sig.len() - 1);
                // `A`, `Q`, `g` and `w` have four zero bits at their end; the next letter has not.
                let next = char::from(last.as_bytes()[0] + 1);
                envelope.signatures[0].1 = format!("{rest}{next}==");
            }),
        ),
        bundle(
            "base64-no-padding",
            "D7",
            "A signature's base64 lacks its padding.",
            BASE64,
            Change::Envelope(|envelope| {
                let sig = envelope.signatures[0].1.trim_end_matches('=').to_owned();
                envelope.signatures[0].1 = sig;
            }),
        ),
        bundle(
            "base64-white-space",
            "D7",
            "A blank stands in the payload's base64.",
            BASE64,
            Change::Envelope(|envelope| envelope.payload.insert(4, ' ')),
        ),
        bundle(
            "base64-url-alphabet",
            "D7",
            "The signatures are written in the URL-safe alphabet.",
            BASE64,
            Change::Envelope(|envelope| {
                for (_, sig) in &mut envelope.signatures {
                    *sig = sig.replace('+', "-").replace('/', "_");
                }
            }),
        ),
        bundle(
            "line-white-space",
            "D7",
            "A blank stands in the JSON of the release envelope.",
            (ENVELOPE, "JsonError::NotCanonical"),
            Change::Lines(|lines| lines[0].insert(1, b' ')),
        ),
        bundle(
            "line-duplicate-key",
            "J1",
            "The release envelope has two payloads.",
            (ENVELOPE, "JsonError::Shape"),
            Change::Lines(|lines| {
                let line = std::mem::take(&mut lines[0]);
                lines[0] = replaced(line, r#"{"payload":"#, r#"{"payload":"e30=","payload":"#);
            }),
        ),
        bundle(
            "line-of-array",
            "J2",
            "The release envelope is a JSON array of its values.",
            (ENVELOPE, "JsonError::NotCanonical"),
            Change::Lines(|lines| {
                let value: serde_json::Value = serde_json::from_slice(&lines[0]).expect("JSON");
                let values = serde_json::json!([value["payload"], value["payloadType"], value["signatures"]]);
                lines[0] = values.to_string().into_bytes();
            }),
        ),
        bundle(
            "lines-crlf",
            "D7",
            "The release envelope ends with a carriage return.",
            (ENVELOPE, "JsonError::NotCanonical"),
            Change::Lines(|lines| lines[0].push(b'\r')),
        ),
    ]
}

fn sealed(
    name: &'static str,
    row: &'static str,
    about: &'static str,
    (expect, cause): (&'static str, &'static str),
    change: Change,
) -> Vector {
    Vector { name, form: Form::Credentials, row, about, expect, cause, origin: Origin::World(base, change) }
}

fn credentials() -> Vec<Vector> {
    vec![
        sealed(
            "credentials-by-releaser",
            "D6",
            "Carol, who may release, signed the credentials.",
            UNKNOWN,
            Change::World(|world| world.signers = hands(&["carol"])),
        ),
        sealed(
            "credentials-as-review",
            "D4",
            "The statement is a review, signed by somebody who may sign both.",
            (STATEMENT, "StatementError::PredicateType"),
            Change::Statement(|_| crate::forge::review("unit", Digest::of(b"unit"), &[]).payload().to_vec()),
        ),
        sealed(
            "credentials-other-file",
            "X6",
            "The sealed file is another one, as anybody can make for a known recipient.",
            ("VerifyError::Payload", ""),
            Change::Payload(|_| b"age-encryption.org/v1\nanother file\n".to_vec()),
        ),
        sealed(
            "credentials-subject-other",
            "D5",
            "The subject is not the sealed file.",
            SUBJECTS,
            Change::Credentials(|statement| statement.subjects[0].name = word("payload.tar.zst")),
        ),
        sealed(
            "credentials-evidence",
            "D9",
            "A second envelope follows the first.",
            ("VerifyError::Evidence", ""),
            Change::Lines(|lines| lines.push(crate::forge::review("unit", Digest::of(b"unit"), &["bob"]).write())),
        ),
        sealed(
            "credentials-project-other",
            "F6",
            "The credentials are another project's.",
            ("VerifyError::Project", ""),
            Change::Credentials(|statement| statement.predicate.project = word("billing")),
        ),
        sealed(
            "credentials-environment-other",
            "F6",
            "The credentials are for another environment.",
            ("VerifyError::Environment", ""),
            Change::Credentials(|statement| statement.predicate.environment = word("staging")),
        ),
        sealed(
            "credentials-expired",
            "F4",
            "The credentials expire at the moment of the judgement.",
            ("VerifyError::Expired", ""),
            Change::Credentials(|statement| statement.predicate.not_after = word("2027-01-20T12:00:00Z")),
        ),
        sealed(
            "credentials-key-revoked",
            "F8",
            "The key that signed is revoked.",
            UNKNOWN,
            Change::World(|world| {
                world.policy().revoked.keys.insert(public("alice").id());
                // Alice's key is a root key too; the root goes on without it.
                let root = world.roots.last_mut().expect("a root");
                (root.keys, root.signers) = (vec!["bob", "erin"], vec!["bob", "erin"]);
            }),
        ),
        sealed(
            "credentials-one-of-two",
            "D3",
            "The environment asks two people to sign credentials; alice did.",
            THRESHOLD,
            Change::World(|world| {
                let policy = world.policy();
                policy.roles.get_mut("credentials").expect("a role").insert(word("bob@example.com"));
                let environment = policy.environments.get_mut("production").expect("an environment");
                let (role, statement) = (word("credentials"), PredicateKind::Credentials);
                environment.require.push(Requirement { people: 2, role, statement });
            }),
        ),
        sealed(
            "credentials-environment-unknown",
            "F6",
            "The policy does not know the environment of credentials and host.",
            ("VerifyError::UnknownEnvironment", ""),
            Change::World(|world| {
                world.policy().environments.remove("production");
            }),
        ),
        sealed(
            "credentials-serial-2-53",
            "J4",
            "The serial is 2^53, which readers in floating point take for its neighbour.",
            (STATEMENT, "JsonError::Number"),
            Change::Credentials(|statement| statement.predicate.serial = 1 << 53),
        ),
        sealed(
            "credentials-nobody-may-sign",
            "D3",
            "The policy lets nobody sign credentials.",
            UNKNOWN,
            Change::World(|world| {
                world.policy().predicates.remove(&PredicateKind::Credentials);
            }),
        ),
    ]
}
