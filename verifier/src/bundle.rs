//! What would run, and who has reviewed it (`bundle.md` section 6, steps 12 to 17).
//!
//! [`VerifiedRelease::open`] is the only maker of a [`VerifiedBundle`], and [`VerifiedBundle::judge`] the only maker of a
//! [`Reviewed`] unit, which is the only way to a script's bytes. Attack -> defence. Bombs: output stops at the signed size.
//! Two frames, skippable frames, data after the frame, a large window, no checksum: the frame must be one, end with the
//! payload, and say what we would have it say. A second manifest, hidden or reordered members: the archive must be byte for
//! byte the one that the manifest describes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read;
use std::ops::Range;

use sealift_spec::archive::{self, ArchiveError};
use sealift_spec::envelope::Envelope;
use sealift_spec::json::JsonError;
use sealift_spec::manifest::{self, Direction, Manifest, Script, Unit};
use sealift_spec::name::{Name, Person, UnitId};
use sealift_spec::statement::{self, PredicateKind, Review, Statement, UNIT_SUBJECT, UNITS_SUBJECT};
use sealift_spec::{Digest, limit};

use crate::permit::VerifiedPermit;
use crate::release::VerifiedRelease;
use crate::requirement::{self, Shortfall, Signatures};
use crate::signature::{self, Keyring};
use crate::trust::Trust;

/// Why the payload of a verified release is refused. Variants follow the steps of `bundle.md` section 6.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// Step 12: the payload is not one zstd frame of the profile.
    Frame {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Step 13: the content is not of the signed size or digest.
    Content,
    /// Step 14: the inner archive is not of the profile.
    Archive(ArchiveError),
    /// Step 14: the first member is not the manifest that was signed.
    ManifestDigest,
    /// Step 15: the manifest is not well formed.
    Manifest(JsonError),
    /// Step 15: project, sequence or name differ between the manifest and the release statement.
    Mismatch {
        /// Which field.
        field: &'static str,
    },
    /// Step 16: a member is missing, extra, out of order, or not of the size and digest in the manifest.
    Member {
        /// The name expected, or found where none was expected.
        name: String,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame { reason } => write!(f, "the payload is not one zstd frame of the profile: {reason}"),
            Self::Content => f.write_str("the content of the payload is not the one that was signed"),
            Self::Archive(_) => f.write_str("the archive in the payload is not well formed"),
            Self::ManifestDigest => f.write_str("the payload does not begin with the manifest that was signed"),
            Self::Manifest(_) => f.write_str("the manifest is not well formed"),
            Self::Mismatch { field } => write!(f, "`{field}` differs between the manifest and the release statement"),
            Self::Member { name } => write!(f, "member `{name}` of the payload is not as the manifest says"),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Archive(error) => Some(error),
            Self::Manifest(error) => Some(error),
            _ => None,
        }
    }
}

/// A bundle whose every byte is accounted for. Owns the verified bytes.
pub struct VerifiedBundle {
    release: VerifiedRelease,
    manifest: Manifest,
    digests: Vec<Digest>,
    positions: BTreeMap<UnitId, usize>,
    content: Vec<u8>,
    scripts: BTreeMap<(usize, Direction), Range<usize>>,
    lists: BTreeMap<Digest, BTreeSet<Digest>>,
    /// The evidence lines that review a unit or list, by its digest.
    reviews: BTreeMap<About, Vec<usize>>,
    reviewers: Keyring,
}

/// A unit that this environment lets run, with the bytes of its scripts.
///
/// Made by [`VerifiedBundle::judge`] only:
///
/// ```compile_fail
/// fn forge<'b>(unit: &'b sealift_spec::manifest::Unit) -> sealift_verifier::bundle::Reviewed<'b> {
///     sealift_verifier::bundle::Reviewed { unit }
/// }
/// ```
#[derive(Clone)]
pub struct Reviewed<'b> {
    bundle: &'b VerifiedBundle,
    position: usize,
    reviewers: BTreeSet<Person>,
}

/// Why a unit may not run here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unreviewed {
    /// The bundle has no such unit.
    Absent {
        /// The id.
        id: UnitId,
    },
    /// Too few people reviewed it.
    Threshold {
        /// The unit.
        id: UnitId,
        /// Its unit digest.
        digest: Digest,
        /// The environment.
        environment: Name,
        /// What is missing.
        source: Shortfall,
    },
    /// The unit is revoked.
    Revoked {
        /// The unit.
        id: UnitId,
        /// Its unit digest.
        digest: Digest,
    },
}

impl fmt::Display for Unreviewed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent { id } => write!(f, "the bundle has no migration `{id}`"),
            Self::Threshold { id, digest, environment, source } => write!(
                f,
                "migration `{id}` (unit {}) is not reviewed for environment `{environment}`: {source}",
                digest.short()
            ),
            Self::Revoked { id, digest } => write!(f, "migration `{id}` (unit {}) is revoked", digest.short()),
        }
    }
}

impl std::error::Error for Unreviewed {}

impl VerifiedRelease {
    /// Decompresses and reads the payload.
    ///
    /// # Errors
    /// [`OpenError`] at the first step of `bundle.md` section 6 that fails.
    pub fn open(self, trust: &Trust) -> Result<VerifiedBundle, OpenError> {
        // 12. and 13. One frame of the signed content.
        let content = decompress(self.payload(), self.statement().content)?;
        // 14. The archive, and the manifest as its first member.
        let members = archive::read(&content, 2 * limit::UNITS + limit::ENVELOPES + 1).map_err(OpenError::Archive)?;
        let (first, rest) = members.split_first().ok_or(OpenError::ManifestDigest)?;
        let bytes = &content[first.range.clone()];
        if first.name != manifest::MEMBER || Digest::of(bytes) != self.manifest_digest() {
            return Err(OpenError::ManifestDigest);
        }
        // 15. The manifest, which must be the release's.
        let manifest = Manifest::read(bytes).map_err(OpenError::Manifest)?;
        let statement = self.statement();
        for (same, field) in [
            (*manifest.project() == statement.project, "project"),
            (manifest.release().sequence == statement.sequence, "sequence"),
            (manifest.release().name == statement.name, "name"),
        ] {
            if !same {
                return Err(OpenError::Mismatch { field });
            }
        }
        // 16. The other members, each as the manifest says, in its order, and no more.
        let expected = manifest.members();
        for (index, wanted) in expected.iter().enumerate() {
            let found = rest.get(index).filter(|member| {
                let bytes = &content[member.range.clone()];
                member.name == wanted.name && bytes.len() as u64 == wanted.size && Digest::of(bytes) == wanted.sha256
            });
            found.ok_or_else(|| OpenError::Member { name: wanted.name.clone() })?;
        }
        if let Some(extra) = rest.get(expected.len()) {
            return Err(OpenError::Member { name: extra.name.clone() });
        }
        let keys = manifest.units().iter().enumerate();
        let keys = keys.flat_map(|(position, unit)| unit.scripts().map(move |(direction, _)| (position, direction)));
        let scripts = keys.zip(rest).map(|(key, member)| (key, member.range.clone())).collect();
        let list_members = &rest[expected.len() - manifest.lists().len()..];
        let lists = manifest.lists().iter().zip(list_members).map(|(list, member)| {
            let list_error = || OpenError::Member { name: member.name.clone() };
            Ok((list.sha256, manifest::List::read(&content[member.range.clone()]).ok_or_else(list_error)?))
        });
        let lists = lists.collect::<Result<_, OpenError>>()?;
        let digests = manifest.units().iter().map(Unit::digest).collect();
        let positions = manifest.units().iter().enumerate().map(|(at, unit)| (unit.id.clone(), at)).collect();
        // 17. Reviews by people who may review; others do not count.
        let signers = trust.signers(PredicateKind::Review);
        let mut reviews: BTreeMap<About, Vec<usize>> = BTreeMap::new();
        for (index, envelope) in self.evidence().iter().enumerate() {
            // Whose they are is verified for the units that are judged, not for the thousands that were applied long ago.
            if let Some(subject) = subject_of_review(envelope, manifest.project()) {
                reviews.entry(subject).or_default().push(index);
            }
        }
        let reviewers = signers;
        Ok(VerifiedBundle { release: self, manifest, digests, positions, content, scripts, lists, reviews, reviewers })
    }
}

/// What a review is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum About {
    /// The unit of this digest.
    Unit(Digest),
    /// Every unit of the list of this digest.
    List(Digest),
}

fn subject_of_review(envelope: &Envelope, project: &Name) -> Option<About> {
    let review = Statement::<Review>::read(envelope.payload()).ok()?;
    let [subject] = review.subjects.as_slice() else { return None };
    let about = match subject.name.as_str() {
        UNIT_SUBJECT => About::Unit(subject.sha256),
        UNITS_SUBJECT => About::List(subject.sha256),
        _ => return None,
    };
    (review.predicate.project == *project).then_some(about)
}

const WINDOW_LOG: u32 = 23;

fn decompress(payload: &[u8], signed: statement::Content) -> Result<Vec<u8>, OpenError> {
    let frame = |reason| OpenError::Frame { reason };
    // RFC 8878 section 3.1.1: magic, then the descriptor. Window and sizes are enforced by the decoder below; here
    // stands what it would let pass: no checksum, no content size, a dictionary, reserved bits, other magics.
    let descriptor = match payload {
        [0x28, 0xb5, 0x2f, 0xfd, descriptor, ..] => *descriptor,
        _ => return Err(frame("it does not begin with the magic of a zstd frame")),
    };
    let has_size = descriptor & 0xe0 != 0;
    let plain = descriptor & 0x1b == 0;
    let has_checksum = descriptor & 0x04 != 0;
    if !has_size || !plain || !has_checksum {
        return Err(frame("its header lacks content size or checksum, or names a dictionary"));
    }
    if zstd::zstd_safe::get_frame_content_size(payload).ok().flatten() != Some(signed.size) {
        return Err(frame("its content size is not the signed one"));
    }
    if zstd::zstd_safe::find_frame_compressed_size(payload) != Ok(payload.len()) {
        return Err(frame("data follows the frame, or it is cut off"));
    }
    if signed.size > limit::PAYLOAD {
        return Err(frame("its content is larger than the limit"));
    }
    let mut decoder = zstd::stream::read::Decoder::with_buffer(payload)
        .map_err(|_| frame("it cannot be decompressed"))?
        .single_frame();
    decoder.window_log_max(WINDOW_LOG).map_err(|_| frame("it cannot be decompressed"))?;
    // Grows with what really comes out: the sizes are signed, but a bomb by a signer below the threshold stays small.
    let mut content = Vec::new();
    let read = decoder.by_ref().take(signed.size + 1).read_to_end(&mut content);
    read.map_err(|_| frame("it cannot be decompressed, or asks for a larger window"))?;
    if content.len() as u64 != signed.size || Digest::of(&content) != signed.sha256 {
        return Err(OpenError::Content);
    }
    Ok(content)
}

impl VerifiedBundle {
    /// The release it came from.
    pub fn release(&self) -> &VerifiedRelease {
        &self.release
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The unit digest of a unit.
    pub fn unit_digest(&self, id: &UnitId) -> Option<Digest> {
        self.positions.get(id).map(|position| self.digests[*position])
    }

    /// Everybody whose review of a unit verifies, whether or not it is enough.
    pub fn reviewers(&self, id: &UnitId) -> BTreeSet<Person> {
        let Some(digest) = self.unit_digest(id) else { return BTreeSet::new() };
        let lists = self.lists.iter().filter(|(_, units)| units.contains(&digest)).map(|(list, _)| About::List(*list));
        let about = std::iter::once(About::Unit(digest)).chain(lists);
        let about = about.filter_map(|about| self.reviews.get(&about)).flatten();
        about
            .map(|index| &self.release.evidence()[*index])
            .flat_map(|envelope| signature::verify_envelope(envelope, &self.reviewers).people.into_keys())
            .collect()
    }

    /// Judges whether a unit may run in the environment the release was verified for (`bundle.md` section 7).
    ///
    /// # Errors
    /// [`Unreviewed`] with what is missing.
    pub fn judge(&self, id: &UnitId, trust: &Trust) -> Result<Reviewed<'_>, Unreviewed> {
        self.judge_under(id, trust, None)
    }

    /// The same for a run under a permit: who signed that is counted together with release and reviews.
    ///
    /// # Errors
    /// [`Unreviewed`] with what is missing.
    pub fn judge_under(
        &self,
        id: &UnitId,
        trust: &Trust,
        permit: Option<&VerifiedPermit>,
    ) -> Result<Reviewed<'_>, Unreviewed> {
        let position = *self.positions.get(id).ok_or_else(|| Unreviewed::Absent { id: id.clone() })?;
        let (unit, digest) = (&self.manifest.units()[position], self.digests[position]);
        let policy = trust.policy();
        if policy.revoked.units.contains(&digest) {
            return Err(Unreviewed::Revoked { id: id.clone(), digest });
        }
        let environment = self.release.environment();
        let require = policy.environments.get(environment).map_or(&[][..], |rules| &rules.require);
        // Credentials are judged when they are used, permits when there is one, by the same rules.
        let require = require.iter().filter(|requirement| match requirement.statement {
            PredicateKind::Release | PredicateKind::Review => true,
            PredicateKind::Permit => permit.is_some(),
            PredicateKind::Credentials => false,
        });
        // A permit for another release is none.
        let permit = permit.filter(|permit| permit.release() == self.release.digest());
        // Who wrote it does not review it.
        let mut reviewers = self.reviewers(id);
        reviewers.remove(&unit.author);
        let signatures: Signatures<'_> = [
            (PredicateKind::Release, self.release.signers().iter().collect()),
            (PredicateKind::Review, reviewers.iter().collect()),
            (PredicateKind::Permit, permit.iter().flat_map(|permit| permit.signers()).collect()),
        ]
        .into();
        requirement::satisfy(policy, require, &signatures).map_err(|source| {
            let environment = environment.clone();
            Unreviewed::Threshold { id: id.clone(), digest, environment, source }
        })?;
        Ok(Reviewed { bundle: self, position, reviewers })
    }
}

impl<'b> Reviewed<'b> {
    /// The unit.
    pub fn unit(&self) -> &'b Unit {
        &self.bundle.manifest.units()[self.position]
    }

    /// The unit digest.
    pub fn digest(&self) -> Digest {
        self.bundle.digests[self.position]
    }

    /// The people who reviewed it.
    pub fn reviewers(&self) -> &BTreeSet<Person> {
        &self.reviewers
    }

    /// The script that runs in a direction, and its bytes.
    pub fn script(&self, direction: Direction) -> Option<(&'b Script, &'b [u8])> {
        let script = self.unit().script(direction)?;
        let range = self.bundle.scripts.get(&(self.position, direction))?;
        Some((script, &self.bundle.content[range.clone()]))
    }

    /// The way forward.
    pub fn up(&self) -> (&'b Script, &'b [u8]) {
        let range = &self.bundle.scripts[&(self.position, Direction::Up)];
        (&self.unit().up, &self.bundle.content[range.clone()])
    }

    /// The way back.
    pub fn down(&self) -> Option<(&'b Script, &'b [u8])> {
        self.script(Direction::Down)
    }
}
