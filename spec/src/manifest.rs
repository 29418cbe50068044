//! `manifest.json`: what a bundle would do, unit by unit (`bundle.md` section 4).
//!
//! Attack -> defence. Re-cut, re-ordered, re-timed or re-aimed SQL: everything that shapes execution stands in the unit
//! entry, and reviews sign the SHA-256 of that entry's exact bytes. Gaps and overlaps: a statement stores only where it
//! ends, so ranges tile by construction; the last must end at the script's size. A parent that comes later, an unknown
//! parent, two units with one id, a unit of another project, engine or baseline: refused here, before anything is judged.
//! Statement kinds are claims of the bundler that reviewers see; the runner checks what it relies on against the server.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::json::{self, JsonError};
use crate::name::{Label, Name, Person, UnitId};
use crate::{Digest, limit};

/// The `schema` of this version.
pub const SCHEMA: &str = "urn:sealift:manifest:v1";
/// The name of the manifest inside a payload.
pub const MEMBER: &str = "manifest.json";

/// The database engine that a bundle is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// PostgreSQL.
    Postgresql,
    /// MySQL or MariaDB; [`Flavour`] says which.
    Mysql,
    /// SQLite.
    Sqlite,
}

/// The program behind the engine. MySQL and MariaDB read the same bytes differently (`/*!`, `/*M!`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flavour {
    /// PostgreSQL.
    Postgresql,
    /// Oracle MySQL.
    Mysql,
    /// MariaDB.
    Mariadb,
    /// SQLite.
    Sqlite,
}

impl Flavour {
    /// The engine of this flavour.
    pub fn engine(self) -> Engine {
        match self {
            Self::Postgresql => Engine::Postgresql,
            Self::Mysql | Self::Mariadb => Engine::Mysql,
            Self::Sqlite => Engine::Sqlite,
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgresql => "postgresql",
            Self::Mysql => "mysql",
            Self::Sqlite => "sqlite",
        })
    }
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgresql => "postgresql",
            Self::Mysql => "mysql",
            Self::Mariadb => "mariadb",
            Self::Sqlite => "sqlite",
        })
    }
}

/// A server version as its vendor writes it: one to four numbers, compared number by number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerVersion(Vec<u32>);

impl std::str::FromStr for ServerVersion {
    type Err = ServerVersionError;

    fn from_str(text: &str) -> Result<Self, ServerVersionError> {
        let numbers: Option<Vec<u32>> = text
            .split('.')
            .map(|part| {
                let plain = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
                (plain && (part == "0" || !part.starts_with('0'))).then(|| part.parse().ok()).flatten()
            })
            .collect();
        match numbers {
            Some(numbers) if numbers.len() <= 4 => Ok(Self(numbers)),
            _ => Err(ServerVersionError),
        }
    }
}

/// The text is not one to four numbers separated by dots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerVersionError;

impl fmt::Display for ServerVersionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a server version is one to four numbers separated by dots, such as `15` or `10.11.6`")
    }
}

impl std::error::Error for ServerVersionError {}

impl TryFrom<String> for ServerVersion {
    type Error = ServerVersionError;

    fn try_from(text: String) -> Result<Self, ServerVersionError> {
        text.parse()
    }
}

impl From<ServerVersion> for String {
    fn from(version: ServerVersion) -> Self {
        version.to_string()
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, number) in self.0.iter().enumerate() {
            write!(f, "{}{number}", if index > 0 { "." } else { "" })?;
        }
        Ok(())
    }
}

/// The session settings that are in force when a script starts, whatever the server or the host would have said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Baseline(pub BTreeMap<String, String>);

impl Baseline {
    /// The digest that units carry: SHA-256 of the canonical JSON of the settings.
    pub fn digest(&self) -> Digest {
        Digest::of(&json::write(self))
    }
}

/// How a script runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The whole script and its history event in one transaction.
    Transaction,
    /// Statement by statement, each boundary recorded.
    Statements,
}

/// What a statement is, as far as execution and review care.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Changes the schema.
    Ddl,
    /// Reads or changes rows.
    Dml,
    /// A constant `SET` or `USE`: replayed when a script is resumed.
    Session,
    /// Builds beside running traffic and cannot run in a transaction (`CREATE INDEX CONCURRENTLY` and its like).
    Concurrent,
    /// Runs code we cannot see into (`CALL`, `DO`).
    Opaque,
    /// `COPY .. FROM stdin` with its inline data.
    Copy,
    /// Bytes that are not sent: comments, client commands such as `DELIMITER`, the outer BEGIN and COMMIT.
    Skip,
    /// Several statements of a large transaction-mode script, sent as one message.
    Group,
}

/// What a statement names, so that its effect can be looked up after a crash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// What the statement leaves behind when it has run.
    pub expect: Expect,
    /// The kind of object.
    pub object: Object,
    /// Its name as written, unquoted: one to three parts.
    pub name: Vec<String>,
    /// The table an index, column or trigger belongs to, as written, unquoted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub table: Vec<String>,
}

/// What a probe expects to find once its statement has run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expect {
    /// The object exists (and did not before).
    Present,
    /// The object is gone (and existed before).
    Absent,
    /// The index exists and is valid.
    Valid,
}

/// The kinds of object a probe can look up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Object {
    /// A table.
    Table,
    /// A view.
    View,
    /// An index.
    Index,
    /// A column of a table.
    Column,
    /// A trigger.
    Trigger,
    /// A function or procedure.
    Routine,
}

/// A part of a script: from the end of the one before (or 0) to `end`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// The offset of the first byte after it.
    pub end: u64,
    /// What it is.
    pub kind: Kind,
    /// The strongest lock it is expected to take, in the server's words; absent when unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<String>,
    /// How to find out whether it has run; absent when there is no sure way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Probe>,
}

/// One SQL file and how to run it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Script {
    /// The name of the file in its directory, for people.
    pub file: Label,
    /// How it runs.
    pub mode: Mode,
    /// Whether an interrupted run cannot be continued, because session state cannot be replayed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub not_resumable: bool,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Its statements (or groups), tiling it.
    pub statements: Vec<Statement>,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Script {
    /// The statements with the byte range of each.
    pub fn ranges(&self) -> impl Iterator<Item = (std::ops::Range<u64>, &Statement)> {
        let mut start = 0;
        self.statements.iter().map(move |statement| {
            let range = start..statement.end;
            start = statement.end;
            (range, statement)
        })
    }
}

/// How long a unit may wait and run, in milliseconds; 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Timeouts {
    /// Waiting for one lock.
    pub lock_ms: u32,
    /// Running one statement.
    pub statement_ms: u32,
}

/// One migration: everything that shapes what will run. Reviews sign its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Unit {
    /// Who wrote it, as declared (`unknown` where nobody is).
    pub author: Person,
    /// The digest of the session baseline it was reviewed under.
    pub baseline: Digest,
    /// The way back, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down: Option<Script>,
    /// The engine it is written for.
    pub engine: Engine,
    /// The flavour it is written for.
    pub flavour: Flavour,
    /// SQLite: whether foreign keys are enforced while it runs. Absent for other engines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign_keys: Option<bool>,
    /// Its version.
    pub id: UnitId,
    /// What it does, in a few words.
    pub name: Label,
    /// The units that must have been applied before.
    pub parents: Vec<UnitId>,
    /// The project it belongs to.
    pub project: Name,
    /// How long it may wait and run.
    pub timeouts: Timeouts,
    /// The change.
    pub up: Script,
}

impl Unit {
    /// The unit digest: SHA-256 of this entry's exact bytes in the manifest.
    pub fn digest(&self) -> Digest {
        Digest::of(&json::write(self))
    }

    /// The scripts of this unit with the role of each in member names.
    pub fn scripts(&self) -> impl Iterator<Item = (Direction, &Script)> {
        [Some((Direction::Up, &self.up)), self.down.as_ref().map(|down| (Direction::Down, down))].into_iter().flatten()
    }

    /// The script that runs in a direction.
    pub fn script(&self, direction: Direction) -> Option<&Script> {
        match direction {
            Direction::Up => Some(&self.up),
            Direction::Down => self.down.as_ref(),
        }
    }
}

/// Forwards or back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Apply.
    Up,
    /// Revert.
    Down,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Down => "down",
        })
    }
}

/// The name of a script inside a payload; `position` counts units from 0.
pub fn member_name(position: usize, direction: Direction) -> String {
    format!("{position:06}.{direction}.sql")
}

/// The release a manifest was made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// What people call it.
    pub name: Label,
    /// Its place in the order of releases of this project; higher is newer.
    pub sequence: u64,
}

/// Where the SQL came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The commit of the repository, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Label>,
    /// The directory format that was read.
    pub format: Name,
    /// The repository, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<Label>,
    /// The program that wrote the manifest.
    pub tool: Label,
}

/// A list that evidence refers to, travelling after the SQL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// Its size in bytes.
    pub size: u64,
}

impl List {
    /// The name of the list inside a payload.
    pub fn member_name(&self) -> String {
        format!("{}.list", self.sha256)
    }

    /// Reads the bytes of a list of unit digests: ascending, one a line, none twice.
    pub fn read(bytes: &[u8]) -> Option<BTreeSet<Digest>> {
        let text = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
        let lines: Vec<Digest> = text.split('\n').map(|line| line.parse().ok()).collect::<Option<_>>()?;
        lines.is_sorted_by(|a, b| a < b).then(|| lines.into_iter().collect())
    }

    /// The bytes of a list of unit digests.
    pub fn write(units: &BTreeSet<Digest>) -> Vec<u8> {
        units.iter().map(|unit| format!("{unit}\n")).collect::<String>().into_bytes()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Wire {
    baseline: Baseline,
    engine: Engine,
    flavour: Flavour,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    lists: Vec<List>,
    min_version: ServerVersion,
    project: Name,
    release: Release,
    schema: String,
    source: Source,
    target: Vec<UnitId>,
    units: Vec<Unit>,
}

/// A well-formed manifest: units in topological order, ranges that tile, one project, engine and baseline throughout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "Wire")]
pub struct Manifest {
    parts: Parts,
}

/// The parts of a manifest, before they are checked against each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// Session settings in force when a script starts.
    pub baseline: Baseline,
    /// The flavour, which implies the engine.
    pub flavour: Flavour,
    /// Lists that evidence refers to, sorted by digest.
    pub lists: Vec<List>,
    /// The oldest server version the SQL is written for.
    pub min_version: ServerVersion,
    /// The project.
    pub project: Name,
    /// The release.
    pub release: Release,
    /// Where the SQL came from.
    pub source: Source,
    /// The units to be reached, with everything before them.
    pub target: Vec<UnitId>,
    /// Every unit, parents first.
    pub units: Vec<Unit>,
}

impl From<Manifest> for Wire {
    fn from(manifest: Manifest) -> Self {
        let Parts { baseline, flavour, lists, min_version, project, release, source, target, units } = manifest.parts;
        let (engine, schema) = (flavour.engine(), SCHEMA.to_owned());
        Self { baseline, engine, flavour, lists, min_version, project, release, schema, source, target, units }
    }
}

impl<'de> Deserialize<'de> for Manifest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let wire = Wire::deserialize(deserializer)?;
        if wire.schema != SCHEMA {
            return Err(D::Error::custom(format_args!("the schema is not {SCHEMA}")));
        }
        if wire.engine != wire.flavour.engine() {
            return Err(D::Error::custom("the flavour is not one of the engine"));
        }
        let Wire { baseline, flavour, lists, min_version, project, release, source, target, units, .. } = wire;
        Parts { baseline, flavour, lists, min_version, project, release, source, target, units }
            .check()
            .map_err(D::Error::custom)
    }
}

/// Why the parts of a manifest do not fit each other (`bundle.md` 4.6).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ManifestError {
    /// There are more units than [`limit::UNITS`].
    TooManyUnits,
    /// Two units have the same id.
    DuplicateUnit {
        /// The id.
        id: UnitId,
    },
    /// A unit's parent is not an earlier unit.
    Parent {
        /// The unit.
        id: UnitId,
        /// The parent that is missing or comes later.
        parent: UnitId,
    },
    /// A unit says another project, engine, flavour or baseline than the manifest.
    Foreign {
        /// The unit.
        id: UnitId,
    },
    /// A unit's `foreignKeys` is absent on SQLite or present elsewhere.
    ForeignKeys {
        /// The unit.
        id: UnitId,
    },
    /// The ranges of a script do not tile it, are too many or too large, groups stand in a statements-mode script, or a
    /// lock or probe is longer than the limits.
    Ranges {
        /// The unit.
        id: UnitId,
        /// Which script.
        direction: Direction,
    },
    /// The target names no unit, an unknown unit, one twice, more than [`limit::HEADS`], or a unit that another one of
    /// the target implies.
    Target,
    /// The baseline does not state exactly the settings of the flavour, each with a plain value.
    Baseline,
    /// The lists are not sorted or repeat.
    Lists,
    /// The release sequence is 0 or beyond 2^53 - 1.
    Sequence,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyUnits => write!(f, "more than {} units", limit::UNITS),
            Self::DuplicateUnit { id } => write!(f, "unit `{id}` appears twice"),
            Self::Parent { id, parent } => write!(f, "parent `{parent}` of unit `{id}` is not an earlier unit"),
            Self::Foreign { id } => write!(f, "unit `{id}` is of another project, engine, flavour or baseline"),
            Self::ForeignKeys { id } => write!(f, "`foreignKeys` of unit `{id}` belongs to SQLite, and only there"),
            Self::Ranges { id, direction } => {
                write!(f, "the statements of the {direction} script of unit `{id}` do not tile it within the limits")
            }
            Self::Target => f.write_str("the target is not a set of heads among the units"),
            Self::Baseline => f.write_str("the baseline does not state exactly the settings of the flavour"),
            Self::Lists => f.write_str("the lists are not sorted by digest, each once"),
            Self::Sequence => f.write_str("the release sequence is not between 1 and 2^53 - 1"),
        }
    }
}

impl std::error::Error for ManifestError {}

impl Parts {
    /// Checks the parts against each other (`bundle.md` 4.6).
    ///
    /// # Errors
    /// The first [`ManifestError`] found.
    pub fn check(self) -> Result<Manifest, ManifestError> {
        if self.units.len() > limit::UNITS {
            return Err(ManifestError::TooManyUnits);
        }
        if !(1..1 << 53).contains(&self.release.sequence) {
            return Err(ManifestError::Sequence);
        }
        if !self.lists.is_sorted_by(|a, b| a.sha256 < b.sha256) {
            return Err(ManifestError::Lists);
        }
        if !crate::baseline::is_complete(&self.baseline, self.flavour) {
            return Err(ManifestError::Baseline);
        }
        let baseline = self.baseline.digest();
        let engine = self.flavour.engine();
        let mut seen = BTreeSet::new();
        for unit in &self.units {
            let id = || unit.id.clone();
            let parents: BTreeSet<_> = unit.parents.iter().collect();
            if parents.len() != unit.parents.len() {
                return Err(ManifestError::Parent { id: id(), parent: id() });
            }
            if let Some(parent) = unit.parents.iter().find(|parent| !seen.contains(*parent)) {
                return Err(ManifestError::Parent { id: id(), parent: parent.clone() });
            }
            if !seen.insert(&unit.id) {
                return Err(ManifestError::DuplicateUnit { id: id() });
            }
            if unit.project != self.project
                || unit.engine != engine
                || unit.flavour != self.flavour
                || unit.baseline != baseline
            {
                return Err(ManifestError::Foreign { id: id() });
            }
            if unit.foreign_keys.is_some() != (engine == Engine::Sqlite) {
                return Err(ManifestError::ForeignKeys { id: id() });
            }
            if let Some((direction, _)) = unit.scripts().find(|(_, script)| !tiles(script)) {
                return Err(ManifestError::Ranges { id: id(), direction });
            }
        }
        let manifest = Manifest { parts: self };
        let heads: BTreeSet<_> = manifest.target().iter().take(limit::HEADS + 1).collect();
        let known = heads.iter().all(|id| manifest.unit(id.as_str()).is_some());
        if heads.len() != manifest.target().len()
            || heads.len() > limit::HEADS
            || heads.is_empty() != manifest.units().is_empty()
            || !known
        {
            return Err(ManifestError::Target);
        }
        // No head may lie below another one.
        let below = manifest
            .ancestors(manifest.target().iter().filter_map(|id| manifest.unit(id.as_str())).flat_map(|u| &u.parents));
        if heads.iter().any(|id| below.contains(id.as_str())) {
            return Err(ManifestError::Target);
        }
        Ok(manifest)
    }
}

fn tiles(script: &Script) -> bool {
    let mut at = 0;
    for statement in &script.statements {
        if statement.end <= at || statement.end - at > limit::STATEMENT_SQL {
            return false;
        }
        if statement.kind == Kind::Group && script.mode == Mode::Statements {
            return false;
        }
        let short = |part: &String| (1..=limit::PROBE_NAME).contains(&part.len());
        let plain = |probe: &Probe| {
            (1..=3).contains(&probe.name.len())
                && probe.table.len() <= 3
                && probe.name.iter().chain(&probe.table).all(short)
        };
        if !statement.probe.as_ref().is_none_or(plain) || statement.lock.as_ref().is_some_and(|l| l.len() > limit::LOCK)
        {
            return false;
        }
        at = statement.end;
    }
    at == script.size && script.statements.len() <= limit::STATEMENTS
}

impl Manifest {
    /// Reads the bytes of `manifest.json`.
    ///
    /// # Errors
    /// [`JsonError`] when the bytes are not the canonical encoding of a well-formed manifest.
    pub fn read(bytes: &[u8]) -> Result<Self, JsonError> {
        json::read(bytes, limit::MANIFEST)
    }

    /// The bytes of `manifest.json`.
    pub fn write(&self) -> Vec<u8> {
        json::write(self)
    }

    /// Session settings in force when a script starts.
    pub fn baseline(&self) -> &Baseline {
        &self.parts.baseline
    }

    /// The engine.
    pub fn engine(&self) -> Engine {
        self.parts.flavour.engine()
    }

    /// The flavour of the engine.
    pub fn flavour(&self) -> Flavour {
        self.parts.flavour
    }

    /// Lists that evidence refers to.
    pub fn lists(&self) -> &[List] {
        &self.parts.lists
    }

    /// The oldest server version the SQL is written for.
    pub fn min_version(&self) -> &ServerVersion {
        &self.parts.min_version
    }

    /// The project.
    pub fn project(&self) -> &Name {
        &self.parts.project
    }

    /// The release.
    pub fn release(&self) -> &Release {
        &self.parts.release
    }

    /// Where the SQL came from.
    pub fn source(&self) -> &Source {
        &self.parts.source
    }

    /// The units to be reached, with everything before them.
    pub fn target(&self) -> &[UnitId] {
        &self.parts.target
    }

    /// Every unit, parents first.
    pub fn units(&self) -> &[Unit] {
        &self.parts.units
    }

    /// The unit of an id.
    pub fn unit(&self, id: &str) -> Option<&Unit> {
        self.parts.units.iter().find(|unit| unit.id.as_str() == id)
    }

    /// The ids of `heads` and of everything they stand on.
    pub fn ancestors<'a>(&'a self, heads: impl IntoIterator<Item = &'a UnitId>) -> BTreeSet<&'a str> {
        let mut wanted: BTreeSet<&str> = heads.into_iter().map(UnitId::as_str).collect();
        // Parents come first, so one walk backwards sees every child before its parents.
        for unit in self.units().iter().rev() {
            if wanted.contains(unit.id.as_str()) {
                wanted.extend(unit.parents.iter().map(UnitId::as_str));
            }
        }
        wanted
    }

    /// The names and sizes of the payload's members, in order.
    pub fn members(&self) -> Vec<Member> {
        let scripts = self.units().iter().enumerate().flat_map(|(position, unit)| {
            unit.scripts().map(move |(direction, script)| Member {
                name: member_name(position, direction),
                size: script.size,
                sha256: script.sha256,
            })
        });
        let lists =
            self.lists().iter().map(|list| Member { name: list.member_name(), size: list.size, sha256: list.sha256 });
        scripts.chain(lists).collect()
    }
}

/// One member of a payload after the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
}
