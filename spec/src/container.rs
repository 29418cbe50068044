//! The outer file of bundles and sealed credentials: attestations and a payload (`bundle.md` section 2).

use std::fmt;
use std::ops::Range;

use crate::archive::{self, ArchiveError};
use crate::envelope::{Envelope, EnvelopeError};
use crate::statement::{Evidence, PAYLOAD_MEMBER, SEALED_MEMBER};
use crate::{Digest, limit};

/// The name of the first member.
pub const ATTESTATIONS_MEMBER: &str = "attestations.intoto.jsonl";

/// Which file it is, by its second member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerKind {
    /// `NAME.sealift`.
    Bundle,
    /// `NAME.sealed`.
    Credentials,
}

impl ContainerKind {
    /// The name of the payload member.
    pub fn payload_member(self) -> &'static str {
        match self {
            Self::Bundle => PAYLOAD_MEMBER,
            Self::Credentials => SEALED_MEMBER,
        }
    }
}

/// Why a file is no container of the kind.
#[derive(Debug)]
#[non_exhaustive]
pub enum ContainerError {
    /// The outer archive is not of the profile.
    Archive(ArchiveError),
    /// The members are not exactly the two of the kind, in order.
    Members {
        /// The kind expected.
        kind: ContainerKind,
    },
    /// The attestations are too large, too many, empty, or do not end with a line feed.
    Attestations,
    /// A line of the attestations is no envelope.
    Envelope {
        /// Its number, from 1.
        line: usize,
        /// Why.
        source: EnvelopeError,
    },
    /// The lines after the first are not sorted, each once.
    Order {
        /// The number of the first line out of order, from 1.
        line: usize,
    },
}

impl fmt::Display for ContainerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Archive(_) => f.write_str("the outer archive is not well formed"),
            Self::Members { kind } => {
                write!(f, "the members are not exactly `{ATTESTATIONS_MEMBER}` and `{}`", kind.payload_member())
            }
            Self::Attestations => write!(
                f,
                "`{ATTESTATIONS_MEMBER}` is not 1 to {} lines of at most {} bytes in all, each ended by a line feed",
                limit::ENVELOPES,
                limit::ATTESTATIONS
            ),
            Self::Envelope { line, .. } => write!(f, "line {line} of `{ATTESTATIONS_MEMBER}` is refused"),
            Self::Order { line } => write!(f, "line {line} of `{ATTESTATIONS_MEMBER}` is out of order or repeated"),
        }
    }
}

impl std::error::Error for ContainerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Archive(error) => Some(error),
            Self::Envelope { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// A container taken apart. Nothing in it is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The first envelope: the one that speaks for the payload.
    pub main: Envelope,
    /// The other envelopes.
    pub evidence: Vec<Envelope>,
    /// The digest and count that the main statement must state over the other lines.
    pub evidence_summary: Evidence,
    /// Where the payload lies in the file.
    pub payload: Range<usize>,
}

/// The digest and count over evidence lines.
pub fn summarise(evidence: &[Envelope]) -> Evidence {
    let lines: Vec<Vec<u8>> = evidence.iter().map(|envelope| [envelope.write(), b"\n".to_vec()].concat()).collect();
    Evidence { count: evidence.len() as u64, sha256: Digest::of_parts(lines.iter().map(Vec::as_slice)) }
}

/// Sorts evidence as it stands in a container and drops repeated lines.
pub fn sort(evidence: &mut Vec<Envelope>) {
    evidence.sort_by_cached_key(Envelope::write);
    evidence.dedup();
}

impl Container {
    /// Takes a file apart.
    ///
    /// # Errors
    /// [`ContainerError`] for anything but a file that [`write`] would have written.
    pub fn read(file: &[u8], kind: ContainerKind) -> Result<Self, ContainerError> {
        let members = archive::read(file, 2).map_err(ContainerError::Archive)?;
        let [attestations, payload] = members.as_slice() else { return Err(ContainerError::Members { kind }) };
        if attestations.name != ATTESTATIONS_MEMBER || payload.name != kind.payload_member() {
            return Err(ContainerError::Members { kind });
        }
        let text = &file[attestations.range.clone()];
        if text.len() > limit::ATTESTATIONS || text.last() != Some(&b'\n') {
            return Err(ContainerError::Attestations);
        }
        let lines: Vec<&[u8]> = text[..text.len() - 1].split(|byte| *byte == b'\n').collect();
        if lines.len() > limit::ENVELOPES {
            return Err(ContainerError::Attestations);
        }
        if let Some(at) = lines[1..].windows(2).position(|pair| pair[0] >= pair[1]) {
            return Err(ContainerError::Order { line: at + 3 });
        }
        let mut envelopes = Vec::with_capacity(lines.len());
        for (index, line) in lines.iter().enumerate() {
            let envelope = Envelope::read(line);
            envelopes.push(envelope.map_err(|source| ContainerError::Envelope { line: index + 1, source })?);
        }
        let evidence_bytes = &text[lines[0].len() + 1..];
        let evidence_summary = Evidence { count: lines.len() as u64 - 1, sha256: Digest::of(evidence_bytes) };
        let main = envelopes.remove(0);
        Ok(Self { main, evidence: envelopes, evidence_summary, payload: payload.range.clone() })
    }
}

/// Writes a container. The evidence must have been through [`sort`].
pub fn write(kind: ContainerKind, main: &Envelope, evidence: &[Envelope], payload: &[u8]) -> Vec<u8> {
    let mut attestations = Vec::new();
    for envelope in std::iter::once(main).chain(evidence) {
        attestations.extend(envelope.write());
        attestations.push(b'\n');
    }
    archive::write([(ATTESTATIONS_MEMBER, attestations.as_slice()), (kind.payload_member(), payload)])
}
