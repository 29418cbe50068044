//! What is accepted, and who has reviewed what: evidence, reviews, and everything that could pass for them.

use sealift_spec::manifest::{Flavour, Kind, Mode, Statement};
use sealift_spec::statement::{UNIT_SUBJECT, UNITS_SUBJECT};

use super::{Form, Origin, Vector, base, bundle};
use crate::forge::frame::{headed, header};
use crate::forge::trust::RootPlan;
use crate::forge::{Change, World, replaced, review, review_in, word};

const UNREVIEWED: (&str, &str) = ("Unreviewed::Threshold", "");
const EVIDENCE: (&str, &str) = ("VerifyError::Evidence", "");

fn good(name: &'static str, form: Form, about: &'static str, world: fn() -> World, change: Change) -> Vector {
    Vector { name, form, row: "-", about, expect: "accepted", cause: "", origin: Origin::World(world, change) }
}

pub(super) fn accepted() -> Vec<Vector> {
    vec![
        good("accepted-sqlite", Form::Bundle, "Two reviewed migrations for SQLite.", base, Change::Nothing),
        good(
            "accepted-postgresql",
            Form::Bundle,
            "The same for PostgreSQL, an index built CONCURRENTLY.",
            || World::new(Flavour::Postgresql),
            Change::Nothing,
        ),
        good(
            "accepted-mariadb",
            Form::Bundle,
            "The same for MariaDB, in statements mode.",
            || World::new(Flavour::Mariadb),
            Change::Nothing,
        ),
        good(
            "accepted-mysql",
            Form::Bundle,
            "The same for MySQL, in statements mode.",
            || World::new(Flavour::Mysql),
            Change::Nothing,
        ),
        good(
            "accepted-smallest",
            Form::Bundle,
            "One migration, one reviewer, one releaser.",
            World::smallest,
            Change::Nothing,
        ),
        good(
            "accepted-list",
            Form::Bundle,
            "Both migrations reviewed as one list, which travels along.",
            listed,
            Change::Nothing,
        ),
        good("accepted-second-root", Form::Bundle, "The base under a second root.", second_root, Change::Nothing),
        good(
            "accepted-more-evidence",
            Form::Bundle,
            "A review by a stranger and one of a unit that is not here lie beside those that count.",
            base,
            Change::World(|world| {
                let unit = world.manifest.units[0].digest();
                world.evidence.push(review(UNIT_SUBJECT, unit, &["mallory"]));
                world.evidence.push(review(UNIT_SUBJECT, sealift_spec::Digest::of(b"another unit"), &["alice"]));
            }),
        ),
        good(
            "accepted-window-8-mib",
            Form::Bundle,
            "The frame asks for the largest window allowed.",
            base,
            Change::Frame(|tar| headed(&header((23 - 10) << 3, tar.len() as u64), tar)),
        ),
        good(
            "accepted-credentials",
            Form::Credentials,
            "Credentials signed by alice; they cannot be opened.",
            base,
            Change::Nothing,
        ),
        good("accepted-root", Form::Root, "One root, signed by two of its three keys.", base, Change::Nothing),
        good(
            "accepted-root-chain",
            Form::Root,
            "Three roots; the second replaces the keys.",
            third_root,
            Change::Nothing,
        ),
        good(
            "accepted-root-chain-expired-between",
            Form::Root,
            "The first two roots have expired, which does not matter once there is a third.",
            third_root,
            Change::World(|world| {
                for root in &mut world.roots[..2] {
                    root.expires = word("2027-01-01T00:00:00Z");
                }
            }),
        ),
    ]
}

pub(super) fn second_root() -> World {
    let mut world = base();
    world.roots = vec![RootPlan::first(), RootPlan::second()];
    world
}

pub(super) fn third_root() -> World {
    let mut world = base();
    world.roots = vec![RootPlan::first(), RootPlan::second(), RootPlan::third()];
    world
}

/// The base, its two migrations reviewed as one list.
fn listed() -> World {
    let mut world = base();
    world.review_list(&["alice", "bob"]);
    world
}

pub(super) fn vectors() -> Vec<Vector> {
    let mut vectors = reviews();
    vectors.extend(lists());
    vectors.extend(evidence());
    vectors
}

fn reviews() -> Vec<Vector> {
    vec![
        bundle(
            "review-none",
            "R1",
            "Nobody reviewed anything.",
            UNREVIEWED,
            Change::World(|world| world.evidence.clear()),
        ),
        bundle(
            "review-one-of-two",
            "R1",
            "Only alice reviewed.",
            UNREVIEWED,
            Change::World(|world| world.review(&["alice"])),
        ),
        bundle(
            "review-one-unit-missing",
            "R1",
            "Nobody reviewed the second unit.",
            UNREVIEWED,
            Change::World(|world| {
                world.evidence.pop();
            }),
        ),
        bundle(
            "review-same-person-two-keys",
            "D2",
            "Bob reviewed with both of his keys, and nobody else did.",
            UNREVIEWED,
            Change::World(|world| world.review(&["bob", "bob-2"])),
        ),
        bundle(
            "review-by-author",
            "R2",
            "The author is one of the two reviewers.",
            UNREVIEWED,
            Change::World(|world| world.review(&["alice", "dave"])),
        ),
        bundle(
            "review-by-releaser",
            "D6",
            "Carol, who releases, reviewed as well; she does not hold the role.",
            UNREVIEWED,
            Change::World(|world| world.review(&["alice", "carol"])),
        ),
        bundle(
            "review-by-stranger",
            "D1",
            "The second review is by a key that the policy does not know.",
            UNREVIEWED,
            Change::World(|world| world.review(&["alice", "mallory"])),
        ),
        bundle(
            "review-key-revoked",
            "F8",
            "A key that reviewed is revoked.",
            UNREVIEWED,
            Change::World(|world| {
                world.policy().revoked.keys.insert(crate::forge::key_id("dave"));
                world.manifest.units.iter_mut().for_each(|unit| unit.author = word("erin@example.com"));
                world.review(&["alice", "dave"]);
            }),
        ),
        bundle(
            "review-of-other-project",
            "F6",
            "The reviews are of the same units in another project.",
            UNREVIEWED,
            Change::World(|world| {
                let units: Vec<_> = world.manifest.units.iter().map(sealift_spec::manifest::Unit::digest).collect();
                let reviews = units.iter().flat_map(|unit| {
                    ["alice", "bob"].map(|reviewer| review_in("billing", UNIT_SUBJECT, *unit, &[reviewer]))
                });
                world.evidence = reviews.collect();
            }),
        ),
        bundle(
            "review-of-other-subject",
            "D5",
            "The reviews name the unit's digest as that of something else.",
            UNREVIEWED,
            Change::World(|world| {
                let units: Vec<_> = world.manifest.units.iter().map(sealift_spec::manifest::Unit::digest).collect();
                let reviews = units
                    .iter()
                    .flat_map(|unit| ["alice", "bob"].map(|reviewer| review("payload.tar.zst", *unit, &[reviewer])));
                world.evidence = reviews.collect();
            }),
        ),
        bundle(
            "unit-rewritten",
            "R3",
            "The SQL of a unit was changed after its review.",
            UNREVIEWED,
            Change::World(|world| world.rewrite(0, "DROP TABLE payment;\n")),
        ),
        bundle(
            "unit-recut",
            "R3",
            "The two statements of a unit were joined into one after its review.",
            UNREVIEWED,
            Change::World(|world| {
                let up = &mut world.manifest.units[1].up;
                up.statements = vec![Statement { end: up.size, kind: Kind::Ddl, lock: None, probe: None }];
            }),
        ),
        bundle(
            "unit-kind-changed",
            "R3",
            "A statement became a comment after the review: the runner would leave it out.",
            UNREVIEWED,
            Change::World(|world| world.manifest.units[1].up.statements[1].kind = Kind::Skip),
        ),
        bundle(
            "unit-mode-changed",
            "R3",
            "A unit no longer runs in a transaction, as it did when it was reviewed.",
            UNREVIEWED,
            Change::World(|world| world.manifest.units[1].up.mode = Mode::Statements),
        ),
        bundle(
            "unit-timeout-changed",
            "R3",
            "A unit may wait longer for locks than when it was reviewed.",
            UNREVIEWED,
            Change::World(|world| world.manifest.units[1].timeouts.lock_ms = 0),
        ),
        bundle(
            "unit-parents-changed",
            "R3",
            "A unit lost its parent after its review.",
            UNREVIEWED,
            Change::World(|world| {
                world.manifest.units[1].parents.clear();
                world.manifest.target = vec![word("0001"), word("0002")];
            }),
        ),
        bundle(
            "unit-author-changed",
            "R2",
            "A unit names another author than when it was reviewed.",
            UNREVIEWED,
            Change::World(|world| world.manifest.units[1].author = word("unknown")),
        ),
        bundle(
            "unit-revoked",
            "F8",
            "A unit is revoked.",
            ("Unreviewed::Revoked", ""),
            Change::World(|world| {
                let unit = world.manifest.units[1].digest();
                world.policy().revoked.units.insert(unit);
            }),
        ),
    ]
}

fn lists() -> Vec<Vector> {
    let list = |name, row, about, (expect, cause): (&'static str, &'static str), change| Vector {
        name,
        form: Form::Bundle,
        row,
        about,
        expect,
        cause,
        origin: Origin::World(listed, change),
    };
    vec![
        list(
            "list-shorter",
            "R4",
            "The list that was reviewed lacks the second unit.",
            UNREVIEWED,
            Change::World(|world| {
                world.members.pop();
                world.manifest.lists.clear();
                let only = format!("{}\n", world.manifest.units[0].digest());
                world.add_list(only.into_bytes());
                let digest = world.manifest.lists[0].sha256;
                world.evidence = ["alice", "bob"].map(|reviewer| review(UNITS_SUBJECT, digest, &[reviewer])).into();
            }),
        ),
        list(
            "list-missing",
            "R4",
            "The list that was reviewed does not travel along.",
            UNREVIEWED,
            Change::World(|world| {
                world.members.pop();
                world.manifest.lists.clear();
            }),
        ),
        list(
            "list-other",
            "R4",
            "A list travels along that is not the one reviewed.",
            UNREVIEWED,
            Change::World(|world| {
                world.evidence.clear();
                let other = sealift_spec::Digest::of(b"another list");
                world.evidence = ["alice", "bob"].map(|reviewer| review(UNITS_SUBJECT, other, &[reviewer])).into();
            }),
        ),
        list(
            "list-unsorted",
            "R4",
            "The lines of the list are not sorted.",
            ("OpenError::Member", ""),
            Change::World(|world| {
                let mut lines: Vec<String> =
                    world.manifest.units.iter().map(|unit| format!("{}\n", unit.digest())).collect();
                lines.sort();
                lines.reverse();
                world.members.pop();
                world.manifest.lists.clear();
                world.add_list(lines.concat().into_bytes());
            }),
        ),
        list(
            "list-before-an-edit",
            "R4",
            "A unit may wait longer than when the list was reviewed.",
            UNREVIEWED,
            Change::World(|world| world.manifest.units[1].timeouts.lock_ms += 1),
        ),
        list(
            "list-repeats",
            "R4",
            "A unit stands in the list twice.",
            ("OpenError::Member", ""),
            Change::World(|world| {
                let mut lines: Vec<String> =
                    world.manifest.units.iter().map(|unit| format!("{}\n", unit.digest())).collect();
                lines.push(lines[0].clone());
                lines.sort();
                world.members.pop();
                world.manifest.lists.clear();
                world.add_list(lines.concat().into_bytes());
            }),
        ),
        list(
            "list-unended",
            "R4",
            "The last line of the list has no line feed.",
            ("OpenError::Member", ""),
            Change::World(|world| {
                let mut lines: Vec<String> =
                    world.manifest.units.iter().map(|unit| format!("{}\n", unit.digest())).collect();
                lines.sort();
                world.members.pop();
                world.manifest.lists.clear();
                world.add_list(lines.concat().trim_end().as_bytes().to_vec());
            }),
        ),
        list(
            "list-as-unit",
            "R4",
            "The reviews of the list call it a unit.",
            UNREVIEWED,
            Change::World(|world| {
                let digest = world.manifest.lists[0].sha256;
                world.evidence = ["alice", "bob"].map(|reviewer| review(UNIT_SUBJECT, digest, &[reviewer])).into();
            }),
        ),
    ]
}

fn evidence() -> Vec<Vector> {
    vec![
        bundle(
            "evidence-removed",
            "F7",
            "A review was taken away after the release was signed.",
            EVIDENCE,
            Change::Lines(|lines| {
                lines.pop();
            }),
        ),
        bundle(
            "evidence-added",
            "F7",
            "A review was added after the release was signed.",
            EVIDENCE,
            Change::Lines(|lines| {
                lines.push(review(UNIT_SUBJECT, sealift_spec::Digest::of(b"unit"), &["bob"]).write());
                lines[1..].sort();
            }),
        ),
        bundle(
            "evidence-changed",
            "F7",
            "A signature of a review was changed after the release was signed.",
            EVIDENCE,
            Change::Lines(|lines| {
                let line = std::mem::take(&mut lines[1]);
                let at = line.windows(7).position(|text| text == b"\"sig\":\"").expect("a signature") + 7;
                lines[1] = line;
                lines[1][at] = if lines[1][at] == b'A' { b'B' } else { b'A' };
                lines[1..].sort();
            }),
        ),
        bundle(
            "evidence-unsorted",
            "D7",
            "Two reviews stand in each other's place.",
            ("VerifyError::Container", "ContainerError::Order"),
            Change::Lines(|lines| lines.swap(1, 2)),
        ),
        bundle(
            "evidence-repeated",
            "D7",
            "A review stands twice.",
            ("VerifyError::Container", "ContainerError::Order"),
            Change::Lines(|lines| lines.insert(1, lines[1].clone())),
        ),
        bundle(
            "evidence-first",
            "D7",
            "A review stands in the place of the release.",
            ("VerifyError::UnknownSigner", ""),
            Change::Lines(|lines| {
                lines.swap(0, 1);
                lines[1..].sort();
            }),
        ),
        bundle(
            "evidence-empty-line",
            "D7",
            "An empty line follows the release.",
            ("VerifyError::Container", "JsonError::Shape"),
            Change::Lines(|lines| lines.insert(1, Vec::new())),
        ),
        bundle(
            "evidence-count-other",
            "F7",
            "The signed count is one more than there are reviews.",
            EVIDENCE,
            Change::Release(|statement| statement.predicate.evidence.count += 1),
        ),
        bundle(
            "manifest-duplicate-key",
            "J1",
            "The signed manifest states its project twice.",
            ("OpenError::Manifest", "JsonError::Shape"),
            Change::Manifest(|text| replaced(text, r#""schema":"#, r#""project":"billing","schema":"#)),
        ),
        bundle(
            "manifest-white-space",
            "J5",
            "A blank stands in the signed manifest.",
            ("OpenError::Manifest", "JsonError::NotCanonical"),
            Change::Manifest(|text| replaced(text, r#""schema":"#, r#""schema": "#)),
        ),
        bundle(
            "manifest-sequence-other",
            "F7",
            "The manifest is of another release than the statement says.",
            ("OpenError::Mismatch", ""),
            Change::Release(|statement| statement.predicate.sequence = 43),
        ),
        bundle(
            "manifest-name-other",
            "F7",
            "The manifest calls the release something else than the statement.",
            ("OpenError::Mismatch", ""),
            Change::Release(|statement| statement.predicate.name = word("orders-43")),
        ),
        bundle(
            "manifest-project-other",
            "F6",
            "The manifest and its units are of another project than the statement says.",
            ("OpenError::Mismatch", ""),
            Change::World(|world| {
                world.manifest.project = word("billing");
                world.manifest.units.iter_mut().for_each(|unit| unit.project = word("billing"));
                world.review(&["alice", "bob"]);
            }),
        ),
    ]
}
