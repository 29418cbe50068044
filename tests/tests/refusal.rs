//! What must be refused: with the right exit status, words that say why and what to do, and nothing left behind.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use sealift_tests::command::{Command, Outcome};
use sealift_tests::server::{Database, mariadb, postgresql, sqlite};
use sealift_tests::story::{RULES, Story};

fn ready(database: Database) -> (Story, String) {
    let story = Story::new(database);
    story.three_migrations();
    let bundle = story.release(1);
    (story, bundle)
}

/// The refusal says `words`, and the database is untouched.
#[track_caller]
fn refused(story: &Story, outcome: Outcome, words: &str) {
    let outcome = outcome.expect(1);
    assert!(outcome.stderr.contains(words), "no `{words}` in\n{}", outcome.text());
    assert!(outcome.stderr.contains("error: "), "{}", outcome.text());
    assert!(!story.database.schema().contains("customer"), "the database was touched\n{}", outcome.text());
}

fn files(story: &Story, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(story.path(folder)).expect("a folder");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_changed_bundle() {
    let (story, bundle) = ready(sqlite());
    let bytes = fs::read(story.path(&bundle)).expect("a bundle");
    for at in (0..bytes.len()).step_by(bytes.len() / 23) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        fs::write(story.path("changed.sealift"), changed).expect("a file");
        refused(&story, story.verify("changed.sealift"), "changed.sealift rejected");
        refused(&story, story.runner("apply", "changed.sealift"), "rejected");
    }
    assert!(!story.path("audit.jsonl").exists());
}

#[test]
fn a_bundle_that_too_few_or_the_wrong_people_signed() {
    let (story, _) = ready(sqlite());
    let pack = |who: Option<&str>, out: &str| {
        let key = who.map_or_else(String::new, |who| format!("--key keys/{who}"));
        let _ = story.bundler(&format!("pack --sequence 1 --environment trial --out {out} {key}")).expect(0);
    };
    pack(None, "unsigned.sealift");
    refused(&story, story.runner("apply", "unsigned.sealift"), "nobody has signed it");
    // A key that no policy explains, and one that may review but not release.
    for who in ["mallory", "alice"] {
        let out = format!("{who}.sealift");
        pack(Some(who), &out);
        refused(&story, story.runner("apply", &out), "is by no key that may sign a release");
    }
    // Beside a good signature, too.
    pack(Some("carol"), "both.sealift");
    let _ = story.bundler("sign both.sealift --key keys/mallory").expect(0);
    refused(&story, story.runner("apply", "both.sealift"), "is by no key that may sign a release");
    // The same person twice.
    pack(Some("carol"), "twice.sealift");
    let again = story.bundler("sign twice.sealift --key keys/carol").expect(1);
    assert!(again.stderr.contains("twice.sealift"), "{}", again.text());
}

#[test]
fn one_person_with_two_keys_is_one_person() {
    let (mut story, _) = ready(sqlite());
    let _ = story.keys("generate --no-passphrase --holder carol@example.com --out keys/carol2").expect(0);
    let second = fs::read_to_string(story.path("keys/carol2.pub")).expect("a key");
    let second: Vec<&str> = second.split_whitespace().take(2).collect();
    let rules = RULES
        .replace(
            "release = { people = [\"carol@example.com\"] }",
            "release = { people = [\"carol@example.com\", \"dave@example.com\"] }",
        )
        .replace(
            "{ statement = \"release\", role = \"release\", people = 1 }",
            "{ statement = \"release\", role = \"release\", people = 2 }",
        );
    let toml = story.trust_toml(&rules);
    let carol = toml.find("[people.\"carol").expect("carol");
    let keys = carol + toml[carol..].find("\"]\n").expect("the end of her name") + 3;
    let at = keys + toml[keys..].find("\"]\n").expect("her keys") + 1;
    story.write("trust2.toml", &format!("{}, \"{}\"{}", &toml[..at], second.join(" "), &toml[at..]));
    let _ = story.keys("trust draft trust2.toml --out trust2").expect(0);
    for who in ["alice", "bob"] {
        let _ = story.keys(&format!("trust sign trust2/1.root.json --key keys/{who}")).expect(0);
    }
    story.root = story.root_of("trust2");
    fs::rename(story.path("trust"), story.path("trust-old")).expect("moved");
    fs::rename(story.path("trust2"), story.path("trust")).expect("moved");
    let _ = story.bundler("pack --sequence 1 --environment trial --out both.sealift --key keys/carol").expect(0);
    let _ = story.bundler("sign both.sealift --key keys/carol2").expect(0);
    refused(&story, story.runner("apply", "both.sealift"), "needs 2 people to sign the release");
    let _ = story.bundler("sign both.sealift --key keys/dave").expect(0);
    let _ = story.runner("apply", "both.sealift").expect(0);
}

#[test]
fn a_unit_that_was_not_reviewed_or_changed_since() {
    let story = Story::new(sqlite());
    story.three_migrations();
    let _ = story.bundler("review --key keys/alice --answers answers.toml").expect(0);
    let one = story.pack(1);
    refused(&story, story.runner("apply", &one), "needs 2 people to sign the review, 1 counted");
    let _ = story.bundler("review --key keys/bob --answers answers.toml").expect(0);
    // Edited after the reviews.
    story.migration("2_index", "CREATE UNIQUE INDEX customer_email ON customer (email);", "DROP INDEX customer_email;");
    let edited = story.pack(2);
    refused(&story, story.runner("apply", &edited), "migration `2`");
    // Re-timed after the reviews.
    story.migration("2_index", "CREATE INDEX customer_email ON customer (email);", "DROP INDEX customer_email;");
    let _ = story.verify(&story.pack(3)).expect(0);
    story.write("sealift.toml", "project = \"orders\"\nengine = \"sqlite\"\n[timeouts]\nlock-ms = 0\n");
    refused(&story, story.runner("apply", &story.pack(4)), "migration `1`");
}

#[test]
fn the_author_does_not_review() {
    let story = Story::new(sqlite());
    story.write("migrations/1_a.up.sql", "-- sealift: author=alice@example.com\nCREATE TABLE customer (id INTEGER);\n");
    let bundle = story.release(1);
    refused(&story, story.runner("apply", &bundle), "needs 2 people to sign the review, 1 counted");
    let _ = story.bundler("review --key keys/dave --answers answers.toml").expect(0);
    let bundle = story.pack(2);
    let _ = story.runner("apply", &bundle).expect(0);
}

#[test]
fn another_project_environment_time_or_root() {
    let (story, bundle) = ready(sqlite());
    let run = |project: &str, environment: &str, root: &str| {
        let line = format!(
            "apply --bundle {bundle} --trust trust --root-sha256 {root} --project {project} --environment {environment} \
             --database main --url {} --audit audit.jsonl",
            story.database.url
        );
        Command::new("sealift-runner").folder(story.home()).line(&line).run()
    };
    refused(&story, run("invoices", "trial", &story.root), "it is of project `orders`, this host serves `invoices`");
    refused(
        &story,
        run("orders", "production", &story.root),
        "it is for environment `trial`, this host is `production`",
    );
    let other = "0".repeat(64);
    refused(&story, run("orders", "trial", &other), "`1.root.json` is not the pinned root");
    // Expired, and not valid yet.
    let pack = |times: &str, out: &str| {
        let line = format!("pack --sequence 1 --environment trial --out {out} --key keys/carol {times}");
        let _ = story.bundler(&line).expect(0);
    };
    pack("--not-before 2020-01-01T00:00:00Z --not-after 2020-02-01T00:00:00Z", "old.sealift");
    refused(&story, story.runner("apply", "old.sealift"), "it expired at 2020-02-01T00:00:00Z");
    pack("--not-before 2999-01-01T00:00:00Z", "early.sealift");
    refused(&story, story.runner("apply", "early.sealift"), "it is not valid before 2999-01-01T00:00:00Z");
}

#[test]
fn a_protected_environment_waits_for_permits() {
    let (story, _) = ready(sqlite());
    let _ = story.bundler("pack --sequence 1 --environment production --out p.sealift --key keys/carol").expect(0);
    let line = format!(
        "apply --bundle p.sealift --trust trust --root-sha256 {} --project orders --environment production --database main \
         --url {} --audit audit.jsonl",
        story.root, story.database.url
    );
    refused(&story, Command::new("sealift-runner").folder(story.home()).line(&line).run(), "protected");
}

#[test]
fn an_applied_migration_that_was_edited() {
    let (story, bundle) = ready(sqlite());
    let _ = story.runner("apply", &bundle).expect(0);
    let before = story.database.schema();
    story.migration("2_index", "CREATE UNIQUE INDEX customer_email ON customer (email);", "DROP INDEX customer_email;");
    let edited = story.release(2);
    let outcome = story.runner("apply", &edited).expect(1);
    assert!(outcome.stderr.contains("`2`") && outcome.stderr.contains("hint: "), "{}", outcome.text());
    assert_eq!(story.database.schema(), before);
}

#[test]
fn a_revert_without_a_down_script() {
    let story = Story::new(sqlite());
    story.migration("1_a", "CREATE TABLE a (id INTEGER);", "DROP TABLE a;");
    story.write("migrations/2_b.up.sql", "-- sealift: author=carol@example.com\nCREATE TABLE b (id INTEGER);\n");
    story.migration("3_c", "CREATE TABLE c (id INTEGER);", "DROP TABLE c;");
    let bundle = story.release(1);
    let _ = story.runner("apply", &bundle).expect(0);
    let before = story.database.schema();
    let outcome = story.runner("revert --steps 2", &bundle).expect(1);
    assert!(outcome.stderr.contains("`2`") && outcome.stderr.contains("down"), "{}", outcome.text());
    assert_eq!(
        story.database.schema(),
        before,
        "the third was reverted before the second was found to have no way back"
    );
}

#[test]
fn directories_that_cannot_be_read_as_migrations() {
    for (files, words) in [
        (&[("1_a.up.sql", "SELECT 1;"), ("01_b.up.sql", "SELECT 1;")][..], "version"),
        (&[("notes.sql", "SELECT 1;")], "`notes.sql`|notes.sql` is not named like a migration"),
        (&[("1_a.up.sql", "SELECT 1;\n\\i other.sql\n")], "line 2|:2"),
        (&[("1_a.up.sql", "SELECT 1;\nCREATE TABLE ${prefix}_a (id int);\n")], "line 2|:2"),
        (&[("1_a.down.sql", "SELECT 1;")], "reverts a migration that is not there"),
        (&[("1_a.up.sql", "-- sealift: autor=a\nSELECT 1;")], "autor=a"),
    ] {
        let story = Story::new(sqlite());
        story.write("sealift.toml", "project = \"orders\"\nengine = \"postgresql\"\n");
        for (name, sql) in files {
            story.write(&format!("migrations/{name}"), sql);
        }
        let outcome = story.bundler("pack --sequence 1 --environment trial --out a.sealift").expect(1);
        assert!(words.split('|').any(|words| outcome.stderr.contains(words)), "no `{words}` in\n{}", outcome.text());
        assert!(!story.path("a.sealift").exists());
    }
}

#[test]
fn keys_and_folders_that_others_can_reach() {
    let (story, bundle) = ready(sqlite());
    let chmod =
        |name: &str, mode| fs::set_permissions(story.path(name), fs::Permissions::from_mode(mode)).expect("a mode");
    chmod("keys/carol", 0o640);
    let outcome = story.bundler(&format!("sign {bundle} --key keys/carol")).expect(1);
    assert!(outcome.stderr.contains("chmod 600"), "{}", outcome.text());
    chmod("trust", 0o777);
    refused(&story, story.runner("apply", &bundle), "can be changed by others");
    chmod("trust", 0o755);
    std::os::unix::fs::symlink(story.path("trust"), story.path("linked")).expect("a link");
    let linked = story.runner_command("apply", &bundle).text().replace("--trust trust", "--trust linked");
    let linked = Command::new("sealift-runner").folder(story.home()).line(linked.trim_start_matches("sealift-runner "));
    refused(&story, linked.run(), "`linked` is a link");
    chmod("trust/1.policy.json", 0o666);
    refused(&story, story.runner("apply", &bundle), "can be changed by others");
    chmod("trust/1.policy.json", 0o644);
    story.write("runner.toml", "project = \"orders\"\n");
    chmod("runner.toml", 0o666);
    refused(&story, story.runner("apply --config runner.toml", &bundle), "can be changed by others");
}

#[test]
fn credentials_for_somebody_else_or_by_nobody_trusted() {
    for database in [postgresql().fresh_database(), mariadb().fresh_database()] {
        let (story, bundle) = ready(database);
        let run = |credentials: &str, identity: &str| {
            let root = &story.root;
            let line = format!(
                "apply --bundle {bundle} --trust trust --root-sha256 {root} --project orders --environment trial \
                 --database main --credentials {credentials} --identity {identity} --audit audit.jsonl"
            );
            Command::new("sealift-runner").folder(story.home()).line(&line).run()
        };
        let _ = story.keys("identity --out keys/other").expect(0);
        refused(&story, run("credentials.sealed", "keys/other"), "identity");
        let _ = story.seal("secrets.toml", "mallory", "mallory.sealed").expect(0);
        refused(&story, run("mallory.sealed", "keys/host"), "is by no key that may sign credentials");
        // A server that is down: could not tell, and nothing is said of the password.
        let secrets = fs::read_to_string(story.path("secrets.toml")).expect("secrets");
        let server = story.database.server();
        story.write("down.toml", &secrets.replace(&format!(":{}/", server.port), ":1/"));
        fs::set_permissions(story.path("down.toml"), fs::Permissions::from_mode(0o600)).expect("a mode");
        let _ = story.seal("down.toml", "alice", "down.sealed").expect(0);
        let outcome = run("down.sealed", "keys/host").expect(2);
        assert!(!outcome.text().contains(&server.password), "{}", outcome.text());
        // The right password for a server whose certificate is by an unknown authority, or for another name.
        for (from, to, out) in [
            (
                story.database.ca.as_ref().expect("a CA").display().to_string(),
                server.stranger_ca.display().to_string(),
                "stranger",
            ),
            ("@localhost:".to_owned(), "@127.0.0.2:".to_owned(), "name"),
        ] {
            story.write("tls.toml", &secrets.replace(&from, &to));
            fs::set_permissions(story.path("tls.toml"), fs::Permissions::from_mode(0o600)).expect("a mode");
            let _ = story.seal("tls.toml", "alice", &format!("{out}.sealed")).expect(0);
            let outcome = run(&format!("{out}.sealed"), "keys/host").expect(2);
            assert!(outcome.stderr.contains("ertificate"), "{}", outcome.text());
            assert!(!outcome.text().contains(&server.password), "{}", outcome.text());
        }
        // And all is well with the right ones.
        let _ = run("credentials.sealed", "keys/host").expect(0);
    }
}

#[test]
fn a_password_in_a_url_on_the_command_line() {
    let (story, bundle) = ready(postgresql().fresh_database());
    let line = format!(
        "apply --bundle {bundle} --trust trust --root-sha256 {} --project orders --environment trial --database main \
         --url {} --audit audit.jsonl",
        story.root, story.database.url
    );
    let outcome = Command::new("sealift-runner").folder(story.home()).line(&line).run().expect(2);
    assert!(!outcome.stderr.contains(&story.database.server().password), "{}", outcome.text());
}

#[test]
fn ambient_variables_have_no_effect() {
    let hostile = [
        ("PGHOST", "203.0.113.1"),
        ("PGPORT", "1"),
        ("PGUSER", "nobody"),
        ("PGPASSWORD", "wrong"),
        ("PGDATABASE", "nowhere"),
        ("PGOPTIONS", "-c default_transaction_read_only=on"),
        ("PGSSLMODE", "disable"),
        ("PGSSLROOTCERT", "/nonexistent"),
        ("PGSSLCERT", "/nonexistent"),
        ("PGSSLKEY", "/nonexistent"),
        ("PGAPPNAME", "somebody-else"),
        ("PGPASSFILE", "/nonexistent"),
        ("MYSQL_HOST", "203.0.113.1"),
        ("MYSQL_PWD", "wrong"),
        ("SSLKEYLOGFILE", "keylog"),
    ];
    for database in [postgresql().fresh_database(), mariadb().fresh_database()] {
        let (story, bundle) = ready(database);
        let command = hostile
            .iter()
            .fold(story.runner_command("apply", &bundle), |command, (name, value)| command.variable(name, value));
        let _ = command.run().expect(0);
        assert_eq!(story.applied(&bundle), ["1", "2", "3"]);
        assert!(!story.path("keylog").exists());
    }
}

#[test]
fn nothing_half_written_is_left_behind() {
    let (story, _) = ready(sqlite());
    let before = files(&story, "keys");
    let _ = story.keys("generate --no-passphrase --holder alice@example.com --out keys/alice").expect(1);
    let _ = story.keys("generate --holder alice@example.com --out keys/new").expect(2);
    let _ = story.keys("identity --out keys/host").expect(1);
    assert_eq!(files(&story, "keys"), before);
    let before = files(&story, "trust");
    let _ = story.keys("trust draft trust.toml --out trust").expect(1);
    let _ = story.keys("trust sign trust/1.root.json --key keys/mallory").expect(1);
    assert_eq!(files(&story, "trust"), before);
    let before = files(&story, ".");
    let _ = story.bundler("pack --sequence 1 --environment trial --out orders-1.sealift").expect(1);
    let _ = story.bundler("pack --sequence 1 --environment dev --out dev.sealift").expect(2);
    let _ = story.bundler("pack --sequence 1 --environment trial --out no/such/folder.sealift").expect(2);
    assert_eq!(files(&story, "."), before);
}
