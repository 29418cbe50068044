//! The plan document: exactly what a run would do, for a permit to authorise (`trust.md` section 8).

use serde::{Deserialize, Serialize};

use crate::Digest;
use crate::action::Action;
use crate::json;
use crate::manifest::Direction;
use crate::name::{Label, Name, UnitId};

/// The `schema` of this version.
pub const SCHEMA: &str = "urn:sealift:plan:v1";

/// One script that would run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanStep {
    /// Forwards or back.
    pub direction: Direction,
    /// The unit.
    pub id: UnitId,
    /// SHA-256 of the script.
    pub script: Digest,
    /// The unit digest.
    pub unit: Digest,
}

/// What a run would do to a database in the state it was seen in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanDocument {
    /// What it does.
    pub action: Action,
    /// The id of the database, or [`crate::statement::FIRST_USE`].
    pub database: Label,
    /// The environment.
    pub environment: Name,
    /// The newest history event it was made from.
    pub head: Digest,
    /// The project.
    pub project: Name,
    /// The release digest.
    pub release: Digest,
    /// [`SCHEMA`].
    pub schema: Label,
    /// The scripts, in order.
    pub steps: Vec<PlanStep>,
}

impl PlanDocument {
    /// [`SCHEMA`] as a label.
    pub fn schema() -> Label {
        Label::fixed(SCHEMA)
    }

    /// The plan digest: SHA-256 of the canonical document.
    pub fn digest(&self) -> Digest {
        Digest::of(&json::write(self))
    }
}
