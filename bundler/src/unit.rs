//! From migrations to units: directives, statements, parents, timeouts.

use std::fmt;

use sealift_spec::Digest;
use sealift_spec::manifest::{Direction, Engine, Flavour, Kind, Mode, Script, Timeouts, Unit};
use sealift_spec::name::UnitId;

use crate::directive::{self, DirectiveError};
use crate::project::Project;
use crate::source::{Migration, MigrationSet, SourceFile};
use crate::split::{self, Request, SplitError};

/// Why a migration cannot become a unit.
#[derive(Debug)]
#[non_exhaustive]
pub enum UnitError {
    /// A directive is not understood.
    Directive {
        /// The file.
        file: String,
        /// Why.
        source: DirectiveError,
    },
    /// The script cannot be split.
    Split {
        /// The file.
        file: String,
        /// Why.
        source: Box<SplitError>,
    },
    /// A parent is no migration that comes before.
    Parent {
        /// The file.
        file: String,
        /// The parent.
        parent: UnitId,
    },
    /// A directive stands where it steers nothing.
    Misplaced {
        /// The file.
        file: String,
        /// The directive.
        directive: &'static str,
        /// Where it would count.
        place: &'static str,
    },
    /// The up and down script of a SQLite migration want foreign keys both on and off.
    ForeignKeys {
        /// The file.
        file: String,
    },
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directive { file, .. } | Self::Split { file, .. } => write!(f, "`{file}` cannot be packed"),
            Self::Parent { file, parent } => {
                write!(f, "`{file}` names parent `{parent}`, which is no earlier migration")
            }
            Self::Misplaced { file, directive, place } => {
                write!(f, "`{file}` says `{directive}`, which counts only in {place}")
            }
            Self::ForeignKeys { file } => {
                write!(f, "`{file}` and its other script want foreign keys both on and off")
            }
        }
    }
}

impl std::error::Error for UnitError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Directive { source, .. } => Some(source),
            Self::Split { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl UnitError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Directive { .. } => Some(directive::HINT.to_owned()),
            Self::Split { source, .. } => source.hint().map(|hint| hint.to_string()),
            Self::Misplaced { place, .. } => Some(format!("move it to {place}, or remove it")),
            Self::Parent { .. } => Some("name a migration with a lower version, or `parents=none`".to_owned()),
            Self::ForeignKeys { .. } => Some("say `-- sealift: foreign-keys=on` or `=off` on top of both".to_owned()),
        }
    }
}

/// A unit with the bytes of its scripts and what is to be said about them.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The unit.
    pub unit: Unit,
    /// The migration it was made from.
    pub migration: Migration,
    /// Warnings: file, line, words.
    pub warnings: Vec<(String, usize, String)>,
}

struct Prepared {
    script: Script,
    directives: directive::Directives,
    foreign_keys: Option<bool>,
}

fn prepare(
    direction: Direction,
    file: &SourceFile,
    project: &Project,
    warnings: &mut Vec<(String, usize, String)>,
) -> Result<Prepared, UnitError> {
    let name = file.name.to_string();
    // The splitter reports what is not UTF-8; there are no directives in such a file.
    let text = std::str::from_utf8(&file.sql).unwrap_or_default();
    let directives = directive::read(text).map_err(|source| UnitError::Directive { file: name.clone(), source })?;
    let misplaced = |directive, place| UnitError::Misplaced { file: name.clone(), directive, place };
    if directives.foreign_keys.is_some() && project.flavour != Flavour::Sqlite {
        return Err(misplaced("foreign-keys", "a project for sqlite"));
    }
    if direction == Direction::Down {
        let stray = [
            (directives.author.is_some(), "author"),
            (directives.parents.is_some(), "parents"),
            (directives.lock_ms.is_some(), "lock-timeout"),
            (directives.statement_ms.is_some(), "statement-timeout"),
        ];
        if let Some((_, directive)) = stray.into_iter().find(|(said, _)| *said) {
            return Err(misplaced(directive, "the up script"));
        }
    }
    let request = Request { no_transaction: directives.no_transaction };
    let view = split::view(project.flavour, &file.sql, request)
        .map_err(|source| UnitError::Split { file: name.clone(), source: Box::new(source) })?;
    let late = "this directive is not among the comment lines on top of the file, and steers nothing: move it there";
    warnings.extend(directive::ignored(text).into_iter().map(|line| (name.clone(), line, late.to_owned())));
    if direction == Direction::Up && view.statements.iter().all(|statement| statement.kind == Kind::Skip) {
        warnings.push((name.clone(), 1, "does nothing: there is no statement in it".to_owned()));
    }
    warnings.extend(view.warnings.into_iter().map(|warning| (name.clone(), warning.line, warning.text)));
    let foreign_keys = directives.foreign_keys.or(view.foreign_keys);
    let script = Script {
        file: file.name.clone(),
        mode: view.mode,
        not_resumable: view.not_resumable,
        sha256: Digest::of(&file.sql),
        size: file.sql.len() as u64,
        statements: view.statements,
    };
    Ok(Prepared { script, directives, foreign_keys })
}

/// Makes the units of a project, parents first.
///
/// # Errors
/// [`UnitError`] for the first migration that cannot become one.
pub fn draft(set: MigrationSet, project: &Project) -> Result<Vec<Draft>, UnitError> {
    let baseline = project.baseline.digest();
    let engine = project.flavour.engine();
    let mut drafts: Vec<Draft> = Vec::new();
    for mut migration in set.migrations {
        let file = migration.up.name.to_string();
        let mut warnings = Vec::new();
        let up = prepare(Direction::Up, &migration.up, project, &mut warnings)?;
        if migration.down.is_none() {
            warnings.push((file.clone(), 1, "there is no down script: this migration cannot be reverted".to_owned()));
        }
        let down = match migration
            .down
            .as_ref()
            .map(|down| prepare(Direction::Down, down, project, &mut warnings))
            .transpose()
        {
            // A way back that is no SQL is no way back. The migration itself is none the worse for it, and real directories
            // hold such files for years: say so, and pack it like a migration that never had one.
            Err(UnitError::Split { file, source }) if matches!(*source, SplitError::Syntax { .. }) => {
                warnings.push((
                    file,
                    source.line(),
                    format!("left out, so this migration cannot be reverted: {source}"),
                ));
                migration.down = None;
                None
            }
            down => down?,
        };
        let said = [Some(&up), down.as_ref()];
        let mut foreign_keys = said.iter().flatten().filter_map(|prepared| prepared.foreign_keys);
        let first = foreign_keys.next();
        if foreign_keys.any(|other| Some(other) != first) {
            return Err(UnitError::ForeignKeys { file });
        }
        let parents = match up.directives.parents {
            Some(parents) => parents,
            None => drafts.last().map(|draft| draft.unit.id.clone()).into_iter().collect(),
        };
        if let Some(parent) = parents.iter().find(|parent| !drafts.iter().any(|draft| draft.unit.id == **parent)) {
            return Err(UnitError::Parent { file, parent: parent.clone() });
        }
        let timeouts = Timeouts {
            lock_ms: up.directives.lock_ms.unwrap_or(project.timeouts.lock_ms),
            statement_ms: up.directives.statement_ms.unwrap_or(project.timeouts.statement_ms),
        };
        let unit = Unit {
            author: up.directives.author.unwrap_or_else(|| project.author.clone()),
            baseline,
            down: down.map(|down| down.script),
            engine,
            flavour: project.flavour,
            foreign_keys: (engine == Engine::Sqlite).then(|| first.unwrap_or(false)),
            id: migration.id.clone(),
            name: migration.name.clone(),
            parents,
            project: project.name.clone(),
            timeouts,
            up: up.script,
        };
        drafts.push(Draft { unit, migration, warnings });
    }
    Ok(drafts)
}

/// How a mode reads in listings.
pub fn mode_words(mode: Mode) -> &'static str {
    match mode {
        Mode::Transaction => "one transaction",
        Mode::Statements => "statement by statement",
    }
}
