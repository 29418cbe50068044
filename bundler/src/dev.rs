//! Local development: the project's units as a verified bundle for the reserved environment `dev`.
//!
//! Keys are made in memory and thrown away. Root, policy and release are real all the same and go through `verify`
//! like everybody else's, so that what runs while a migration is written is exactly what runs in production.

use std::fmt;

use sealift_keys::signer::{RandomError, SignError, Signer};
use sealift_spec::manifest::Source;
use sealift_spec::name::{Name, Person};
use sealift_spec::policy::{Environment, Holder, Member, Policy, Requirement};
use sealift_spec::root::{Root, RootError, RootFile};
use sealift_spec::statement::{Content, PredicateKind};
use sealift_spec::time::DAY;
use sealift_spec::{Digest, Timestamp};
use sealift_verifier::bundle::{OpenError, VerifiedBundle};
use sealift_verifier::file::SealedFile;
use sealift_verifier::release::{self, Expected, VerifyError};
use sealift_verifier::trust::{Trust, TrustError, TrustFiles};

use crate::pack::{self, PackError, Terms};
use crate::project::Project;
use crate::review::Reviews;
use crate::unit::Draft;

/// Why a project cannot be made into a local bundle. All but packing would be faults of ours.
#[derive(Debug)]
#[non_exhaustive]
pub enum DevError {
    /// The kernel gives no random bytes.
    Random(RandomError),
    /// The units do not make a bundle.
    Pack(PackError),
    /// Signing failed.
    Sign(SignError),
    /// The root is not well formed.
    Root(RootError),
    /// The root is not trusted.
    Trust(TrustError),
    /// The release does not verify.
    Verify(VerifyError),
    /// The payload does not open.
    Open(OpenError),
}

impl fmt::Display for DevError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pack(_) => "the migrations cannot be packed",
            Self::Random(_) => "no key can be made",
            _ => "a bundle made in memory was refused (please report this)",
        })
    }
}

impl std::error::Error for DevError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(match self {
            Self::Random(error) => error,
            Self::Pack(error) => error,
            Self::Sign(error) => error,
            Self::Root(error) => error,
            Self::Trust(error) => error,
            Self::Verify(error) => error,
            Self::Open(error) => error,
        })
    }
}

/// The reserved environment of local databases.
pub fn environment() -> Name {
    name("dev")
}

fn name(text: &str) -> Name {
    match text.parse() {
        Ok(name) => name,
        Err(error) => unreachable!("{error}"),
    }
}

/// Packs, signs and verifies the units of a project under keys made for this call.
///
/// # Errors
/// [`DevError`].
pub fn bundle(
    project: &Project,
    drafts: &[Draft],
    sequence: u64,
    now: Timestamp,
) -> Result<(VerifiedBundle, Trust), DevError> {
    let signer = Signer::generate().map_err(DevError::Random)?;
    let (policy_bytes, mut root) = trust(&signer, now)?;
    signer.sign_root(&mut root).map_err(DevError::Sign)?;
    let files = TrustFiles::from_bytes(vec![(root.write(), policy_bytes)]);
    let trust = Trust::verify(&files, root.digest(), 0, now).map_err(DevError::Trust)?;
    let (label, tool) = (format!("dev-{sequence}").parse(), "sealift-bundler dev".parse());
    let (Ok(label), Ok(tool)) = (label, tool) else { unreachable!("both are plain ASCII") };
    let terms = Terms {
        sequence,
        name: label,
        environments: vec![environment()],
        not_before: now,
        not_after: now.plus(DAY),
        min_root: 1,
        target: Vec::new(),
        out_of_order: Vec::new(),
        source: Source { commit: None, format: name("native"), repository: None, tool },
    };
    let mut packed = pack::pack(project, drafts, terms, &Reviews::default()).map_err(DevError::Pack)?;
    signer.sign_envelope(&mut packed.envelope).map_err(DevError::Sign)?;
    let expected = Expected { project: project.name.clone(), environment: environment(), now };
    let release =
        release::verify(SealedFile::from_bytes(packed.write()), &trust, &expected).map_err(DevError::Verify)?;
    let bundle = release.open(&trust).map_err(DevError::Open)?;
    Ok((bundle, trust))
}

fn trust(signer: &Signer, now: Timestamp) -> Result<(Vec<u8>, RootFile), DevError> {
    let person: Person = match "developer".parse() {
        Ok(person) => person,
        Err(error) => unreachable!("{error}"),
    };
    let role = name("release");
    let requirement = Requirement { people: 1, role: role.clone(), statement: PredicateKind::Release };
    let policy = Policy {
        environments: [(environment(), Environment { require: vec![requirement], ..Default::default() })].into(),
        people: [(person.clone(), Member { keys: vec![signer.public_key()], kind: Holder::Human })].into(),
        predicates: [(PredicateKind::Release, [role.clone()].into())].into(),
        revoked: Default::default(),
        roles: [(role, [person].into())].into(),
        validity: Default::default(),
        warning_days: 0,
    };
    let bytes = policy.write();
    let root = Root {
        version: 1,
        expires: now.plus(DAY),
        keys: vec![signer.public_key()],
        threshold: 1,
        policy: Content { sha256: Digest::of(&bytes), size: bytes.len() as u64 },
    };
    Ok((bytes, RootFile::new(root).map_err(DevError::Root)?))
}
