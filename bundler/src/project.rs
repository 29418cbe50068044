//! `sealift.toml`: what a project says of all its migrations (`bundle.md` section 9).

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use sealift_spec::baseline;
use sealift_spec::manifest::{Baseline, Flavour, ServerVersion, Timeouts};
use sealift_spec::name::{Label, Name, Person};
use serde::Deserialize;

/// The name of the settings file.
pub const FILE: &str = "sealift.toml";

/// The settings of a project.
#[derive(Debug, Clone)]
pub struct Project {
    /// The folder that holds `sealift.toml`.
    pub folder: PathBuf,
    /// The project's name.
    pub name: Name,
    /// The database program its SQL is written for.
    pub flavour: Flavour,
    /// The oldest server version its SQL is written for.
    pub min_version: ServerVersion,
    /// The folder of the migrations.
    pub migrations: PathBuf,
    /// The folder of the reviews.
    pub reviews: PathBuf,
    /// Who writes migrations that do not say so.
    pub author: Person,
    /// Session settings in force when a script starts.
    pub baseline: Baseline,
    /// How long a migration may wait and run.
    pub timeouts: Timeouts,
    /// What reviewers are asked: name and question, in alphabetical order of the names.
    pub checklist: BTreeMap<Label, String>,
}

/// Why the settings of a project cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProjectError {
    /// There is no `sealift.toml` here or above.
    Missing {
        /// Where the search began.
        folder: PathBuf,
    },
    /// The file cannot be read.
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not of the format.
    Toml {
        /// The file.
        path: PathBuf,
        /// Why, with line and column.
        source: Box<toml::de::Error>,
    },
    /// A session setting is not one that a baseline can have.
    Setting {
        /// The file.
        path: PathBuf,
        /// The setting.
        name: String,
        /// The database program.
        flavour: Flavour,
    },
}

impl fmt::Display for ProjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { folder } => write!(f, "there is no `{FILE}` in `{}` or above", folder.display()),
            Self::Io { path, .. } => write!(f, "cannot read `{}`", path.display()),
            Self::Toml { path, .. } => write!(f, "`{}` is not well formed", path.display()),
            Self::Setting { path, name, flavour } => write!(
                f,
                "`{}` sets `{}` in [baseline], which is no setting that a baseline for {flavour} can have",
                path.display(),
                sealift_spec::text::Plain(name)
            ),
        }
    }
}

impl std::error::Error for ProjectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Toml { source, .. } => Some(source),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Wire {
    project: Name,
    engine: Flavour,
    min_version: Option<ServerVersion>,
    #[serde(default = "default_migrations")]
    migrations: PathBuf,
    #[serde(default = "default_reviews")]
    reviews: PathBuf,
    author: Option<Person>,
    #[serde(default)]
    baseline: BTreeMap<String, String>,
    timeouts: Option<WireTimeouts>,
    review: Option<WireReview>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WireTimeouts {
    lock_ms: Option<u32>,
    statement_ms: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireReview {
    checklist: BTreeMap<Label, String>,
}

fn default_migrations() -> PathBuf {
    PathBuf::from("migrations")
}

fn default_reviews() -> PathBuf {
    PathBuf::from("reviews")
}

impl Project {
    /// Finds `sealift.toml` in `folder` or above and reads it.
    ///
    /// # Errors
    /// [`ProjectError`].
    pub fn find(folder: &Path) -> Result<Self, ProjectError> {
        let missing = || ProjectError::Missing { folder: folder.to_owned() };
        let start =
            std::fs::canonicalize(folder).map_err(|source| ProjectError::Io { path: folder.to_owned(), source })?;
        let home = start.ancestors().find(|folder| folder.join(FILE).is_file()).ok_or_else(missing)?;
        Self::read(home)
    }

    /// Reads `sealift.toml` of a folder.
    ///
    /// # Errors
    /// [`ProjectError`].
    pub fn read(folder: &Path) -> Result<Self, ProjectError> {
        let path = folder.join(FILE);
        let text = std::fs::read_to_string(&path).map_err(|source| ProjectError::Io { path: path.clone(), source })?;
        let wire: Wire = toml::from_str(&text)
            .map_err(|error| ProjectError::Toml { path: path.clone(), source: Box::new(error) })?;
        let flavour = wire.engine;
        let mut settings = baseline::defaults(flavour);
        for (name, value) in wire.baseline {
            match settings.get_mut(&name) {
                Some(setting) => *setting = value,
                None => return Err(ProjectError::Setting { path, name, flavour }),
            }
        }
        let timeouts = wire.timeouts.unwrap_or(WireTimeouts { lock_ms: None, statement_ms: None });
        let defaults = default_timeouts(flavour);
        Ok(Self {
            folder: folder.to_owned(),
            name: wire.project,
            flavour,
            min_version: wire.min_version.unwrap_or_else(|| default_min_version(flavour)),
            migrations: folder.join(wire.migrations),
            reviews: folder.join(wire.reviews),
            author: wire.author.unwrap_or_else(unknown),
            baseline: Baseline(settings),
            timeouts: Timeouts {
                lock_ms: timeouts.lock_ms.unwrap_or(defaults.lock_ms),
                statement_ms: timeouts.statement_ms.unwrap_or(defaults.statement_ms),
            },
            checklist: wire.review.map_or_else(|| default_checklist(flavour), |review| review.checklist),
        })
    }
}

/// The author of migrations whose author nobody names.
fn unknown() -> Person {
    match "unknown".parse() {
        Ok(person) => person,
        Err(error) => unreachable!("{error}"),
    }
}

fn default_min_version(flavour: Flavour) -> ServerVersion {
    let text = match flavour {
        Flavour::Postgresql => "13",
        Flavour::Mysql => "8.0",
        Flavour::Mariadb => "10.6",
        Flavour::Sqlite => "3.35",
    };
    match text.parse() {
        Ok(version) => version,
        Err(error) => unreachable!("{error}"),
    }
}

/// Three seconds for a lock (five on MySQL, whose DDL waits for metadata locks), five minutes for a statement.
fn default_timeouts(flavour: Flavour) -> Timeouts {
    let lock_ms = match flavour {
        Flavour::Mysql | Flavour::Mariadb => 5_000,
        Flavour::Postgresql | Flavour::Sqlite => 3_000,
    };
    Timeouts { lock_ms, statement_ms: 300_000 }
}

/// What reviewers are asked where a project has no list of its own.
fn default_checklist(flavour: Flavour) -> BTreeMap<Label, String> {
    let locks = match flavour {
        Flavour::Postgresql => {
            "locks are short: no table is rewritten or scanned under a strong lock; indexes are built CONCURRENTLY"
        }
        Flavour::Mysql | Flavour::Mariadb => "every ALTER is INSTANT or INPLACE, or its copy is acceptable here",
        Flavour::Sqlite => {
            "tables that are rebuilt are small enough, and their triggers, indexes and views are made again"
        }
    };
    [
        ("logic", "it does what its name says, and nothing else"),
        ("idempotence", "running it after an interruption is safe, or it runs in one transaction"),
        ("down", "the down script restores what was there, and was run"),
        ("dynamic-sql", "no SQL is put together from data without quoting"),
        ("data-loss", "no data is lost that is still needed, or there is a backup of it"),
        ("privileges", "no grant, owner, definer or policy gives more than is needed"),
        ("sensitive", "columns with personal or secret data are protected as they must be"),
        ("locks", locks),
        ("constraints", "new constraints hold for the rows that exist"),
    ]
    .into_iter()
    .filter_map(|(name, question)| Some((name.parse().ok()?, question.to_owned())))
    .collect()
}

/// The text of a new project's `sealift.toml`.
pub fn template(name: &Name, flavour: Flavour) -> String {
    let defaults = default_timeouts(flavour);
    let settings: String =
        baseline::defaults(flavour).iter().map(|(name, value)| format!("# {name} = {value:?}\n")).collect();
    let checklist: String =
        default_checklist(flavour).iter().map(|(name, question)| format!("# {name} = {question:?}\n")).collect();
    format!(
        r#"# Settings of all migrations of this project. Lines with `#` show the defaults.

project = "{name}"
engine = "{flavour}"                # postgresql, mariadb, mysql or sqlite
# min-version = "{min_version}"             # oldest server the SQL is written for
# migrations = "migrations"         # <version>_<name>.up.sql, .down.sql beside it
# reviews = "reviews"               # signed reviews, committed with the migrations
# author = "a@example.com"          # of migrations without `-- sealift: author=`

[timeouts]                          # of migrations without directives of their own; 0 is no limit
# lock-ms = {lock}
# statement-ms = {statement}

[baseline]                          # session settings in force when a migration starts
{settings}
# [review.checklist]                # what reviewers are asked; a list here replaces the default one
{checklist}"#,
        min_version = default_min_version(flavour),
        lock = defaults.lock_ms,
        statement = defaults.statement_ms,
    )
}
