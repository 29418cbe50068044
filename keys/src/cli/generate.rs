//! `sealift-keys generate`.

use std::io::ErrorKind;
use std::path::PathBuf;

use clap::Args;
use sealift_spec::name::Person;
use sealift_verifier::report::{Exit, Failure, Process};
use serde_json::json;

use crate::signer::Signer;
use crate::{file, openssh, passphrase};

#[derive(Args)]
pub(super) struct Generate {
    /// Whose key it will be, as trust.toml will name them: a@example.com, ci
    #[arg(long, value_name = "WHO")]
    holder: Person,
    /// The file for the private key; the public key goes into FILE.pub
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Do not ask for a passphrase: whoever can read the file can sign
    #[arg(long)]
    no_passphrase: bool,
}

pub(super) fn run(arguments: &Generate, process: &mut Process<'_>) -> Result<Exit, Failure> {
    let Generate { holder, out, no_passphrase } = arguments;
    let public = openssh::public_path(out);
    // Before anybody types a passphrase for nothing.
    for path in [out, &public] {
        file::free(path)?;
    }
    let secret = match no_passphrase {
        true => None,
        false => Some(passphrase::ask_new(out, process.terminal).map_err(|error| {
            let (exit, hint) = match error.kind() {
                ErrorKind::Unsupported | ErrorKind::InvalidInput => {
                    let exit = if error.kind() == ErrorKind::InvalidInput { Exit::No } else { Exit::Unknown };
                    (exit, Some("--no-passphrase makes a key without one".to_owned()))
                }
                ErrorKind::InvalidData => (Exit::No, None),
                _ => (Exit::Unknown, None),
            };
            Failure { hint, ..Failure::new(exit, error) }.context("no key was made")
        })?),
    };
    let signer = Signer::generate()?;
    openssh::write(&signer, holder, secret.as_ref(), out)?;
    let key = signer.public_key();
    process.say(format_args!("{key} {holder}"));
    process.say(key.id());
    process.data(
        "key",
        &json!({
            "holder": holder, "publicKey": key, "fingerprint": key.id(), "encrypted": secret.is_some(),
            "private": out, "public": public,
        }),
    );
    process.note(format_args!("private key in {}, public key in {}", out.display(), public.display()));
    Ok(Exit::Done)
}
