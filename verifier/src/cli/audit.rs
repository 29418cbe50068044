//! `sealift-verifier audit`.

use std::path::{Path, PathBuf};

use sealift_spec::checkpoint::{CHECKPOINT, SignedCheckpoint};
use sealift_spec::key::PublicKey;
use serde_json::json;

use super::Audit;
use crate::audit::{Archive, Doubt, Log, Vouched, compare};
use crate::file::{self, FileError};
use crate::listing::{LISTING, Listing, ListingError};
use crate::report::{Exit, Failure, Process};
use crate::trust::{Trust, TrustFiles};

pub(super) fn run(arguments: &Audit, process: &mut Process<'_>) -> Result<Exit, Failure> {
    let archive = match (&arguments.trust, arguments.root_sha256) {
        (Some(folder), Some(pinned)) => {
            let files = TrustFiles::read(folder)?;
            let newest = Trust::verify(&files, pinned, 0, (process.clock)())?;
            Some(Archive::new(files, pinned, newest))
        }
        _ => None,
    };
    let since = arguments.since.as_deref().map(checkpoint).transpose()?;
    let listing = arguments.history.as_deref().map(listing).transpose()?;
    let logs: Vec<Vec<u8>> = arguments.logs.iter().map(|path| read(path, LISTING)).collect::<Result<_, _>>()?;
    let judged = (|| {
        let logs: Vec<Log> = logs.into_iter().map(Log::read).collect::<Result<_, _>>()?;
        let since = since.transpose().map_err(|error| Doubt::Unverifiable { reason: error.to_string() })?;
        for (log, path) in logs.iter().zip(&arguments.logs) {
            one(log, path, archive.as_ref(), since.as_ref().filter(|_| logs.len() == 1), process)?;
        }
        if let (Some(since), Some(archive), true) = (&since, &archive, logs.len() > 1) {
            let of = |log: &&Log| log.origin() == Some(&since.checkpoint.origin);
            let log = logs.iter().find(of).ok_or_else(|| Doubt::Unverifiable {
                reason: format!("none of the logs is `{}`, which the checkpoint is of", since.checkpoint.origin),
            })?;
            since_then(log, since, archive, process)?;
        }
        if let (Some(listing), Some(archive)) = (listing, &archive) {
            let compared = compare(&logs, &listing?, archive)?;
            let (runs, evidence) = (compared.runs, compared.evidence);
            process.say(format_args!(
                "history agrees: {runs} runs have their intent and outcome, {evidence} releases and permits verify"
            ));
            for run in &compared.open {
                process.warn(format_args!("run {run} has an intent and no outcome: it was killed, or still goes on"));
            }
            process.data("history", &json!({ "evidence": evidence, "open": compared.open, "runs": runs }));
        }
        Ok::<_, Doubt>(())
    })();
    judged.map(|()| Exit::Done).map_err(|doubt| {
        process.data(doubt.word(), &json!({ "reason": doubt.reason() }));
        let hint = hint(&doubt);
        Failure::new(Exit::No, doubt).hint(hint)
    })
}

fn hint(doubt: &Doubt) -> &'static str {
    match doubt {
        Doubt::BadSignature { .. } => "somebody claims what nobody with that key signed: find out who wrote it",
        Doubt::Rewritten { .. } => "compare with copies kept elsewhere: somebody changed what had been written",
        Doubt::Truncated { .. } => {
            "look for the rest in copies kept elsewhere: somebody removed it, or this is an old copy"
        }
        Doubt::Unverifiable { .. } => "this is no sign of tampering by itself: bring what is missing, and ask again",
    }
}

/// One log, and the checkpoints there are of it.
fn one(
    log: &Log,
    path: &Path,
    archive: Option<&Archive>,
    since: Option<&SignedCheckpoint>,
    process: &mut Process<'_>,
) -> Result<(), Doubt> {
    let (name, count) = (path.display(), log.records().len());
    process.say(format_args!("{name}: {count} records, the chain holds"));
    let Some(archive) = archive else {
        process
            .warn("without `--trust` nobody's word is asked: whoever could write the log could compute its chain anew");
        process.data("log", &json!({ "head": log.head().digest, "log": name.to_string(), "records": count }));
        return Ok(());
    };
    let mut beside = path.as_os_str().to_owned();
    beside.push(".checkpoint");
    let beside = match read(Path::new(&beside), CHECKPOINT as u64) {
        Ok(bytes) => Some(SignedCheckpoint::read(&bytes).map_err(|error| Doubt::Unverifiable {
            reason: format!("{}: {error}", PathBuf::from(&beside).display()),
        })?),
        Err(FileError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(Doubt::Unverifiable { reason: error.to_string() }),
    };
    let vouched = match &beside {
        Some(checkpoint) => Some(judge(log, checkpoint, archive, process)?),
        None => None,
    };
    let earlier = since.map(|since| since_then(log, since, archive, process)).transpose()?;
    let signed = vouched.iter().chain(&earlier).map(|vouched| vouched.size).max();
    match (&vouched, signed) {
        (Some(Vouched { size, key }), _) => {
            process.say(format_args!("  the first {size} are signed by record key {key}"));
        }
        (None, None) if archive.signs() => {
            let reason = format!("there is no checkpoint beside {name}, and the policy has record keys");
            return Err(Doubt::Unverifiable { reason });
        }
        (None, _) => process.warn("there is no checkpoint beside the log"),
    }
    let after = count as u64 - signed.unwrap_or_default().min(count as u64);
    if after > 0 {
        process.warn(format_args!("nobody's signature covers the last {after} records"));
    }
    let vouched = vouched.map(|Vouched { size, key }| json!({ "key": key, "size": size }));
    process.data(
        "log",
        &json!({
            "after": after, "checkpoint": vouched, "head": log.head().digest, "log": name.to_string(),
            "origin": log.origin(), "records": count,
        }),
    );
    Ok(())
}

fn since_then(
    log: &Log,
    since: &SignedCheckpoint,
    archive: &Archive,
    process: &mut Process<'_>,
) -> Result<Vouched, Doubt> {
    let vouched = judge(log, since, archive, process)?;
    let (size, now) = (vouched.size, log.records().len());
    process.say(format_args!("  since the checkpoint that was kept it has grown from {size} to {now} records"));
    Ok(vouched)
}

fn judge(
    log: &Log,
    checkpoint: &SignedCheckpoint,
    archive: &Archive,
    process: &mut Process<'_>,
) -> Result<Vouched, Doubt> {
    let written = log.time_of(checkpoint.checkpoint.size);
    let keys: Vec<PublicKey> = archive.recorders((process.clock)(), written).into_iter().collect();
    log.judge(checkpoint, &keys)
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let (file, metadata) = file::open(path)?;
    file::read_all(file, metadata.len(), path, limit)
}

/// A file that cannot be read is no verdict; one that is no checkpoint is told together with the logs.
fn checkpoint(path: &Path) -> Result<Result<SignedCheckpoint, sealift_spec::checkpoint::CheckpointError>, Failure> {
    Ok(SignedCheckpoint::read(&read(path, CHECKPOINT as u64)?))
}

/// A file that is no listing is no verdict; a history that does not hold together is one.
fn listing(path: &Path) -> Result<Result<Listing, Doubt>, Failure> {
    match Listing::read(&read(path, LISTING)?) {
        Ok(listing) => Ok(Ok(listing)),
        Err(ListingError::History { source, .. }) => Ok(Err(source.into())),
        Err(error) => Err(Failure::new(Exit::Unknown, error)
            .hint("give it what `sealift-runner history --json` printed")
            .context(format!("`{}` is no history", path.display()))),
    }
}
