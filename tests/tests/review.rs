//! Reviews: of one migration and of many as a list, who has reviewed what, and what an edit does to them.

use std::fs;
use std::process::Command as Tool;

use sealift_tests::server::{one_of_each, sqlite};
use sealift_tests::story::Story;

fn lists(story: &Story) -> Vec<String> {
    let entries = fs::read_dir(story.path("reviews/lists")).expect("a folder");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn baseline(story: &Story, who: &str, arguments: &str) -> String {
    let line = format!("review --baseline --key keys/{who} --answers answers.toml {arguments}");
    story.bundler(&line).expect(0).text()
}

fn status(story: &Story) -> String {
    let root = &story.root;
    story.bundler(&format!("status --trust trust --root-sha256 {root}")).expect(0).stdout
}

#[test]
fn a_list_is_reviewed_once_and_runs_everywhere() {
    for database in one_of_each() {
        let story = Story::new(database);
        story.three_migrations();
        let shown = baseline(&story, "alice", "");
        assert!(shown.contains("1 · customer (") && shown.contains("3 · data ("), "{shown}");
        assert!(!shown.contains("CREATE TABLE"), "{shown}");
        let full = baseline(&story, "bob", "--full");
        assert!(full.contains("CREATE TABLE customer"), "{full}");
        // One list, two reviews; the list is named by its digest, and every line is a unit.
        let names = lists(&story);
        assert_eq!(names.len(), 3, "{names:?}");
        let list = names.iter().find(|name| name.ends_with(".list")).expect("a list");
        let sum = Tool::new("sha256sum").arg(story.path("reviews/lists").join(list)).output().expect("sha256sum");
        assert_eq!(String::from_utf8_lossy(&sum.stdout)[..64], list[..64]);
        assert_eq!(fs::read_to_string(story.path("reviews/lists").join(list)).expect("text").lines().count(), 3);
        // Who has reviewed everything has nothing left to sign.
        let again = baseline(&story, "alice", "");
        assert!(again.contains("3 migrations are reviewed by this key already"), "{again}");
        let again = story.bundler("review --key keys/bob --answers answers.toml").expect(0);
        assert!(again.stderr.contains("nothing is left to review"), "{}", again.text());
        let status = status(&story);
        assert_eq!(status.matches("reviewed by alice@example.com (list ").count(), 3, "{status}");
        assert!(!status.contains("lacks"), "{status}");

        let bundle = story.pack(1);
        let _ = story.verify(&bundle).expect(0);
        let _ = story.runner("apply", &bundle).expect(0);
        assert_eq!(story.applied(&bundle), ["1", "2", "3"]);
    }
}

#[test]
fn an_edited_migration_drops_out_of_the_list_and_the_others_stay() {
    let story = Story::new(sqlite());
    story.three_migrations();
    for who in ["alice", "bob"] {
        let _ = baseline(&story, who, "");
    }
    let _ = story.verify(&story.pack(1)).expect(0);
    story.migration("3_data", "INSERT INTO customer (id, email) VALUES (1, 'c@example.com');", "DELETE FROM customer;");
    let edited = story.pack(2);
    let refused = story.verify(&edited).expect(1);
    assert!(refused.stderr.contains("migration `3`"), "{}", refused.text());
    // The others are covered still; the list of the second round holds one migration.
    let shown = baseline(&story, "alice", "");
    assert!(shown.contains("2 migrations are reviewed by this key already"), "{shown}");
    assert!(shown.contains("3 · data (") && !shown.contains("1 · customer ("), "{shown}");
    let _ = story.bundler("review 3 --key keys/bob --answers answers.toml").expect(0);
    let _ = story.verify(&story.pack(3)).expect(0);
}

#[test]
fn status_says_who_reviewed_which_unit_and_what_is_stale() {
    let story = Story::new(sqlite());
    story.three_migrations();
    let _ = story.bundler("review 1 2 --key keys/alice --answers answers.toml").expect(0);
    // A key that may not review, and one that nobody knows.
    for who in ["carol", "mallory"] {
        let _ = story.bundler(&format!("review 1 --key keys/{who} --answers answers.toml")).expect(0);
    }
    story.migration("2_index", "CREATE UNIQUE INDEX customer_email ON customer (email);", "DROP INDEX customer_email;");
    let status = status(&story);
    let of = |id: &str| -> String {
        let from_it_on = status.lines().skip_while(|line| !line.starts_with(&format!("{id} · ")));
        let own = from_it_on.enumerate().take_while(|(at, line)| *at == 0 || line.starts_with(' '));
        own.map(|(_, line)| format!("{line}\n")).collect()
    };
    assert!(of("1").contains("reviewed by alice@example.com\n"), "{status}");
    assert!(of("1").contains("trial lacks: role `review` needs 2 people"), "{status}");
    assert!(of("2").contains("reviewed by nobody"), "{status}");
    assert!(of("2").contains("stale, alice@example.com reviewed unit "), "{status}");
    assert!(!of("3").contains("stale"), "{status}");
    let unverified = story.bundler("status").expect(0);
    assert!(unverified.stdout.contains("reviews, not verified: SHA256:"), "{}", unverified.text());
}

#[test]
fn a_list_that_was_changed_or_taken_away_is_named() {
    let story = Story::new(sqlite());
    story.three_migrations();
    let _ = baseline(&story, "alice", "");
    let list = lists(&story).into_iter().find(|name| name.ends_with(".list")).expect("a list");
    let path = story.path("reviews/lists").join(&list);
    let text = fs::read_to_string(&path).expect("a list");
    let fewer: Vec<&str> = text.lines().skip(1).collect();
    fs::write(&path, fewer.join("\n") + "\n").expect("written");
    let refused = story.bundler("pack --sequence 1 --environment trial --out a.sealift").expect(1);
    assert!(refused.stderr.contains("not the list of unit digests that its name says"), "{}", refused.text());
    fs::remove_file(&path).expect("removed");
    let refused = story.bundler("status").expect(1);
    assert!(refused.stderr.contains("which does not lie beside it"), "{}", refused.text());
}

#[test]
fn a_file_that_claims_a_key_is_no_review_by_it() {
    let story = Story::new(sqlite());
    story.three_migrations();
    let _ = story.bundler("review 1 --key keys/mallory --answers answers.toml").expect(0);
    // Mallory's signature under the name of Alice's key, to make Alice skip it.
    let (mallory, alice) = (key_id(&story, "mallory"), key_id(&story, "alice"));
    let folder = story.path("reviews/1");
    let file = fs::read_dir(&folder).expect("a folder").next().expect("a review").expect("an entry").path();
    let text = fs::read_to_string(&file).expect("a review");
    assert!(text.contains(&mallory), "{text}");
    fs::write(&file, text.replace(&mallory, &alice)).expect("written");
    let signed = story.bundler("review 1 --key keys/alice --answers answers.toml").expect(0);
    assert!(signed.stderr.contains("1 review signed"), "{}", signed.text());
}

fn key_id(story: &Story, who: &str) -> String {
    let output = Tool::new("ssh-keygen").arg("-lf").arg(story.path(&format!("keys/{who}.pub"))).output();
    let text = String::from_utf8(output.expect("ssh-keygen").stdout).expect("text");
    text.split_whitespace().nth(1).expect("a fingerprint").to_owned()
}

#[test]
fn what_is_applied_needs_no_reviews_and_what_would_run_does() {
    for database in one_of_each() {
        let story = Story::new(database);
        story.three_migrations();
        let first = story.release(1);
        let _ = story.runner("apply", &first).expect(0);
        let access =
            if story.access().starts_with("--url") { String::new() } else { ROOT.replace("ROOT", &story.root) };
        let line = format!("history --json --database main {} {access}", story.access());
        let history = sealift_tests::command::Command::new("sealift-runner").folder(story.home()).line(&line).run();
        story.write("applied.jsonl", &history.expect(0).stdout);
        // The reviews of what has been applied are gone; a fourth migration is reviewed.
        fs::remove_dir_all(story.path("reviews")).expect("removed");
        story.migration("4_more", "CREATE TABLE more (id INTEGER);", "DROP TABLE more;");
        for who in ["alice", "bob"] {
            let _ = story.bundler(&format!("review 4 --key keys/{who} --answers answers.toml")).expect(0);
        }
        let second = story.pack(2);
        let refused = story.verify(&second).expect(1);
        assert!(refused.stderr.contains("migration `1`"), "{}", refused.text());
        let accepted = story.verify(&format!("{second} --applied applied.jsonl")).expect(0);
        assert!(
            accepted.stdout.contains("4 migrations, 1 reviewed for this environment, 3 applied"),
            "{}",
            accepted.text()
        );
        let _ = story.runner("apply", &second).expect(0);
        assert_eq!(story.applied(&second), ["1", "2", "3", "4"]);
        // A revert runs something: the reviewed one goes, the other stays.
        let _ = story.runner("revert --steps 1", &second).expect(0);
        let refused = story.runner("revert --steps 1", &second).expect(1);
        assert!(refused.stderr.contains("migration `3`"), "{}", refused.text());
        assert_eq!(story.applied(&second), ["1", "2", "3"]);
        // Pending ones do: without its reviews the fourth does not come back.
        fs::remove_dir_all(story.path("reviews")).expect("removed");
        let third = story.pack(3);
        let refused = story.runner("apply", &third).expect(1);
        assert!(refused.stderr.contains("migration `4`"), "{}", refused.text());
    }
}

const ROOT: &str = "--trust trust --root-sha256 ROOT --project orders --environment trial";
