//! What a person is told who did something wrong, or nothing at all: the words must fit where they stand.

use std::fs;

use sealift_tests::command::{Command, Outcome};
use sealift_tests::server::{mariadb, sqlite};
use sealift_tests::story::Story;

#[track_caller]
fn says(outcome: &Outcome, words: &[&str]) {
    for words in words {
        assert!(outcome.stderr.contains(words), "no `{words}` in\n{}", outcome.text());
    }
}

#[track_caller]
fn does_not_say(outcome: &Outcome, words: &[&str]) {
    for words in words {
        assert!(!outcome.stderr.contains(words), "`{words}` in\n{}", outcome.text());
    }
}

#[test]
fn credentials_that_are_refused_are_not_spoken_of_as_a_bundle() {
    let story = Story::new(mariadb().fresh_database());
    story.three_migrations();
    let bundle = story.release(1);
    let swap = |environment: &str, who: &str| {
        let input = fs::read_to_string(story.path("secrets.toml")).expect("the input");
        story.write("other.toml", &input.replace("\"trial\"", &format!("\"{environment}\"")));
        fs::remove_file(story.path("credentials.sealed")).expect("removed");
        let _ = story.seal("other.toml", who, "credentials.sealed").expect(0);
        story.runner("apply", &bundle).expect(1)
    };
    let outcome = swap("trial", "mallory");
    says(&outcome, &["that may sign credentials under", "hint: credentials count when", "`sealift-keys trust show`"]);
    does_not_say(&outcome, &["inspect", "a credentials"]);
    let outcome = swap("production", "alice");
    says(&outcome, &["it is for environment `production`", "hint: give the credentials that were sealed for this"]);
    does_not_say(&outcome, &["pack it"]);
}

#[test]
fn a_policy_that_is_missing_and_a_release_whose_time_has_not_come() {
    let story = Story::new(sqlite());
    story.three_migrations();
    let bundle = story.release(1);
    let line =
        "pack --sequence 1 --environment trial --out early.sealift --key keys/carol --not-before 2999-01-01T00:00:00Z";
    let _ = story.bundler(line).expect(0);
    says(&story.runner("apply", "early.sealift").expect(1), &["is not valid before", "hint: wait until then"]);
    fs::remove_file(story.path("trust/1.policy.json")).expect("removed");
    says(&story.runner("apply", &bundle), &["1.policy.json", "hint: "]);
}

#[test]
fn a_database_of_another_engine_is_not_spoken_of_as_mysql() {
    let story = Story::new(sqlite());
    story.three_migrations();
    story.write("sealift.toml", "project = \"orders\"\nengine = \"postgresql\"\n");
    let bundle = story.release(1);
    let outcome = story.runner("apply", &bundle).expect(1);
    says(&outcome, &["the server is sqlite", "hint: give the database that the migrations were written for"]);
    does_not_say(&outcome, &["MySQL", "MariaDB"]);
}

#[test]
fn urls_that_are_refused() {
    let story = Story::new(sqlite());
    for url in ["mysql://root@localhost/db?socket=/run/s", "oracle://x", "mysql://localhost/db"] {
        let dev = story.bundler(&format!("dev up --url {url}")).expect(2);
        let host = format!(
            "plan --bundle x.sealift --trust trust --root-sha256 {} --project orders --environment trial --url {url}",
            story.root
        );
        let host = Command::new("sealift-runner").folder(story.home()).line(&host).run().expect(2);
        for outcome in [dev, host] {
            says(&outcome, &["hint: for example ", "mysql://me@/app?socket=/run/mysqld/mysqld.sock"]);
            assert_eq!(url.contains('?'), outcome.stderr.contains("a socket takes no host"), "{}", outcome.text());
        }
    }
}

#[test]
fn migrations_that_are_not_what_they_seem() {
    let story = Story::new(sqlite());
    let empty = story.bundler("pack --sequence 1 --environment trial --out bundle.tar").expect(0);
    says(&empty, &["warning: there is no migration in", "`bundle.tar` does not end in `.sealift`"]);
    assert!(empty.stdout.contains("packed 0 migrations"), "{}", empty.text());
    let none = story.bundler("review --key keys/alice").expect(0);
    says(&none, &["there is no migration to review"]);

    story.write("migrations/1_a.up.sql", "-- only words\n");
    story.write("migrations/1_a.down.sql", "SELECT 1;\n-- sealift: no-transaction\n");
    for line in
        ["status", "show 1", "pack --sequence 1 --environment trial --out one.sealift", "dev up --url sqlite:dev.db"]
    {
        let outcome = story.bundler(line).expect(0);
        let text = outcome.text();
        for words in
            ["1_a.up.sql:1: does nothing: there is no statement in it", "1_a.down.sql:2: this directive is not among"]
        {
            assert!(text.contains(words), "`{line}`: no `{words}` in\n{text}");
        }
        assert!(!text.contains("1 migrations"), "{text}");
    }
    // With something to ask and nobody to ask, a review fails; with nothing to ask it has nothing to do.
    let _ = story.bundler("review --key keys/alice").expect(2);
    let _ = story.bundler("review --key keys/alice --answers answers.toml").expect(0);
    says(&story.bundler("review --key keys/alice").expect(0), &["nothing is left to review"]);
}

#[test]
fn commands_that_are_no_sql_are_shown_as_written() {
    let story = Story::new(sqlite());
    story.write("sealift.toml", "project = \"orders\"\nengine = \"postgresql\"\n");
    story.write("migrations/1_a.up.sql", "\\set x 1\n");
    says(&story.bundler("status").expect(1), &["`\\set x 1` is a client command"]);
    story.write("sealift.toml", "project = \"orders\"\nengine = \"mariadb\"\n");
    story.write("migrations/1_a.up.sql", "SELECT 1;\nROLLBACK;\n");
    let outcome = story.bundler("status").expect(1);
    says(&outcome, &["`ROLLBACK` cannot hold", "hint: remove the command"]);
    does_not_say(&outcome, &["no-transaction"]);
}

#[test]
fn init_names_a_database_of_its_engine() {
    for (engine, scheme) in
        [("sqlite", "sqlite:"), ("postgresql", "postgresql://"), ("mariadb", "mysql://"), ("mysql", "mysql://")]
    {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let line = format!("init --project shop --engine {engine}");
        let outcome = Command::new("sealift-bundler").folder(folder.path()).line(&line).run().expect(0);
        says(&outcome, &[&format!("dev up --url {scheme}")]);
    }
}
