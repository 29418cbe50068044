//! `sealift-runner status`.

use sealift_spec::manifest::{Direction, Manifest};
use sealift_spec::name::UnitId;
use sealift_spec::text::Count;
use sealift_verifier::report::{Exit, Failure, Process};
use serde_json::json;

use super::{Surroundings, accept, caller};
use crate::host::Host;
use crate::run::{self, Caller, Status};
use crate::runtime::block_on;

pub(super) fn run(host: &Host, around: &Surroundings, process: &mut Process<'_>) -> Result<Exit, Failure> {
    let accepted = accept(host, process)?;
    let opened = accepted.open()?;
    let caller = Caller { known: accepted.known().cloned(), ..caller(host, around, process) };
    let status = block_on(run::status(opened.target, accepted.bundle(), accepted.trust(), &caller))??;
    show(&status, accepted.bundle().manifest(), process);
    // A migration that is part-applied is what status 3 is for; everything else is an answer.
    Ok(if status.running.is_some() { Exit::Interrupted } else { Exit::Done })
}

fn show(status: &Status, manifest: &Manifest, process: &mut Process<'_>) {
    let Status { server, binding, applied, pending, withdrawn, held, running, sequence, refusal } = status;
    let release = manifest.release();
    process.say(format_args!("server       {} {}", server.flavour, server.version));
    match binding {
        Some(binding) => {
            process.say(format_args!("database     {}", binding.database));
            process.say(format_args!("bound to     project {}, environment {}", binding.project, binding.environment));
            process.say(format_args!(
                "last release {sequence}; this bundle is release {} `{}`",
                release.sequence, release.name
            ));
        }
        None => {
            process.say("database     never used");
            process.say(format_args!("this bundle  release {} `{}`", release.sequence, release.name));
        }
    }
    process.data(
        "database",
        &json!({
            "applied": applied.len(), "bundleSequence": release.sequence,
            "environment": binding.as_ref().map(|binding| &binding.environment), "flavour": server.flavour,
            "held": held.len(), "id": binding.as_ref().map(|binding| &binding.database), "pending": pending.len(),
            "project": binding.as_ref().map(|binding| &binding.project), "readOnly": server.read_only.is_some(),
            "refusal": refusal.as_ref().map(ToString::to_string), "sequence": sequence, "version": server.version,
        }),
    );
    let name = |id: &UnitId| manifest.unit(id.as_str()).map_or("(not in this bundle)", |unit| unit.name.as_str());
    process.say(format_args!("applied      {}", applied.len()));
    for applied in applied {
        let (id, at, sequence) = (&applied.unit.id, applied.at, applied.under.sequence);
        process.say(format_args!("  {id}  {}  at {at} by release {sequence}", name(id)));
        let data = json!({ "at": at, "id": id, "name": name(id), "sequence": sequence, "state": "applied" });
        process.data("migration", &data);
    }
    let list = |state: &str, ids: &[UnitId], process: &mut Process<'_>| {
        if !ids.is_empty() || state == "pending" {
            process.say(format_args!("{state:<12} {}", ids.len()));
        }
        for id in ids {
            process.say(format_args!("  {id}  {}", name(id)));
            process.data("migration", &json!({ "id": id, "name": name(id), "state": state }));
        }
    };
    if let Some(running) = running {
        let verb = if running.direction == Direction::Up { "applying" } else { "reverting" };
        let id = &running.unit.id;
        process.say(format_args!("interrupted  {verb} {id}  {} after {}", name(id), Count(running.done, "statement")));
        process.data(
            "interrupted",
            &json!({
                "direction": running.direction, "done": running.done, "id": id, "name": name(id), "next": running.next,
                "sequence": running.under.sequence,
            }),
        );
    }
    list("pending", pending, process);
    list("held", held, process);
    list("withdrawn", withdrawn, process);
    if let Some(refusal) = refusal {
        process.warn(format_args!("`apply` would be refused: {refusal}"));
        if let Some(hint) = refusal.hint() {
            process.note(format_args!("hint: {hint}"));
        }
    }
}
