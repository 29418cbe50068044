//! Histories and audit logs: what a later editor leaves behind.

use ed25519_dalek::Signer as _;
use sealift_spec::action::Action;
use sealift_spec::audit::{self, Note, Record};
use sealift_spec::checkpoint::{self, Checkpoint, NoteSignature, SignedCheckpoint, Tree};
use sealift_spec::history::{Happening, History, Subject, Under};
use sealift_spec::manifest::{Direction, Engine};
use sealift_spec::{Digest, Timestamp};
use serde_json::{Value, json};

use super::{Form, Origin, Vector, base};
use crate::forge::{ENVIRONMENT, PROJECT, key, public, replaced, word};

fn at(seconds: u64) -> Timestamp {
    word::<Timestamp>("2027-01-20T12:00:00Z").plus(seconds)
}

fn under() -> Under {
    Under { permit: None, release: base().release_envelope().digest(), root: 1, sequence: 42 }
}

fn subject(index: usize) -> Subject {
    let unit = &base().manifest.units[index];
    Subject { digest: unit.digest(), id: unit.id.clone(), up: unit.up.sha256 }
}

/// A database that got its id, two units, and lost the second again, in statements mode.
fn history() -> Vec<u8> {
    let bound = Happening::Bound {
        database: word("00112233445566778899aabbccddeeff"),
        engine: Engine::Sqlite,
        environment: word(ENVIRONMENT),
        permit: None,
        project: word(PROJECT),
    };
    let script = Digest::of(b"script");
    let events = [
        bound,
        Happening::Applied { unit: subject(0), under: under() },
        Happening::Started { direction: Direction::Up, script, unit: subject(1), under: under() },
        Happening::Progress { done: 0, next: Some(0), permit: None },
        Happening::Progress { done: 1, next: Some(1), permit: None },
        Happening::Applied { unit: subject(1), under: under() },
        Happening::Completed { heads: vec![word("0002")], under: under() },
        Happening::Reverted { unit: subject(1), under: under() },
    ];
    let mut history = History::default();
    for (second, event) in events.into_iter().enumerate() {
        let (host, operator, run) = (word("db1"), word("deploy"), word("0011223344556677"));
        let event = history.next(at(second as u64), &host, &operator, &run, event);
        history.append(event).expect("an event that can happen");
    }
    history.events().iter().map(|event| row(event.seq, &event.write())).collect::<String>().into_bytes()
}

fn row(seq: u64, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    format!("{}\n", json!({ "body": text, "seq": seq, "sha256": Digest::of(body) }))
}

/// Edits the rows, as values.
fn rows(text: Vec<u8>, edit: impl FnOnce(&mut Vec<Value>)) -> Vec<u8> {
    let parse = |line: &str| serde_json::from_str(line).expect("JSON");
    let mut rows = String::from_utf8(text).expect("UTF-8").lines().map(parse).collect();
    edit(&mut rows);
    rows.iter().map(|row| format!("{row}\n")).collect::<String>().into_bytes()
}

/// Edits the body of one row, and the digests and links from there on: what somebody does who knows the format.
fn relinked(rows: &mut [Value], from: usize, edit: impl FnOnce(&mut Value)) {
    let body = |row: &Value| -> Value { serde_json::from_str(row["body"].as_str().expect("a body")).expect("JSON") };
    let mut first = body(&rows[from]);
    edit(&mut first);
    let mut event = first;
    for index in from..rows.len() {
        let bytes = sealift_spec::json::write(&event);
        let digest = Digest::of(&bytes).to_string();
        rows[index] = json!({ "body": String::from_utf8_lossy(&bytes), "seq": event["seq"], "sha256": digest });
        if let Some(next) = rows.get(index + 1) {
            event = body(next);
            event["previous"] = digest.into();
        }
    }
}

/// An apply that was announced, and its outcome.
fn log() -> Vec<u8> {
    let notes = [
        Note::Intent {
            action: Action::Apply,
            database: word("main"),
            environment: word(ENVIRONMENT),
            head: sealift_spec::history::genesis(),
            project: word(PROJECT),
            under: under(),
            units: vec![word("0001"), word("0002")],
        },
        Note::Outcome {
            done: vec![word("0001"), word("0002")],
            error: None,
            head: Digest::of(b"head"),
            result: audit::Result::Done,
        },
    ];
    let mut previous = audit::genesis();
    let mut log = Vec::new();
    for (note, seq) in notes.into_iter().zip(1..) {
        let (host, operator, run) = (word("db1"), word("deploy"), word("0011223344556677"));
        let line = Record { at: at(seq), host, note, operator, previous, run, seq }.write();
        previous = Digest::of(&line);
        log.extend([&line[..], b"\n"].concat());
    }
    log
}

pub(super) fn vectors() -> Vec<Vector> {
    let mut vectors = histories();
    vectors.extend(logs());
    vectors.extend(checkpoints());
    vectors
}

fn histories() -> Vec<Vector> {
    let of = |name, about, (expect, cause): (&'static str, &'static str), edit| Vector {
        name,
        form: Form::History,
        row: if expect == "accepted" { "-" } else { "H1" },
        about,
        expect,
        cause,
        origin: Origin::Text(history, edit),
    };
    const EDITED: (&str, &str) = ("HistoryError::Edited", "");
    const BROKEN: (&str, &str) = ("HistoryError::Broken", "");
    const IMPOSSIBLE: (&str, &str) = ("HistoryError::Impossible", "");
    vec![
        of("accepted-history", "Two units applied, the second reverted.", ("accepted", ""), |text| text),
        of("history-edited", "An operator's name was changed in one row.", EDITED, |text| {
            replaced(text, r#"\"operator\":\"deploy\""#, r#"\"operator\":\"nobody\""#)
        }),
        of("history-edited-with-digest", "The same, and the digest beside it.", BROKEN, |text| {
            rows(text, |rows| {
                let last = rows.len() - 1;
                let tail = rows.split_off(last);
                relinked(rows, last - 1, |event| event["operator"] = "nobody".into());
                rows.extend(tail);
            })
        }),
        of("history-first-removed", "The first row is gone.", BROKEN, |text| rows(text, |rows| drop(rows.remove(0)))),
        of("history-row-removed", "A row in the middle is gone.", BROKEN, |text| {
            rows(text, |rows| drop(rows.remove(3)))
        }),
        of("history-rows-exchanged", "Two rows stand in each other's place.", BROKEN, |text| {
            rows(text, |rows| rows.swap(3, 4))
        }),
        of("history-row-repeated", "The last row stands twice.", BROKEN, |text| {
            rows(text, |rows| rows.push(rows[rows.len() - 1].clone()))
        }),
        of("history-numbers-exchanged", "A row has another number than its event.", BROKEN, |text| {
            rows(text, |rows| rows[7]["seq"] = 9.into())
        }),
        of("history-bound-twice", "A database is bound a second time.", IMPOSSIBLE, |text| {
            rows(text, |rows| {
                let first: Value = serde_json::from_str(rows[0]["body"].as_str().expect("a body")).expect("JSON");
                relinked(rows, 7, |event| event["event"] = first["event"].clone());
            })
        }),
        of("history-applied-twice", "A unit is applied that is applied.", IMPOSSIBLE, |text| {
            rows(text, |rows| {
                relinked(rows, 7, |event| {
                    event["event"]["type"] = "applied".into();
                });
            })
        }),
        of("history-reverted-unapplied", "A unit is reverted that was never applied.", IMPOSSIBLE, |text| {
            rows(text, |rows| relinked(rows, 7, |event| event["event"]["unit"]["id"] = "0003".into()))
        }),
        of("history-progress-backwards", "Fewer statements have run than before.", IMPOSSIBLE, |text| {
            rows(text, |rows| {
                relinked(rows, 3, |event| event["event"]["done"] = 2.into());
            })
        }),
        of("history-progress-of-nothing", "A script makes progress that has not begun.", IMPOSSIBLE, |text| {
            rows(text, |rows| {
                relinked(rows, 7, |event| event["event"] = json!({ "done": 0, "next": 0, "type": "progress" }));
            })
        }),
        of(
            "history-unknown-event",
            "Something happens that the format does not know.",
            ("HistoryError::Row", "JsonError::Shape"),
            |text| rows(text, |rows| relinked(rows, 7, |event| event["event"]["type"] = "forgotten".into())),
        ),
        of(
            "history-unknown-field",
            "An event has a field that the format does not know.",
            ("HistoryError::Row", "JsonError::NotCanonical"),
            |text| rows(text, |rows| relinked(rows, 7, |event| event["event"]["really"] = true.into())),
        ),
    ]
}

fn logs() -> Vec<Vector> {
    let of = |name, about, (expect, cause): (&'static str, &'static str), edit| Vector {
        name,
        form: Form::Audit,
        row: if expect == "accepted" { "-" } else { "H2" },
        about,
        expect,
        cause,
        origin: Origin::Text(log, edit),
    };
    vec![
        of("accepted-audit", "An apply and its outcome.", ("accepted", ""), |text| text),
        of("audit-edited", "A line was edited.", ("AuditError::Broken", ""), |text| {
            replaced(text, r#""operator":"deploy""#, r#""operator":"nobody""#)
        }),
        of("audit-first-removed", "The first line is gone.", ("AuditError::Broken", ""), |text| {
            let first = text.iter().position(|byte| *byte == b'\n').expect("a line");
            text[first + 1..].to_vec()
        }),
        of("audit-torn", "The last line was not written to its end.", ("AuditError::Torn", ""), |mut text| {
            text.truncate(text.len() - 20);
            text
        }),
        of("audit-white-space", "A line has a blank more.", ("AuditError::Line", "JsonError::NotCanonical"), |text| {
            replaced(text, r#""run":"#, r#""run": "#)
        }),
        of(
            "audit-empty-line",
            "An empty line stands at the end.",
            ("AuditError::Line", "JsonError::Shape"),
            |mut text| {
                text.push(b'\n');
                text
            },
        ),
    ]
}

/// A log of two records, the checkpoint that its host signed, and the keys that may sign one.
fn checkpoint() -> Vec<u8> {
    let log = log();
    let first = audit::read(&log).expect("a log").0.remove(0);
    let origin = checkpoint::Origin::of(&first).expect("an intent");
    let tree = Tree::of(&log);
    let checkpoint = Checkpoint { origin, size: tree.size(), root: tree.root() };
    judged(&signed(checkpoint, "db1"), &["db1"], &log)
}

fn signed(checkpoint: Checkpoint, holder: &str) -> SignedCheckpoint {
    let bytes = key(holder).sign(&checkpoint.write()).to_bytes().to_vec();
    let (name, key_id) = (checkpoint.origin.clone(), checkpoint.origin.key_id(&public(holder)));
    SignedCheckpoint { checkpoint, signatures: vec![NoteSignature { name, key_id, bytes }] }
}

fn judged(checkpoint: &SignedCheckpoint, holders: &[&str], log: &[u8]) -> Vec<u8> {
    let keys: Vec<_> = holders.iter().map(|holder| public(holder)).collect();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    let checkpoint = text(&checkpoint.write());
    format!("{:#}\n", json!({ "checkpoint": checkpoint, "keys": keys, "log": text(log) })).into_bytes()
}

/// Edits the text of the checkpoint.
fn noted(text: Vec<u8>, edit: impl FnOnce(String) -> String) -> Vec<u8> {
    let mut value: Value = serde_json::from_slice(&text).expect("JSON");
    value["checkpoint"] = edit(value["checkpoint"].as_str().expect("a text").to_owned()).into();
    format!("{value:#}\n").into_bytes()
}

/// Edits what the checkpoint says and lets it be signed again, by whoever is asked.
fn resigned(text: Vec<u8>, holder: &str, edit: impl FnOnce(&mut Checkpoint)) -> Vec<u8> {
    noted(text, |text| {
        let mut checkpoint = SignedCheckpoint::read(text.as_bytes()).expect("a checkpoint").checkpoint;
        edit(&mut checkpoint);
        String::from_utf8(signed(checkpoint, holder).write()).expect("UTF-8")
    })
}

fn checkpoints() -> Vec<Vector> {
    let of = |name, about, expect: &'static str, edit| Vector {
        name,
        form: Form::Checkpoint,
        row: if expect == "accepted" { "-" } else { "F10" },
        about,
        expect,
        cause: "",
        origin: Origin::Text(checkpoint, edit),
    };
    vec![
        of("accepted-checkpoint", "A log and the checkpoint that its host signed.", "accepted", |text| text),
        of("checkpoint-earlier", "The log has grown since.", "accepted", |text| {
            let log = log();
            let line = log.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
            resigned(text, "db1", |checkpoint| {
                let tree = Tree::of(&log[..line]);
                (checkpoint.size, checkpoint.root) = (tree.size(), tree.root());
            })
        }),
        of("checkpoint-bad-signature", "Another size than the one signed.", "Doubt::BadSignature", |text| {
            noted(text, |text| text.replacen("\n2\n", "\n1\n", 1))
        }),
        of("checkpoint-unknown-key", "Signed by a key without the role.", "Doubt::Unverifiable", |text| {
            resigned(text, "mallory", |_| ())
        }),
        of("checkpoint-other-origin", "A checkpoint of another host's log.", "Doubt::Unverifiable", |text| {
            resigned(text, "db1", |checkpoint| {
                checkpoint.origin = word(&checkpoint.origin.as_str().replace("db1", "db2"));
            })
        }),
        of("checkpoint-truncated", "The log was longer when it was signed.", "Doubt::Truncated", |text| {
            resigned(text, "db1", |checkpoint| checkpoint.size = 3)
        }),
        of("checkpoint-forked", "Another log of the same size was signed.", "Doubt::Rewritten", |text| {
            resigned(text, "db1", |checkpoint| checkpoint.root = Tree::of(b"one\ntwo\n").root())
        }),
        of("checkpoint-duplicate", "The signature stands twice.", "CheckpointError::Duplicate", |text| {
            noted(text, |text| {
                let line = text.lines().last().expect("a signature").to_owned();
                format!("{text}{line}\n")
            })
        }),
        of("checkpoint-unsigned", "Nobody signed it.", "CheckpointError::Signatures", |text| {
            noted(text, |text| text.lines().take(3).map(|line| format!("{line}\n")).collect::<String>() + "\n")
        }),
        of("checkpoint-extension", "A line more than a checkpoint has.", "CheckpointError::Form", |text| {
            noted(text, |text| text.replacen("\n\n", "\nmore\n\n", 1))
        }),
        of("checkpoint-leading-zero", "The size has another spelling.", "CheckpointError::Form", |text| {
            noted(text, |text| text.replacen("\n2\n", "\n02\n", 1))
        }),
    ]
}
