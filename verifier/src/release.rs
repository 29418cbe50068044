//! May this file run here, now? (`bundle.md` section 6, steps 1 to 11)
//!
//! [`verify`] is the only maker of a [`VerifiedRelease`]. It reads the container and the statements; no byte of the payload
//! reaches a parser. What the payload's digest promises is opened in `bundle.rs`.

use std::collections::BTreeSet;
use std::fmt;

use sealift_spec::container::{Container, ContainerError, ContainerKind};
use sealift_spec::envelope::Envelope;
use sealift_spec::key::KeyId;
use sealift_spec::manifest;
use sealift_spec::name::{Name, Person};
use sealift_spec::statement::{self, PAYLOAD_MEMBER, PredicateKind, Statement, StatementError};
use sealift_spec::time::DAY;
use sealift_spec::{Digest, Timestamp};

use crate::file::SealedFile;
use crate::requirement::{self, Shortfall, Signatures};
use crate::signature;
use crate::trust::Trust;

/// What the host knows of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The project it serves.
    pub project: Name,
    /// The environment it is.
    pub environment: Name,
    /// The one point in time at which everything is judged.
    pub now: Timestamp,
}

/// Why a bundle is rejected. Variants follow the steps of `bundle.md` section 6.
#[derive(Debug)]
#[non_exhaustive]
pub enum VerifyError {
    /// Step 1: the file is not a container of the kind.
    Container(ContainerError),
    /// Step 2: the main envelope has no signature.
    Unsigned,
    /// Step 3: a signature on the main envelope is by no key that may sign it.
    UnknownSigner {
        /// The key ID it claims.
        key_id: KeyId,
        /// What was to be signed.
        statement: PredicateKind,
    },
    /// Step 4: the statement is not of the kind expected.
    Statement(StatementError),
    /// Step 5: the subjects are not exactly those of the kind.
    Subjects,
    /// Step 6: the payload's digest or size is not the one signed.
    Payload,
    /// Step 7: the evidence lines are not the ones signed.
    Evidence,
    /// Step 8: another project.
    Project {
        /// The project of this host.
        expected: Name,
        /// The project of the bundle.
        found: Name,
    },
    /// Step 8: not for this environment.
    Environment {
        /// The environment of this host.
        expected: Name,
        /// The environments of the bundle.
        found: Vec<Name>,
    },
    /// Step 8: the policy has no such environment.
    UnknownEnvironment {
        /// The environment of this host.
        environment: Name,
    },
    /// Step 9: not valid yet.
    NotYet {
        /// From when.
        not_before: Timestamp,
    },
    /// Step 9: not valid any more.
    Expired {
        /// Since when.
        not_after: Timestamp,
    },
    /// Step 9: it became valid longer ago than the environment allows.
    TooOld {
        /// Since when it is valid.
        not_before: Timestamp,
        /// How old it may be.
        days: u32,
    },
    /// Step 9: its sequence is below the environment's floor.
    Sequence {
        /// The lowest sequence that is accepted.
        floor: u64,
        /// The sequence of the release.
        found: u64,
    },
    /// Step 9: the times contradict each other.
    Times,
    /// Step 10: it asks for a newer root than the host has.
    MinRoot {
        /// What it asks for.
        needed: u64,
        /// What the host has.
        found: u64,
    },
    /// Step 10: the release or its content is revoked.
    Revoked {
        /// The digest that is revoked.
        digest: Digest,
    },
    /// Step 11: too few people signed.
    Threshold {
        /// The environment.
        environment: Name,
        /// What is missing.
        source: Shortfall,
    },
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Container(_) => f.write_str("the file is not well formed"),
            Self::Unsigned => f.write_str("nobody has signed it"),
            Self::UnknownSigner { key_id, statement } => {
                let what = if *statement == PredicateKind::Credentials { "" } else { "a " };
                write!(
                    f,
                    "the signature by `{key_id}` is by no key that may sign {what}{statement} under this policy, or does \
                     not verify"
                )
            }
            Self::Statement(_) => f.write_str("the signed statement is refused"),
            Self::Subjects => f.write_str("the subjects of the signed statement are not those of its kind"),
            Self::Payload => f.write_str("the payload is not the one that was signed"),
            Self::Evidence => f.write_str("the evidence lines are not the ones that were signed"),
            Self::Project { expected, found } => write!(f, "it is of project `{found}`, this host serves `{expected}`"),
            Self::Environment { expected, found } => {
                let found: Vec<_> = found.iter().map(Name::as_str).collect();
                write!(f, "it is for environment `{}`, this host is `{expected}`", found.join("`, `"))
            }
            Self::UnknownEnvironment { environment } => {
                write!(f, "the policy has no environment `{environment}`")
            }
            Self::NotYet { not_before } => write!(f, "it is not valid before {not_before}"),
            Self::Expired { not_after } => write!(f, "it expired at {not_after}"),
            Self::TooOld { not_before, days } => {
                write!(
                    f,
                    "it has been valid since {not_before}, and the environment takes nothing older than {days} days"
                )
            }
            Self::Sequence { floor, found } => {
                write!(f, "its sequence is {found}, and the environment takes nothing below {floor}")
            }
            Self::Times => f.write_str("it expires before it becomes valid"),
            Self::MinRoot { needed, found } => write!(f, "it asks for root version {needed}, this host has {found}"),
            Self::Revoked { digest } => write!(f, "`{digest}` is revoked"),
            Self::Threshold { environment, source } => {
                write!(f, "{source} for environment `{environment}`")
            }
        }
    }
}

impl std::error::Error for VerifyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Container(error) => Some(error),
            Self::Statement(error) => Some(error),
            _ => None,
        }
    }
}

impl VerifyError {
    /// What to do about it, if that is known.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Container(_) | Self::Payload | Self::Evidence => {
                "fetch the file again from where it was built; if it is refused again, somebody changed it"
            }
            Self::Unsigned => "sign it with `sealift-bundler sign`",
            Self::UnknownSigner { .. } => {
                "list who signed with `sealift-verifier inspect`, and who may with `sealift-keys trust show`"
            }
            Self::Threshold { .. } => "list who signed with `sealift-verifier inspect`",
            Self::Environment { .. } => {
                "pack it with `--environment` for this environment, or take the bundle that was made for it"
            }
            Self::UnknownEnvironment { .. } => "list the environments with `sealift-keys trust show`",
            Self::Expired { .. } | Self::TooOld { .. } | Self::Sequence { .. } => "pack and sign it again",
            Self::MinRoot { .. } => "bring the newer root files to this host",
            Self::NotYet { .. } => {
                "wait until then; if that time has come, set the clock of this host; \
                 `sealift-bundler pack --not-before` says from when on a release is valid"
            }
            _ => return None,
        })
    }

    /// What to do about sealed credentials that are refused, if that is known.
    pub fn credentials_hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Unsigned | Self::UnknownSigner { .. } | Self::Threshold { .. } => {
                "credentials count when they are sealed with a key of the role that signs credentials in this environment: \
                 who holds it is listed by `sealift-keys trust show`; seal them with such a key"
            }
            Self::Project { .. } | Self::Environment { .. } => {
                "give the credentials that were sealed for this project and environment"
            }
            Self::Expired { .. } => "let them be sealed again, with a later `not-after`",
            Self::Container(_) | Self::Payload | Self::UnknownEnvironment { .. } => return self.hint(),
            _ => "let them be sealed again with `sealift-keys credentials seal`",
        })
    }
}

/// A signed container whose main statement was verified and whose payload has the digest that was signed.
///
/// Made by this crate only, after signatures, digests and size were checked:
///
/// ```compile_fail
/// let release = sealift_verifier::release::VerifiedRelease { };
/// ```
pub struct VerifiedRelease {
    pub(crate) file: SealedFile,
    pub(crate) container: Container,
    statement: statement::Release,
    manifest_digest: Digest,
    digest: Digest,
    signers: BTreeSet<Person>,
    root_version: u64,
    environment: Name,
    accepted_at: Timestamp,
}

/// Steps 1 to 4 and 6, which bundles and credentials share.
pub(crate) struct VerifiedContainer<P> {
    pub(crate) file: SealedFile,
    pub(crate) container: Container,
    pub(crate) statement: Statement<P>,
    pub(crate) signers: BTreeSet<Person>,
}

pub(crate) fn verify_container<P: statement::Predicate>(
    file: SealedFile,
    kind: ContainerKind,
    trust: &Trust,
    payload: impl Fn(&P) -> statement::Content,
) -> Result<VerifiedContainer<P>, VerifyError> {
    // 1. The container.
    let container = Container::read(file.bytes(), kind).map_err(VerifyError::Container)?;
    // 2. and 3. Every signature on the main envelope must be by a key that may sign such a statement.
    if container.main.signatures().is_empty() {
        return Err(VerifyError::Unsigned);
    }
    let signers = signature::verify_envelope(&container.main, &trust.signers(P::KIND));
    if let Some(key_id) = signers.unexplained.first() {
        return Err(VerifyError::UnknownSigner { key_id: *key_id, statement: P::KIND });
    }
    // 4. The bytes that were signed are the bytes that are read.
    let statement = Statement::<P>::read(container.main.payload()).map_err(VerifyError::Statement)?;
    // 6. The payload, by size first.
    let signed = payload(&statement.predicate);
    let bytes = &file.bytes()[container.payload.clone()];
    if bytes.len() as u64 != signed.size || Digest::of(bytes) != signed.sha256 {
        return Err(VerifyError::Payload);
    }
    Ok(VerifiedContainer { file, container, statement, signers: signers.people.into_keys().collect() })
}

/// Judges a bundle.
///
/// # Errors
/// [`VerifyError`] at the first step of `bundle.md` section 6 that fails.
pub fn verify(file: SealedFile, trust: &Trust, expected: &Expected) -> Result<VerifiedRelease, VerifyError> {
    let policy = trust.policy();
    let VerifiedContainer { file, container, statement, signers } =
        verify_container::<statement::Release>(file, ContainerKind::Bundle, trust, |release| release.payload)?;
    let Statement { subjects, predicate: release } = statement;
    // 5. Exactly two subjects: the payload, whose digest both places must state, and the manifest in it.
    let manifest_digest = match subjects.as_slice() {
        [payload, manifest]
            if payload.name.as_str() == PAYLOAD_MEMBER
                && payload.sha256 == release.payload.sha256
                && manifest.name.as_str() == manifest::MEMBER =>
        {
            manifest.sha256
        }
        _ => return Err(VerifyError::Subjects),
    };
    // 7. The evidence, as a whole.
    if container.evidence_summary != release.evidence {
        return Err(VerifyError::Evidence);
    }
    // 8. Where.
    let Expected { project, environment, now } = expected;
    if release.project != *project {
        return Err(VerifyError::Project { expected: project.clone(), found: release.project });
    }
    if !release.environments.contains(environment) {
        return Err(VerifyError::Environment { expected: environment.clone(), found: release.environments });
    }
    let Some(rules) = policy.environments.get(environment) else {
        return Err(VerifyError::UnknownEnvironment { environment: environment.clone() });
    };
    // 9. When.
    if release.not_after <= release.not_before {
        return Err(VerifyError::Times);
    }
    if *now < release.not_before {
        return Err(VerifyError::NotYet { not_before: release.not_before });
    }
    if *now >= release.not_after {
        return Err(VerifyError::Expired { not_after: release.not_after });
    }
    if let Some(days) = rules.max_age_days
        && *now >= release.not_before.plus(u64::from(days) * DAY)
    {
        return Err(VerifyError::TooOld { not_before: release.not_before, days });
    }
    if let Some(floor) = rules.min_sequence.filter(|floor| release.sequence < *floor) {
        return Err(VerifyError::Sequence { floor, found: release.sequence });
    }
    // 10. Under which root, and not revoked.
    if release.min_root > trust.root_version() {
        return Err(VerifyError::MinRoot { needed: release.min_root, found: trust.root_version() });
    }
    let digest = container.main.digest();
    let revoked = &policy.revoked;
    for (digest, revoked) in [(digest, &revoked.releases), (release.content.sha256, &revoked.contents)] {
        if revoked.contains(&digest) {
            return Err(VerifyError::Revoked { digest });
        }
    }
    // 11. Who: what the environment asks of releases. Together with reviews it is judged unit by unit.
    let signatures: Signatures<'_> = [(PredicateKind::Release, signers.iter().collect())].into();
    let about_release = rules.require.iter().filter(|requirement| requirement.statement == PredicateKind::Release);
    requirement::satisfy(policy, about_release, &signatures)
        .map_err(|source| VerifyError::Threshold { environment: environment.clone(), source })?;
    Ok(VerifiedRelease {
        file,
        container,
        statement: release,
        manifest_digest,
        digest,
        signers,
        root_version: trust.root_version(),
        environment: environment.clone(),
        accepted_at: *now,
    })
}

impl VerifiedRelease {
    /// What was signed.
    pub fn statement(&self) -> &statement::Release {
        &self.statement
    }

    /// The release digest: SHA-256 of the signed statement.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The digest that was signed for `manifest.json`.
    pub fn manifest_digest(&self) -> Digest {
        self.manifest_digest
    }

    /// The people whose signatures on the release verified.
    pub fn signers(&self) -> &BTreeSet<Person> {
        &self.signers
    }

    /// The version of the root that accepted it.
    pub fn root_version(&self) -> u64 {
        self.root_version
    }

    /// The environment it was accepted for.
    pub fn environment(&self) -> &Name {
        &self.environment
    }

    /// When it was accepted.
    pub fn accepted_at(&self) -> Timestamp {
        self.accepted_at
    }

    /// The signed envelope.
    pub fn envelope(&self) -> &Envelope {
        &self.container.main
    }

    /// The evidence that was signed for as a whole; each envelope still has to be verified.
    pub(crate) fn evidence(&self) -> &[Envelope] {
        &self.container.evidence
    }

    /// The payload's bytes.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.file.bytes()[self.container.payload.clone()]
    }
}
