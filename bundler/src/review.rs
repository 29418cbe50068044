//! Reviews: what a person signs after reading a unit, and where it is kept (`trust.md` section 5.2).
//!
//! One file per signature, `reviews/<id>/<unit8>.<key8>.intoto.json`, so that two reviewers never edit the same file. A
//! review is of a unit digest: any change of the unit leaves it behind, and a stale file harms nobody. A review of many
//! units at once is of a list of their digests, which lies in `reviews/lists/<digest>.list` with its reviews beside it,
//! `<list8>.<key8>.intoto.json`; a unit that changes falls out of it, and the others stay.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use sealift_spec::envelope::{Envelope, EnvelopeError};
use sealift_spec::key::KeyId;
use sealift_spec::manifest::{List, Unit};
use sealift_spec::name::{Label, UnitId};
use sealift_spec::statement::{Answer, Review, Statement, StatementError, Subject, UNIT_SUBJECT, UNITS_SUBJECT};
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
    /// A review is not about one thing.
    Subjects {
        /// Which.
        path: PathBuf,
    },
    /// A list is not what its name says, or none at all.
    List {
        /// Which.
        path: PathBuf,
    },
    /// A review is of a list that does not lie beside it.
    NoList {
        /// Which review.
        path: PathBuf,
        /// Which list.
        list: Digest,
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
            Self::Subjects { path } => write!(f, "`{}` does not review exactly one subject", path.display()),
            Self::List { path } => {
                write!(f, "`{}` is not the list of unit digests that its name says", path.display())
            }
            Self::NoList { path, list } => {
                write!(f, "`{}` reviews the list {list}, which does not lie beside it", path.display())
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
            Self::Checklist { .. } | Self::List { .. } | Self::NoList { .. } | Self::Subjects { .. } => None,
        }
    }
}

/// What a review is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About<'u> {
    /// One unit.
    Unit(&'u Unit),
    /// All units of a list, by its digest.
    List(Digest),
}

impl About<'_> {
    fn digest(self) -> Digest {
        match self {
            Self::Unit(unit) => unit.digest(),
            Self::List(list) => list,
        }
    }

    /// Where the review by a key is kept.
    pub fn path(self, folder: &Path, key: KeyId) -> PathBuf {
        let folder = match self {
            Self::Unit(unit) => folder.join(unit.id.as_str()),
            Self::List(_) => folder.join(LISTS),
        };
        folder.join(format!("{}.{}.intoto.json", self.digest().short(), key.short()))
    }
}

/// The folder of the lists, among the reviews.
const LISTS: &str = "lists";

/// Where a list is kept.
pub fn list_path(folder: &Path, list: Digest) -> PathBuf {
    folder.join(LISTS).join(format!("{list}.list"))
}

/// An unsigned review, with one answer for every item of the project's checklist.
///
/// # Errors
/// [`ReviewError::Checklist`] or [`ReviewError::TooLarge`].
pub fn compose(
    about: About<'_>,
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
    let name = match about {
        About::Unit(_) => UNIT_SUBJECT,
        About::List(_) => UNITS_SUBJECT,
    };
    let name = match name.parse() {
        Ok(name) => name,
        Err(error) => unreachable!("{error}"),
    };
    let predicate = Review { checklist, note, project: project.name.clone(), time };
    let statement = Statement { subjects: vec![Subject { name, sha256: about.digest() }], predicate };
    Envelope::new(statement.write()).map_err(|source| ReviewError::TooLarge { source })
}

/// All reviews that lie in a project's folder. Nothing is verified here: that is for whoever trusts keys.
#[derive(Debug, Default)]
pub struct Reviews {
    units: BTreeMap<UnitId, Vec<(Digest, Envelope)>>,
    lists: BTreeMap<Digest, Reviewed>,
}

/// A list and its reviews.
#[derive(Debug, Default)]
pub struct Reviewed {
    /// The unit digests in it.
    pub units: BTreeSet<Digest>,
    /// The reviews of it.
    pub reviews: Vec<Envelope>,
}

/// One review that counts for a unit, if its signatures do.
#[derive(Debug, Clone, Copy)]
pub struct Found<'r> {
    /// The review.
    pub envelope: &'r Envelope,
    /// The list that it is of, if it is not of the unit itself.
    pub list: Option<Digest>,
}

impl Reviews {
    /// Reads the reviews of units, and all lists with their reviews.
    ///
    /// # Errors
    /// [`ReviewError`] when a file that should be a review or a list is none.
    pub fn read<'i>(folder: &Path, ids: impl IntoIterator<Item = &'i UnitId>) -> Result<Self, ReviewError> {
        let mut reviews = Self::default();
        for id in ids {
            for path in files(&folder.join(id.as_str()), REVIEW)? {
                let (subject, envelope) = read_envelope(&path)?;
                if subject.name.as_str() == UNIT_SUBJECT {
                    reviews.units.entry(id.clone()).or_default().push((subject.sha256, envelope));
                }
            }
        }
        let folder = folder.join(LISTS);
        for path in files(&folder, ".list")? {
            let bytes = std::fs::read(&path).map_err(|source| ReviewError::Io { path: path.clone(), source })?;
            let (digest, units) = (Digest::of(&bytes), List::read(&bytes));
            let named = path.file_name() == list_path(&folder, digest).file_name();
            let units = units.filter(|_| named).ok_or(ReviewError::List { path })?;
            reviews.lists.insert(digest, Reviewed { units, reviews: Vec::new() });
        }
        for path in files(&folder, REVIEW)? {
            let (subject, envelope) = read_envelope(&path)?;
            if subject.name.as_str() == UNITS_SUBJECT {
                let list = reviews.lists.get_mut(&subject.sha256);
                list.ok_or(ReviewError::NoList { path, list: subject.sha256 })?.reviews.push(envelope);
            }
        }
        Ok(reviews)
    }

    /// The reviews of a unit as it is now, its own first.
    pub fn of<'r>(&'r self, unit: &Unit) -> impl Iterator<Item = Found<'r>> {
        let digest = unit.digest();
        let own = self.units.get(&unit.id).into_iter().flatten().filter(move |(about, _)| *about == digest);
        let own = own.map(|(_, envelope)| Found { envelope, list: None });
        let lists = self.lists.iter().filter(move |(_, list)| list.units.contains(&digest));
        own.chain(
            lists
                .flat_map(|(digest, list)| list.reviews.iter().map(|envelope| Found { envelope, list: Some(*digest) })),
        )
    }

    /// The reviews of a unit as it was once, by the unit digest then.
    pub fn stale<'r>(&'r self, unit: &Unit) -> impl Iterator<Item = (Digest, &'r Envelope)> {
        let digest = unit.digest();
        let reviews = self.units.get(&unit.id).into_iter().flatten();
        reviews.filter(move |(about, _)| *about != digest).map(|(about, envelope)| (*about, envelope))
    }

    /// The lists by digest.
    pub fn lists(&self) -> &BTreeMap<Digest, Reviewed> {
        &self.lists
    }
}

const REVIEW: &str = ".intoto.json";

/// The files of a folder whose names end so, sorted; none where there is no folder.
fn files(folder: &Path, suffix: &str) -> Result<Vec<PathBuf>, ReviewError> {
    let io = |source| ReviewError::Io { path: folder.to_owned(), source };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io(error)),
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = paths.collect::<Result<Vec<_>, _>>().map_err(io)?;
    paths.retain(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.ends_with(suffix)));
    // The order of a folder is nobody's promise, and packing twice must give the same bytes.
    paths.sort();
    Ok(paths)
}

/// A review, and its one subject.
fn read_envelope(path: &Path) -> Result<(Subject, Envelope), ReviewError> {
    let mut bytes = std::fs::read(path).map_err(|source| ReviewError::Io { path: path.to_owned(), source })?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    let envelope = Envelope::read(&bytes).map_err(|source| ReviewError::Envelope { path: path.to_owned(), source })?;
    let review = Statement::<Review>::read(envelope.payload())
        .map_err(|source| ReviewError::Statement { path: path.to_owned(), source })?;
    let subject = <[Subject; 1]>::try_from(review.subjects);
    let [subject] = subject.map_err(|_| ReviewError::Subjects { path: path.to_owned() })?;
    Ok((subject, envelope))
}
