//! `sealift-keys trust update`.

use std::path::PathBuf;

use clap::Args;
use sealift_spec::Digest;
use sealift_verifier::report::{Exit, Failure, Process};
use sealift_verifier::trust::{TrustError, TrustFiles};
use serde_json::json;

use crate::trust::update;

#[derive(Args)]
pub(in crate::cli) struct Update {
    /// The host's trust directory; made if it does not exist
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The folder with every root from the first to the newest, and their policies
    #[arg(long, value_name = "NEWDIR")]
    from: PathBuf,
    /// The digest that the host pins
    #[arg(long, value_name = "HEX")]
    root_sha256: Digest,
}

pub(super) fn run(arguments: &Update, process: &mut Process<'_>) -> Result<Exit, Failure> {
    let Update { folder, from, root_sha256 } = arguments;
    let offered = TrustFiles::receive(from)?;
    let host = match folder.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        _ => match TrustFiles::read(folder) {
            Ok(files) => Some(files),
            Err(TrustError::Empty { .. }) => None,
            Err(error) => return Err(error.into()),
        },
    };
    let update = update::Update::judge(host.as_ref(), &offered, *root_sha256, (process.clock)())?;
    let (before, trust) = (update.before(), update.trust().clone());
    let written = update.perform(folder)?;
    let (after, shown) = (trust.root_version(), folder.display());
    for name in &written {
        process.say(format_args!("{shown}: {name} copied"));
    }
    process.say(match (written.is_empty(), before) {
        (true, _) => format!("{shown}: nothing to do, root {after} is there"),
        (false, 0) => format!("{shown}: root {after} is in force, where there was none"),
        (false, _) => format!("{shown}: root {after} is in force, before it was root {before}"),
    });
    if let Some(warning) = trust.warning() {
        process.warn(warning);
    }
    process.data(
        "trust-update",
        &json!({ "folder": folder, "before": before, "after": after, "expires": trust.expires(), "written": written }),
    );
    Ok(Exit::Done)
}
