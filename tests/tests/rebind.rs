//! Clones and restores: a database that is not the one this host knows is refused until it is bound anew.

use sealift_tests::command::Outcome;
use sealift_tests::server::{Engine, one_of_each, sqlite};
use sealift_tests::story::Story;
use serde_json::Value;

/// The binding that the history tells of: id and environment.
fn binding(story: &Story, bundle: &str) -> (String, String) {
    let status = story.runner("status --json", bundle).expect(0);
    let line = status.json_lines().into_iter().find(|line| line["type"] == "database").expect("a status");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&line["data"]["id"]), text(&line["data"]["environment"]))
}

fn run(story: &Story, verb: &str, bundle: &str) -> Outcome {
    story.runner(&format!("{verb} --state state.json"), bundle)
}

/// The same database under another id, as a clone that was bound elsewhere has one.
fn swap(story: &Story, bundle: &str) {
    let _ = story.runner("rebind", bundle).expect(0);
}

#[test]
fn another_database_behind_a_known_name_is_refused_until_it_is_bound_anew() {
    for database in one_of_each() {
        let story = Story::new(database);
        story.three_migrations();
        let bundle = story.release(1);
        let _ = run(&story, "apply", &bundle).expect(0);
        let (first, environment) = binding(&story, &bundle);
        assert_eq!((first.len(), environment.as_str()), (32, "trial"));
        assert!(std::fs::read_to_string(story.path("state.json")).expect("a state").contains(&first));
        let _ = run(&story, "apply", &bundle).expect(0);

        swap(&story, &bundle);
        let (other, _) = binding(&story, &bundle);
        assert_ne!(other, first);
        for verb in ["apply", "plan", "status", "revert --steps 1"] {
            let refused = run(&story, verb, &bundle).expect(1);
            let words = format!("this host knows the database as `{first}`, the database that answers is `{other}`");
            assert!(refused.stderr.contains(&words) && refused.stderr.contains("`rebind`"), "{}", refused.text());
        }
        assert_eq!(story.applied(&bundle).len(), 3);

        // Looking first changes nothing.
        let plan = run(&story, "rebind --dry-run", &bundle).expect(0);
        assert!(plan.stdout.contains(&format!("rebind database {other}")), "{}", plan.text());
        assert_eq!(binding(&story, &bundle).0, other);
        let rebound = run(&story, "rebind", &bundle).expect(0);
        let (own, _) = binding(&story, &bundle);
        assert!(own != first && own != other && rebound.stdout.contains(&own), "{}", rebound.text());
        let _ = run(&story, "apply", &bundle).expect(0);
        let history = story.database.query(match story.database.engine {
            Engine::Postgresql => "SELECT body FROM sealift.history ORDER BY seq;",
            _ => "SELECT body FROM sealift_history ORDER BY seq;",
        });
        let rebound =
            format!("\"database\":\"{own}\",\"environment\":\"trial\",\"from\":\"{other}\",\"type\":\"rebound\"");
        assert!(history.contains(&rebound), "{history}");
        let log = std::fs::read_to_string(story.path("audit.jsonl")).expect("an audit log");
        let intent = log.lines().rev().find(|line| line.contains("\"action\":\"rebind\"")).expect("an intent");
        assert!(intent.contains(&format!("\"database\":\"{other}\"")), "{intent}");
    }
}

#[test]
fn a_clone_of_another_environment_is_bound_to_this_one() {
    for database in one_of_each() {
        let story = Story::new(database);
        story.three_migrations();
        story.review();
        let rules = sealift_tests::story::RULES.replace("[environments.production]", "[environments.staging]\nprotected = false\nrequire = [ { statement = \"review\", role = \"review\", people = 2 }, { statement = \"release\", role = \"release\", people = 1 } ]\n\n[environments.production]");
        let story = with_rules(story, &rules);
        let line = "pack --sequence 1 --environment trial --environment staging --out both.sealift --key keys/carol";
        let _ = story.bundler(line).expect(0);
        let _ = story.runner("apply", "both.sealift").expect(0);
        let (first, _) = binding(&story, "both.sealift");
        if story.database.engine != Engine::Sqlite {
            let text = std::fs::read_to_string(story.path("secrets.toml")).expect("secrets");
            story.write("secrets.toml", &text.replace("\"trial\"", "\"staging\""));
            std::fs::remove_file(story.path("credentials.sealed")).expect("removed");
            let _ = story.seal("secrets.toml", "alice", "credentials.sealed").expect(0);
        }
        let staging = |verb: &str| {
            let access = story.access();
            let root = &story.root;
            let line = format!(
                "{verb} --bundle both.sealift --trust trust --root-sha256 {root} --project orders --environment staging \
                 --database main {access}"
            );
            sealift_tests::command::Command::new("sealift-runner").folder(story.home()).line(&line).run()
        };
        let refused = staging("apply --audit staging.jsonl").expect(1);
        assert!(refused.stderr.contains("bound to environment `trial`"), "{}", refused.text());
        assert!(refused.stderr.contains("`rebind`"), "{}", refused.text());
        let _ = staging("rebind --audit staging.jsonl").expect(0);
        let _ = staging("apply --audit staging.jsonl").expect(0);
        let refused = story.runner_command("plan", "both.sealift");
        if story.database.engine == Engine::Sqlite {
            let refused = refused.run().expect(1);
            assert!(refused.stderr.contains("bound to environment `staging`"), "{}", refused.text());
            assert!(!refused.stderr.contains(&first), "{}", refused.text());
        }
    }
}

fn with_rules(mut story: Story, rules: &str) -> Story {
    std::fs::remove_dir_all(story.path("trust")).expect("removed");
    story.write("trust.toml", &story.trust_toml(rules));
    let _ = story.keys("trust draft trust.toml --out trust").expect(0);
    for who in ["alice", "bob"] {
        let _ = story.keys(&format!("trust sign trust/1.root.json --key keys/{who}")).expect(0);
    }
    story.root = story.root_of("trust");
    story
}

#[test]
fn a_database_that_is_gone_is_refused_and_bound_anew() {
    let story = Story::new(sqlite());
    story.three_migrations();
    let bundle = story.release(1);
    let _ = run(&story, "apply", &bundle).expect(0);
    let (first, _) = binding(&story, &bundle);
    let path = story.database.url.strip_prefix("sqlite:").expect("a path").to_owned();
    std::fs::remove_file(&path).expect("removed");
    let refused = run(&story, "apply", &bundle).expect(1);
    assert!(
        refused.stderr.contains(&format!("`{first}`, the database that answers has never been used")),
        "{}",
        refused.text()
    );
    let _ = run(&story, "rebind", &bundle).expect(0);
    let _ = run(&story, "apply", &bundle).expect(0);
    assert_eq!(story.applied(&bundle).len(), 3);
    assert_ne!(binding(&story, &bundle).0, first);
}

#[test]
fn a_database_for_development_is_not_bound_to_anything_else() {
    let story = Story::new(sqlite());
    story.three_migrations();
    let _ = story.bundler(&format!("dev up --url {}", story.database.url)).expect(0);
    let bundle = story.release(1);
    let refused = story.runner("rebind", &bundle).expect(1);
    assert!(refused.stderr.contains("bound to environment `dev`"), "{}", refused.text());
}

#[test]
fn a_release_older_than_what_was_here_binds_nothing() {
    let story = Story::new(sqlite());
    story.three_migrations();
    let (old, new) = (story.release(1), story.pack(2));
    let _ = story.runner("apply", &new).expect(0);
    let refused = story.runner("rebind", &old).expect(1);
    assert!(refused.stderr.contains("release 1 is older than release 2"), "{}", refused.text());
}

#[test]
fn in_a_protected_environment_a_permit_is_asked_for_and_spent() {
    for database in one_of_each() {
        let story = Story::new(database);
        story.three_migrations();
        story.review();
        let line = "pack --sequence 1 --environment production --out 1.sealift --key keys/carol";
        let _ = story.bundler(line).expect(0);
        let url = story.database.socket_url.clone().unwrap_or_else(|| story.database.url.clone());
        let place = format!("--trust trust --root-sha256 {} --project orders --environment production", story.root);
        let runner = |line: &str| {
            let audit = if line.contains("--dry-run") || line.starts_with("plan") { "" } else { "--audit audit.jsonl" };
            let line = format!("{line} --bundle 1.sealift {place} --database main --url {url} {audit}");
            sealift_tests::command::Command::new("sealift-runner").folder(story.home()).line(&line).run()
        };
        let permit = |line: &str, out: &str| {
            story.write("plan.jsonl", &runner(&format!("{line} --json")).expect(0).stdout);
            let line = format!("permit 1.sealift --plan plan.jsonl {place} --key keys/erin --out {out} --yes");
            let _ = story.keys(&line).expect(0);
        };
        permit("plan", "apply.json");
        let _ = runner("apply --permit apply.json").expect(0);
        let refused = runner("rebind").expect(1);
        assert!(refused.stderr.contains("changes to it need a permit"), "{}", refused.text());
        let refused = runner("rebind --permit apply.json").expect(1);
        assert!(refused.stderr.contains("the permit is for `apply`, this is `rebind`"), "{}", refused.text());
        permit("rebind --dry-run", "rebind.json");
        let _ = runner("rebind --permit rebind.json").expect(0);
        let again = runner("rebind --permit rebind.json").expect(1);
        assert!(again.stderr.contains("the permit is spent"), "{}", again.text());
        let rows = story.database.query(match story.database.engine {
            Engine::Postgresql => "SELECT body FROM sealift.history ORDER BY seq DESC LIMIT 1;",
            _ => "SELECT body FROM sealift_history ORDER BY seq DESC LIMIT 1;",
        });
        assert!(rows.contains("\"type\":\"rebound\"") && rows.contains("\"permit\":"), "{rows}");
    }
}
