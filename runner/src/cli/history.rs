//! `sealift-runner history`.

use std::fmt;

use sealift_spec::history::{Event, Happening, Under};
use sealift_spec::manifest::Direction;
use sealift_spec::text::Count;
use sealift_verifier::report::{Exit, Failure, Process};

use crate::config::Settings;
use crate::runtime::block_on;
use crate::{host, run};

pub(super) fn run(settings: &Settings, descriptor: Option<u32>, process: &mut Process<'_>) -> Result<Exit, Failure> {
    let target = host::look(settings, descriptor, (process.clock)())?;
    let Some((history, evidence)) = block_on(run::history(target))?? else {
        process.note("the database has never been used: it has no history");
        return Ok(Exit::Done);
    };
    for event in history.events() {
        process.say(Line(event));
        process.data("event", event);
    }
    for envelope in &evidence {
        process.data("evidence", envelope);
    }
    Ok(Exit::Done)
}

/// An event on one line.
struct Line<'e>(&'e Event);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Event { at, event, host, operator, run, seq, .. } = self.0;
        write!(f, "{seq:>5}  {at}  ")?;
        match event {
            Happening::Bound { database, engine, environment, project, .. } => {
                write!(f, "bound as {engine} database {database} to project {project}, environment {environment}")?
            }
            Happening::Rebound { database, environment, from, under } => {
                write!(f, "database {from} became {database}, environment {environment}{}", Release(under))?;
            }
            Happening::Applied { unit, under } => write!(f, "applied {}{}", unit.id, Release(under))?,
            Happening::Reverted { unit, under } => write!(f, "reverted {}{}", unit.id, Release(under))?,
            Happening::Started { direction, unit, under, .. } => {
                let verb = if *direction == Direction::Up { "apply" } else { "revert" };
                write!(f, "began to {verb} {}{}", unit.id, Release(under))?;
            }
            Happening::Progress { done, next: Some(next), .. } => {
                write!(f, "  {} done, statement {} begins", Count(*done, "statement"), next + 1)?;
            }
            Happening::Progress { done, next: None, .. } => write!(f, "  {} done", Count(*done, "statement"))?,
            Happening::Completed { heads, under } => {
                let heads: Vec<_> = heads.iter().map(|head| head.as_str()).collect();
                write!(f, "completed at {}{}", heads.join(", "), Release(under))?;
            }
        }
        write!(f, "  ({operator} on {host}, run {run})")
    }
}

struct Release<'u>(&'u Under);

impl fmt::Display for Release<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Under { permit: _, release, root, sequence } = self.0;
        write!(f, " under release {sequence} ({}, root {root})", release.short())
    }
}
