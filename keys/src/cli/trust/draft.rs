//! `sealift-keys trust draft`.

use std::path::{Path, PathBuf};

use clap::Args;
use sealift_spec::root::RootFile;
use sealift_spec::text::Plain;
use sealift_spec::time::DAY;
use sealift_spec::{Digest, limit};
use sealift_verifier::file as files;
use sealift_verifier::report::{Exit, Failure, Process};
use sealift_verifier::trust::{Chain, TrustFiles};
use serde_json::json;

use super::{environment_json, facts, heading, requirements};
use crate::trust::source::{self, Compiled};
use crate::trust::{Draft as Drafted, folder};

#[derive(Args)]
pub(in crate::cli) struct Draft {
    /// The description of people, roles and environments
    #[arg(value_name = "TRUST.toml")]
    source: PathBuf,
    /// The directory with every root so far; the draft is the one after the newest
    #[arg(long, value_name = "DIR", requires = "root_sha256")]
    previous: Option<PathBuf>,
    /// The digest that hosts pin, from which the roots so far are verified
    #[arg(long, value_name = "HEX", requires = "previous")]
    root_sha256: Option<Digest>,
    /// The folder for the files, which gets a copy of every root so far; made if it does not exist, refused if it holds
    /// roots already, unless it is the one given with --previous
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// The roots that a draft follows, verified.
struct Previous {
    files: TrustFiles,
    newest: RootFile,
}

pub(super) fn run(arguments: &Draft, process: &mut Process<'_>) -> Result<Exit, Failure> {
    let Draft { source: path, out, .. } = arguments;
    let previous = match (&arguments.previous, arguments.root_sha256) {
        (Some(folder), Some(pinned)) => Some(previous(folder, pinned)?),
        _ => None,
    };
    let (file, metadata) = files::open(path)?;
    let bytes = files::read_all(file, metadata.len(), path, source::LIMIT)?;
    let name = Plain(&path.to_string_lossy()).to_string();
    let text = String::from_utf8(bytes).map_err(|_| Failure::new(Exit::No, format!("`{name}` is not UTF-8 text")))?;
    let before = previous.as_ref().map_or(0, |previous| previous.newest.root().version);
    let Compiled { draft, environments, warnings } = source::compile_next(&text, (process.clock)(), before)
        .map_err(|error| Failure::from(error).context(format!("`{name}` makes no trust root")))?;
    let renewal = match &previous {
        Some(previous) => is_renewal(previous, &draft)?,
        None => false,
    };
    can_be_signed(previous.as_ref(), &draft)?;
    match &previous {
        Some(_) if is_same(arguments.previous.as_deref(), out) => folder::add(out, &draft)?,
        Some(previous) => folder::write(out, previous.files.pairs(), &draft)?,
        None => folder::write(out, &[], &draft)?,
    }
    let (root, digest) = (draft.root.root(), draft.root.digest());
    for warning in &warnings {
        process.warn(warning);
    }
    for (environment, assessment) in &environments {
        let rules = &draft.policy().environments[environment];
        process.note(heading(environment.as_str(), rules));
        for line in requirements(draft.policy(), rules).into_iter().chain(facts(assessment)) {
            process.note(format_args!("  {line}"));
        }
    }
    let by_before = previous.as_ref().map_or_else(String::new, |previous| {
        let Previous { newest, .. } = previous;
        let root = newest.root();
        format!(" and {} of {} by holders of root {}", root.threshold, root.keys.len(), root.version)
    });
    process.note(format_args!(
        "root {}, valid until {}, takes {} of {} signatures{by_before}: `sealift-keys trust sign {} --key KEY`",
        root.version,
        root.expires,
        root.threshold,
        root.keys.len(),
        out.join(format!("{}.root.json", root.version)).display()
    ));
    match arguments.root_sha256 {
        Some(pinned) => {
            if renewal {
                process.note("nothing changes but the time it expires");
            } else {
                let out = out.display();
                process.note(format_args!("what it changes: `sealift-keys trust diff {out} --root-sha256 {pinned}`"));
            }
            process.note("hosts go on pinning the digest of root 1; this is the digest of the new root:");
        }
        None => process.note("hosts pin this digest of it as root-sha256; signatures do not change it:"),
    }
    process.say(digest);
    process.data(
        "trust-draft",
        &json!({
            "rootSha256": digest, "version": root.version, "expires": root.expires, "threshold": root.threshold,
            "keys": root.keys.len(), "policySha256": root.policy.sha256, "folder": out, "renewal": renewal,
            "environments": environments.iter().map(|(name, assessment)| environment_json(
                name.as_str(), &draft.policy().environments[name], Some(assessment))).collect::<Vec<_>>(),
            "warnings": warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }),
    );
    Ok(Exit::Done)
}

/// The roots so far, verified. The newest may have expired: the next one is how the team gets out of that.
fn previous(folder: &Path, pinned: Digest) -> Result<Previous, Failure> {
    let files = TrustFiles::read(folder)?;
    let chain = Chain::verify(&files, pinned)
        .map_err(|error| Failure::from(error).context(format!("`{}` rejected", folder.display())))?;
    // Its policy must be the one it names, too: people compare with it.
    let newest = chain.newest().clone();
    folder::read_root(&folder::names(folder, newest.root().version)[1])?;
    Ok(Previous { files, newest })
}

/// Whether the draft says what the root before it says, for longer.
fn is_renewal(previous: &Previous, draft: &Drafted) -> Result<bool, Failure> {
    let (before, after) = (previous.newest.root(), draft.root.root());
    // The policy is named by its digest; keys are in the order of the format on one side only.
    let keys = |root: &sealift_spec::root::Root| root.keys.iter().copied().collect::<std::collections::BTreeSet<_>>();
    let same = before.policy == after.policy && keys(before) == keys(after) && before.threshold == after.threshold;
    if same && after.expires < before.expires.plus(DAY) {
        let text = format!("root {} would change nothing and expire at {}", after.version, after.expires);
        return Err(Failure::new(Exit::No, text).hint(format!(
            "root {} says the same and is valid until {}; to renew it earlier, raise `expires-in-days`",
            before.version, before.expires
        )));
    }
    Ok(same)
}

/// A root takes so many signatures: thresholds that need more could never be met.
fn can_be_signed(previous: Option<&Previous>, draft: &Drafted) -> Result<(), Failure> {
    let root = draft.root.root();
    let needed = match previous.map(|previous| previous.newest.root()) {
        Some(before) => {
            // Who holds both roots signs once for both.
            let both = before.keys.iter().filter(|key| root.keys.contains(key)).count() as u64;
            before.threshold + root.threshold - both.min(before.threshold).min(root.threshold)
        }
        None => root.threshold,
    };
    let limit = limit::SIGNATURES as u64;
    if needed > limit {
        let text = format!("root {} would take {needed} signatures, and holds at most {limit}", root.version);
        return Err(Failure::new(Exit::No, text)
            .hint("lower the threshold of role `root`, or keep more of the holders of the root before"));
    }
    Ok(())
}

fn is_same(previous: Option<&Path>, out: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    previous.and_then(real).is_some_and(|previous| real(out) == Some(previous))
}
