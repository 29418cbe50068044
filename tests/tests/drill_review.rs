//! Drill: a reviewer's key is stolen. What the thief can do alone, how it is revoked, what must be rotated
//! (`threat-model.md`, the stolen keys).

use std::fs;

use sealift_tests::command::Outcome;
use sealift_tests::server::{Database, one_of_each, sqlite};
use sealift_tests::story::{RULES, Story};

#[track_caller]
fn refused(story: &Story, bundle: &str, words: &str) {
    for outcome in [story.verify(bundle), story.runner("apply", bundle)] {
        let outcome: Outcome = outcome.expect(1);
        assert!(outcome.stderr.contains(words), "no `{words}` in\n{}", outcome.text());
    }
    assert!(!story.database.schema().contains("evil"));
}

fn review(story: &Story, ids: &str, key: &str) {
    let _ = story.bundler(&format!("review {ids} --key keys/{key} --answers answers.toml")).expect(0);
}

fn public(story: &Story, who: &str) -> String {
    let text = fs::read_to_string(story.path(&format!("keys/{who}.pub"))).expect("a public key");
    text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

fn key_id(story: &Story, who: &str) -> String {
    let output =
        std::process::Command::new("ssh-keygen").arg("-lf").arg(story.path(&format!("keys/{who}.pub"))).output();
    let text = String::from_utf8(output.expect("ssh-keygen").stdout).expect("text");
    text.split_whitespace().nth(1).expect("a fingerprint").to_owned()
}

fn ready(database: Database) -> Story {
    let story = Story::new(database);
    story.three_migrations();
    let first = story.release(1);
    let _ = story.runner("apply", &first).expect(0);
    story.migration("4_evil", "CREATE TABLE evil (id INTEGER);", "DROP TABLE evil;");
    story
}

#[test]
fn a_review_key_is_stolen() {
    for database in one_of_each() {
        let story = ready(database);
        // Dave's key: one review where two are needed, whatever the pipeline packs and signs.
        review(&story, "4", "dave");
        refused(&story, &story.pack(2), "needs 2 people to sign the review, 1 counted");
        // As a list, too, and both together: still one person.
        let _ = story.bundler("review 4 --baseline --key keys/dave --answers answers.toml").expect(0);
        refused(&story, &story.pack(3), "needs 2 people to sign the review, 1 counted");
        // Under the name of somebody else's key.
        let folder = story.path("reviews/4");
        let file = fs::read_dir(&folder).expect("a folder").next().expect("a review").expect("an entry").path();
        let text = fs::read_to_string(&file).expect("a review");
        let renamed = text.replace(&key_id(&story, "dave"), &key_id(&story, "bob"));
        assert_ne!(text, renamed);
        fs::write(folder.join("00000000.00000000.intoto.json"), renamed).expect("written");
        refused(&story, &story.pack(4), "needs 2 people to sign the review, 1 counted");
        // A name for the author changes nothing but who does not count.
        story.write(
            "migrations/4_evil.up.sql",
            "-- sealift: author=nobody@example.com\nCREATE TABLE evil (id INTEGER);\n",
        );
        review(&story, "4", "dave");
        refused(&story, &story.pack(5), "needs 2 people to sign the review, 1 counted");
        // It releases nothing, and permits nothing.
        let _ = story.bundler("pack --sequence 6 --environment trial --out dave.sealift --key keys/dave").expect(0);
        refused(&story, "dave.sealift", "is by no key that may sign a release");
        assert_eq!(story.applied("orders-1.sealift"), ["1", "2", "3"]);
    }
}

#[test]
fn a_stolen_review_key_is_revoked() {
    let story = ready(sqlite());
    // An honest change waits, reviewed by Bob and Dave, when Dave's key turns out to be stolen.
    fs::remove_file(story.path("migrations/4_evil.up.sql")).expect("removed");
    fs::remove_file(story.path("migrations/4_evil.down.sql")).expect("removed");
    story.migration("5_honest", "CREATE TABLE honest (id INTEGER);", "DROP TABLE honest;");
    for who in ["bob", "dave"] {
        review(&story, "5", who);
    }
    let waiting = story.pack(2);
    let _ = story.verify(&format!("{waiting} --applied {}", applied(&story))).expect(0);
    let _ = story.keys("generate --no-passphrase --holder dave@example.com --out keys/dave2").expect(0);
    let next = story.trust_toml(RULES).replace(&public(&story, "dave"), &public(&story, "dave2"));
    story.write("next.toml", &format!("{next}\n[revoked]\nkeys = [\"{}\"]\n", key_id(&story, "dave")));
    let draft = format!("trust draft next.toml --previous trust --root-sha256 {} --out trust", story.root);
    let _ = story.keys(&draft).expect(0);
    for who in ["alice", "bob"] {
        let _ = story.keys(&format!("trust sign trust/2.root.json --key keys/{who}")).expect(0);
    }
    // Its reviews stop counting at once, those from before the theft included; nobody believes a date.
    let lacking = "needs 2 people to sign the review, 1 counted";
    let outcome = story.runner("apply", &waiting).expect(1);
    assert!(outcome.stderr.contains(lacking), "{}", outcome.text());
    let status = story.bundler(&format!("status --trust trust --root-sha256 {}", story.root)).expect(0);
    let waits = status.stdout.split("5 · honest").nth(1).expect("the migration");
    assert!(waits.contains("reviewed by bob@example.com\n") && waits.contains("trial lacks"), "{}", status.text());
    // To be rotated: Dave's key; what is pending is reviewed again. What is applied stays, and needs nothing.
    review(&story, "5", "dave2");
    let fresh = story.pack(3);
    let _ = story.runner("apply", &fresh).expect(0);
    assert_eq!(story.applied(&fresh), ["1", "2", "3", "5"]);
}

fn applied(story: &Story) -> String {
    let line = format!("history --json --database main {}", story.access());
    let history =
        sealift_tests::command::Command::new("sealift-runner").folder(story.home()).line(&line).run().expect(0);
    story.write("applied.jsonl", &history.stdout);
    "applied.jsonl".to_owned()
}
