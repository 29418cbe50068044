//! The drill "record key stolen" (`threat-model.md`): what a thief of the record key can do alone, how the key is revoked, what
//! rotates; and what shows of a log that was rewritten or cut off, with the key and without.

use std::fs;

use sealift_spec::Digest;
use sealift_spec::audit::{self, Note, Record};
use sealift_spec::checkpoint::{Origin, SignedCheckpoint};
use sealift_spec::history::{Event, History};
use sealift_spec::key::PublicKey;
use sealift_tests::command::{Command, Outcome};
use sealift_tests::server::{Database, Engine, mariadb, postgresql, sqlite};
use sealift_tests::story::{RULES, Story};
use signed_note::{Note as SignedNote, StandardVerifier, VerifierList};

/// A world whose policy has a record key, with one release applied under it.
struct Drill {
    story: Story,
    bundle: String,
}

impl Drill {
    fn new(database: Database) -> Self {
        let story = Story::new(database);
        for key in ["db1", "db1-new"] {
            let line = format!("generate --no-passphrase --holder db1@example.com --out keys/{key}");
            let _ = story.keys(&line).expect(0);
        }
        fs::remove_dir_all(story.path("trust")).expect("the trust of a story");
        let mut drill = Self { story, bundle: String::new() };
        drill.trust("db1", "", "");
        drill.story.root = drill.story.root_of("trust");
        if drill.story.database.engine != Engine::Sqlite {
            let _ = drill.story.seal("secrets.toml", "alice", "sealed-again").expect(0);
        }
        drill.story.three_migrations();
        drill.bundle = drill.story.release(1);
        let applied = drill.apply("keys/db1").expect(0);
        assert!(!applied.stderr.contains("warning"), "{}", applied.text());
        drill
    }

    /// Drafts and signs the next root, in which db1 has one key.
    fn trust(&self, key: &str, revoked: &str, previous: &str) {
        let story = &self.story;
        let key = self.public(key);
        let rules = RULES.replacen("[roles]\n", "[roles]\nrecord = { people = [\"db1@example.com\"] }\n", 1);
        let host = format!("[people.\"db1@example.com\"]\nkind = \"service\"\nkeys = [\"{key}\"]\n\n");
        story.write("trust.toml", &story.trust_toml(&format!("{host}{rules}\n{revoked}")));
        let _ = story.keys(&format!("trust draft trust.toml {previous} --out next")).expect(0);
        let version = if previous.is_empty() { 1 } else { 2 };
        for who in ["alice", "bob"] {
            let _ = story.keys(&format!("trust sign next/{version}.root.json --key keys/{who}")).expect(0);
        }
        fs::create_dir_all(story.path("trust")).expect("a folder");
        for kind in ["root", "policy"] {
            let name = format!("{version}.{kind}.json");
            fs::copy(story.path("next").join(&name), story.path("trust").join(&name)).expect("a copy");
        }
        fs::remove_dir_all(story.path("next")).expect("the draft");
    }

    fn public(&self, key: &str) -> PublicKey {
        let text = fs::read_to_string(self.story.path(&format!("keys/{key}.pub"))).expect("a public key");
        text.parse().expect("an OpenSSH key")
    }

    fn apply(&self, key: &str) -> Outcome {
        self.story.runner(&format!("apply --record-key {key}"), &self.bundle)
    }

    /// One more migration, released and applied.
    fn goes_on(&mut self, sequence: u64, key: &str) -> Outcome {
        let table = format!("t{sequence}");
        let (up, down) = (format!("CREATE TABLE {table} (id INTEGER);"), format!("DROP TABLE {table};"));
        self.story.migration(&format!("{}_{table}", sequence + 10), &up, &down);
        self.bundle = self.story.release(sequence);
        self.apply(key)
    }

    fn audit(&self, line: &str) -> Outcome {
        let line = format!("audit {line} --trust trust --root-sha256 {}", self.story.root);
        Command::new("sealift-verifier").folder(self.story.home()).line(&line).run()
    }

    /// What the history says, as a file.
    fn history(&self, name: &str) {
        let history = self.story.runner("history --json", &self.bundle).expect(0);
        self.story.write(name, &history.stdout);
    }

    fn log(&self) -> Vec<Record> {
        audit::read(&fs::read(self.story.path("audit.jsonl")).expect("a log")).expect("a chain").0
    }

    /// Writes records with a chain of their own, as somebody does who knows the format.
    fn put(&self, name: &str, records: Vec<Record>) {
        let mut previous = audit::genesis();
        let mut text = Vec::new();
        for (mut record, seq) in records.into_iter().zip(1..) {
            (record.previous, record.seq) = (previous, seq);
            let line = record.write();
            previous = Digest::of(&line);
            text.extend([line, b"\n".to_vec()].concat());
        }
        fs::write(self.story.path(name), text).expect("a log");
    }

    fn copy(&self, from: &str, to: &str) {
        fs::copy(self.story.path(from), self.story.path(to)).expect("a copy");
    }
}

#[track_caller]
fn doubted(outcome: Outcome, word: &str, reason: &str) {
    let outcome = outcome.expect(1);
    assert!(outcome.stderr.contains(&format!("error: {}: ", word.replace('-', " "))), "{}", outcome.text());
    assert!(outcome.stderr.contains(reason), "no `{reason}` in\n{}", outcome.text());
}

/// Somebody else did it.
fn blamed(mut records: Vec<Record>) -> Vec<Record> {
    for record in &mut records {
        record.operator = "nobody".parse().expect("a label");
    }
    records
}

#[test]
fn checkpoints_verify_in_another_implementation() {
    let drill = Drill::new(sqlite());
    let text = fs::read(drill.story.path("audit.jsonl.checkpoint")).expect("a checkpoint");
    let signed = SignedCheckpoint::read(&text).expect("a checkpoint");
    let origin = Origin::of(&drill.log()[0]).expect("an intent");
    assert_eq!((&signed.checkpoint.origin, signed.checkpoint.size), (&origin, 2));
    let list = |key: &str| {
        let verifier = StandardVerifier::new(&origin.verifier_key(&drill.public(key))).expect("a verifier key");
        VerifierList::new(vec![Box::new(verifier)])
    };
    let note = SignedNote::from_bytes(&text).expect("a signed note");
    assert_eq!(note.text(), signed.checkpoint.write());
    assert_eq!(note.verify(&list("db1")).expect("a known key").0.len(), 1);
    assert!(note.verify(&list("db1-new")).is_err());
    let other = String::from_utf8(text).expect("text").replacen("\n2\n", "\n3\n", 1);
    let note = SignedNote::from_bytes(other.as_bytes()).expect("a signed note");
    assert!(note.verify(&list("db1")).is_err());
}

/// The history of every engine agrees with the log, and its envelopes verify.
fn agrees(database: Database) {
    let mut drill = Drill::new(database);
    let _ = drill.goes_on(2, "keys/db1").expect(0);
    let _ = drill.story.runner("revert --steps 1 --record-key keys/db1", &drill.bundle).expect(0);
    drill.history("history.jsonl");
    let audit = drill.audit("audit.jsonl --history history.jsonl").expect(0);
    assert!(
        audit.stdout.contains("3 runs have their intent and outcome, 2 releases and permits verify"),
        "{}",
        audit.text()
    );
    assert!(!audit.stderr.contains("warning"), "{}", audit.text());
}

#[test]
fn log_and_history_agree_on_sqlite() {
    agrees(sqlite());
}

#[test]
fn log_and_history_agree_on_postgresql() {
    agrees(postgresql().fresh_database());
}

#[test]
fn log_and_history_agree_on_mariadb() {
    agrees(mariadb().fresh_database());
}

#[test]
fn without_the_key_a_rewrite_and_a_cut_show() {
    let mut drill = Drill::new(sqlite());
    drill.copy("audit.jsonl.checkpoint", "first.checkpoint");
    let _ = drill.goes_on(2, "keys/db1").expect(0);
    drill.copy("audit.jsonl.checkpoint", "kept.checkpoint");
    drill.history("history.jsonl");
    let since = drill.audit("audit.jsonl --since first.checkpoint --history history.jsonl").expect(0);
    assert!(since.stdout.contains("grown from 2 to 4 records"), "{}", since.text());

    // Other words in an old record, and a chain computed anew.
    drill.put("evil.jsonl", blamed(drill.log()));
    drill.copy("audit.jsonl.checkpoint", "evil.jsonl.checkpoint");
    doubted(drill.audit("evil.jsonl"), "rewritten", "the first 4 records are not the ones that were signed");
    // The chain alone, without anybody's word, cannot tell; and says so.
    let alone = Command::new("sealift-verifier").folder(drill.story.home()).line("audit evil.jsonl").run().expect(0);
    assert!(alone.stderr.contains("could compute its chain anew"), "{}", alone.text());

    // One edited line, chain and all left as they are.
    let text = fs::read_to_string(drill.story.path("audit.jsonl")).expect("a log");
    drill.story.write("edited.jsonl", &text.replacen("\"action\":\"apply\"", "\"action\":\"revert\"", 1));
    doubted(drill.audit("edited.jsonl"), "rewritten", "line 2 of the audit log does not follow");

    // The last run is cut off, and an old checkpoint put beside: only what is kept elsewhere can tell.
    drill.put("cut.jsonl", drill.log()[..2].to_vec());
    doubted(drill.audit("cut.jsonl"), "unverifiable", "there is no checkpoint beside");
    drill.copy("audit.jsonl.checkpoint", "cut.jsonl.checkpoint");
    doubted(drill.audit("cut.jsonl"), "truncated", "the log has 2 records, and had 4");
    drill.copy("first.checkpoint", "cut.jsonl.checkpoint");
    let _ = drill.audit("cut.jsonl").expect(0);
    doubted(drill.audit("cut.jsonl --since kept.checkpoint"), "truncated", "the log has 2 records, and had 4");
    doubted(drill.audit("cut.jsonl --history history.jsonl"), "truncated", "ends before run");

    // A signature that was tampered with, and a checkpoint of another log.
    let checkpoint = SignedCheckpoint::read(&fs::read(drill.story.path("kept.checkpoint")).expect("a file"));
    let checkpoint = checkpoint.expect("a checkpoint");
    let mut forged = checkpoint.clone();
    forged.checkpoint.size = 3;
    fs::write(drill.story.path("forged.checkpoint"), forged.write()).expect("a file");
    doubted(drill.audit("audit.jsonl --since forged.checkpoint"), "bad-signature", "was not signed by key SHA256:");
    let mut other = checkpoint;
    other.checkpoint.origin = "sealift/audit/orders/trial/db2".parse().expect("an origin");
    fs::write(drill.story.path("other.checkpoint"), other.write()).expect("a file");
    doubted(drill.audit("audit.jsonl --since other.checkpoint"), "unverifiable", "the checkpoint is of log");

    // The host itself does not go on from such a log, and signs nothing.
    drill.copy("evil.jsonl", "audit.jsonl");
    let refused = drill.goes_on(3, "keys/db1").expect(2);
    assert!(refused.stderr.contains("was cut off or rewritten"), "{}", refused.text());
    assert_eq!(drill.log().len(), 4);
}

#[test]
fn what_a_history_lacks_or_invents_shows() {
    let mut drill = Drill::new(sqlite());
    let _ = drill.goes_on(2, "keys/db1").expect(0);
    drill.history("history.jsonl");
    let text = fs::read_to_string(drill.story.path("history.jsonl")).expect("a history");
    let lines: Vec<&str> = text.lines().collect();
    let events: Vec<&str> = lines.iter().copied().filter(|line| line.ends_with("\"type\":\"event\"}")).collect();
    let evidence: Vec<&str> = lines.iter().copied().filter(|line| line.ends_with("\"type\":\"evidence\"}")).collect();
    assert_eq!(evidence.len(), 2);
    let write = |parts: &[&[&str]]| drill.story.write("other.jsonl", &(parts.concat().join("\n") + "\n"));
    let audit = || drill.audit("audit.jsonl --history other.jsonl");

    // The newest run is gone, or its end.
    let last_run = events.iter().position(|line| line.contains("\"id\":\"12\"")).expect("the second release");
    write(&[&events[..last_run], &evidence]);
    doubted(audit(), "truncated", "which the history lacks");
    // A row was edited; an envelope is missing, or is another's.
    let edited = events[0].replacen("\"type\":\"bound\"", "\"type\":\"bond\"", 1);
    write(&[&[edited.as_str()], &events[1..], &evidence]);
    let _ = audit().expect(2);
    let edited = events[0].replacen("\"operator\":\"", "\"operator\":\"x", 1);
    write(&[&[edited.as_str()], &events[1..], &evidence]);
    doubted(audit(), "rewritten", "does not follow the row before it");
    write(&[&events, &evidence[..1]]);
    doubted(audit(), "unverifiable", "is not beside the history");
    let digest = |line: &str| line.split("\"sha256\":\"").nth(1).expect("a digest")[..64].to_owned();
    let (one, two) = (digest(evidence[0]), digest(evidence[1]));
    write(&[&events, &[&evidence[0].replace(&one, &two), evidence[1]]]);
    let _ = audit().expect(1);
    write(&[&events, &[evidence[0], &evidence[0].replace(&one, &two)]]);
    doubted(audit(), "rewritten", "is another one");
    // Mallory's signature in the place of Carol's.
    let signature = evidence[0].find("\\\"sig\\\":\\\"").expect("a signature") + 10;
    let flipped = if &evidence[0][signature..=signature] == "A" { "B" } else { "A" };
    let forged = format!("{}{flipped}{}", &evidence[0][..signature], &evidence[0][signature + 1..]);
    write(&[&events, &[forged.as_str(), evidence[1]]]);
    doubted(audit(), "bad-signature", "was not signed by key SHA256:");
    // A history that another host made, whose log nobody gave.
    let mut other = History::default();
    for line in &events {
        let event = serde_json::from_str::<serde_json::Value>(line).expect("JSON")["data"].take();
        let event: Event = serde_json::from_value(event).expect("an event");
        let (host, run) = ("db2".parse().expect("a label"), "0123456789abcdef".parse().expect("a label"));
        other.append(other.next(event.at, &host, &event.operator, &run, event.event)).expect("an event");
    }
    let line = |event: &Event| format!("{}", serde_json::json!({ "data": event, "type": "event" }));
    let other: Vec<String> = other.events().iter().map(line).collect();
    write(&[&other.iter().map(String::as_str).collect::<Vec<_>>(), &evidence]);
    doubted(audit(), "unverifiable", "was made on host `db2`, whose log was not given");
}

#[test]
fn a_stolen_record_key_is_revoked_and_replaced() {
    let mut drill = Drill::new(sqlite());
    drill.copy("audit.jsonl.checkpoint", "kept.checkpoint");
    drill.history("history.jsonl");

    // Alone, the key releases nothing and reviews nothing.
    let line = "pack --sequence 9 --environment trial --out stolen.sealift --key keys/db1";
    let _ = drill.story.bundler(line).expect(0);
    let refused = drill.story.verify("stolen.sealift").expect(1);
    assert!(refused.stderr.contains("by no key that may sign"), "{}", refused.text());

    // With the host's log it signs another past, which looks good by itself ..
    let honest = fs::read(drill.story.path("audit.jsonl")).expect("a log");
    drill.put("audit.jsonl", blamed(drill.log()));
    fs::remove_file(drill.story.path("audit.jsonl.checkpoint")).expect("a checkpoint");
    let _ = drill.goes_on(2, "keys/db1").expect(0);
    let _ = drill.audit("audit.jsonl").expect(0);
    // .. and not beside a checkpoint that was kept elsewhere.
    doubted(drill.audit("audit.jsonl --since kept.checkpoint"), "rewritten", "not the ones that were signed");
    // Nor can it hide a run from the database.
    drill.put("hidden.jsonl", drill.log()[2..].to_vec());
    drill.history("now.jsonl");
    fs::remove_file(drill.story.path("audit.jsonl.checkpoint")).expect("a checkpoint");
    drill.copy("hidden.jsonl", "audit.jsonl");
    let _ = drill.goes_on(3, "keys/db1").expect(0);
    drill.history("now.jsonl");
    let _ = drill.audit("audit.jsonl").expect(0);
    doubted(drill.audit("audit.jsonl --history now.jsonl"), "rewritten", "says nothing of run");

    // The next root revokes it and names another; the thief's checkpoints are then nobody's.
    let revoked = format!("[revoked]\nkeys = [\"{}\"]\n", drill.public("db1").id());
    let previous = format!("--previous trust --root-sha256 {}", drill.story.root);
    drill.trust("db1-new", &revoked, &previous);
    doubted(drill.audit("audit.jsonl"), "unverifiable", "by no key that holds role `record`");
    let warned = drill.goes_on(4, "keys/db1").expect(0);
    assert!(warned.stderr.contains("holds no role `record`"), "{}", warned.text());
    // The log is restored from where it was kept, and the host goes on with its new key.
    assert_ne!(honest, fs::read(drill.story.path("audit.jsonl")).expect("a log"));
    fs::write(drill.story.path("audit.jsonl"), &honest).expect("a log");
    fs::remove_file(drill.story.path("audit.jsonl.checkpoint")).expect("a checkpoint");
    let _ = drill.goes_on(5, "keys/db1-new").expect(0);
    let _ = drill.audit("audit.jsonl").expect(0);
}

#[test]
fn a_host_without_its_record_key_is_warned() {
    let mut drill = Drill::new(sqlite());
    let table = "CREATE TABLE more (id INTEGER);";
    drill.story.migration("9_more", table, "DROP TABLE more;");
    drill.bundle = drill.story.release(2);
    let applied = drill.story.runner("apply", &drill.bundle).expect(0);
    assert!(
        applied.stderr.contains("the policy has record keys and this host is configured with none"),
        "{}",
        applied.text()
    );
    let audit = drill.audit("audit.jsonl").expect(0);
    assert!(audit.stderr.contains("nobody's signature covers the last 2 records"), "{}", audit.text());
    assert!(matches!(drill.log()[3].note, Note::Outcome { .. }));
    // Others can read the key: nothing is changed.
    let _ = std::process::Command::new("chmod").arg("644").arg(drill.story.key("db1")).status().expect("chmod");
    let refused = drill.goes_on(3, "keys/db1").expect(1);
    assert!(refused.stderr.contains("the record key cannot be used"), "{}", refused.text());
    assert_eq!(drill.log().len(), 4);
}
