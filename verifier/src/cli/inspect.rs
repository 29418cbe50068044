//! `sealift-verifier inspect`: what a bundle claims. Reads envelopes and statements, never the payload.

use sealift_spec::container::{Container, ContainerKind};
use sealift_spec::envelope::Envelope;
use sealift_spec::limit;
use sealift_spec::statement::{self, PredicateKind, Release, Review, Statement};
use serde_json::json;

use super::Inspect;
use crate::file::SealedFile;
use crate::release::VerifyError;
use crate::report::{Exit, Failure, Process};

pub(super) fn run(arguments: &Inspect, process: &mut Process<'_>) -> Result<Exit, Failure> {
    let file = SealedFile::read(&arguments.bundle, limit::PAYLOAD + limit::ATTESTATIONS as u64 + 4096)?;
    let container = Container::read(file.bytes(), ContainerKind::Bundle).map_err(VerifyError::Container)?;
    let release = Statement::<Release>::read(container.main.payload()).map_err(VerifyError::Statement)?;
    let claims = &release.predicate;
    let ids =
        |envelope: &Envelope| -> Vec<String> { envelope.signatures().iter().map(|s| s.key_id.to_string()).collect() };
    let environments: Vec<_> = claims.environments.iter().map(ToString::to_string).collect();
    process.say("UNVERIFIED: this is what the file claims of itself; nothing of it has been checked");
    process.say(format_args!(
        "  release      {} (sequence {}, digest {})",
        claims.name,
        claims.sequence,
        container.main.digest()
    ));
    process.say(format_args!("  project      {}", claims.project));
    process.say(format_args!("  environments {}", environments.join(", ")));
    process.say(format_args!("  valid        {} to {}", claims.not_before, claims.not_after));
    process.say(format_args!("  minimum root version {}", claims.min_root));
    process.say(format_args!("  payload      {} bytes, {} uncompressed", claims.payload.size, claims.content.size));
    process.say(format_args!("  content      {}", claims.content.sha256));
    let signatures = ids(&container.main);
    process.say(format_args!(
        "  signatures   {}",
        if signatures.is_empty() { "none".to_owned() } else { signatures.join(", ") }
    ));
    process.say(format_args!("  evidence     {} lines", container.evidence.len()));
    process.data(
        "unverified-release",
        &json!({
            "digest": container.main.digest(), "statement": serde_json::from_slice::<serde_json::Value>(container.main.payload()).unwrap_or_default(),
            "signatures": signatures, "evidence": container.evidence.len(),
        }),
    );
    for envelope in &container.evidence {
        let (kind, signatures) = (statement::kind(envelope.payload()), ids(envelope));
        let (words, subject) = match (kind, Statement::<Review>::read(envelope.payload())) {
            (Some(PredicateKind::Review), Ok(review)) => {
                let subject = review.subjects.first().map(|subject| (subject.name.clone(), subject.sha256));
                let text = subject
                    .as_ref()
                    .map_or_else(String::new, |(name, digest)| format!(" of {name} {}", digest.short()));
                (format!("review{text}"), subject.map(|(_, digest)| digest))
            }
            _ => ("statement of another kind".to_owned(), None),
        };
        process.say(format_args!("    {words} signed by {}", signatures.join(", ")));
        process.data("unverified-evidence", &json!({ "kind": kind, "subject": subject, "signatures": signatures }));
    }
    Ok(Exit::Done)
}
