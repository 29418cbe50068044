//! Sequences and targets: the sanctioned way back, hotfixes out of order, older releases, older roots.

use std::fs;

use sealift_tests::server::{one_of_each, sqlite};
use sealift_tests::story::{RULES, Story};

fn pack(story: &Story, sequence: u64, more: &str, out: &str) {
    let line = format!("pack --sequence {sequence} --environment trial --out {out} --key keys/carol {more}");
    let _ = story.bundler(&line).expect(0);
}

#[test]
fn a_newer_release_with_an_earlier_target_reverts_by_signed_downs() {
    for database in one_of_each() {
        let story = Story::new(database);
        story.three_migrations();
        let first = story.release(1);
        let _ = story.runner("apply --to 1", &first).expect(0);
        let one = story.database.schema();
        let _ = story.runner("apply", &first).expect(0);
        let full = story.database.schema();

        // The same sequence takes nothing back.
        pack(&story, 1, "--target 1", "same.sealift");
        let refused = story.runner("apply", "same.sealift").expect(1);
        assert!(refused.stderr.contains("without migration `3`, which release 1 applied"), "{}", refused.text());

        pack(&story, 2, "--target 1", "back.sealift");
        let plan = story.runner("plan", "back.sealift").expect(0);
        assert!(plan.stdout.contains("revert 2 and apply 0 migrations"), "{}", plan.text());
        let at = |words: &str| plan.stdout.find(words).unwrap_or_else(|| panic!("no `{words}` in {}", plan.text()));
        assert!(at("1. 3 data  down") < at("2. 2 index  down"), "{}", plan.text());
        assert_eq!(story.database.schema(), full);
        let status = story.runner("status", "back.sealift").expect(0);
        assert!(status.stdout.contains("pending      0\n"), "{}", status.text());
        assert!(status.stdout.contains("withdrawn    2\n  3  data\n  2  index\n"), "{}", status.text());
        // In steps, too.
        let step = story.runner("apply --steps 1", "back.sealift").expect(0);
        assert!(step.stdout.contains("reverted 1 and applied 0"), "{}", step.text());
        assert_eq!(story.applied("back.sealift"), ["1", "2"]);
        let _ = story.runner("apply", "back.sealift").expect(0);
        assert_eq!((story.applied("back.sealift"), story.database.schema()), (vec!["1".to_owned()], one));
        let again = story.runner("apply", "back.sealift").expect(0);
        assert!(again.stdout.contains("nothing to do"), "{}", again.text());
        // Forwards again by a newer release, not by the older one.
        let older = story.runner("apply", &first).expect(1);
        assert!(older.stderr.contains("2 migrations are held"), "{}", older.text());
        assert_eq!(story.applied("back.sealift"), ["1"]);
        let third = story.pack(3);
        let _ = story.runner("apply", &third).expect(0);
        assert_eq!((story.applied(&third).len(), story.database.schema()), (3, full));
    }
}

#[test]
fn the_way_back_needs_down_scripts_and_reviews_of_them() {
    let story = Story::new(sqlite());
    story.three_migrations();
    let first = story.release(1);
    let _ = story.runner("apply", &first).expect(0);
    let full = story.database.schema();
    // A down script that nobody has reviewed, beside an up script that was applied.
    story.write("migrations/3_data.down.sql", "DROP TABLE customer;\n");
    pack(&story, 2, "--target 1", "unreviewed.sealift");
    for verb in ["plan", "apply"] {
        let refused = story.runner(verb, "unreviewed.sealift").expect(1);
        assert!(refused.stderr.contains("migration `3`") && refused.stderr.contains("review"), "{}", refused.text());
    }
    fs::remove_file(story.path("migrations/3_data.down.sql")).expect("removed");
    story.review();
    pack(&story, 3, "--target 1", "none.sealift");
    let refused = story.runner("apply", "none.sealift").expect(1);
    assert!(refused.stderr.contains("cannot be reverted: it has no down script"), "{}", refused.text());
    // A bundle that does not know what is applied cannot take it back.
    fs::remove_file(story.path("migrations/3_data.up.sql")).expect("removed");
    pack(&story, 4, "--target 1", "unknown.sealift");
    let refused = story.runner("apply", "unknown.sealift").expect(1);
    assert!(refused.stderr.contains("is not in the bundle"), "{}", refused.text());
    assert_eq!((story.applied(&first).len(), story.database.schema()), (3, full));
}

#[test]
fn a_hotfix_runs_late_if_its_release_says_so() {
    for database in one_of_each() {
        let story = Story::new(database);
        story.migration("10_a", "CREATE TABLE a (id INTEGER);", "DROP TABLE a;");
        story.migration("30_c", "CREATE TABLE c (id INTEGER);", "DROP TABLE c;");
        let first = story.release(1);
        let _ = story.runner("apply", &first).expect(0);
        story.migration("20_b", "CREATE TABLE b (id INTEGER);", "DROP TABLE b;");
        story.review();
        pack(&story, 2, "", "late.sealift");
        let refused = story.runner("apply", "late.sealift").expect(1);
        assert!(refused.stderr.contains("migration `20` is pending, but `30`"), "{}", refused.text());
        pack(&story, 2, "--out-of-order 20", "hotfix.sealift");
        let _ = story.runner("apply", "hotfix.sealift").expect(0);
        assert_eq!(story.applied("hotfix.sealift"), ["10", "30", "20"]);
        // Once it is there, no leave is needed any more.
        pack(&story, 3, "", "next.sealift");
        let _ = story.runner("apply", "next.sealift").expect(0);
        // The last applied is the first to go.
        let _ = story.runner("revert --steps 1", "next.sealift").expect(0);
        assert_eq!(story.applied("next.sealift"), ["10", "30"]);
    }
}

#[test]
fn an_older_release_does_nothing_and_says_so() {
    for database in one_of_each() {
        let story = Story::new(database);
        story.three_migrations();
        story.review();
        pack(&story, 4, "--target 2", "four.sealift");
        pack(&story, 5, "", "five.sealift");
        let _ = story.runner("apply --to 2", "five.sealift").expect(0);
        // What the older one wants is there; the floor is the database's, whatever host asks.
        let older = story.runner("apply", "four.sealift").expect(0);
        assert!(older.stdout.contains("the database is ahead of this release"), "{}", older.text());
        let _ = story.runner("apply", "five.sealift").expect(0);
        let _ = story.runner("apply", "four.sealift").expect(0);
        assert_eq!(story.applied("five.sealift"), ["1", "2", "3"]);
        let refused = story.runner("revert --steps 1", "four.sealift").expect(1);
        assert!(refused.stderr.contains("release 4 is older than release 5"), "{}", refused.text());
    }
}

#[test]
fn an_older_root_writes_nothing_although_there_is_nothing_to_run() {
    let story = Story::new(sqlite());
    story.three_migrations();
    let first = story.release(1);
    story.write("next.toml", &(story.trust_toml(RULES) + "\n[root]\nexpires-in-days = 200\n"));
    let draft = format!("trust draft next.toml --previous trust --root-sha256 {} --out newer", story.root);
    let _ = story.keys(&draft).expect(0);
    for who in ["alice", "bob"] {
        let _ = story.keys(&format!("trust sign newer/2.root.json --key keys/{who}")).expect(0);
    }
    let host = |trust: &str, bundle: &str| {
        let (root, access) = (&story.root, story.access());
        let line = format!(
            "apply --bundle {bundle} --trust {trust} --root-sha256 {root} --project orders --environment trial \
             --database main {access} --audit audit.jsonl"
        );
        sealift_tests::command::Command::new("sealift-runner").folder(story.home()).line(&line).run()
    };
    for file in ["1.root.json", "1.policy.json"] {
        if !story.path("newer").join(file).exists() {
            fs::copy(story.path("trust").join(file), story.path("newer").join(file)).expect("copied");
        }
    }
    let _ = host("newer", &first).expect(0);
    let events = || story.database.query("SELECT count(*) FROM sealift_history;");
    let before = events();
    let second = story.pack(2);
    let refused = host("trust", &second).expect(1);
    assert!(refused.stderr.contains("is version 1, but this database has seen version 2"), "{}", refused.text());
    assert_eq!(events(), before);
    // What was noted already needs no floor, because nothing is written.
    let _ = host("trust", &first).expect(0);
    assert_eq!(events(), before);
    let _ = host("newer", &second).expect(0);
    assert_ne!(events(), before);
}
