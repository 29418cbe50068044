//! The whole story on each engine: review, pack, sign, verify, apply, nothing to do, revert, held, a newer release applies.

use sealift_tests::server::{Database, Engine, mariadb, postgresql, sqlite};
use sealift_tests::story::Story;

fn play(database: Database) {
    let story = Story::new(database);
    story.three_migrations();
    let empty = story.database.schema();
    let bundle = story.release(1);
    let verified = story.verify(&bundle).expect(0);
    assert!(verified.stdout.contains("3 migrations, 3 reviewed"), "{}", verified.text());

    // Looking changes nothing, not even a table.
    let plan = story.runner("plan", &bundle).expect(0);
    assert!(plan.stdout.contains("CREATE INDEX customer_email"), "{}", plan.text());
    let _ = story.runner("status", &bundle).expect(0);
    let _ = story.runner("apply --dry-run", &bundle).expect(0);
    if story.database.engine != Engine::Sqlite {
        assert_eq!(story.database.schema(), empty);
    }

    // One step, then to the second, then the rest.
    let _ = story.runner("apply --steps 1", &bundle).expect(0);
    assert_eq!(story.applied(&bundle), ["1"]);
    let _ = story.runner("apply --to 2", &bundle).expect(0);
    assert_eq!(story.applied(&bundle), ["1", "2"]);
    let _ = story.runner("apply", &bundle).expect(0);
    assert_eq!(story.applied(&bundle), ["1", "2", "3"]);
    assert_eq!(story.database.query("SELECT email FROM customer WHERE id = 2;").trim(), "b;@example.com");
    let full = story.database.schema();
    assert_ne!(full, empty);

    // Nothing to do is fine, and says so.
    let again = story.runner("apply", &bundle).expect(0);
    assert!(format!("{}{}", again.stdout, again.stderr).contains("nothing"), "{}", again.text());
    assert_eq!(story.database.schema(), full);

    // Back one, and the same release does not silently bring it again.
    let _ = story.runner("revert --steps 1", &bundle).expect(0);
    assert_eq!(story.applied(&bundle), ["1", "2"]);
    let held = story.runner("apply", &bundle).expect(1);
    assert_eq!(story.applied(&bundle), ["1", "2"], "{}", held.text());
    assert!(format!("{}{}", held.stdout, held.stderr).contains("held"), "{}", held.text());

    // A newer release does.
    let newer = story.pack(2);
    let _ = story.runner("apply", &newer).expect(0);
    assert_eq!(story.applied(&newer), ["1", "2", "3"]);
    assert_eq!(story.database.schema(), full);

    // An older release with nothing to do is no error; all the way back and forth again.
    let _ = story.runner("apply", &bundle).expect(0);
    let _ = story.runner("revert --steps 3", &newer).expect(0);
    assert_eq!(story.applied(&newer), Vec::<String>::new());
    let newest = story.pack(3);
    let _ = story.runner("apply", &newest).expect(0);
    assert_eq!(story.database.schema(), full);

    // What the history says is what the verifier believes.
    let mut history = story.runner_command("history --json", &newest);
    if story.database.engine == Engine::Sqlite {
        history = sealift_tests::command::Command::new("sealift-runner").folder(story.home());
        history = history.line(&format!("history --json --database main --url {}", story.database.url));
    }
    let history = history.run().expect(0);
    story.write("applied.jsonl", &history.stdout);
    let verified = story.verify(&format!("{newest} --applied applied.jsonl")).expect(0);
    assert!(verified.stdout.contains("3 applied"), "{}", verified.text());

    // The audit log tells of every run, an intent and an outcome each, in one chain.
    let log = std::fs::read(story.path("audit.jsonl")).expect("an audit log");
    let (records, _) = sealift_spec::audit::read(&log).expect("an unbroken audit log");
    assert!(records.len() >= 14 && records.len().is_multiple_of(2), "{} records", records.len());
}

#[test]
fn the_whole_story_on_postgresql() {
    play(postgresql().fresh_database());
}

#[test]
fn the_whole_story_on_mariadb() {
    play(mariadb().fresh_database());
}

#[test]
fn the_whole_story_on_sqlite() {
    play(sqlite());
}

#[test]
fn local_development_needs_no_keys() {
    for database in sealift_tests::server::one_of_each() {
        let url = database.socket_url.clone().unwrap_or_else(|| database.url.clone());
        let story = Story::new(database);
        story.three_migrations();
        let dev = |verb: &str| story.bundler(&format!("dev {verb} --url {url}"));
        let up = dev("up").expect(0);
        assert_eq!(up.stdout, "applied 3\n", "{}", up.text());
        let full = story.database.schema();
        let _ = dev("down").expect(0);
        assert_ne!(story.database.schema(), full);
        let _ = dev("up").expect(0);
        // Edit the newest migration and run it again.
        story.migration(
            "3_data",
            "ALTER TABLE customer ADD COLUMN country VARCHAR(2);\nALTER TABLE customer ADD COLUMN city VARCHAR(50);",
            "ALTER TABLE customer DROP COLUMN country;\nALTER TABLE customer DROP COLUMN city;",
        );
        let status = dev("status").expect(0);
        assert!(status.stdout.contains("edited since"), "{}", status.text());
        // The old change is reverted by the new down script, which must fit what is there: first as it was.
        story.migration(
            "3_data",
            "ALTER TABLE customer ADD COLUMN country VARCHAR(2);\nALTER TABLE customer ADD COLUMN city VARCHAR(50);",
            "ALTER TABLE customer DROP COLUMN country;",
        );
        let _ = dev("redo").expect(0);
        assert!(story.database.schema().contains("city"));
        // A production runner keeps away from it.
        let bundle = story.release(1);
        let refused = story.runner("apply", &bundle).expect(1);
        assert!(refused.stderr.contains("dev"), "{}", refused.text());
    }
}

#[test]
fn every_mistake_at_the_desk_has_a_way_out() {
    for database in sealift_tests::server::one_of_each() {
        let url = database.socket_url.clone().unwrap_or_else(|| database.url.clone());
        let story = Story::new(database);
        let dev = |verb: &str| story.bundler(&format!("dev {verb} --url {url}"));
        story.migration("1_customer", "CREATE TABLE customer (id INTEGER PRIMARY KEY);", "DROP TABLE customer;");
        // The second statement is mistyped; on MariaDB the first one has run by then.
        story.migration(
            "2_orders",
            "CREATE TABLE orders (id INTEGER);\nCREATE TABEL items (id INTEGER);",
            "DROP TABLE orders;",
        );
        if story.database.engine != Engine::Mariadb {
            // The grammar knows better than to send it.
            assert_eq!(dev("up").status, 1);
            story.migration(
                "2_orders",
                "CREATE TABLE orders (id INTEGER);\nCREATE INDEX i ON missing (id);",
                "DROP TABLE orders;",
            );
        }
        let failed = dev("up");
        assert_eq!(failed.status, if story.database.engine == Engine::Mariadb { 3 } else { 1 }, "{}", failed.text());
        assert!(failed.stderr.contains("`dev reset`"), "{}", failed.text());
        story.migration(
            "2_orders",
            "CREATE TABLE orders (id INTEGER);\nCREATE TABLE items (id INTEGER);",
            "DROP TABLE items;\nDROP TABLE orders;",
        );
        let _ = dev("reset").expect(0);
        let schema = story.database.schema();
        assert!(schema.contains("items") && schema.contains("orders"), "{schema}");
        // A down script that never fits its up script.
        story.migration("2_orders", "CREATE TABLE orders (id INTEGER);", "DROP TABLE nowhere;");
        assert_ne!(dev("redo").status, 0);
        let _ = dev("reset").expect(0);
        assert!(!story.database.schema().contains("items"));
        let _ = dev("status").expect(0);
    }
}

#[test]
fn development_keeps_away_from_other_databases() {
    for database in sealift_tests::server::one_of_each() {
        let url = database.socket_url.clone().unwrap_or_else(|| database.url.clone());
        let story = Story::new(database);
        story.three_migrations();
        let bundle = story.release(1);
        let _ = story.runner("apply", &bundle).expect(0);
        let refused = story.bundler(&format!("dev up --url {url}")).expect(1);
        assert!(refused.stderr.contains("trial"), "{}", refused.text());
        let refused = story.bundler(&format!("dev reset --url {url}")).expect(1);
        assert!(refused.stderr.contains("trial"), "{}", refused.text());
        assert!(story.database.schema().contains("customer"));
    }
    let story = Story::new(sqlite());
    story.three_migrations();
    story.database.execute("CREATE TABLE somebody_elses (a);");
    let _ = story.bundler(&format!("dev reset --url {}", story.database.url)).expect(1);
    assert!(story.database.schema().contains("somebody_elses"));
    let _ = story.bundler(&format!("dev up --url {}", story.database.url)).expect(1);
    let refused = story.bundler("dev up --url postgresql://me@db.example.com/x").expect(1);
    assert!(refused.stderr.contains("another machine"), "{}", refused.text());
}
