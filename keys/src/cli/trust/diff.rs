//! `sealift-keys trust diff`.

use std::path::PathBuf;

use clap::Args;
use sealift_spec::Digest;
use sealift_verifier::report::{Exit, Failure, Process};
use sealift_verifier::trust::{Chain, TrustFiles};
use serde_json::json;

use super::Tally;
use crate::trust::{difference, folder};

#[derive(Args)]
pub(in crate::cli) struct Diff {
    /// The folder with 1.root.json, 1.policy.json and their successors, the newest of which need not be signed yet
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Verify the roots before the newest from this pinned digest, so that the comparison is with what hosts trust
    #[arg(long, value_name = "HEX")]
    root_sha256: Option<Digest>,
}

pub(super) fn run(arguments: &Diff, process: &mut Process<'_>) -> Result<Exit, Failure> {
    let folder = &arguments.folder;
    let claimed = folder::read(folder)?;
    let root = claimed.root.root();
    let Some(before) = &claimed.before else {
        return Err(Failure::new(
            Exit::No,
            format!("root 1 in `{}` is the first, and follows nothing", folder.display()),
        )
        .hint("`sealift-keys trust show` says what it holds"));
    };
    match arguments.root_sha256 {
        Some(pinned) => {
            let mut roots = TrustFiles::read(folder)?.pairs().to_vec();
            roots.truncate(before.root.root().version as usize);
            let chain = Chain::verify(&TrustFiles::from_bytes(roots), pinned)
                .map_err(|error| Failure::from(error).context(format!("`{}` rejected", folder.display())))?;
            if chain.newest().digest() != before.root.digest() {
                return Err(Failure::new(Exit::Unknown, "the files changed while they were read").hint("try again"));
            }
            process.note(format_args!(
                "verified up to root {}: hosts trust what is compared with",
                chain.newest().root().version
            ));
        }
        None => process.warn("nothing was judged: give --root-sha256 to verify the roots before"),
    }
    let changes = difference::between((before.root.root(), &before.policy), (root, &claimed.policy));
    let (from, to) = (before.root.root().version, root.version);
    process.say(format_args!("root {to} (digest {}) changes against root {from}:", claimed.root.digest()));
    for change in &changes {
        process.say(format_args!("  {change}"));
    }
    if changes.is_empty() {
        process.say("  nothing");
    }
    let tallies = Tally::all(&claimed);
    for tally in &tallies {
        process.note(format_args!("by holders of root {}: {tally}", tally.judge));
    }
    process.data(
        "trust-diff",
        &json!({
            "verified": arguments.root_sha256.is_some(), "from": from, "to": to, "rootSha256": claimed.root.digest(),
            "changes": changes, "thresholds": tallies.iter().map(Tally::value).collect::<Vec<_>>(),
        }),
    );
    Ok(Exit::Done)
}
