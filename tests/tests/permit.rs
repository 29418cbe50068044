//! Permits: one plan on one database of a protected environment, once, by the word of those who operate it; and what a
//! stolen operate key can do.

use std::fs;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use sealift_spec::audit::{self, Note};
use sealift_spec::container::{Container, ContainerKind};
use sealift_spec::envelope::{Envelope, Signature};
use sealift_spec::history::Happening;
use sealift_spec::key::PublicKey;
use sealift_spec::statement::{self, Permit, PredicateKind, Statement};
use sealift_spec::{Digest, Timestamp};
use sealift_tests::command::{Command, Outcome};
use sealift_tests::server::{Database, Engine, one_of_each, postgresql, sqlite};
use sealift_tests::story::{RULES, Story};

/// A story whose host is `production`, which is protected.
struct Guarded {
    story: Story,
    trust: &'static str,
}

/// Whether a line of a history is the envelope of a permit.
fn is_permit(line: &str) -> bool {
    let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
    let envelope = line["data"]["body"].as_str().map(|body| Envelope::read(body.as_bytes()).expect("an envelope"));
    envelope.is_some_and(|envelope| statement::kind(envelope.payload()) == Some(PredicateKind::Permit))
}

impl Guarded {
    fn new(database: Database) -> Self {
        Self { story: Story::new(database), trust: "trust" }
    }

    /// With three migrations, reviewed and released as `1.sealift`.
    fn ready(database: Database) -> Self {
        let guarded = Self::new(database);
        guarded.story.three_migrations();
        guarded.story.review();
        guarded.pack(1);
        guarded
    }

    fn pack(&self, sequence: u64) {
        let line = format!("pack --sequence {sequence} --environment production --environment trial");
        let line = format!("{line} --out {sequence}.sealift --key keys/carol");
        let _ = self.story.bundler(&line).expect(0);
    }

    fn place(&self) -> String {
        let (trust, root) = (self.trust, self.story.root_of(self.trust));
        format!("--trust {trust} --root-sha256 {root} --project orders --environment production")
    }

    fn command(&self, line: &str) -> Command {
        let (story, place) = (&self.story, self.place());
        let url = story.database.socket_url.as_ref().unwrap_or(&story.database.url);
        let writes = !line.starts_with("plan") && !line.contains("--dry-run") && !line.starts_with("status");
        let audit = if writes { "--audit audit.jsonl" } else { "" };
        let line = format!("{line} {place} --database main --url {url} {audit}");
        Command::new("sealift-runner").folder(story.home()).line(&line)
    }

    /// Judges audit log and history offline, with those lines of the history that are wanted.
    fn audit(&self, wanted: &dyn Fn(&str) -> bool) -> Outcome {
        let story = &self.story;
        let url = story.database.socket_url.as_ref().unwrap_or(&story.database.url);
        let history = Command::new("sealift-runner").folder(story.home()).line(&format!("history --json --url {url}"));
        let history = history.run().expect(0);
        let lines = history.stdout.lines().filter(|line| wanted(line)).map(|line| format!("{line}\n"));
        story.write("history.jsonl", &lines.collect::<String>());
        let trust = format!("--trust {} --root-sha256 {}", self.trust, story.root_of(self.trust));
        let line = format!("audit audit.jsonl --history history.jsonl {trust}");
        Command::new("sealift-verifier").folder(story.home()).line(&line).run()
    }

    fn runner(&self, line: &str) -> Outcome {
        self.command(line).run()
    }

    /// Lets the plan of a command be written to `plan.jsonl`.
    fn plan(&self, line: &str) {
        let plan = self.runner(&format!("{line} --json")).expect(0);
        self.story.write("plan.jsonl", &plan.stdout);
    }

    fn sign(&self, who: &str, bundle: &str, out: &str) -> Outcome {
        let place = self.place();
        self.story.keys(&format!("permit {bundle} --plan plan.jsonl {place} --key keys/{who} --out {out} --yes"))
    }

    /// Has the plan of a command permitted by Erin.
    fn permit(&self, line: &str, bundle: &str, out: &str) {
        self.plan(line);
        let _ = fs::remove_file(self.story.path(out));
        let _ = self.sign("erin", bundle, out).expect(0);
    }

    fn envelope(&self, file: &str) -> Envelope {
        let bytes = fs::read(self.story.path(file)).expect("a permit");
        Envelope::read(bytes.strip_suffix(b"\n").expect("a line")).expect("an envelope")
    }

    /// A permit with something else in it, as the holder of a key could write it without our programs.
    fn forge(&self, who: &str, out: &str, edit: impl Fn(&mut Statement<Permit>)) {
        let mut statement = Statement::<Permit>::read(self.envelope("permit.json").payload()).expect("a permit");
        edit(&mut statement);
        let mut envelope = Envelope::new(statement.write()).expect("an envelope");
        let key = self.key(who);
        let key_id = PublicKey::from_bytes(key.verifying_key().to_bytes()).id();
        let bytes = key.sign(&envelope.signed_bytes()).to_bytes();
        envelope.attach(Signature { key_id, bytes }).expect("a signature");
        fs::write(self.story.path(out), [envelope.write(), b"\n".to_vec()].concat()).expect("a file");
    }

    /// The secret key of a person, out of their file.
    fn key(&self, who: &str) -> SigningKey {
        let text = fs::read_to_string(self.story.key(who)).expect("a key");
        let base64: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        let blob = STANDARD.decode(base64).expect("base64");
        let public = fs::read_to_string(self.story.path(&format!("keys/{who}.pub"))).expect("a public key");
        let public = public.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        let public: PublicKey = public.parse().expect("a public key");
        // The seed stands before the last copy of the public key.
        let at = blob.windows(32).rposition(|bytes| bytes == public.as_bytes()).expect("the public key");
        SigningKey::from_bytes(blob[at - 32..at].try_into().expect("32 bytes"))
    }

    fn events(&self) -> Vec<Happening> {
        let url = self.story.database.socket_url.as_ref().unwrap_or(&self.story.database.url);
        let line = format!("history --json --database main --url {url}");
        let history = Command::new("sealift-runner").folder(self.story.home()).line(&line).run().expect(0);
        let lines = history.json_lines();
        let events = lines.iter().filter(|line| line["type"] == "event").map(|line| &line["data"]["event"]);
        events.map(|event| serde_json::from_value(event.clone()).expect("an event")).collect()
    }

    /// What the last run left, as it says itself.
    fn heads(&self) -> Vec<String> {
        match self.events().pop() {
            Some(Happening::Completed { heads, .. }) => heads.iter().map(ToString::to_string).collect(),
            other => panic!("the run is not over: {other:?}"),
        }
    }

    fn applied(&self) -> Vec<String> {
        let mut applied = Vec::new();
        for event in self.events() {
            match event {
                Happening::Applied { unit, .. } => applied.push(unit.id.to_string()),
                Happening::Reverted { unit, .. } => applied.retain(|id| *id != unit.id.to_string()),
                _ => {}
            }
        }
        applied
    }

    /// As [`Guarded::refused`], of a database that may not have been used yet.
    #[track_caller]
    fn rejected(&self, line: &str, words: &str) {
        let outcome = self.runner(line).expect(1);
        assert!(outcome.stderr.contains(words), "no `{words}` in\n{}", outcome.text());
    }

    #[track_caller]
    fn refused(&self, line: &str, words: &str) {
        let before = self.events().len();
        let outcome = self.runner(line).expect(1);
        assert!(outcome.stderr.contains(words), "no `{words}` in\n{}", outcome.text());
        assert_eq!(self.events().len(), before, "{}", outcome.text());
    }
}

const APPLY: &str = "apply --bundle 1.sealift --permit permit.json";

#[test]
fn a_permit_is_for_one_run() {
    for database in one_of_each() {
        let guarded = Guarded::ready(database);
        let without = guarded.runner("apply --bundle 1.sealift").expect(1);
        assert!(without.stderr.contains("protected") && without.stderr.contains("--permit"), "{}", without.text());

        guarded.plan("plan --bundle 1.sealift");
        let shown = guarded.sign("erin", "1.sealift", "permit.json").expect(0);
        for words in ["first-use", "1. apply 1 ", "3. apply 3 ", "alice@example.com, bob@example.com"] {
            assert!(shown.stderr.contains(words), "no `{words}` in\n{}", shown.text());
        }
        let _ = guarded.runner(APPLY).expect(0);
        assert_eq!(guarded.applied(), ["1", "2", "3"]);

        // Every event names the permit, the database keeps it, and the intent told of it before.
        let envelope = guarded.envelope("permit.json");
        let events = guarded.events();
        assert!(events.iter().all(|event| event.permit() == Some(envelope.digest())), "{events:?}");
        assert!(matches!(events.last(), Some(Happening::Completed { .. })), "{events:?}");
        let evidence =
            if guarded.story.database.engine == Engine::Postgresql { "sealift.evidence" } else { "sealift_evidence" };
        let sql = format!("SELECT body FROM {evidence} WHERE sha256 = '{}';", envelope.digest());
        assert_eq!(guarded.story.database.query(&sql).trim().as_bytes(), envelope.write());
        let log = fs::read(guarded.story.path("audit.jsonl")).expect("an audit log");
        let (records, _) = audit::read(&log).expect("a log");
        let intent = records.iter().find_map(|record| match &record.note {
            Note::Intent { under, .. } => Some(under.permit),
            Note::Outcome { .. } => None,
        });
        assert_eq!(intent, Some(Some(envelope.digest())));

        guarded.refused(APPLY, "the permit is spent");

        // Going back takes its own.
        guarded.refused("revert --bundle 1.sealift --steps 1 --permit permit.json", "the permit is for `apply`");
        guarded.permit("revert --bundle 1.sealift --steps 2 --dry-run", "1.sealift", "back.json");
        guarded.refused("revert --bundle 1.sealift --steps 1 --permit back.json", "the permit is for another plan");
        let _ = guarded.runner("revert --bundle 1.sealift --steps 2 --permit back.json").expect(0);
        assert_eq!(guarded.applied(), ["1"]);
        assert_eq!(guarded.heads(), ["1"]);
        guarded.refused("revert --bundle 1.sealift --steps 2 --permit back.json", "the permit is spent");

        // A run of some steps is over when they are done.
        guarded.pack(2);
        guarded.permit("plan --bundle 2.sealift --steps 1", "2.sealift", "one.json");
        let _ = guarded.runner("apply --bundle 2.sealift --steps 1 --permit one.json").expect(0);
        assert_eq!(guarded.applied(), ["1", "2"]);
        assert_eq!(guarded.heads(), ["2"]);
        guarded.refused("apply --bundle 2.sealift --steps 1 --permit one.json", "the permit is spent");

        // Looking needs none, and a new id takes one, after which permits for the old id are for another database.
        let _ = guarded.runner("status --bundle 2.sealift").expect(0);
        guarded.permit("plan --bundle 2.sealift", "2.sealift", "old.json");
        guarded.refused("rebind --bundle 2.sealift", "protected");
        guarded.refused("rebind --bundle 2.sealift --permit old.json", "the permit is for `apply`, this is `rebind`");
        guarded.permit("rebind --bundle 2.sealift --dry-run", "2.sealift", "rebind.json");
        let _ = guarded.runner("rebind --bundle 2.sealift --permit rebind.json").expect(0);
        guarded.refused("rebind --bundle 2.sealift --permit rebind.json", "the permit is spent");
        guarded.refused("apply --bundle 2.sealift --permit old.json", "the permit is for database");

        // An auditor finds every run, release and permit; and misses a permit that is not there.
        let audit = guarded.audit(&|_| true).expect(0);
        let words = "4 runs have their intent and outcome, 6 releases and permits verify";
        assert!(audit.stdout.contains(words), "{}", audit.text());
        let audit = guarded.audit(&|line| !is_permit(line)).expect(1);
        assert!(audit.stderr.contains("error: unverifiable: the envelope of permit"), "{}", audit.text());
    }
}

#[test]
fn a_permit_is_for_one_plan_on_one_database() {
    for database in one_of_each() {
        let engine = database.engine;
        let guarded = Guarded::ready(database);
        guarded.permit("plan --bundle 1.sealift", "1.sealift", "permit.json");
        let none = |line: &str, words: &str| {
            let outcome = guarded.runner(line).expect(1);
            assert!(outcome.stderr.contains(words), "no `{words}` in\n{}", outcome.text());
            assert!(!guarded.story.database.schema().contains("customer"), "{}", outcome.text());
        };
        none("apply --bundle 1.sealift --steps 1 --permit permit.json", "the permit is for another plan");
        // Another release with the very same migrations.
        guarded.pack(2);
        none("apply --bundle 2.sealift --permit permit.json", "the permit is for release");
        // Whom it binds to what, told by whoever holds the key.
        let other = |edit: fn(&mut Permit), words: &str| {
            guarded.forge("erin", "other.json", |statement| edit(&mut statement.predicate));
            none("apply --bundle 1.sealift --permit other.json", words);
        };
        other(|permit| permit.project = "other".parse().expect("a name"), "the permit is for project `other`");
        other(|permit| permit.environment = "trial".parse().expect("a name"), "the permit is for environment `trial`");
        other(|permit| permit.database = "0123".parse().expect("a label"), "the permit is for database `0123`");
        other(|permit| permit.head = Digest::of(b"elsewhere"), "history moved since the permit was given");
        other(|permit| permit.plan = Digest::of(b"another"), "the permit is for another plan");
        other(|permit| permit.root = 2, "the permit was given under root version 2, this host has 1");
        other(|permit| permit.not_after = permit.not_before.plus(86_401), "more than a day");
        let hours = |permit: &mut Permit, from: i64| {
            let start = permit.not_before.seconds().checked_add_signed(from * 3_600).expect("a time");
            permit.not_before = Timestamp::from_seconds(start).expect("a time");
            permit.not_after = permit.not_before.plus(3_600);
        };
        guarded.forge("erin", "other.json", |statement| hours(&mut statement.predicate, -2));
        none("apply --bundle 1.sealift --permit other.json", "the permit expired at");
        guarded.forge("erin", "other.json", |statement| hours(&mut statement.predicate, 1));
        none("apply --bundle 1.sealift --permit other.json", "the permit is not valid before");
        // Signed by nobody who may.
        for who in ["alice", "carol", "mallory"] {
            guarded.forge(who, "other.json", |_| {});
            none("apply --bundle 1.sealift --permit other.json", "is by no key that may sign permits");
        }
        // Somebody else uses the database first: the first use is over, and so is this permit's moment.
        guarded.permit("plan --bundle 1.sealift --steps 1", "1.sealift", "first.json");
        let _ = guarded.runner("apply --bundle 1.sealift --steps 1 --permit first.json").expect(0);
        guarded.refused(APPLY, "the permit is for the first use of a database");
        guarded.permit("plan --bundle 1.sealift", "1.sealift", "rest.json");
        guarded.permit("plan --bundle 1.sealift --steps 1", "1.sealift", "second.json");
        let _ = guarded.runner("apply --bundle 1.sealift --steps 1 --permit second.json").expect(0);
        guarded
            .refused("apply --bundle 1.sealift --permit rest.json", "history moved since the permit was given: event");
        assert_eq!(guarded.applied(), ["1", "2"], "{engine}");
    }
}

#[test]
fn an_unfinished_run_resumes_under_its_permit() {
    for database in one_of_each() {
        let guarded = Guarded::new(database);
        let story = &guarded.story;
        for name in ["1_one", "2_two", "3_three", "4_four"] {
            let table = &name[2..];
            story.migration(name, &format!("CREATE TABLE {table} (id INTEGER);"), &format!("DROP TABLE {table};"));
        }
        story.review();
        guarded.pack(1);
        guarded.permit("plan --bundle 1.sealift --steps 1", "1.sealift", "first.json");
        let _ = guarded.runner("apply --bundle 1.sealift --steps 1 --permit first.json").expect(0);

        // The second of two fails, what is in its way is removed, and the same permit finishes it: two, not two more.
        guarded.permit("plan --bundle 1.sealift --steps 2", "1.sealift", "permit.json");
        story.database.execute("CREATE TABLE three (id INTEGER);");
        let line = "apply --bundle 1.sealift --steps 2 --permit permit.json";
        let failed = guarded.runner(line);
        assert!(matches!(failed.status, 1 | 3), "{}", failed.text());
        assert_eq!(guarded.applied(), ["1", "2"]);
        story.database.execute("DROP TABLE three;");
        // Not for anything else meanwhile.
        guarded.refused("apply --bundle 1.sealift --permit permit.json", "the permit is for another plan");
        let _ = guarded.runner(line).expect(0);
        assert_eq!(guarded.applied(), ["1", "2", "3"]);
        guarded.refused(line, "the permit is spent");

        // The same on the way back.
        guarded.permit("revert --bundle 1.sealift --steps 2 --dry-run", "1.sealift", "back.json");
        story.database.execute("DROP TABLE two;");
        let line = "revert --bundle 1.sealift --steps 2 --permit back.json";
        let failed = guarded.runner(line);
        assert!(matches!(failed.status, 1 | 3), "{}", failed.text());
        assert_eq!(guarded.applied(), ["1", "2"]);
        story.database.execute("CREATE TABLE two (id INTEGER);");
        let _ = guarded.runner(line).expect(0);
        assert_eq!(guarded.applied(), ["1"]);
        guarded.refused(line, "the permit is spent");
    }
}

#[test]
fn a_killed_run_resumes_under_its_permit() {
    let guarded = Guarded::new(postgresql().fresh_database());
    let story = &guarded.story;
    story.migration("1_one", "CREATE TABLE one (id INTEGER);", "DROP TABLE one;");
    story.migration("2_two", "SELECT pg_sleep(4);\nCREATE TABLE two (id INTEGER);", "DROP TABLE two;");
    story.review();
    guarded.pack(1);
    guarded.permit("plan --bundle 1.sealift", "1.sealift", "permit.json");
    let mut child = guarded.command(APPLY).to_std().stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a run");
    let began = Instant::now();
    while !story.database.schema().contains("one") {
        assert!(began.elapsed() < Duration::from_secs(60), "the first migration is not applied");
        sleep(Duration::from_millis(50));
    }
    child.kill().expect("SIGKILL");
    let _ = child.wait().expect("an end");
    assert_eq!(guarded.applied(), ["1"]);
    // The first use was this permit's own.
    let _ = guarded.runner(APPLY).expect(0);
    assert_eq!(guarded.applied(), ["1", "2"]);
    guarded.refused(APPLY, "the permit is spent");
}

#[test]
fn a_permit_may_run_out_while_the_lock_is_waited_for() {
    let guarded = Guarded::ready(sqlite());
    guarded.permit("plan --bundle 1.sealift --steps 1", "1.sealift", "first.json");
    let _ = guarded.runner("apply --bundle 1.sealift --steps 1 --permit first.json").expect(0);
    guarded.permit("plan --bundle 1.sealift", "1.sealift", "permit.json");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs();
    guarded.forge("erin", "short.json", |statement| {
        statement.predicate.not_after = Timestamp::from_seconds(now + 4).expect("a time");
    });
    let mut lock = guarded.story.database.url.strip_prefix("sqlite:").expect("a file").to_owned();
    lock.push_str(".sealift-lock");
    assert!(fs::exists(&lock).expect("a folder"), "{lock}");
    let mut holder = std::process::Command::new("flock").args(["-x", &lock, "sleep", "6"]).spawn().expect("flock runs");
    sleep(Duration::from_millis(500));
    guarded.refused("apply --bundle 1.sealift --permit short.json --lock-wait 60", "the permit expired at");
    assert!(holder.wait().expect("an end").success());
}

#[test]
fn signers_of_permits_are_counted_with_the_others() {
    let mut guarded = Guarded::ready(sqlite());
    let rules = RULES.replace(
        "operate = { people = [\"erin@example.com\"] }",
        "operate = { people = [\"alice@example.com\", \"dave@example.com\", \"erin@example.com\"] }",
    );
    let rules = rules.replace("role = \"operate\", people = 1", "role = \"operate\", people = 2");
    assert!(rules.contains("role = \"operate\", people = 2"));
    guarded.story.write("strict.toml", &guarded.story.trust_toml(&rules));
    let _ = guarded.story.keys("trust draft strict.toml --out strict").expect(0);
    for who in ["alice", "bob"] {
        let _ = guarded.story.keys(&format!("trust sign strict/1.root.json --key keys/{who}")).expect(0);
    }
    guarded.trust = "strict";
    guarded.plan("plan --bundle 1.sealift");
    let first = guarded.sign("erin", "1.sealift", "permit.json").expect(0);
    assert!(first.stderr.contains("not enough yet"), "{}", first.text());
    let refused = |words: &str| {
        let outcome = guarded.runner(APPLY).expect(1);
        assert!(outcome.stderr.contains(words), "{}", outcome.text());
    };
    refused("role `operate` needs 2 people");
    let again = guarded.sign("erin", "1.sealift", "permit.json").expect(1);
    assert!(again.stderr.contains("signed it already"), "{}", again.text());
    // Alice is one of the only two reviewers, and is not counted twice: enough for the permit alone, not for a migration.
    let _ = guarded.sign("alice", "1.sealift", "permit.json").expect(0);
    refused("role `operate` needs 2 people");
    let _ = guarded.sign("dave", "1.sealift", "permit.json").expect(0);
    // Another plan takes another file.
    guarded.plan("plan --bundle 1.sealift --steps 1");
    let other = guarded.sign("dave", "1.sealift", "permit.json").expect(1);
    assert!(other.stderr.contains("it is for another plan"), "{}", other.text());
    let _ = guarded.runner(APPLY).expect(0);
    assert_eq!(guarded.applied(), ["1", "2", "3"]);
}

#[test]
fn only_what_the_bundle_holds_is_permitted() {
    let guarded = Guarded::ready(sqlite());
    guarded.plan("plan --bundle 1.sealift");
    let plan = fs::read_to_string(guarded.story.path("plan.jsonl")).expect("a plan");
    let script = plan.split("\"script\":\"").nth(1).expect("a script")[..64].to_owned();
    let signs = |text: &str, words: &str, status: i32| {
        guarded.story.write("plan.jsonl", text);
        let outcome = guarded.sign("erin", "1.sealift", "permit.json").expect(status);
        assert!(outcome.stderr.contains(words), "no `{words}` in\n{}", outcome.text());
        assert!(!guarded.story.path("permit.json").exists(), "{}", outcome.text());
    };
    // A host that asks for something else.
    let elsewhere = Digest::of(b"elsewhere").to_string();
    signs(&plan.replace(&script, &elsewhere), "is not in the bundle", 1);
    signs(
        &plan.replace("\"environment\":\"production\",\"head\"", "\"environment\":\"trial\",\"head\""),
        "environment `trial`",
        1,
    );
    signs(&plan.repeat(2), "2 plans, not one", 2);
    signs("", "0 plans, not one", 2);
    guarded.story.write("plan.jsonl", &plan);
    // People who may not, and nobody to ask.
    let stranger = guarded.sign("carol", "1.sealift", "permit.json").expect(1);
    assert!(stranger.stderr.contains("no key that may sign permits"), "{}", stranger.text());
    let place = guarded.place();
    let line = format!("permit 1.sealift --plan plan.jsonl {place} --key keys/erin --out permit.json");
    let asked = guarded.story.keys(&line).expect(2);
    assert!(asked.stderr.contains("no terminal") && asked.stderr.contains("--yes"), "{}", asked.text());
    let long = guarded.story.keys(&format!("{line} --yes --valid-for 25h")).expect(2);
    assert!(long.stderr.contains("at most `24h`"), "{}", long.text());
    // A unit that nobody reviewed is not permitted either.
    guarded.story.migration("4_more", "CREATE TABLE more (id INTEGER);", "DROP TABLE more;");
    guarded.pack(2);
    let unreviewed = guarded.runner("plan --bundle 2.sealift --json").expect(1);
    assert!(unreviewed.stderr.contains("not reviewed"), "{}", unreviewed.text());
}

#[test]
fn operate_key_stolen() {
    let guarded = Guarded::ready(sqlite());
    guarded.permit("plan --bundle 1.sealift", "1.sealift", "permit.json");
    // Alone the thief has nothing to run. What is not released is rejected before a permit is looked at ..
    guarded.story.migration("4_evil", "DROP TABLE customer;", "SELECT 1;");
    let _ = guarded.story.bundler("pack --sequence 2 --environment production --out mine.sealift").expect(0);
    let _ = guarded.story.bundler("sign mine.sealift --key keys/erin").expect(0);
    guarded.rejected("apply --bundle mine.sealift --permit permit.json", "mine.sealift rejected");
    // .. and what is released and not reviewed stays so under a permit that says whatever the thief likes.
    guarded.pack(2);
    let bytes = fs::read(guarded.story.path("2.sealift")).expect("a bundle");
    let release = Container::read(&bytes, ContainerKind::Bundle).expect("a container").main.digest();
    guarded.forge("erin", "evil.json", |statement| statement.subjects[0].sha256 = release);
    guarded.rejected("apply --bundle 2.sealift --permit evil.json", "is not reviewed");
    assert!(!guarded.story.database.schema().contains("customer"));
    // With the host in hand as well, the thief can have released and reviewed migrations run when they choose, as any
    // operator could, and each permit once.
    let _ = guarded.runner(APPLY).expect(0);
    guarded.refused(APPLY, "the permit is spent");
    guarded.permit("revert --bundle 1.sealift --steps 1 --dry-run", "1.sealift", "back.json");
    // Revoked: the next root's policy does not know the key any more, and what it signed before counts nowhere.
    let text = fs::read_to_string(guarded.story.path("trust.toml")).expect("trust.toml");
    let pub_key = |who: &str| {
        let text = fs::read_to_string(guarded.story.path(&format!("keys/{who}.pub"))).expect("a public key");
        text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    };
    guarded.story.write("next.toml", &text.replace(&pub_key("erin"), &pub_key("mallory")));
    let _ = guarded
        .story
        .keys(&format!("trust draft next.toml --previous trust --root-sha256 {} --out trust", guarded.story.root))
        .expect(0);
    for who in ["alice", "bob"] {
        let _ = guarded.story.keys(&format!("trust sign trust/2.root.json --key keys/{who}")).expect(0);
    }
    guarded.refused("revert --bundle 1.sealift --steps 1 --permit back.json", "no key that may sign permits");
    // The one who has the new key goes on.
    guarded.plan("revert --bundle 1.sealift --steps 1 --dry-run");
    let _ = guarded.sign("mallory", "1.sealift", "new.json").expect(0);
    let _ = guarded.runner("revert --bundle 1.sealift --steps 1 --permit new.json").expect(0);
    assert_eq!(guarded.applied(), ["1", "2"]);
}
