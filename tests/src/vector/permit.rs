//! Permits: who signs them, what they are for, when, and what passes for one.

use sealift_spec::Digest;

use super::{Form, Origin, Vector};
use crate::forge::{Change, World, hands, word};

fn good(name: &'static str, about: &'static str, change: Change) -> Vector {
    let (form, origin) = (Form::Permit, Origin::World(World::guarded, change));
    Vector { name, form, row: "-", about, expect: "accepted", cause: "", origin }
}

fn bad(
    name: &'static str,
    row: &'static str,
    about: &'static str,
    (expect, cause): (&'static str, &'static str),
    change: Change,
) -> Vector {
    Vector { name, form: Form::Permit, row, about, expect, cause, origin: Origin::World(World::guarded, change) }
}

pub(super) fn vectors() -> Vec<Vector> {
    let mut vectors = vec![
        good("accepted-permit", "A permit by erin, for three hours.", Change::Nothing),
        good(
            "accepted-permit-two-signers",
            "The same, signed by dave as well.",
            Change::World(|world| world.operators = hands(&["dave", "erin"])),
        ),
        good(
            "accepted-permit-whole-day",
            "A permit for a whole day.",
            Change::Permit(|statement| statement.predicate.not_before = word("2027-01-19T14:00:00Z")),
        ),
    ];
    vectors.extend(signers());
    vectors.extend(statements());
    vectors.extend(times());
    vectors
}

fn signers() -> Vec<Vector> {
    vec![
        bad(
            "permit-unsigned",
            "D1",
            "Nobody signed the permit.",
            ("PermitError::Unsigned", ""),
            Change::World(|world| world.operators.clear()),
        ),
        bad(
            "permit-by-stranger",
            "D1",
            "Mallory, whom the policy does not know, signed beside erin.",
            ("PermitError::UnknownSigner", ""),
            Change::World(|world| world.operators = hands(&["erin", "mallory"])),
        ),
        bad(
            "permit-by-reviewer",
            "D6",
            "Alice, who reviews, signed alone.",
            ("PermitError::UnknownSigner", ""),
            Change::World(|world| world.operators = hands(&["alice"])),
        ),
        bad(
            "permit-by-release-key",
            "D6",
            "The pipeline's release key signed.",
            ("PermitError::UnknownSigner", ""),
            Change::World(|world| world.operators = hands(&["ci"])),
        ),
        bad(
            "permit-key-revoked",
            "F8",
            "Erin's key is revoked.",
            ("PermitError::UnknownSigner", ""),
            Change::World(|world| {
                let key = crate::forge::key_id("erin");
                world.policy().revoked.keys.insert(key);
                // Who holds a root key that is revoked is another matter.
                world.roots[0].keys.retain(|holder| *holder != "erin");
            }),
        ),
        bad(
            "permit-too-few",
            "D3",
            "The environment asks for two people, and erin alone signed.",
            ("PermitError::Threshold", ""),
            Change::World(|world| {
                let production = world.policy().environments.get_mut("production").expect("the environment");
                production.require.last_mut().expect("a requirement").people = 2;
            }),
        ),
        bad(
            "permit-by-counted-reviewer",
            "D2",
            "Dave signed the permit and is one of the only two reviewers, where two are needed.",
            ("Unreviewed::Threshold", ""),
            Change::World(|world| {
                world.manifest.units.iter_mut().for_each(|unit| unit.author = word("erin@example.com"));
                world.review(&["alice", "dave"]);
                world.operators = hands(&["dave"]);
            }),
        ),
        bad(
            "permit-statement-changed",
            "E5",
            "A digit of the plan digest is another one than was signed.",
            ("PermitError::UnknownSigner", ""),
            Change::Envelope(|envelope| {
                let text = String::from_utf8(envelope.statement()).expect("JSON");
                let (plan, other) = (Digest::of(b"a plan").to_string(), Digest::of(b"another plan").to_string());
                envelope.set_statement(text.replace(&plan, &other).as_bytes());
            }),
        ),
    ]
}

fn statements() -> Vec<Vector> {
    vec![
        bad(
            "permit-without-line-feed",
            "D7",
            "The line feed at the end is missing.",
            ("PermitError::Line", ""),
            Change::File(|file| {
                file.pop();
            }),
        ),
        bad(
            "permit-two-lines",
            "D9",
            "The envelope stands there twice.",
            ("PermitError::Envelope", "JsonError::Shape"),
            Change::File(|file| *file = file.repeat(2)),
        ),
        bad(
            "permit-is-a-review",
            "D4",
            "The statement claims to be a review.",
            ("PermitError::Statement", "StatementError::PredicateType"),
            Change::Statement(|bytes| {
                String::from_utf8(bytes).expect("JSON").replace("sealift:permit:v1", "sealift:review:v1").into_bytes()
            }),
        ),
        bad(
            "permit-subject-other-name",
            "D5",
            "The subject is called `unit`.",
            ("PermitError::Subjects", ""),
            Change::Permit(|statement| statement.subjects[0].name = word("unit")),
        ),
        bad(
            "permit-two-subjects",
            "D5",
            "Two releases are permitted at once.",
            ("PermitError::Subjects", ""),
            Change::Permit(|statement| {
                let mut other = statement.subjects[0].clone();
                other.sha256 = Digest::of(b"another release");
                statement.subjects.push(other);
            }),
        ),
        bad(
            "permit-other-release",
            "F7",
            "The permit is for another release.",
            ("PermitError::Release", ""),
            Change::Permit(|statement| statement.subjects[0].sha256 = Digest::of(b"another release")),
        ),
        bad(
            "permit-other-project",
            "F6",
            "The permit is for another project.",
            ("PermitError::Project", ""),
            Change::Permit(|statement| statement.predicate.project = word("invoices")),
        ),
        bad(
            "permit-other-environment",
            "F6",
            "The permit is for another environment.",
            ("PermitError::Environment", ""),
            Change::Permit(|statement| statement.predicate.environment = word("staging")),
        ),
        bad(
            "permit-newer-root",
            "F1",
            "Its signer knows root 2, the host has root 1.",
            ("PermitError::Root", ""),
            Change::Permit(|statement| statement.predicate.root = 2),
        ),
    ]
}

fn times() -> Vec<Vector> {
    vec![
        bad(
            "permit-expired",
            "F4",
            "It ended at this very second.",
            ("PermitError::Expired", ""),
            Change::Permit(|statement| statement.predicate.not_after = word("2027-01-20T12:00:00Z")),
        ),
        bad(
            "permit-not-yet",
            "F4",
            "It begins in a second.",
            ("PermitError::NotYet", ""),
            Change::Permit(|statement| statement.predicate.not_before = word("2027-01-20T12:00:01Z")),
        ),
        bad(
            "permit-longer-than-a-day",
            "F4",
            "It is for a day and a second.",
            ("PermitError::Times", ""),
            Change::Permit(|statement| statement.predicate.not_before = word("2027-01-19T13:59:59Z")),
        ),
        bad(
            "permit-ends-first",
            "F4",
            "It ends before it begins.",
            ("PermitError::Times", ""),
            Change::Permit(|statement| statement.predicate.not_after = word("2027-01-20T10:00:00Z")),
        ),
    ]
}
