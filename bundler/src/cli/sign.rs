//! `sealift-bundler sign`.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use sealift_keys::external;
use sealift_spec::container::{self, Container, ContainerKind};
use sealift_spec::statement::{Release, Statement};
use sealift_spec::{Digest, limit};
use sealift_verifier::file::{self, SealedFile};
use sealift_verifier::release::VerifyError;
use sealift_verifier::report::{Exit, Failure, Process};
use serde_json::json;

#[derive(Args)]
#[command(group = ArgGroup::new("how").required(true))]
pub(super) struct Sign {
    /// The bundle; the signature is added to it in place
    bundle: PathBuf,
    /// The private key to sign with, or a NAME.pub whose private half the ssh-agent holds
    #[arg(long, value_name = "FILE", group = "how")]
    key: Option<PathBuf>,
    /// Do not sign: write the exact bytes that a signer elsewhere (a KMS, another machine) is to sign with Ed25519
    #[arg(long, value_name = "FILE", group = "how")]
    request: Option<PathBuf>,
    /// Add a signature that was made elsewhere: 64 raw bytes, or their base64
    #[arg(long, value_name = "FILE", group = "how", requires = "public_key")]
    attach: Option<PathBuf>,
    /// The public key of the attached signature, in OpenSSH's format
    #[arg(long, value_name = "PUB", requires = "attach")]
    public_key: Option<PathBuf>,
}

pub(super) fn run(arguments: &Sign, process: &mut Process<'_>) -> Result<Exit, Failure> {
    let path = &arguments.bundle;
    let file = SealedFile::read(path, limit::PAYLOAD + limit::ATTESTATIONS as u64 + 4096)?;
    let mut container = Container::read(file.bytes(), ContainerKind::Bundle).map_err(VerifyError::Container)?;
    let release = Statement::<Release>::read(container.main.payload()).map_err(VerifyError::Statement)?;
    let signed = release.predicate.payload;
    let payload = &file.bytes()[container.payload.clone()];
    // Whoever signs vouches for the file at hand: its payload and evidence must be what the statement says.
    if Digest::of(payload) != signed.sha256 || payload.len() as u64 != signed.size {
        return Err(VerifyError::Payload.into());
    }
    if container.evidence_summary != release.predicate.evidence {
        return Err(VerifyError::Evidence.into());
    }
    if let Some(out) = &arguments.request {
        return request(path, &container, out, process);
    }
    let signer = match (&arguments.key, &arguments.attach, &arguments.public_key) {
        (Some(key), ..) => super::signer(key, process)?,
        (None, Some(signature), Some(public_key)) => external::signer(public_key, signature)?,
        _ => return Err(Failure::new(Exit::Unknown, "neither --key nor --attach with --public-key is given")),
    };
    let key = signer
        .sign_envelope(&mut container.main)
        .map_err(|error| Failure::from(error).context(format!("`{}` was not signed", path.display())))?;
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

fn request(path: &Path, container: &Container, out: &Path, process: &mut Process<'_>) -> Result<Exit, Failure> {
    let bytes = container.main.signed_bytes();
    sealift_keys::file::create(out, &bytes, 0o644)?;
    let (digest, sha256) = (container.main.digest(), Digest::of(&bytes));
    process.say(format_args!("wrote {}: {} bytes to be signed with Ed25519", out.display(), bytes.len()));
    process.say(format_args!("  sha256         {sha256}"));
    process.say(format_args!("  release digest {digest}"));
    process.data(
        "signing-request",
        &json!({ "path": out, "bytes": bytes.len(), "sha256": sha256, "digest": digest, "bundle": path }),
    );
    process.note(format_args!(
        "next: add what comes back with `sealift-bundler sign {} --attach FILE --public-key PUB`",
        path.display()
    ));
    Ok(Exit::Done)
}
