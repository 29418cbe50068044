//! Drill: the release key, the one that lies in a pipeline, is stolen. What the thief can do alone, how it is revoked, what
//! must be rotated (`threat-model.md`, the stolen keys).

use std::fs;

use sealift_tests::server::{Database, one_of_each, sqlite};
use sealift_tests::story::{RULES, Story};

fn pack(story: &Story, sequence: u64, environment: &str, more: &str, out: &str) {
    let line = format!("pack --sequence {sequence} --environment {environment} --out {out} --key keys/carol {more}");
    let _ = story.bundler(&line).expect(0);
}

#[track_caller]
fn refused(story: &Story, bundle: &str, words: &str) {
    let outcome = story.runner("apply", bundle).expect(1);
    assert!(outcome.stderr.contains(words), "no `{words}` in\n{}", outcome.text());
    assert!(!story.database.schema().contains("evil"));
}

fn ready(database: Database) -> (Story, String) {
    let story = Story::new(database);
    story.three_migrations();
    let first = story.release(1);
    let _ = story.runner("apply", &first).expect(0);
    (story, first)
}

#[test]
fn the_release_key_is_stolen_and_brings_in_no_sql() {
    for database in one_of_each() {
        let (story, _) = ready(database);
        // New SQL, with every review the thief can make up.
        story.migration("4_evil", "CREATE TABLE evil (id INTEGER);", "DROP TABLE evil;");
        for who in ["carol", "mallory"] {
            let _ = story.bundler(&format!("review 4 --key keys/{who} --answers answers.toml")).expect(0);
        }
        pack(&story, 2, "trial", "", "evil.sealift");
        refused(&story, "evil.sealift", "needs 2 people to sign the review, nobody counts");
        // Old SQL, edited: what is applied is compared with what was applied.
        fs::remove_file(story.path("migrations/4_evil.up.sql")).expect("removed");
        fs::remove_file(story.path("migrations/4_evil.down.sql")).expect("removed");
        let up = fs::read_to_string(story.path("migrations/3_data.up.sql")).expect("a script");
        story.write("migrations/3_data.up.sql", &format!("{up}\nCREATE TABLE evil (id INTEGER);\n"));
        pack(&story, 2, "trial", "", "edited.sealift");
        refused(&story, "edited.sealift", "was edited after it was applied");
        story.write("migrations/3_data.up.sql", &up);
        // The way back with another down script.
        let down = fs::read_to_string(story.path("migrations/3_data.down.sql")).expect("a script");
        story.write("migrations/3_data.down.sql", "CREATE TABLE evil (id INTEGER);\n");
        pack(&story, 2, "trial", "--target 2", "down.sealift");
        refused(&story, "down.sealift", "migration `3`");
        story.write("migrations/3_data.down.sql", &down);
        // Reviewed SQL in another order: the parents are part of what was reviewed.
        let only = "-- sealift: author=carol@example.com\n-- sealift: parents=1\n";
        let third = fs::read_to_string(story.path("migrations/3_data.up.sql")).expect("a script");
        story.write("migrations/3_data.up.sql", &third.replace("-- sealift: author=carol@example.com\n", only));
        pack(&story, 2, "trial", "", "order.sealift");
        let outcome = story.runner("apply", "order.sealift").expect(1);
        assert!(outcome.stderr.contains("migration `3`"), "{}", outcome.text());
        story.write("migrations/3_data.up.sql", &third);
    }
}

#[test]
fn the_release_key_is_stolen_and_chooses_among_what_was_reviewed() {
    for database in one_of_each() {
        let (story, _) = ready(database);
        // When reviewed migrations run, and, where no permit is asked for, the reviewed way back: data is lost by it.
        pack(&story, 2, "trial", "--target 1", "back.sealift");
        let _ = story.runner("apply", "back.sealift").expect(0);
        assert_eq!(story.applied("back.sealift"), ["1"]);
        // Numbers: an honest release needs a higher one then.
        pack(&story, 1_000_000, "trial", "", "high.sealift");
        let _ = story.runner("apply", "high.sealift").expect(0);
        story.migration("4_more", "CREATE TABLE more (id INTEGER);", "DROP TABLE more;");
        story.review();
        pack(&story, 3, "trial", "", "low.sealift");
        refused(&story, "low.sealift", "release 3 is older than release 1000000");
        let _ = story
            .bundler("pack --after high.sealift --environment trial --out next.sealift --key keys/carol")
            .expect(0);
        let _ = story.runner("apply", "next.sealift").expect(0);
        assert_eq!(story.applied("next.sealift"), ["1", "2", "3", "4"]);
    }
}

#[test]
fn in_a_protected_environment_a_release_key_does_nothing_alone() {
    let (story, _) = ready(sqlite());
    pack(&story, 2, "production", "--target 1", "production.sealift");
    let root = &story.root;
    let line = format!(
        "apply --bundle production.sealift --trust trust --root-sha256 {root} --project orders --environment production \
         --database main {} --audit audit.jsonl",
        story.access()
    );
    let outcome =
        sealift_tests::command::Command::new("sealift-runner").folder(story.home()).line(&line).run().expect(1);
    assert!(outcome.stderr.contains("changes to it need a permit"), "{}", outcome.text());
    // Nor does it reach an environment that its statement does not name.
    refused(&story, "production.sealift", "rejected");
    assert_eq!(story.applied("orders-1.sealift"), ["1", "2", "3"]);
}

#[test]
fn a_stolen_release_key_is_revoked() {
    let (story, first) = ready(sqlite());
    story.migration("4_more", "CREATE TABLE more (id INTEGER);", "DROP TABLE more;");
    let second = story.release(2);
    let _ = story.keys("generate --no-passphrase --holder carol@example.com --out keys/carol2").expect(0);
    let public = |who: &str| {
        let text = fs::read_to_string(story.path(&format!("keys/{who}.pub"))).expect("a public key");
        text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    };
    let id = std::process::Command::new("ssh-keygen").arg("-lf").arg(story.path("keys/carol.pub")).output();
    let id = String::from_utf8(id.expect("ssh-keygen").stdout).expect("text");
    let id = id.split_whitespace().nth(1).expect("a fingerprint").to_owned();
    let next = story.trust_toml(RULES).replace(&public("carol"), &public("carol2"));
    story.write("next.toml", &format!("{next}\n[revoked]\nkeys = [\"{id}\"]\n"));
    let draft = format!("trust draft next.toml --previous trust --root-sha256 {} --out trust", story.root);
    let _ = story.keys(&draft).expect(0);
    for who in ["alice", "bob"] {
        let _ = story.keys(&format!("trust sign trust/2.root.json --key keys/{who}")).expect(0);
    }
    // Everything it ever signed is refused, also beside the new signature: nobody can tell which were the thief's.
    for bundle in [&first, &second] {
        let outcome = story.runner("apply", bundle).expect(1);
        assert!(outcome.stderr.contains("is by no key that may sign a release"), "{}", outcome.text());
    }
    let _ = story.bundler(&format!("sign {second} --key keys/carol2")).expect(0);
    let outcome = story.runner("apply", &second).expect(1);
    assert!(outcome.stderr.contains("is by no key that may sign a release"), "{}", outcome.text());
    // To be rotated: the pipeline's key; what is current is packed again. The reviews are good still.
    let line = "pack --sequence 3 --environment trial --out third.sealift --key keys/carol2";
    let _ = story.bundler(line).expect(0);
    let _ = story.runner("apply", "third.sealift").expect(0);
    assert_eq!(story.applied("third.sealift"), ["1", "2", "3", "4"]);
}
