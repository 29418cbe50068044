//! Readers and writers agree: what is written is read as it was, and what is read would be written as it was.
//!
//! The second half is what makes a signature mean one thing: if a reader accepted two texts for one value, one of them would
//! be a text that nobody wrote. The texts tried are good ones, damaged the way texts get damaged; the numbers behind it are
//! the same in every run.

use sealift_spec::archive;
use sealift_spec::audit;
use sealift_spec::container::{self, Container, ContainerKind};
use sealift_spec::envelope::{Envelope, Signature};
use sealift_spec::history::{History, Row};
use sealift_spec::key::PublicKey;
use sealift_spec::manifest::{Flavour, Kind, Manifest, Mode, Statement as Cut};
use sealift_spec::name::{Name, UnitId};
use sealift_spec::policy::Policy;
use sealift_spec::root::{Root, RootFile, RootSignature, tuf_key_id};
use sealift_spec::statement::{Content, Credentials, Release, Review, Statement};
use sealift_spec::{Digest, Timestamp, limit};
use sealift_tests::forge::{Change, World, word};
use sealift_tests::vector::{self, Material};

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn roll(&mut self, below: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % below
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.roll(256) as u8)
    }

    fn blob(&mut self, below: usize) -> Vec<u8> {
        (0..self.roll(below)).map(|_| self.roll(256) as u8).collect()
    }

    fn digest(&mut self) -> Digest {
        self.bytes().into()
    }

    fn time(&mut self) -> Timestamp {
        Timestamp::from_seconds(self.roll(1 << 30) as u64 * 200).expect("a time before the year 10000")
    }

    fn word<T: std::str::FromStr<Err: std::fmt::Debug>>(&mut self) -> T {
        let letters = b"abcdefghijklmnopqrstuvwxyz0123456789._-";
        let rest: String = (0..self.roll(40)).map(|_| char::from(letters[self.roll(letters.len())])).collect();
        word(&format!("a{rest}"))
    }

    /// Damage: a byte changed, put in or left out, a piece repeated, left out or moved, a token put in.
    fn damage(&mut self, text: &[u8]) -> Vec<u8> {
        const TOKENS: [&str; 18] = [
            "null",
            "true",
            "0",
            "-0",
            "1.0",
            "1e0",
            "9007199254740992",
            "\"\"",
            "{}",
            "[]",
            " ",
            "\n",
            "\\u0061",
            ",",
            ":",
            "\u{feff}",
            "[[",
            "\0",
        ];
        let mut text = text.to_vec();
        let at = self.roll(text.len());
        let length = (1 + self.roll(40)).min(text.len() - at);
        match self.roll(7) {
            0 => text[at] ^= 1 << self.roll(8),
            1 => text.insert(at, b" \"0aA{}[],:-.\\"[self.roll(14)]),
            2 => drop(text.remove(at)),
            3 => drop(text.drain(at..at + length)),
            4 => {
                let piece = text[at..at + length].to_vec();
                text.splice(at..at, piece);
            }
            5 => text[at..at + length].rotate_left(self.roll(length)),
            _ => {
                let token = TOKENS[self.roll(TOKENS.len())];
                text.splice(at..at + self.roll(2), token.bytes());
            }
        }
        text
    }
}

/// Damages a good text again and again; every text that is accepted must be written back as it stands.
#[track_caller]
fn one_text_a_value(name: &str, text: &[u8], rounds: usize, rewritten: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    assert_eq!(rewritten(text).as_deref(), Some(text), "{name}: the good text");
    let mut dice = Dice::new(name.len() as u64);
    let mut accepted = 0;
    for _ in 0..rounds {
        let mut damaged = dice.damage(text);
        if dice.roll(4) == 0 {
            damaged = dice.damage(&damaged);
        }
        let Some(again) = rewritten(&damaged) else { continue };
        let [before, after] = [&damaged, &again].map(|text| String::from_utf8_lossy(text));
        assert_eq!(before, after, "{name}");
        accepted += usize::from(damaged != text);
    }
    // Labels and digests have many values that are well formed: damage there must have come through.
    assert!(accepted > 0, "{name}: every damaged text was refused, so nothing was compared");
}

fn worlds() -> [World; 3] {
    [Flavour::Sqlite, Flavour::Postgresql, Flavour::Mariadb].map(World::new)
}

#[test]
fn one_text_a_manifest() {
    for world in worlds() {
        let text = world.manifest.check().expect("a manifest").write();
        one_text_a_value("manifest", &text, 4_000, |text| Some(Manifest::read(text).ok()?.write()));
    }
}

#[test]
fn one_text_an_envelope_and_a_statement() {
    let world = World::new(Flavour::Sqlite);
    let release = world.release_envelope();
    one_text_a_value("envelope", &release.write(), 8_000, |text| Some(Envelope::read(text).ok()?.write()));
    one_text_a_value("release", release.payload(), 8_000, |text| Some(Statement::<Release>::read(text).ok()?.write()));
    one_text_a_value("review", world.evidence[0].payload(), 8_000, |text| {
        Some(Statement::<Review>::read(text).ok()?.write())
    });
    one_text_a_value("credentials", &world.credentials_statement(), 8_000, |text| {
        Some(Statement::<Credentials>::read(text).ok()?.write())
    });
}

#[test]
fn one_text_a_root_and_a_policy() {
    let forged = World::new(Flavour::Sqlite).bundle(Change::Nothing);
    let (root, policy) = &forged.trust[0];
    one_text_a_value("root", root, 8_000, |text| Some(RootFile::read(text).ok()?.write()));
    one_text_a_value("policy", policy, 4_000, |text| Some(Policy::read(text).ok()?.write()));
}

#[test]
fn one_file_a_container_and_one_an_archive() {
    let world = World::new(Flavour::Sqlite);
    let file = world.bundle(Change::Nothing).file;
    one_text_a_value("container", &file, 4_000, |file| {
        let container = Container::read(file, ContainerKind::Bundle).ok()?;
        let payload = &file[container.payload.clone()];
        assert_eq!(container.evidence_summary, container::summarise(&container.evidence));
        Some(container::write(ContainerKind::Bundle, &container.main, &container.evidence, payload))
    });
    one_text_a_value("archive", &world.archive(), 8_000, |bytes| {
        let members = archive::read(bytes, 10).ok()?;
        Some(archive::write(members.iter().map(|member| (&*member.name, &bytes[member.range.clone()]))))
    });
}

fn accepted_text(name: &str) -> Vec<u8> {
    let vector = vector::all().into_iter().find(|vector| vector.name == name).expect("a vector");
    match vector.material() {
        Material::Text(text) => text,
        Material::Forged(_) => panic!("{name} is a text"),
    }
}

#[test]
fn one_text_a_record_and_an_event() {
    let log = accepted_text("accepted-audit");
    let second = log.iter().position(|byte| *byte == b'\n').expect("two lines") + 1;
    let (_, head) = audit::read(&log[..second]).expect("a log");
    one_text_a_value("record", &log[second..], 8_000, |text| {
        let (records, _) = audit::read_after(head, text).ok()?;
        Some(records.iter().flat_map(|record| [record.write(), b"\n".to_vec()].concat()).collect())
    });
    // The last event, with the digest that whoever wrote it would have put beside it.
    let history = String::from_utf8(accepted_text("accepted-history")).expect("text");
    let rows: Vec<Row> = history.lines().map(row).collect();
    let (last, before) = rows.split_last().expect("rows");
    one_text_a_value("event", last.body.as_bytes(), 8_000, |text| {
        let body = String::from_utf8(text.to_vec()).ok()?;
        let row = Row { seq: last.seq, sha256: Digest::of(text).to_string(), body };
        let history = History::read(before.iter().cloned().chain([row])).ok()?;
        Some(history.events().last()?.write())
    });
}

fn row(line: &str) -> Row {
    let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
    let text = |field: &str| value[field].as_str().expect("a string").to_owned();
    Row { seq: value["seq"].as_u64().expect("a number"), body: text("body"), sha256: text("sha256") }
}

#[test]
fn archives_and_containers_are_read_as_they_were_written() {
    let mut dice = Dice::new(1);
    for _ in 0..200 {
        let members: Vec<(Name, Vec<u8>)> = (0..dice.roll(6)).map(|_| (dice.word(), dice.blob(2_000))).collect();
        let bytes = archive::write(members.iter().map(|(name, content)| (name.as_str(), &**content)));
        let read = archive::read(&bytes, members.len()).expect("an archive");
        let read: Vec<_> = read.into_iter().map(|member| (word(&member.name), bytes[member.range].to_vec())).collect();
        assert_eq!(read, members);

        let main = envelope(&mut dice);
        let mut evidence: Vec<Envelope> = (0..dice.roll(5)).map(|_| envelope(&mut dice)).collect();
        container::sort(&mut evidence);
        let payload = dice.blob(3_000);
        for kind in [ContainerKind::Bundle, ContainerKind::Credentials] {
            let file = container::write(kind, &main, &evidence, &payload);
            let read = Container::read(&file, kind).expect("a container");
            assert_eq!((&read.main, &read.evidence, &file[read.payload.clone()]), (&main, &evidence, &*payload));
            assert_eq!(read.evidence_summary, container::summarise(&evidence));
        }
    }
}

fn envelope(dice: &mut Dice) -> Envelope {
    let mut envelope = Envelope::new(dice.blob(limit::STATEMENT)).expect("a short statement");
    for _ in 0..dice.roll(limit::SIGNATURES + 1) {
        let key_id = PublicKey::from_bytes(dice.bytes()).id();
        envelope.attach(Signature { key_id, bytes: dice.bytes() }).expect("a new key");
    }
    envelope
}

#[test]
fn manifests_and_statements_are_read_as_they_were_written() {
    let mut dice = Dice::new(2);
    let worlds = worlds();
    for round in 0..200 {
        let world = &worlds[round % worlds.len()];
        let mut parts = world.manifest.clone();
        let template = parts.units[1].clone();
        for _ in 0..dice.roll(8) {
            let mut unit = template.clone();
            (unit.id, unit.name, unit.author) = (dice.word(), dice.word(), dice.word());
            unit.parents = parts.units.iter().map(|unit| unit.id.clone()).filter(|_| dice.roll(3) == 0).collect();
            unit.up.sha256 = dice.digest();
            unit.up.mode = if dice.roll(2) == 0 { Mode::Transaction } else { Mode::Statements };
            let mut end = 0;
            let cuts = (0..1 + dice.roll(5)).map(|_| {
                end += 1 + dice.roll(1_000) as u64;
                let lock = (dice.roll(2) == 0).then(|| "x".repeat(1 + dice.roll(60)));
                Cut { end, kind: Kind::Ddl, lock, probe: None }
            });
            unit.up.statements = cuts.collect();
            unit.up.size = end;
            unit.timeouts.lock_ms = dice.roll(1_000_000) as u32;
            if parts.units.iter().all(|other| other.id != unit.id) {
                parts.units.push(unit);
            }
        }
        let is_parent = |id: &UnitId| parts.units.iter().any(|unit| unit.parents.contains(id));
        parts.target = parts.units.iter().map(|unit| unit.id.clone()).filter(|id| !is_parent(id)).collect();
        let manifest = parts.check().expect("parts that fit each other");
        assert_eq!(Manifest::read(&manifest.write()).expect("a manifest"), manifest);

        let mut statement = Statement::<Release>::read(world.release_envelope().payload()).expect("a release");
        let release = &mut statement.predicate;
        (release.name, release.sequence) = (dice.word(), dice.roll(1 << 30) as u64);
        release.environments = (0..dice.roll(9)).map(|_| dice.word()).collect();
        release.out_of_order = (0..dice.roll(9)).map(|_| dice.word()).collect();
        release.content = Content { sha256: dice.digest(), size: dice.roll(1 << 30) as u64 };
        release.not_after = dice.time();
        assert_eq!(Statement::read(&statement.write()).expect("a statement"), statement);
    }
}

#[test]
fn roots_are_read_as_they_were_written() {
    let mut dice = Dice::new(3);
    for _ in 0..200 {
        let mut keys: Vec<PublicKey> = (0..1 + dice.roll(9)).map(|_| PublicKey::from_bytes(dice.bytes())).collect();
        keys.sort_by_key(tuf_key_id);
        let root = Root {
            version: 1 + dice.roll(limit::ROOTS as usize) as u64,
            expires: dice.time(),
            threshold: 1 + dice.roll(keys.len()) as u64,
            policy: Content { sha256: dice.digest(), size: dice.roll(limit::POLICY) as u64 },
            keys,
        };
        let mut file = RootFile::new(root.clone()).expect("a root");
        for key in &root.keys {
            file.attach(RootSignature { key_id: tuf_key_id(key), bytes: dice.bytes() }).expect("a new key");
        }
        let read = RootFile::read(&file.write()).expect("a root");
        assert_eq!(
            (read.root(), read.signed_bytes(), read.signatures()),
            (&root, file.signed_bytes(), file.signatures())
        );
    }
}
