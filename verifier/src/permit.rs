//! May this be done to a protected database, by the word of those who operate it? (`trust.md` section 8.2, steps 1 to 9)
//!
//! [`verify`] is the only maker of a [`VerifiedPermit`]: an envelope whose signatures are all explained, which is about this
//! very release, project and environment, in force now. Whether it fits the database at hand is judged under the lock, by
//! the runner; who its signers are is counted together with release and reviews, unit by unit, by
//! [`VerifiedBundle::judge_under`]. Attack -> defence. A permit for another release, project or environment: equality, no
//! wildcards. A permit kept for later: a day at most. Withheld revocations: the permit names the newest root its signers know.

use std::collections::BTreeSet;
use std::fmt;

use sealift_spec::envelope::{Envelope, EnvelopeError};
use sealift_spec::key::KeyId;
use sealift_spec::name::{Name, Person};
use sealift_spec::statement::{Permit, PredicateKind, RELEASE_SUBJECT, Statement, StatementError};
use sealift_spec::time::DAY;
use sealift_spec::{Digest, Timestamp, limit};

use crate::bundle::VerifiedBundle;
use crate::requirement::{self, Shortfall, Signatures};
use crate::signature;
use crate::trust::Trust;

/// The largest permit file: an envelope and its line feed.
pub const LIMIT: u64 = limit::ENVELOPE as u64 + 1;

/// Why a permit is refused. Variants follow the steps of `trust.md` section 8.2.
#[derive(Debug)]
#[non_exhaustive]
pub enum PermitError {
    /// Step 1: the file is not one envelope and a line feed.
    Envelope(EnvelopeError),
    /// Step 1: the file does not end with the line feed of its only line.
    Line,
    /// Step 2: nobody has signed it.
    Unsigned,
    /// Step 3: a signature is by no key that may sign permits.
    UnknownSigner {
        /// The key ID it claims.
        key_id: KeyId,
    },
    /// Step 4: the statement is no permit.
    Statement(StatementError),
    /// Step 4: the subject is not one release.
    Subjects,
    /// Step 5: it is about another release.
    Release {
        /// The release at hand.
        expected: Digest,
        /// The release it is about.
        found: Digest,
    },
    /// Step 6: another project.
    Project {
        /// The project of the bundle.
        expected: Name,
        /// The project of the permit.
        found: Name,
    },
    /// Step 6: another environment.
    Environment {
        /// The environment that the bundle was accepted for.
        expected: Name,
        /// The environment of the permit.
        found: Name,
    },
    /// Step 7: it ends before it begins, or more than a day after.
    Times,
    /// Step 7: not valid yet.
    NotYet {
        /// From when.
        not_before: Timestamp,
    },
    /// Step 7: not valid any more.
    Expired {
        /// Since when.
        not_after: Timestamp,
    },
    /// Step 8: its signers know a newer root than this host.
    Root {
        /// The root they know.
        needed: u64,
        /// What the host has.
        found: u64,
    },
    /// Step 9: too few people signed.
    Threshold {
        /// The environment.
        environment: Name,
        /// What is missing.
        source: Shortfall,
    },
}

impl fmt::Display for PermitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Envelope(_) | Self::Line => f.write_str("the permit is not one signed envelope"),
            Self::Unsigned => f.write_str("nobody has signed the permit"),
            Self::UnknownSigner { key_id } => write!(
                f,
                "the signature by `{key_id}` is by no key that may sign permits under this policy, or does not verify"
            ),
            Self::Statement(_) | Self::Subjects => f.write_str("what was signed is no permit for a release"),
            Self::Release { expected, found } => {
                write!(f, "the permit is for release {}, this is {}", found.short(), expected.short())
            }
            Self::Project { expected, found } => {
                write!(f, "the permit is for project `{found}`, this is `{expected}`")
            }
            Self::Environment { expected, found } => {
                write!(f, "the permit is for environment `{found}`, this host is `{expected}`")
            }
            Self::Times => f.write_str("the permit is valid for more than a day, or for no time at all"),
            Self::NotYet { not_before } => write!(f, "the permit is not valid before {not_before}"),
            Self::Expired { not_after } => write!(f, "the permit expired at {not_after}"),
            Self::Root { needed, found } => {
                write!(f, "the permit was given under root version {needed}, this host has {found}")
            }
            Self::Threshold { environment, source } => write!(f, "{source} for environment `{environment}`"),
        }
    }
}

impl std::error::Error for PermitError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Envelope(error) => Some(error),
            Self::Statement(error) => Some(error),
            _ => None,
        }
    }
}

impl PermitError {
    /// What to do about it, if that is known.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::UnknownSigner { .. } => "see who may sign permits with `sealift-keys trust show`",
            Self::Expired { .. } | Self::Times => "let the plan be permitted again with `sealift-keys permit`",
            Self::Root { .. } => "bring the newer root files to this host: somebody may have been revoked",
            Self::Threshold { .. } => {
                "let others sign the same file with `sealift-keys permit`; nobody is counted twice"
            }
            Self::NotYet { .. } => "compare the clock of this host with that of the signer",
            Self::Release { .. } | Self::Project { .. } | Self::Environment { .. } => {
                "a permit is for one release in one environment: let this one be permitted"
            }
            _ => return None,
        })
    }
}

/// A permit whose signatures verified and which is about the release, project and environment at hand, but for which more
/// people may have to sign.
pub struct SignedPermit {
    statement: Permit,
    envelope: Envelope,
    release: Digest,
    signers: BTreeSet<Person>,
}

/// A permit that enough people signed, for one release.
///
/// Made by [`verify`] only:
///
/// ```compile_fail
/// let permit = sealift_verifier::permit::VerifiedPermit { };
/// ```
pub struct VerifiedPermit(SignedPermit);

/// Steps 1 to 8: everything but whether enough people signed.
///
/// # Errors
/// [`PermitError`] at the first step that fails.
pub fn read(bytes: &[u8], trust: &Trust, bundle: &VerifiedBundle, now: Timestamp) -> Result<SignedPermit, PermitError> {
    // 1. One line.
    let line = bytes.strip_suffix(b"\n").ok_or(PermitError::Line)?;
    let envelope = Envelope::read(line).map_err(PermitError::Envelope)?;
    // 2. and 3. Every signature must be by a key that may sign permits.
    if envelope.signatures().is_empty() {
        return Err(PermitError::Unsigned);
    }
    let signers = signature::verify_envelope(&envelope, &trust.signers(PredicateKind::Permit));
    if let Some(key_id) = signers.unexplained.first() {
        return Err(PermitError::UnknownSigner { key_id: *key_id });
    }
    // 4. The bytes that were signed are the bytes that are read.
    let Statement { subjects, predicate } =
        Statement::<Permit>::read(envelope.payload()).map_err(PermitError::Statement)?;
    let found = match subjects.as_slice() {
        [subject] if subject.name.as_str() == RELEASE_SUBJECT => subject.sha256,
        _ => return Err(PermitError::Subjects),
    };
    // 5. and 6. About what, and where.
    let release = bundle.release();
    let expected = release.digest();
    if found != expected {
        return Err(PermitError::Release { expected, found });
    }
    if predicate.project != release.statement().project {
        let expected = release.statement().project.clone();
        return Err(PermitError::Project { expected, found: predicate.project });
    }
    if predicate.environment != *release.environment() {
        let expected = release.environment().clone();
        return Err(PermitError::Environment { expected, found: predicate.environment });
    }
    // 7. When.
    in_force(&predicate, now)?;
    // 8. Who signs a permit has seen the newest root.
    if trust.root_version() < predicate.root {
        return Err(PermitError::Root { needed: predicate.root, found: trust.root_version() });
    }
    let signers = signers.people.into_keys().collect();
    Ok(SignedPermit { statement: predicate, envelope, release: expected, signers })
}

/// Judges a permit. Whether the database is in the state that it was given for is not asked here.
///
/// # Errors
/// [`PermitError`] at the first step of `trust.md` section 8.2 that fails.
pub fn verify(
    bytes: &[u8],
    trust: &Trust,
    bundle: &VerifiedBundle,
    now: Timestamp,
) -> Result<VerifiedPermit, PermitError> {
    read(bytes, trust, bundle, now)?.suffices(trust, bundle)
}

fn in_force(permit: &Permit, now: Timestamp) -> Result<(), PermitError> {
    let Permit { not_before, not_after, .. } = *permit;
    if not_after <= not_before || not_after > not_before.plus(DAY) {
        return Err(PermitError::Times);
    }
    if now < not_before {
        return Err(PermitError::NotYet { not_before });
    }
    if now >= not_after {
        return Err(PermitError::Expired { not_after });
    }
    Ok(())
}

impl SignedPermit {
    /// Step 9: whether enough people signed, counted together with those who released. Together with reviews it is judged
    /// unit by unit.
    ///
    /// # Errors
    /// [`PermitError::Threshold`].
    pub fn suffices(self, trust: &Trust, bundle: &VerifiedBundle) -> Result<VerifiedPermit, PermitError> {
        let (policy, environment) = (trust.policy(), bundle.release().environment());
        let require = policy.environments.get(environment).map_or(&[][..], |rules| &rules.require);
        let about = require.iter().filter(|r| matches!(r.statement, PredicateKind::Release | PredicateKind::Permit));
        let signatures: Signatures<'_> = [
            (PredicateKind::Release, bundle.release().signers().iter().collect()),
            (PredicateKind::Permit, self.signers.iter().collect()),
        ]
        .into();
        requirement::satisfy(policy, about, &signatures)
            .map_err(|source| PermitError::Threshold { environment: environment.clone(), source })?;
        Ok(VerifiedPermit(self))
    }

    /// What was signed.
    pub fn statement(&self) -> &Permit {
        &self.statement
    }

    /// The signed envelope.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The people whose signatures verified.
    pub fn signers(&self) -> &BTreeSet<Person> {
        &self.signers
    }
}

impl VerifiedPermit {
    /// What was signed.
    pub fn statement(&self) -> &Permit {
        &self.0.statement
    }

    /// The digest by which history and audit log name it: SHA-256 of the signed statement.
    pub fn digest(&self) -> Digest {
        self.0.envelope.digest()
    }

    /// The signed envelope.
    pub fn envelope(&self) -> &Envelope {
        &self.0.envelope
    }

    /// The release it is for.
    pub fn release(&self) -> Digest {
        self.0.release
    }

    /// The people whose signatures verified.
    pub fn signers(&self) -> &BTreeSet<Person> {
        &self.0.signers
    }

    /// The same permit, if it is still in force: waiting for a lock takes time.
    ///
    /// # Errors
    /// [`PermitError::NotYet`] or [`PermitError::Expired`].
    pub fn in_force(&self, now: Timestamp) -> Result<&Self, PermitError> {
        in_force(self.statement(), now).map(|()| self)
    }
}
