//! The vectors of `spec/vectors`: files that readers must accept or refuse, and the class of the refusal.
//!
//! One rejected vector differs from an accepted one by one [`Change`] or one edit of its text, so its verdict is that
//! change's doing. The catalogue lies in the modules below; [`write`] makes the files and their index, [`Judgement::of`] is
//! what the library says of one.

mod archive;
mod envelope;
mod frame;
mod permit;
mod record;
mod review;
mod text;
mod trust;

use std::error::Error;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use sealift_spec::archive::ArchiveError;
use sealift_spec::audit::{self, AuditError};
use sealift_spec::checkpoint::{CheckpointError, SignedCheckpoint};
use sealift_spec::container::ContainerError;
use sealift_spec::envelope::{Envelope, EnvelopeError};
use sealift_spec::history::{History, HistoryError, Row};
use sealift_spec::json::JsonError;
use sealift_spec::key::{KeyError, PublicKey};
use sealift_spec::manifest::{Flavour, Manifest};
use sealift_spec::name::Name;
use sealift_spec::policy::{Policy, PolicyError};
use sealift_spec::root::RootError;
use sealift_spec::statement::StatementError;
use sealift_spec::{Digest, Timestamp};
use sealift_verifier::audit::{Doubt, Log};
use sealift_verifier::bundle::{OpenError, Unreviewed};
use sealift_verifier::credentials;
use sealift_verifier::file::SealedFile;
use sealift_verifier::permit::{self as permits, PermitError};
use sealift_verifier::release::{self, Expected, VerifyError};
use sealift_verifier::signature::{self, KeyWeakness};
use sealift_verifier::trust::{Trust, TrustError, TrustFiles};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::forge::{Change, Forged, Host, World};

/// What reads a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// A bundle and the trust it is judged under: verified, opened, every unit judged.
    Bundle,
    /// Sealed credentials and the trust they are judged under.
    Credentials,
    /// A permit, the bundle it is for, and the trust both are judged under: every unit judged under the permit.
    Permit,
    /// A chain of roots, and a policy.
    Root,
    /// `manifest.json`.
    Manifest,
    /// One line of the attestations.
    Envelope,
    /// A policy.
    Policy,
    /// A public key in OpenSSH form, judged as at enrolment.
    Key,
    /// The rows of a history, as JSON lines of `body`, `seq`, `sha256`.
    History,
    /// An audit log.
    Audit,
    /// A log, a checkpoint of it and the keys that may sign one, as JSON of `checkpoint`, `keys`, `log`.
    Checkpoint,
}

const FORMS: [Form; 11] = [
    Form::Bundle,
    Form::Credentials,
    Form::Permit,
    Form::Root,
    Form::Manifest,
    Form::Envelope,
    Form::Policy,
    Form::Key,
    Form::History,
    Form::Audit,
    Form::Checkpoint,
];

impl Form {
    /// The folder of its files.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Bundle => "bundle",
            Self::Credentials => "credentials",
            Self::Permit => "permit",
            Self::Root => "root",
            Self::Manifest => "manifest",
            Self::Envelope => "envelope",
            Self::Policy => "policy",
            Self::Key => "key",
            Self::History => "history",
            Self::Audit => "audit",
            Self::Checkpoint => "checkpoint",
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Bundle => "sealift",
            Self::Credentials => "sealed",
            Self::Key => "pub",
            Self::History | Self::Audit => "jsonl",
            Self::Permit | Self::Root | Self::Manifest | Self::Envelope | Self::Policy | Self::Checkpoint => "json",
        }
    }
}

/// How a vector comes about.
#[derive(Clone, Copy)]
pub enum Origin {
    /// A world, and what is different in it.
    World(fn() -> World, Change),
    /// An accepted text, and how it is edited.
    Text(fn() -> Vec<u8>, fn(Vec<u8>) -> Vec<u8>),
}

/// One entry of the catalogue.
#[derive(Clone, Copy)]
pub struct Vector {
    /// Its name, which is unique.
    pub name: &'static str,
    /// What reads it.
    pub form: Form,
    /// The rows of the catalogue of attacks it stands for; `-` for accepted ones.
    pub row: &'static str,
    /// What it is, in one sentence.
    pub about: &'static str,
    /// `accepted`, or the class of the refusal.
    pub expect: &'static str,
    /// The cause inside the class, where there is one.
    pub cause: &'static str,
    /// How it comes about.
    pub origin: Origin,
}

/// What a judge is given: the files of a vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Material {
    /// A file, its trust and its host.
    Forged(Box<Forged>),
    /// A text alone.
    Text(Vec<u8>),
}

/// Every vector, in the order of the index.
pub fn all() -> Vec<Vector> {
    let mut vectors = Vec::new();
    vectors.extend(review::accepted());
    vectors.extend(archive::vectors());
    vectors.extend(frame::vectors());
    vectors.extend(envelope::vectors());
    vectors.extend(review::vectors());
    vectors.extend(permit::vectors());
    vectors.extend(trust::vectors());
    vectors.extend(text::vectors());
    vectors.extend(record::vectors());
    vectors
}

fn base() -> World {
    World::new(Flavour::Sqlite)
}

/// A rejected bundle that is the base but for one change.
fn bundle(
    name: &'static str,
    row: &'static str,
    about: &'static str,
    (expect, cause): (&'static str, &'static str),
    change: Change,
) -> Vector {
    Vector { name, form: Form::Bundle, row, about, expect, cause, origin: Origin::World(base, change) }
}

impl Vector {
    /// Whether it is to be accepted.
    pub fn is_accepted(&self) -> bool {
        self.expect == "accepted"
    }

    /// Its files, or those of the accepted vector it was made from.
    fn made(&self, changed: bool) -> Material {
        match self.origin {
            Origin::World(world, change) => {
                let change = if changed { change } else { Change::Nothing };
                let world = world();
                let forged = match self.form {
                    Form::Credentials => world.credentials(change),
                    Form::Permit => world.permit(change),
                    _ => world.bundle(change),
                };
                Material::Forged(Box::new(forged))
            }
            Origin::Text(text, edit) => Material::Text(if changed { edit(text()) } else { text() }),
        }
    }

    /// Its files.
    pub fn material(&self) -> Material {
        self.made(true)
    }

    /// What it would be if its one thing were undone.
    pub fn undone(&self) -> Material {
        self.made(false)
    }

    /// Where its file lies in the folder of vectors; absent for chains of roots, which have no file beside the trust.
    fn file(&self) -> Option<String> {
        (self.form != Form::Root).then(|| format!("{}/{}.{}", self.form.folder(), self.name, self.form.suffix()))
    }
}

/// What is said of a vector: `accepted` or a class, and the cause inside the class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// `accepted`, or the name of the error as the library calls it.
    pub class: String,
    /// The innermost error of ours behind it, or nothing.
    pub cause: String,
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.class, if self.cause.is_empty() { "" } else { " < " }, self.cause)
    }
}

/// The name of an error of ours, such as `VerifyError::Threshold`.
fn class(error: &(dyn Error + 'static)) -> Option<String> {
    macro_rules! known {
        ($($type:ident),*) => {
            $(if let Some(error) = error.downcast_ref::<$type>() {
                let text = format!("{error:?}");
                let end = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
                return Some(format!("{}::{}", stringify!($type), &text[..end]));
            })*
        };
    }
    known!(
        ArchiveError,
        AuditError,
        CheckpointError,
        ContainerError,
        Doubt,
        EnvelopeError,
        HistoryError,
        JsonError,
        KeyError,
        KeyWeakness,
        OpenError,
        PermitError,
        PolicyError,
        RootError,
        StatementError,
        TrustError,
        Unreviewed,
        VerifyError
    );
    None
}

impl Judgement {
    /// Judges the files of a vector with the library.
    ///
    /// # Panics
    /// When form and material do not fit each other, or an error is none of ours.
    pub fn of(form: Form, material: &Material) -> Self {
        let verdict = match material {
            Material::Forged(forged) => judge_forged(form, forged),
            Material::Text(text) => judge_text(form, text),
        };
        match verdict {
            Ok(()) => Self { class: "accepted".to_owned(), cause: String::new() },
            Err(error) => {
                let error: &(dyn Error + 'static) = &*error;
                let name = class(error).unwrap_or_else(|| panic!("an error of unknown type: {error:?}"));
                let chain = std::iter::successors(error.source(), |error: &&(dyn Error + 'static)| (*error).source());
                Self { class: name, cause: chain.filter_map(class).last().unwrap_or_default() }
            }
        }
    }
}

type Verdict = Result<(), Box<dyn Error>>;

fn judge_forged(form: Form, forged: &Forged) -> Verdict {
    let host = &forged.host;
    let files = TrustFiles::from_bytes(forged.trust.clone());
    let pinned = host.pinned.expect("filled in when it was forged");
    let trust = Trust::verify(&files, pinned, host.floor, host.now)?;
    let expected = Expected { project: host.project.clone(), environment: host.environment.clone(), now: host.now };
    let file = SealedFile::from_bytes(forged.file.clone());
    match form {
        Form::Root => {}
        Form::Credentials => {
            credentials::verify(file, &trust, &expected)?;
        }
        Form::Bundle => {
            let bundle = release::verify(file, &trust, &expected)?.open(&trust)?;
            for unit in bundle.manifest().units() {
                bundle.judge(&unit.id, &trust)?;
            }
        }
        Form::Permit => {
            let bundle = SealedFile::from_bytes(forged.bundle.clone().expect("a permit comes with a bundle"));
            let bundle = release::verify(bundle, &trust, &expected)?.open(&trust)?;
            let permit = permits::verify(file.bytes(), &trust, &bundle, host.now)?;
            for unit in bundle.manifest().units() {
                bundle.judge_under(&unit.id, &trust, Some(&permit))?;
            }
        }
        _ => panic!("{form:?} is a text"),
    }
    Ok(())
}

fn judge_text(form: Form, text: &[u8]) -> Verdict {
    match form {
        Form::Manifest => {
            Manifest::read(text)?;
        }
        Form::Envelope => {
            Envelope::read(text)?;
        }
        Form::Policy => {
            Policy::read(text)?;
        }
        Form::Key => {
            let key: PublicKey = std::str::from_utf8(text)?.parse()?;
            signature::check_key(&key)?;
        }
        Form::History => {
            History::read(rows(text)?)?;
        }
        Form::Audit => {
            audit::read(text)?;
        }
        Form::Checkpoint => {
            let WireCheckpoint { checkpoint, keys, log } = serde_json::from_slice(text)?;
            let checkpoint = SignedCheckpoint::read(checkpoint.as_bytes())?;
            Log::read(log.into_bytes())?.judge(&checkpoint, &keys)?;
        }
        Form::Bundle | Form::Credentials | Form::Permit | Form::Root => panic!("{form:?} is no text"),
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireCheckpoint {
    checkpoint: String,
    keys: Vec<PublicKey>,
    log: String,
}

#[derive(Deserialize)]
struct WireRow {
    body: String,
    seq: u64,
    sha256: String,
}

fn rows(text: &[u8]) -> Result<Vec<Row>, serde_json::Error> {
    let rows = serde_json::Deserializer::from_slice(text).into_iter();
    rows.map(|row| row.map(|WireRow { body, seq, sha256 }| Row { seq, body, sha256 })).collect()
}

/// An entry of the index, as another implementation would read it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What it is.
    pub about: String,
    /// The bundle that a permit is for.
    #[serde(default)]
    pub bundle: Option<String>,
    /// The cause inside the class.
    #[serde(default)]
    pub cause: String,
    /// `accepted`, or a class.
    pub expect: String,
    /// Its file, beside the trust.
    #[serde(default)]
    pub file: Option<String>,
    /// The host, where it is not the common one.
    #[serde(default)]
    pub host: Option<WireHost>,
    /// What reads it.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The rows of the catalogue it stands for.
    pub row: String,
    /// The folder of its trust.
    #[serde(default)]
    pub trust: Option<String>,
}

/// The host in the index.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct WireHost {
    environment: Name,
    now: Timestamp,
    project: Name,
    root_floor: u64,
    root_sha256: Digest,
}

/// The index.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// The common host.
    pub host: WireHost,
    /// The version of this index.
    pub schema: String,
    /// Every vector.
    pub vectors: Vec<Entry>,
}

/// Reads the index of a folder.
///
/// # Errors
/// What the system says, or what is wrong with the index.
pub fn index(folder: &Path) -> io::Result<Index> {
    Ok(serde_json::from_slice(&fs::read(folder.join("vectors.json"))?)?)
}

impl Index {
    /// Reads the files of an entry.
    ///
    /// # Errors
    /// What the system says.
    pub fn material(&self, folder: &Path, entry: &Entry) -> io::Result<(Form, Material)> {
        let form = FORMS.into_iter().find(|form| form.folder() == entry.kind);
        let form = form.ok_or_else(|| io::Error::other(format!("the kind `{}` is unknown", entry.kind)))?;
        let file = entry.file.as_ref().map(|file| fs::read(folder.join(file))).transpose()?.unwrap_or_default();
        let Some(trust) = &entry.trust else { return Ok((form, Material::Text(file))) };
        let trust = folder.join(trust);
        let mut files = Vec::new();
        for number in 1.. {
            let root = trust.join(format!("{number}.root.json"));
            if !root.try_exists()? {
                break;
            }
            files.push((fs::read(root)?, fs::read(trust.join(format!("{number}.policy.json")))?));
        }
        let WireHost { environment, now, project, root_floor, root_sha256 } =
            entry.host.clone().unwrap_or_else(|| self.host.clone());
        let host = Host { project, environment, now, pinned: Some(root_sha256), floor: root_floor };
        let bundle = entry.bundle.as_ref().map(|bundle| fs::read(folder.join(bundle))).transpose()?;
        Ok((form, Material::Forged(Box::new(Forged { file, bundle, trust: files, host }))))
    }
}

/// What the host of most vectors is.
fn common_host() -> Value {
    host(&base().bundle(Change::Nothing))
}

fn host(forged: &Forged) -> Value {
    let host = &forged.host;
    json!({
        "environment": host.environment, "now": host.now, "project": host.project, "rootFloor": host.floor,
        "rootSha256": host.pinned,
    })
}

/// Writes every vector and the index into a folder in place of those that are there.
///
/// # Errors
/// What the system says.
pub fn replace(folder: &Path) -> io::Result<()> {
    for old in FORMS.map(Form::folder).into_iter().chain(["trust"]) {
        match fs::remove_dir_all(folder.join(old)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    write(folder)
}

/// Writes every vector and the index into a folder, which should be empty.
///
/// # Errors
/// What the system says.
pub fn write(folder: &Path) -> io::Result<()> {
    let put = |path: &str, bytes: &[u8]| -> io::Result<()> {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().expect("a folder"))?;
        fs::write(path, bytes)
    };
    let common = base().bundle(Change::Nothing);
    let put_trust = |name: &str, trust: &[(Vec<u8>, Vec<u8>)]| -> io::Result<()> {
        for (index, (root, policy)) in trust.iter().enumerate() {
            put(&format!("{name}/{}.root.json", index + 1), root)?;
            put(&format!("{name}/{}.policy.json", index + 1), policy)?;
        }
        Ok(())
    };
    put_trust("trust/common", &common.trust)?;
    let guarded = World::guarded().permit(Change::Nothing);
    put_trust("trust/guarded", &guarded.trust)?;
    let mut entries = Vec::new();
    for vector in all() {
        let mut entry = json!({
            "about": vector.about, "expect": vector.expect, "kind": vector.form.folder(), "name": vector.name,
            "row": vector.row,
        });
        if !vector.cause.is_empty() {
            entry["cause"] = vector.cause.into();
        }
        if let Some(file) = vector.file() {
            entry["file"] = file.into();
        }
        match vector.material() {
            Material::Text(text) => put(&vector.file().expect("a text has a file"), &text)?,
            Material::Forged(forged) => {
                if let Some(file) = vector.file() {
                    put(&file, &forged.file)?;
                }
                let shared = match vector.form {
                    Form::Root => None,
                    _ if forged.trust == common.trust => Some("trust/common"),
                    _ if forged.trust == guarded.trust => Some("trust/guarded"),
                    _ => None,
                };
                let trust = shared.map_or_else(|| format!("trust/{}", vector.name), str::to_owned);
                if shared.is_none() {
                    put_trust(&trust, &forged.trust)?;
                }
                if let Some(bundle) = &forged.bundle {
                    let shared = forged.bundle == guarded.bundle;
                    let name = if shared { "guarded" } else { vector.name };
                    let path = format!("permit/{name}.sealift");
                    put(&path, bundle)?;
                    entry["bundle"] = path.into();
                }
                entry["trust"] = trust.into();
                let host = host(&forged);
                if host != common_host() {
                    entry["host"] = host;
                }
            }
        }
        entries.push(entry);
    }
    let index = json!({ "host": common_host(), "schema": "urn:sealift:vectors:v1", "vectors": entries });
    put("vectors.json", format!("{index:#}\n").as_bytes())
}
