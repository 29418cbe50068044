//! A small world made of fixed seeds (people, trust, migrations, reviews, a release), in which exactly one thing can be
//! changed.
//!
//! Bundles come out of one pipeline: manifest, members, archive, frame, statement, signatures, lines, file. A [`Change`]
//! takes hold of one stage; everything after it is computed and signed again, everything before it is as it was. Without a
//! change the world's bundle is accepted, so what a change does to the verdict is the change's doing. Nothing here is random:
//! equal calls give equal bytes.

pub mod curve;
pub mod frame;
pub mod tar;
pub mod trust;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use sealift_spec::action::Action;
use sealift_spec::baseline;
use sealift_spec::container::{self, ATTESTATIONS_MEMBER, Container, ContainerKind};
use sealift_spec::credentials::Database;
use sealift_spec::envelope::{self, Envelope, PAYLOAD_TYPE, Signature};
use sealift_spec::key::{KeyId, PublicKey};
use sealift_spec::manifest::{
    self, Baseline, Expect, Flavour, Kind, List, Mode, Object, Parts, Probe, Script, Statement as Cut, Timeouts, Unit,
};
use sealift_spec::name::Name;
use sealift_spec::policy::Requirement;
use sealift_spec::statement::{
    Answer, Content, Credentials, PAYLOAD_MEMBER, Permit, PredicateKind, RELEASE_SUBJECT, Release, Review,
    SEALED_MEMBER, Statement, Subject, UNIT_SUBJECT, UNITS_SUBJECT, Verdict, first_use,
};
use sealift_spec::{Digest, Timestamp, archive, json};
use serde_json::json;

use self::trust::RootPlan;

/// The project of the world.
pub const PROJECT: &str = "orders";
/// The environment that the world's release is for: two people release, two others review.
pub const ENVIRONMENT: &str = "production";

/// Parses a text that is right by construction.
///
/// # Panics
/// When it is not.
pub fn word<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap_or_else(|error| panic!("`{text}`: {error:?}"))
}

/// The secret key of a holder, made from their name.
pub fn key(holder: &str) -> SigningKey {
    SigningKey::from_bytes(Digest::of(format!("sealift test key of {holder}").as_bytes()).as_bytes())
}

/// The public half of [`key`].
pub fn public(holder: &str) -> PublicKey {
    PublicKey::from_bytes(key(holder).verifying_key().to_bytes())
}

/// The key ID of [`key`].
pub fn key_id(holder: &str) -> KeyId {
    public(holder).id()
}

/// What the host that judges knows of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The project it serves.
    pub project: Name,
    /// The environment it is.
    pub environment: Name,
    /// The point in time of the judgement.
    pub now: Timestamp,
    /// The digest of the first root that it pins; that of the first root as it is, where this is absent.
    pub pinned: Option<Digest>,
    /// The newest root version it has seen.
    pub floor: u64,
}

/// A signature to be made: whose key ID it carries, and whose key makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hand {
    /// Whose key ID.
    pub named: &'static str,
    /// Whose key.
    pub by: &'static str,
}

/// Signatures that are what they say.
pub fn hands(holders: &[&'static str]) -> Vec<Hand> {
    holders.iter().map(|holder| Hand { named: holder, by: holder }).collect()
}

/// Who is trusted, what there is to run, who reviewed it, how it is released, and who judges.
#[derive(Debug, Clone)]
pub struct World {
    /// The root chain with the policy of each, oldest first.
    pub roots: Vec<RootPlan>,
    /// The manifest.
    pub manifest: Parts,
    /// The manifest as it is put into the payload, where it is not simply written.
    pub manifest_text: Option<Vec<u8>>,
    /// The bytes of the members after the manifest, in its order.
    pub members: Vec<Vec<u8>>,
    /// The evidence. A change of the manifest does not change it: reviews are of what was reviewed.
    pub evidence: Vec<Envelope>,
    /// What the release says; digests, sizes and evidence are filled in when it is forged.
    pub release: Release,
    /// Who signs the release.
    pub signers: Vec<Hand>,
    /// Who signs the permit.
    pub operators: Vec<Hand>,
    /// The payload type that is signed and written.
    pub payload_type: String,
    /// Who judges.
    pub host: Host,
}

/// The one thing that is different.
#[derive(Clone, Copy)]
pub enum Change {
    /// Nothing.
    Nothing,
    /// The world; everything is made from it as usual.
    World(fn(&mut World)),
    /// The host that judges.
    Host(fn(&mut Host)),
    /// The bytes of the manifest, before anything refers to them.
    Manifest(fn(Vec<u8>) -> Vec<u8>),
    /// The members of the payload, after the manifest's digest was taken.
    Members(fn(&mut Vec<(String, Vec<u8>)>)),
    /// The bytes of the inner archive.
    Archive(fn(&mut Vec<u8>)),
    /// The compressed payload, made anew from the archive.
    Frame(fn(&[u8]) -> Vec<u8>),
    /// The compressed payload, made anew from the archive, and the content size that is signed for it.
    Sized(fn(&[u8]) -> (Vec<u8>, u64)),
    /// The release statement, before it is written.
    Release(fn(&mut Statement<Release>)),
    /// The permit statement, before it is written.
    Permit(fn(&mut Statement<Permit>)),
    /// The credentials statement, before it is written.
    Credentials(fn(&mut Statement<Credentials>)),
    /// The bytes of the statement, before they are signed.
    Statement(fn(Vec<u8>) -> Vec<u8>),
    /// The main envelope, after it was signed.
    Envelope(fn(&mut Loose)),
    /// The lines of the attestations, after the first was signed.
    Lines(fn(&mut Vec<Vec<u8>>)),
    /// The payload, after its digest was signed.
    Payload(fn(Vec<u8>) -> Vec<u8>),
    /// The file.
    File(fn(&mut Vec<u8>)),
    /// The text of the newest policy, before the root names its digest.
    Policy(fn(String) -> String),
    /// The text of the newest policy, after the root named its digest.
    PolicyFile(fn(String) -> String),
    /// The `signed` object of the newest root, before it is signed.
    Root(fn(String) -> String),
    /// The root files, after they were signed.
    RootFiles(fn(&mut Vec<String>)),
}

/// An envelope that need not be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loose {
    /// Its payload type.
    pub payload_type: String,
    /// Its payload in some base64.
    pub payload: String,
    /// Its signatures: key ID, signature in some base64.
    pub signatures: Vec<(String, String)>,
}

impl Loose {
    fn write(&self) -> Vec<u8> {
        let signatures = self.signatures.iter();
        let signatures: Vec<_> = signatures.map(|(keyid, sig)| json!({ "keyid": keyid, "sig": sig })).collect();
        json::write(&json!({ "payload": self.payload, "payloadType": self.payload_type, "signatures": signatures }))
    }

    /// The bytes of its statement.
    pub fn statement(&self) -> Vec<u8> {
        STANDARD.decode(&self.payload).expect("base64")
    }

    /// Replaces the bytes of its statement.
    pub fn set_statement(&mut self, bytes: &[u8]) {
        self.payload = STANDARD.encode(bytes);
    }

    /// The raw bytes of a signature.
    pub fn signature(&self, index: usize) -> [u8; 64] {
        let bytes = STANDARD.decode(&self.signatures[index].1).expect("base64");
        bytes.try_into().expect("64 bytes")
    }

    /// Replaces the bytes of a signature.
    pub fn set_signature(&mut self, index: usize, bytes: &[u8]) {
        self.signatures[index].1 = STANDARD.encode(bytes);
    }
}

/// What came out: everything that a judgement takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forged {
    /// The bundle or credentials file.
    pub file: Vec<u8>,
    /// The bundle that a permit is for, where the file is a permit.
    pub bundle: Option<Vec<u8>>,
    /// Root and policy files, oldest first.
    pub trust: Vec<(Vec<u8>, Vec<u8>)>,
    /// Who judges; what it pins is filled in.
    pub host: Host,
}

fn script(file: &str, mode: Mode, cuts: &[(&str, Kind, Option<Probe>)]) -> (Script, Vec<u8>) {
    let sql: String = cuts.iter().map(|(text, ..)| *text).collect();
    let mut end = 0;
    let statements = cuts.iter().map(|(text, kind, probe)| {
        end += text.len() as u64;
        Cut { end, kind: *kind, lock: None, probe: probe.clone() }
    });
    let statements = statements.collect();
    let (sha256, size) = (Digest::of(sql.as_bytes()), sql.len() as u64);
    (Script { file: word(file), mode, not_resumable: false, sha256, size, statements }, sql.into_bytes())
}

const CREATE: &str = "CREATE TABLE customer (id integer PRIMARY KEY, name varchar(80) NOT NULL);\n";
const DROP: &str = "DROP TABLE customer;\n";
const INDEX: &str = "CREATE INDEX customer_name ON customer (name);\n";
const CONCURRENTLY: &str = "CREATE INDEX CONCURRENTLY customer_name ON customer (name);\n";
const INSERT: &str = "INSERT INTO customer (id, name) VALUES (1, 'first');\n";

fn second(flavour: Flavour) -> (Script, Vec<u8>) {
    let index = |expect| {
        let (name, table) = (vec!["customer_name".to_owned()], vec!["customer".to_owned()]);
        Some(Probe { expect, object: Object::Index, name, table })
    };
    let insert = (INSERT, Kind::Dml, None);
    let (mode, first) = match flavour {
        Flavour::Sqlite => (Mode::Transaction, (INDEX, Kind::Ddl, None)),
        Flavour::Postgresql => (Mode::Statements, (CONCURRENTLY, Kind::Concurrent, index(Expect::Valid))),
        Flavour::Mariadb | Flavour::Mysql => (Mode::Statements, (INDEX, Kind::Ddl, index(Expect::Present))),
    };
    script("0002_customer_name.up.sql", mode, &[first, insert])
}

impl World {
    /// Two migrations, the first with a way back, reviewed by alice and bob, released by carol and ci.
    pub fn new(flavour: Flavour) -> Self {
        let baseline = Baseline(baseline::defaults(flavour));
        let engine = flavour.engine();
        let mode = if engine == manifest::Engine::Mysql { Mode::Statements } else { Mode::Transaction };
        let (up, up_sql) = script("0001_customer.up.sql", mode, &[(CREATE, Kind::Ddl, None)]);
        let (down, down_sql) = script("0001_customer.down.sql", mode, &[(DROP, Kind::Ddl, None)]);
        let (second, second_sql) = second(flavour);
        let unit = |id: &str, name: &str, parents: &[&str], up, down| Unit {
            author: word("dave@example.com"),
            baseline: baseline.digest(),
            down,
            engine,
            flavour,
            foreign_keys: (flavour == Flavour::Sqlite).then_some(false),
            id: word(id),
            name: word(name),
            parents: parents.iter().map(|parent| word(parent)).collect(),
            project: word(PROJECT),
            timeouts: Timeouts { lock_ms: 3_000, statement_ms: 300_000 },
            up,
        };
        let units =
            vec![unit("0001", "customer", &[], up, Some(down)), unit("0002", "customer name", &["0001"], second, None)];
        let min_version = word(match flavour {
            Flavour::Postgresql => "13",
            Flavour::Mysql => "8.0",
            Flavour::Mariadb => "10.6",
            Flavour::Sqlite => "3.35",
        });
        let nothing = Content { sha256: Digest::of(b""), size: 0 };
        let mut world = Self {
            roots: vec![RootPlan::first()],
            manifest: Parts {
                baseline: baseline.clone(),
                flavour,
                lists: Vec::new(),
                min_version,
                project: word(PROJECT),
                release: manifest::Release { name: word("orders-42"), sequence: 42 },
                source: manifest::Source {
                    commit: None,
                    format: word("native"),
                    repository: None,
                    tool: word("sealift-tests"),
                },
                target: vec![word("0002")],
                units,
            },
            manifest_text: None,
            members: vec![up_sql, down_sql, second_sql],
            evidence: Vec::new(),
            release: Release {
                content: nothing,
                environments: vec![word(ENVIRONMENT)],
                evidence: container::summarise(&[]),
                min_root: 1,
                name: word("orders-42"),
                not_after: word("2027-02-14T00:00:00Z"),
                not_before: word("2027-01-15T00:00:00Z"),
                out_of_order: Vec::new(),
                payload: nothing,
                project: word(PROJECT),
                sequence: 42,
            },
            signers: hands(&["carol", "ci"]),
            operators: hands(&["erin"]),
            payload_type: PAYLOAD_TYPE.to_owned(),
            host: Host {
                project: word(PROJECT),
                environment: word(ENVIRONMENT),
                now: word("2027-01-20T12:00:00Z"),
                pinned: None,
                floor: 0,
            },
        };
        world.review(&["alice", "bob"]);
        world
    }

    /// The smallest world whose bundle is accepted: one migration, one reviewer, one releaser.
    pub fn smallest() -> Self {
        let mut world = Self::new(Flavour::Sqlite);
        world.manifest.units.truncate(1);
        world.manifest.units[0].down = None;
        world.manifest.target = vec![word("0001")];
        world.members.truncate(1);
        world.release.environments = vec![word("staging")];
        world.host.environment = word("staging");
        world.signers = hands(&["ci"]);
        world.review(&["alice"]);
        world
    }

    /// Replaces the evidence: these people review each unit as it is now, in one envelope a unit.
    pub fn review(&mut self, reviewers: &[&'static str]) {
        let units = self.manifest.units.iter().map(Unit::digest);
        self.evidence = units.map(|unit| review(UNIT_SUBJECT, unit, reviewers)).collect();
    }

    /// Replaces the evidence: each of these people reviews the list of all units as they are now, which travels along.
    pub fn review_list(&mut self, reviewers: &[&'static str]) {
        let mut units: Vec<String> = self.manifest.units.iter().map(|unit| format!("{}\n", unit.digest())).collect();
        units.sort();
        self.add_list(units.concat().into_bytes());
        let subject = self.manifest.lists[0].sha256;
        self.evidence = reviewers.iter().map(|reviewer| review(UNITS_SUBJECT, subject, &[reviewer])).collect();
    }

    /// Adds a list to the manifest and the payload.
    pub fn add_list(&mut self, bytes: Vec<u8>) {
        self.manifest.lists.push(List { sha256: Digest::of(&bytes), size: bytes.len() as u64 });
        self.members.push(bytes);
    }

    /// The newest policy.
    pub fn policy(&mut self) -> &mut sealift_spec::policy::Policy {
        &mut self.roots.last_mut().expect("a root").policy
    }

    /// Replaces the up script of a unit, cut as one statement.
    pub fn rewrite(&mut self, unit: usize, sql: &str) {
        let file = self.manifest.units[unit].up.file.clone();
        let mode = self.manifest.units[unit].up.mode;
        let (up, bytes) = script(file.as_str(), mode, &[(sql, Kind::Ddl, None)]);
        self.manifest.units[unit].up = up;
        // 0001.up, 0001.down, 0002.up.
        self.members[if unit == 0 { 0 } else { 2 }] = bytes;
    }

    /// The world's bundle, different in one thing.
    ///
    /// # Panics
    /// When the change cannot be made; vectors are for readers, not for this writer.
    pub fn bundle(&self, change: Change) -> Forged {
        let world = self.changed(change);
        world.wrap(world.payload(change), change)
    }

    fn wrap(&self, payload: Payload, change: Change) -> Forged {
        let payload_content = Content { sha256: Digest::of(&payload.frame), size: payload.frame.len() as u64 };
        let mut evidence = self.evidence.clone();
        container::sort(&mut evidence);
        let subject = |name: &str, sha256| Subject { name: word(name), sha256 };
        let mut statement = Statement {
            subjects: vec![
                subject(PAYLOAD_MEMBER, payload_content.sha256),
                subject(manifest::MEMBER, payload.manifest),
            ],
            predicate: Release {
                content: payload.content,
                evidence: container::summarise(&evidence),
                payload: payload_content,
                ..self.release.clone()
            },
        };
        if let Change::Release(edit) = change {
            edit(&mut statement);
        }
        self.seal(ContainerKind::Bundle, statement.write(), &evidence, payload.frame, change)
    }

    /// Sealed credentials of the world, signed by alice, different in one thing. What they seal cannot be opened.
    ///
    /// # Panics
    /// When the change cannot be made.
    pub fn credentials(&self, change: Change) -> Forged {
        let mut world = self.changed(change);
        if world.signers == self.signers {
            world.signers = hands(&["alice"]);
        }
        let sealed = b"age-encryption.org/v1\nno age file: verifying does not decrypt\n".to_vec();
        let payload = Content { sha256: Digest::of(&sealed), size: sealed.len() as u64 };
        let mut statement = Statement {
            subjects: vec![Subject { name: word(SEALED_MEMBER), sha256: payload.sha256 }],
            predicate: Credentials {
                databases: vec![Database {
                    ca: None,
                    endpoint: word("postgresql://db.example.com:5432/orders"),
                    id: None,
                    name: word("main"),
                }],
                environment: word(ENVIRONMENT),
                not_after: word("2027-02-14T00:00:00Z"),
                payload,
                project: word(PROJECT),
                recipients: vec![word("age1nobodycanopenthis")],
                serial: 7,
            },
        };
        if let Change::Credentials(edit) = change {
            edit(&mut statement);
        }
        world.seal(ContainerKind::Credentials, statement.write(), &[], sealed, change)
    }

    /// The base with a protected environment: erin or dave permit, of whom dave reviews as well.
    pub fn guarded() -> Self {
        let mut world = Self::new(Flavour::Sqlite);
        let policy = world.policy();
        policy.roles.insert(word("operate"), ["dave", "erin"].map(|who| word(&format!("{who}@example.com"))).into());
        policy.predicates.insert(PredicateKind::Permit, [word("operate")].into());
        let production = policy.environments.get_mut(ENVIRONMENT).expect("the environment");
        production.protected = true;
        production.require.push(Requirement { people: 1, role: word("operate"), statement: PredicateKind::Permit });
        world
    }

    /// A permit for the first use of a database with the world's bundle, signed by its operators, different in one thing.
    ///
    /// # Panics
    /// When the change cannot be made.
    pub fn permit(&self, change: Change) -> Forged {
        let world = self.changed(change);
        let Forged { file: bundle, trust, host, .. } = world.bundle(Change::Nothing);
        let release = main(&bundle, ContainerKind::Bundle).digest();
        let mut statement = Statement {
            subjects: vec![Subject { name: word(RELEASE_SUBJECT), sha256: release }],
            predicate: Permit {
                action: Action::Apply,
                database: first_use(),
                environment: word(ENVIRONMENT),
                head: sealift_spec::history::genesis(),
                nonce: word("00112233445566aa"),
                not_after: word("2027-01-20T14:00:00Z"),
                not_before: word("2027-01-20T11:00:00Z"),
                plan: Digest::of(b"a plan"),
                project: word(PROJECT),
                root: 1,
            },
        };
        if let Change::Permit(edit) = change {
            edit(&mut statement);
        }
        let mut bytes = statement.write();
        if let Change::Statement(edit) = change {
            bytes = edit(bytes);
        }
        let mut envelope = sign(&world.payload_type, &bytes, &world.operators);
        if let Change::Envelope(edit) = change {
            edit(&mut envelope);
        }
        let mut file = [envelope.write(), b"\n".to_vec()].concat();
        if let Change::File(edit) = change {
            edit(&mut file);
        }
        Forged { file, bundle: Some(bundle), trust, host }
    }

    /// The release envelope of the world's bundle.
    pub fn release_envelope(&self) -> Envelope {
        main(&self.bundle(Change::Nothing).file, ContainerKind::Bundle)
    }

    /// The statement of the world's credentials.
    pub fn credentials_statement(&self) -> Vec<u8> {
        main(&self.credentials(Change::Nothing).file, ContainerKind::Credentials).payload().to_vec()
    }

    /// The payload of the world's bundle.
    pub fn payload_bytes(&self) -> Vec<u8> {
        self.payload(Change::Nothing).frame
    }

    /// The digest of the archive inside the world's bundle.
    pub fn content_digest(&self) -> Digest {
        self.payload(Change::Nothing).content.sha256
    }

    fn changed(&self, change: Change) -> Self {
        let mut world = self.clone();
        match change {
            Change::World(edit) => edit(&mut world),
            Change::Host(edit) => edit(&mut world.host),
            _ => {}
        }
        world
    }

    /// The archive inside the world's bundle.
    pub fn archive(&self) -> Vec<u8> {
        self.inner(Change::Nothing).1
    }

    /// The world's bundle around another archive.
    pub fn bundle_of(&self, tar: &[u8]) -> Forged {
        let (manifest, _) = self.inner(Change::Nothing);
        self.wrap(Payload::new(manifest, tar, Change::Nothing), Change::Nothing)
    }

    /// The digest of the manifest, and the archive.
    fn inner(&self, change: Change) -> (Digest, Vec<u8>) {
        let checked = self.manifest.clone().check().expect("parts that fit each other");
        let mut manifest = self.manifest_text.clone().unwrap_or_else(|| checked.write());
        if let Change::Manifest(edit) = change {
            manifest = edit(manifest);
        }
        let digest = Digest::of(&manifest);
        let names = checked.members().into_iter().map(|member| member.name);
        let mut members = vec![(manifest::MEMBER.to_owned(), manifest)];
        members.extend(names.zip(self.members.iter().cloned()));
        if let Change::Members(edit) = change {
            edit(&mut members);
        }
        let mut tar = archive::write(members.iter().map(|(name, content)| (&**name, &**content)));
        if let Change::Archive(edit) = change {
            edit(&mut tar);
        }
        (digest, tar)
    }

    fn payload(&self, change: Change) -> Payload {
        let (manifest, tar) = self.inner(change);
        Payload::new(manifest, &tar, change)
    }

    fn seal(
        &self,
        kind: ContainerKind,
        mut statement: Vec<u8>,
        evidence: &[Envelope],
        mut payload: Vec<u8>,
        change: Change,
    ) -> Forged {
        if let Change::Statement(edit) = change {
            statement = edit(statement);
        }
        let mut main = sign(&self.payload_type, &statement, &self.signers);
        if let Change::Envelope(edit) = change {
            edit(&mut main);
        }
        let mut lines = vec![main.write()];
        lines.extend(evidence.iter().map(Envelope::write));
        if let Change::Lines(edit) = change {
            edit(&mut lines);
        }
        let attestations: Vec<u8> = lines.into_iter().flat_map(|line| [line, b"\n".to_vec()].concat()).collect();
        if let Change::Payload(edit) = change {
            payload = edit(payload);
        }
        let mut file = archive::write([(ATTESTATIONS_MEMBER, &*attestations), (kind.payload_member(), &*payload)]);
        if let Change::File(edit) = change {
            edit(&mut file);
        }
        let (trust, first) = trust::forge(&self.roots, change);
        let host = Host { pinned: Some(self.host.pinned.unwrap_or(first)), ..self.host.clone() };
        Forged { file, bundle: None, trust, host }
    }
}

fn main(file: &[u8], kind: ContainerKind) -> Envelope {
    Container::read(file, kind).expect("a container").main
}

struct Payload {
    manifest: Digest,
    content: Content,
    frame: Vec<u8>,
}

impl Payload {
    fn new(manifest: Digest, tar: &[u8], change: Change) -> Self {
        let (frame, size) = match change {
            Change::Frame(edit) => (edit(tar), tar.len() as u64),
            Change::Sized(edit) => edit(tar),
            _ => (frame::compress(tar), tar.len() as u64),
        };
        Self { manifest, content: Content { sha256: Digest::of(tar), size }, frame }
    }
}

/// Signs a statement under a payload type, which need not be ours.
pub fn sign(payload_type: &str, statement: &[u8], hands: &[Hand]) -> Loose {
    let message = envelope::pae(payload_type, statement);
    let signatures = hands.iter().map(|hand| {
        let signature = key(hand.by).sign(&message).to_bytes();
        (key_id(hand.named).to_string(), STANDARD.encode(signature))
    });
    Loose {
        payload_type: payload_type.to_owned(),
        payload: STANDARD.encode(statement),
        signatures: signatures.collect(),
    }
}

/// A review by some people, in one envelope.
pub fn review(subject: &str, sha256: Digest, reviewers: &[&str]) -> Envelope {
    review_in(PROJECT, subject, sha256, reviewers)
}

/// The same, in a project of choice.
pub fn review_in(project: &str, subject: &str, sha256: Digest, reviewers: &[&str]) -> Envelope {
    let statement = Statement {
        subjects: vec![Subject { name: word(subject), sha256 }],
        predicate: Review {
            checklist: vec![Answer { answer: Verdict::Ok, item: word("read"), reason: None }],
            note: None,
            project: word(project),
            time: word("2027-01-15T09:00:00Z"),
        },
    };
    attach(Envelope::new(statement.write()).expect("a short statement"), reviewers)
}

/// Adds signatures to an envelope.
pub fn attach(mut envelope: Envelope, holders: &[&str]) -> Envelope {
    for holder in holders {
        let bytes = key(holder).sign(&envelope.signed_bytes()).to_bytes();
        envelope.attach(Signature { key_id: key_id(holder), bytes }).expect("a signature by a new key");
    }
    envelope
}

/// Replaces the only place where `from` stands in a text.
///
/// # Panics
/// When it stands nowhere: the vector would be no vector.
pub fn replaced(text: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(text).expect("UTF-8");
    assert!(text.contains(from), "`{from}` is not in `{text}`");
    text.replacen(from, to, 1).into_bytes()
}
