//! May these sealed credentials be opened here, now? (`credentials.md` section 4)
//!
//! The signature is judged before a byte reaches age. Decrypting is the runner's business; this crate has no secret keys.

use std::collections::BTreeSet;
use std::fmt;

use sealift_spec::container::ContainerKind;
use sealift_spec::name::Person;
use sealift_spec::statement::{self, PredicateKind, SEALED_MEMBER, Statement};

use crate::file::SealedFile;
use crate::release::{Expected, VerifiedContainer, VerifyError, verify_container};
use crate::requirement::{self, Signatures};
use crate::trust::Trust;

/// Sealed credentials that somebody trusted signed for this project and environment.
pub struct VerifiedCredentials {
    file: SealedFile,
    payload: std::ops::Range<usize>,
    statement: statement::Credentials,
    signers: BTreeSet<Person>,
}

impl fmt::Debug for VerifiedCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedCredentials").field("statement", &self.statement).finish_non_exhaustive()
    }
}

/// Judges sealed credentials.
///
/// # Errors
/// [`VerifyError`] at the first step of `credentials.md` section 4 that fails.
pub fn verify(file: SealedFile, trust: &Trust, expected: &Expected) -> Result<VerifiedCredentials, VerifyError> {
    let policy = trust.policy();
    let kind = ContainerKind::Credentials;
    let VerifiedContainer { file, container, statement, signers } =
        verify_container::<statement::Credentials>(file, kind, trust, |credentials| credentials.payload)?;
    let Statement { subjects, predicate } = statement;
    match subjects.as_slice() {
        [payload] if payload.name.as_str() == SEALED_MEMBER && payload.sha256 == predicate.payload.sha256 => {}
        _ => return Err(VerifyError::Subjects),
    }
    if !container.evidence.is_empty() {
        return Err(VerifyError::Evidence);
    }
    if predicate.project != expected.project {
        return Err(VerifyError::Project { expected: expected.project.clone(), found: predicate.project });
    }
    if predicate.environment != expected.environment {
        let found = vec![predicate.environment];
        return Err(VerifyError::Environment { expected: expected.environment.clone(), found });
    }
    if expected.now >= predicate.not_after {
        return Err(VerifyError::Expired { not_after: predicate.not_after });
    }
    let Some(rules) = policy.environments.get(&expected.environment) else {
        return Err(VerifyError::UnknownEnvironment { environment: expected.environment.clone() });
    };
    let signatures: Signatures<'_> = [(PredicateKind::Credentials, signers.iter().collect())].into();
    let about = rules.require.iter().filter(|requirement| requirement.statement == PredicateKind::Credentials);
    requirement::satisfy(policy, about, &signatures)
        .map_err(|source| VerifyError::Threshold { environment: expected.environment.clone(), source })?;
    Ok(VerifiedCredentials { file, payload: container.payload, statement: predicate, signers })
}

impl VerifiedCredentials {
    /// What was signed.
    pub fn statement(&self) -> &statement::Credentials {
        &self.statement
    }

    /// Who signed it.
    pub fn signers(&self) -> &BTreeSet<Person> {
        &self.signers
    }

    /// The age file.
    pub fn ciphertext(&self) -> &[u8] {
        &self.file.bytes()[self.payload.clone()]
    }
}
