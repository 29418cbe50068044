//! Reviews: what a person signs after reading a unit, and where it is kept (`trust.md` section 5.2).
//!
//! One file per signature, `reviews/<id>/<unit8>.<key8>.intoto.json`, so that two reviewers never edit the same file. A
//! review is of a unit digest: any change of the unit leaves it behind, and a stale file harms nobody.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use sealift_spec::envelope::{Envelope, EnvelopeError};
use sealift_spec::key::KeyId;
use sealift_spec::manifest::Unit;
use sealift_spec::name::{Label, UnitId};
use sealift_spec::statement::{Answer, Review, Statement, StatementError, Subject, UNIT_SUBJECT};
use sealift_spec::{Digest, Timestamp};

use crate::project::Project;

/// Why reviews cannot be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReviewError {
    /// A file or folder cannot be read.
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file holds no envelope.
    Envelope {
        /// Which.
        path: PathBuf,
        /// Why.
        source: EnvelopeError,
    },
    /// An envelope holds no review.
    Statement {
        /// Which.
        path: PathBuf,
        /// Why.
        source: StatementError,
    },
    /// The answers do not cover the checklist, or the other way round.
    Checklist {
        /// The item that is missing or unknown.
        item: String,
    },
    /// The statement would be larger than an external signer signs.
    TooLarge {
        /// Why.
        source: EnvelopeError,
    },
}

impl fmt::Display for ReviewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, .. } => write!(f, "cannot read `{}`", path.display()),
            Self::Envelope { path, .. } | Self::Statement { path, .. } => {
                write!(f, "`{}` is no review", path.display())
            }
            Self::Checklist { item } => {
                write!(f, "checklist item `{}` is not answered, or not asked", sealift_spec::text::Plain(item))
            }
            Self::TooLarge { .. } => f.write_str("the review is too long to be signed"),
        }
    }
}

impl std::error::Error for ReviewError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Envelope { source, .. } | Self::TooLarge { source } => Some(source),
            Self::Statement { source, .. } => Some(source),
            Self::Checklist { .. } => None,
        }
    }
}

/// Where the review of a unit by a key is kept.
pub fn path(folder: &Path, unit: &Unit, key: KeyId) -> PathBuf {
    folder.join(unit.id.as_str()).join(format!("{}.{}.intoto.json", unit.digest().short(), key.short()))
}

/// An unsigned review of a unit, with one answer for every item of the project's checklist.
///
/// # Errors
/// [`ReviewError::Checklist`] or [`ReviewError::TooLarge`].
pub fn compose(
    unit: &Unit,
    project: &Project,
    mut answers: BTreeMap<Label, Answer>,
    note: Option<Label>,
    time: Timestamp,
) -> Result<Envelope, ReviewError> {
    let mut checklist = Vec::new();
    for item in project.checklist.keys() {
        let missing = || ReviewError::Checklist { item: item.to_string() };
        checklist.push(answers.remove(item).ok_or_else(missing)?);
    }
    if let Some(item) = answers.into_keys().next() {
        return Err(ReviewError::Checklist { item: item.to_string() });
    }
    let name = match UNIT_SUBJECT.parse() {
        Ok(name) => name,
        Err(error) => unreachable!("{error}"),
    };
    let predicate = Review { checklist, note, project: project.name.clone(), time };
    let statement = Statement { subjects: vec![Subject { name, sha256: unit.digest() }], predicate };
    Envelope::new(statement.write()).map_err(|source| ReviewError::TooLarge { source })
}

/// The envelopes that review a unit, by the key IDs they claim. Nothing is verified here: that is for whoever trusts keys.
///
/// # Errors
/// [`ReviewError`] when a file in the unit's folder is no review at all.
pub fn read(folder: &Path, id: &UnitId, digest: Digest) -> Result<BTreeMap<KeyId, Envelope>, ReviewError> {
    let folder = folder.join(id.as_str());
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| ReviewError::Io { path, source }
    };
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(io(&folder)(error)),
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = paths.collect::<Result<Vec<_>, _>>().map_err(io(&folder))?;
    // The order of a folder is nobody's promise, and packing twice must give the same bytes.
    paths.sort();
    let mut found = BTreeMap::new();
    for path in paths {
        let is_review =
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.ends_with(".intoto.json"));
        if !is_review {
            continue;
        }
        let mut bytes = std::fs::read(&path).map_err(io(&path))?;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        let envelope = Envelope::read(&bytes).map_err(|source| ReviewError::Envelope { path: path.clone(), source })?;
        let review = Statement::<Review>::read(envelope.payload())
            .map_err(|source| ReviewError::Statement { path: path.clone(), source })?;
        let about = |subject: &Subject| subject.name.as_str() == UNIT_SUBJECT && subject.sha256 == digest;
        if let [subject] = review.subjects.as_slice()
            && about(subject)
        {
            found.extend(envelope.signatures().iter().map(|signature| (signature.key_id, envelope.clone())));
        }
    }
    Ok(found)
}
