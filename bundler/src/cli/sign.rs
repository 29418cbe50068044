//! `sealift-bundler sign`.

use std::path::PathBuf;

use clap::Args;
use sealift_spec::container::{self, Container, ContainerKind};
use sealift_spec::limit;
use sealift_spec::statement::{Release, Statement};
use sealift_verifier::file::{self, SealedFile};
use sealift_verifier::release::VerifyError;
use sealift_verifier::report::{Exit, Failure, Process};
use serde_json::json;

#[derive(Args)]
pub(super) struct Sign {
    /// The bundle; the signature is added to it in place
    bundle: PathBuf,
    /// The private key to sign with
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

pub(super) fn run(arguments: &Sign, process: &mut Process<'_>) -> Result<Exit, Failure> {
    let path = &arguments.bundle;
    let file = SealedFile::read(path, limit::PAYLOAD + limit::ATTESTATIONS as u64 + 4096)?;
    let mut container = Container::read(file.bytes(), ContainerKind::Bundle).map_err(VerifyError::Container)?;
    let release = Statement::<Release>::read(container.main.payload()).map_err(VerifyError::Statement)?;
    let signed = release.predicate.payload;
    let payload = &file.bytes()[container.payload.clone()];
    // Whoever signs vouches for the file at hand: its payload and evidence must be what the statement says.
    if sealift_spec::Digest::of(payload) != signed.sha256 || payload.len() as u64 != signed.size {
        return Err(VerifyError::Payload.into());
    }
    if container.evidence_summary != release.predicate.evidence {
        return Err(VerifyError::Evidence.into());
    }
    let signer = super::signer(&arguments.key, process)?;
    let key = signer
        .sign_envelope(&mut container.main)
        .map_err(|error| Failure::new(Exit::No, error).context(format!("`{}` was not signed", path.display())))?;
    let bytes = container::write(ContainerKind::Bundle, &container.main, &container.evidence, payload);
    file::write(path, &bytes, 0o644, true)
        .map_err(|error| Failure::new(Exit::Unknown, error).context(format!("cannot write `{}`", path.display())))?;
    let (digest, signatures) = (container.main.digest(), container.main.signatures().len());
    process.say(format_args!("signed {} as {key}", path.display()));
    process.say(format_args!("  release digest {digest}"));
    process.say(format_args!("  signatures     {signatures}"));
    process.data("signed", &json!({ "path": path, "key": key, "digest": digest, "signatures": signatures }));
    Ok(Exit::Done)
}
