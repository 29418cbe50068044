//! From units to an unsigned bundle: manifest, payload, release statement (`bundle.md` sections 2 to 5).
//!
//! Equal arguments give equal bytes; nothing here reads a clock or a file.

use std::collections::BTreeMap;
use std::fmt;

use sealift_spec::archive;
use sealift_spec::container::{self, ContainerKind};
use sealift_spec::envelope::{Envelope, EnvelopeError};
use sealift_spec::manifest::{self, Direction, List, Manifest, ManifestError, Parts, Source};
use sealift_spec::name::{Label, Name, UnitId};
use sealift_spec::statement::{Content, PAYLOAD_MEMBER, Release, Statement, Subject};
use sealift_spec::{Digest, Timestamp, limit};
use zstd::zstd_safe::CParameter;

use crate::project::Project;
use crate::review::Reviews;
use crate::unit::Draft;

/// What a release is called, where and when it may run.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Its place in the order of releases.
    pub sequence: u64,
    /// What people call it.
    pub name: Label,
    /// Where it may run.
    pub environments: Vec<Name>,
    /// Not valid before this time.
    pub not_before: Timestamp,
    /// Not valid from this time on.
    pub not_after: Timestamp,
    /// The oldest root it may be judged under.
    pub min_root: u64,
    /// The heads to be reached; none means all.
    pub target: Vec<UnitId>,
    /// Units that may run although later ones have.
    pub out_of_order: Vec<UnitId>,
    /// Where the SQL came from.
    pub source: Source,
}

/// Why a bundle cannot be packed.
#[derive(Debug)]
#[non_exhaustive]
pub enum PackError {
    /// The parts of the manifest do not fit each other.
    Manifest(ManifestError),
    /// The manifest is larger than a reader accepts.
    ManifestTooLarge {
        /// Its size in bytes.
        size: usize,
    },
    /// `--out-of-order` or `--target` names no migration.
    Unknown {
        /// The id.
        id: UnitId,
    },
    /// The release statement is larger than an external signer signs.
    Statement(EnvelopeError),
    /// The environments are none, or one stands twice.
    Environments,
    /// It would expire before it becomes valid.
    Times,
    /// zstd failed.
    Compress(std::io::Error),
}

impl fmt::Display for PackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest(_) => f.write_str("the manifest would not be well formed"),
            Self::ManifestTooLarge { size } => {
                write!(f, "the manifest has {size} bytes, at most {} are read", limit::MANIFEST)
            }
            Self::Unknown { id } => write!(f, "there is no migration `{id}`"),
            Self::Statement(_) => f.write_str("the release statement is too long to be signed"),
            Self::Environments => f.write_str("a release names at least one environment, each once"),
            Self::Times => f.write_str("the release would expire before it becomes valid"),
            Self::Compress(_) => f.write_str("the payload cannot be compressed"),
        }
    }
}

impl std::error::Error for PackError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Manifest(error) => Some(error),
            Self::Statement(error) => Some(error),
            Self::Compress(error) => Some(error),
            _ => None,
        }
    }
}

/// A packed release, not signed yet.
pub struct Packed {
    /// The release envelope, without signatures.
    pub envelope: Envelope,
    /// The manifest.
    pub manifest: Manifest,
    /// The evidence, sorted.
    pub evidence: Vec<Envelope>,
    /// The payload.
    pub payload: Vec<u8>,
    /// The digest of the uncompressed tar.
    pub content: Content,
}

impl Packed {
    /// The file.
    pub fn write(&self) -> Vec<u8> {
        container::write(ContainerKind::Bundle, &self.envelope, &self.evidence, &self.payload)
    }
}

/// Packs units, the reviews of them, and the lists that those reviews are of.
///
/// # Errors
/// [`PackError`].
pub fn pack(project: &Project, drafts: &[Draft], terms: Terms, reviews: &Reviews) -> Result<Packed, PackError> {
    let Terms { sequence, name, mut environments, not_before, not_after, min_root, target, out_of_order, source } =
        terms;
    let known = |id: &&UnitId| drafts.iter().any(|draft| draft.unit.id == **id);
    if let Some(id) = target.iter().chain(&out_of_order).find(|id| !known(id)) {
        return Err(PackError::Unknown { id: id.clone() });
    }
    let asked = environments.len();
    environments.sort();
    environments.dedup();
    if environments.is_empty() || environments.len() != asked {
        return Err(PackError::Environments);
    }
    if not_after <= not_before {
        return Err(PackError::Times);
    }
    let units: Vec<_> = drafts.iter().map(|draft| draft.unit.clone()).collect();
    let heads = || -> Vec<UnitId> {
        let is_parent = |id: &UnitId| units.iter().any(|unit| unit.parents.contains(id));
        units.iter().map(|unit| &unit.id).filter(|id| !is_parent(id)).cloned().collect()
    };
    let target = if target.is_empty() { heads() } else { target };
    // A list holds more reviews than one, and a review more units than one: each travels once.
    let mut evidence: Vec<Envelope> = Vec::new();
    let mut lists: BTreeMap<Digest, Vec<u8>> = BTreeMap::new();
    for found in units.iter().flat_map(|unit| reviews.of(unit)) {
        match found.list {
            None => evidence.push(found.envelope.clone()),
            Some(list) => {
                if let Some(of) = reviews.lists().get(&list).filter(|_| !lists.contains_key(&list)) {
                    lists.insert(list, List::write(&of.units));
                    evidence.extend(of.reviews.iter().cloned());
                }
            }
        }
    }
    let list_entry = |(sha256, bytes): (&Digest, &Vec<u8>)| List { sha256: *sha256, size: bytes.len() as u64 };
    let manifest = Parts {
        baseline: project.baseline.clone(),
        flavour: project.flavour,
        lists: lists.iter().map(list_entry).collect(),
        min_version: project.min_version.clone(),
        project: project.name.clone(),
        release: manifest::Release { name: name.clone(), sequence },
        source,
        target,
        units,
    };
    let manifest = manifest.check().map_err(PackError::Manifest)?;
    let manifest_bytes = manifest.write();
    if manifest_bytes.len() > limit::MANIFEST {
        return Err(PackError::ManifestTooLarge { size: manifest_bytes.len() });
    }
    let mut tar = Vec::new();
    archive::append(manifest::MEMBER, &manifest_bytes, &mut tar);
    for (position, draft) in drafts.iter().enumerate() {
        archive::append(&manifest::member_name(position, Direction::Up), &draft.migration.up.sql, &mut tar);
        if let Some(down) = &draft.migration.down {
            archive::append(&manifest::member_name(position, Direction::Down), &down.sql, &mut tar);
        }
    }
    for list in manifest.lists() {
        archive::append(&list.member_name(), lists.get(&list.sha256).map_or(&[][..], Vec::as_slice), &mut tar);
    }
    archive::finish(&mut tar);
    let payload = compress(&tar).map_err(PackError::Compress)?;
    container::sort(&mut evidence);
    let describe = |bytes: &[u8]| Content { sha256: Digest::of(bytes), size: bytes.len() as u64 };
    let content = describe(&tar);
    let release = Release {
        content,
        environments,
        evidence: container::summarise(&evidence),
        min_root,
        name,
        not_after,
        not_before,
        out_of_order,
        payload: describe(&payload),
        project: project.name.clone(),
        sequence,
    };
    let subject = |name: &str, sha256| Subject { name: label(name), sha256 };
    let statement = Statement {
        subjects: vec![
            subject(PAYLOAD_MEMBER, release.payload.sha256),
            subject(manifest::MEMBER, Digest::of(&manifest_bytes)),
        ],
        predicate: release,
    };
    let envelope = Envelope::new(statement.write()).map_err(PackError::Statement)?;
    Ok(Packed { envelope, manifest, evidence, payload, content })
}

fn label(text: &str) -> Label {
    match text.parse() {
        Ok(label) => label,
        Err(error) => unreachable!("{error}"),
    }
}

/// zstd's default level: `pack` is to cost no more than `tar | zstd -3`. Its window of 2 MiB is well below the 8 MiB that
/// readers allow.
const LEVEL: i32 = 3;
fn compress(tar: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    compressor.set_parameter(CParameter::ContentSizeFlag(true))?;
    compressor.compress(tar)
}
