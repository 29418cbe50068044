//! `sealift-runner apply` and `sealift-runner revert`.

use std::path::Path;

use sealift_spec::action::Action;
use sealift_spec::manifest::Direction;
use sealift_verifier::file::SealedFile;
use sealift_verifier::permit::VerifiedPermit;
use sealift_verifier::report::{Exit, Failure, Process};
use sealift_verifier::trust::Trust;
use serde_json::json;

use super::plan::{held, migrations};
use super::progress::Progress;
use super::{Surroundings, accept, caller};
use crate::audit::AuditLog;
use crate::host::{Accepted, Host};
use crate::permit;
use crate::plan::Goal;
use crate::record::RecordKey;
use crate::run::{self, Caller, Finished, Outcome, RunError};
use crate::runtime::block_on;

pub(super) fn run(
    host: &Host,
    goal: &Goal,
    permit: Option<&Path>,
    around: &Surroundings,
    process: &mut Process<'_>,
) -> Result<Exit, Failure> {
    let path = host.audit()?;
    let accepted = accept(host, process)?;
    let permit = permit.map(|path| read(path, &accepted, process)).transpose()?;
    // Before credentials are opened, like the bundle.
    permit::demand(accepted.bundle(), accepted.trust(), permit.as_ref()).map_err(RunError::NotPermitted)?;
    let opened = accepted.open()?;
    accepted.remember(&opened)?;
    let mut audit = open_audit(host, &path, accepted.trust(), process)?;
    let known = accepted.known().cloned();
    let caller = Caller { known, permit: permit.as_ref(), ..caller(host, around, process) };
    let (bundle, trust) = (accepted.bundle(), accepted.trust());
    let mut progress = Progress::new(process);
    let stop = progress.stop();
    let change = run::change(opened.target, bundle, trust, goal, &caller, Some(&mut audit), &mut progress);
    let ended = block_on(stop.watch(change))?;
    drop(progress);
    match ended? {
        Some(Ok(outcome)) => {
            if let Some(binding) = &outcome.binding {
                accepted.learn(&binding.database)?;
            }
            finished(&outcome.done, process);
            tell(&outcome, process);
            // The release is not in force as long as a part of it is held, and whoever runs this must hear of it.
            let complete = outcome.action != Action::Apply || outcome.held.is_empty();
            Ok(if complete { Exit::Done } else { Exit::No })
        }
        Some(Err(error)) => {
            if let RunError::Stopped { done, .. } = &error {
                finished(done, process);
            }
            Err(error.into())
        }
        None => Err(Failure::new(Exit::Interrupted, "stopped at once, in the middle of a script").hint(
            "the server may still finish what was sent, or roll it back: look with `status` once that session is gone",
        )),
    }
}

/// Opens the audit log, with the record key where the host has one, and says what an auditor will miss.
pub(super) fn open_audit(
    host: &Host,
    path: &Path,
    trust: &Trust,
    process: &mut Process<'_>,
) -> Result<AuditLog, Failure> {
    let recorders = trust.policy().recorders((process.clock)());
    let audit = match host.record_key() {
        Some(file) => {
            let key = RecordKey::read(file)?;
            if !recorders.contains_key(&key.public_key()) {
                let id = key.public_key().id();
                process.warn(format_args!(
                    "the record key {id} holds no role `record`: auditors cannot use its checkpoints"
                ));
            }
            AuditLog::open_signed(path, key)
        }
        None => {
            if !recorders.is_empty() {
                process.warn(
                    "the policy has record keys and this host is configured with none: \
                     nothing will show whether the end of its audit log was cut off; set `record-key`",
                );
            }
            AuditLog::open(path)
        }
    };
    let audit = audit.map_err(RunError::Audit)?;
    if let Some(bytes) = audit.repaired() {
        process.warn(format_args!("the last line of the audit log was torn; its {bytes} bytes were cut off"));
    }
    Ok(audit)
}

/// Reads and judges a permit.
pub(super) fn read(path: &Path, accepted: &Accepted<'_>, process: &Process<'_>) -> Result<VerifiedPermit, Failure> {
    let file = SealedFile::read(path, sealift_verifier::permit::LIMIT)?;
    sealift_verifier::permit::verify(file.bytes(), accepted.trust(), accepted.bundle(), (process.clock)())
        .map_err(|error| Failure::from(error).context(format!("{} rejected", path.display())))
}

fn finished(done: &[Finished], process: &mut Process<'_>) {
    for Finished { id, name, direction, took } in done {
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let data = json!({ "direction": direction, "id": id, "milliseconds": milliseconds, "name": name });
        process.data("done", &data);
    }
}

/// Tells how a change ended.
fn tell(outcome: &Outcome, process: &mut Process<'_>) {
    let Outcome { action, binding, done, reached, held: kept, left, ahead } = outcome;
    let (count, applies) = (done.len(), *action == Action::Apply);
    let past = if applies { "applied" } else { "reverted" };
    let back = done.iter().filter(|finished| finished.direction == Direction::Down).count();
    match binding {
        Some(binding) if *action == Action::Rebind => {
            process
                .say(format_args!("the database is {} of environment {} now", binding.database, binding.environment));
        }
        Some(binding) if applies && back > 0 => {
            let (on, words) = (count - back, migrations(count));
            process.say(format_args!("reverted {back} and applied {on} {words}; database {}", binding.database));
        }
        Some(binding) if count > 0 => {
            process.say(format_args!("{past} {count} {}; database {}", migrations(count), binding.database));
        }
        _ if applies && *ahead => process.say("nothing to do: the database is ahead of this release"),
        _ if applies && kept.is_empty() && *left == 0 => process.say("nothing to do: everything is applied"),
        _ => process.say(format_args!("{past} nothing")),
    }
    process.data(
        "outcome",
        &json!({
            "action": action, "ahead": ahead, "database": binding.as_ref().map(|binding| &binding.database),
            "done": count, "held": kept, "left": left, "reached": reached,
        }),
    );
    if !applies {
        return;
    }
    if *left > 0 {
        process
            .note(format_args!("{left} more {} pending", if *left == 1 { "migration is" } else { "migrations are" }));
    }
    held(kept, process);
}
