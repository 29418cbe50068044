//! Tampering without a plan: every flipped bit, every length, every exchange of parts. Nothing of it may be accepted.
//!
//! Exhaustive for small files, sampled for the others. The last tests hold the release keys as well: what they sign anew is
//! accepted only if what would run is what was reviewed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use sealift_spec::archive::{self, BLOCK};
use sealift_spec::envelope::Envelope;
use sealift_spec::manifest::Flavour;
use sealift_spec::statement::UNIT_SUBJECT;
use sealift_tests::forge::{Change, Forged, World, review, tar};
use sealift_tests::vector::{Form, Judgement, Material};
use sealift_verifier::bundle::VerifiedBundle;
use sealift_verifier::credentials;
use sealift_verifier::file::SealedFile;
use sealift_verifier::release::{self, Expected};
use sealift_verifier::trust::{Trust, TrustFiles};

/// A judge with the trust that the untouched files were judged under.
struct Judge {
    trust: Trust,
    expected: Expected,
}

impl Judge {
    fn of(forged: &Forged) -> Self {
        let host = &forged.host;
        let files = TrustFiles::from_bytes(forged.trust.clone());
        let trust = Trust::verify(&files, host.pinned.expect("a pinned root"), host.floor, host.now);
        let (project, environment) = (host.project.clone(), host.environment.clone());
        Self { trust: trust.expect("a good root"), expected: Expected { project, environment, now: host.now } }
    }

    fn bundle(&self, file: Vec<u8>) -> Option<VerifiedBundle> {
        let release = release::verify(SealedFile::from_bytes(file), &self.trust, &self.expected).ok()?;
        let bundle = release.open(&self.trust).ok()?;
        let reviewed = bundle.manifest().units().iter().all(|unit| bundle.judge(&unit.id, &self.trust).is_ok());
        reviewed.then_some(bundle)
    }

    fn credentials(&self, file: Vec<u8>) -> bool {
        credentials::verify(SealedFile::from_bytes(file), &self.trust, &self.expected).is_ok()
    }
}

/// Runs a check on every number below `count`, on the threads there are.
fn each(count: usize, check: impl Fn(usize) + Sync) {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for first in 0..threads {
            let check = &check;
            scope.spawn(move || (first..count).step_by(threads).for_each(check));
        }
    });
}

fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes
}

/// Numbers that are the same in every run.
fn sample(count: usize, below: usize) -> Vec<usize> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    std::iter::repeat_with(next).take(count).collect()
}

#[test]
fn every_flipped_bit_of_a_small_bundle() {
    let forged = World::smallest().bundle(Change::Nothing);
    let judge = Judge::of(&forged);
    assert!(judge.bundle(forged.file.clone()).is_some());
    each(forged.file.len() * 8, |bit| {
        assert!(judge.bundle(flipped(&forged.file, bit)).is_none(), "byte {} bit {}", bit / 8, bit % 8);
    });
}

#[test]
fn every_other_length_of_a_small_bundle() {
    let forged = World::smallest().bundle(Change::Nothing);
    let judge = Judge::of(&forged);
    each(forged.file.len(), |length| {
        assert!(judge.bundle(forged.file[..length].to_vec()).is_none(), "{length} bytes");
    });
    for more in [&[0][..], &[0; BLOCK], &[0; 10_240], &forged.file] {
        assert!(judge.bundle([&forged.file, more].concat()).is_none(), "{} bytes more", more.len());
    }
}

#[test]
fn sampled_bits_of_the_other_bundles() {
    for flavour in [Flavour::Sqlite, Flavour::Postgresql, Flavour::Mariadb] {
        let mut world = World::new(flavour);
        world.review_list(&["alice", "bob"]);
        let forged = world.bundle(Change::Nothing);
        let judge = Judge::of(&forged);
        assert!(judge.bundle(forged.file.clone()).is_some());
        let bits = sample(2_000, forged.file.len() * 8);
        each(bits.len(), |index| {
            let bit = bits[index];
            assert!(judge.bundle(flipped(&forged.file, bit)).is_none(), "{flavour} byte {} bit {}", bit / 8, bit % 8);
        });
    }
}

#[test]
fn every_flipped_bit_and_every_other_length_of_credentials() {
    let forged = World::new(Flavour::Sqlite).credentials(Change::Nothing);
    let judge = Judge::of(&forged);
    assert!(judge.credentials(forged.file.clone()));
    each(forged.file.len() * 8, |bit| {
        assert!(!judge.credentials(flipped(&forged.file, bit)), "byte {} bit {}", bit / 8, bit % 8);
    });
    each(forged.file.len(), |length| assert!(!judge.credentials(forged.file[..length].to_vec()), "{length} bytes"));
}

#[test]
fn every_flipped_bit_and_every_other_length_of_the_trust() {
    let forged = World::new(Flavour::Sqlite).bundle(Change::Nothing);
    let accepted = |root: Vec<u8>, policy: Vec<u8>| {
        let forged = Forged { trust: vec![(root, policy)], ..forged.clone() };
        Judgement::of(Form::Root, &Material::Forged(Box::new(forged))).class == "accepted"
    };
    let [(root, policy)] = forged.trust.as_slice() else { panic!("one root") };
    assert!(accepted(root.clone(), policy.clone()));
    each(root.len() * 8, |bit| {
        assert!(!accepted(flipped(root, bit), policy.clone()), "root byte {} bit {}", bit / 8, bit % 8);
    });
    each(policy.len() * 8, |bit| {
        assert!(!accepted(root.clone(), flipped(policy, bit)), "policy byte {} bit {}", bit / 8, bit % 8);
    });
    each(root.len(), |length| assert!(!accepted(root[..length].to_vec(), policy.clone()), "{length} bytes"));
    each(policy.len(), |length| assert!(!accepted(root.clone(), policy[..length].to_vec()), "{length} bytes"));
}

/// Every other sequence of at most three members, over and over, is no bundle.
#[test]
fn every_other_sequence_of_outer_members() {
    let forged = World::smallest().bundle(Change::Nothing);
    let judge = Judge::of(&forged);
    let second = tar::header_of(&forged.file, 1);
    let end = forged.file.len() - 2 * BLOCK;
    let parts = [&forged.file[..second], &forged.file[second..end], &forged.file[end..]];
    let mut accepted = Vec::new();
    for sequence in sequences(parts.len(), 4) {
        let file: Vec<u8> = sequence.iter().flat_map(|part| parts[*part]).copied().collect();
        if judge.bundle(file).is_some() {
            accepted.push(sequence);
        }
    }
    assert_eq!(accepted, [[0, 1, 2]]);
}

/// Every other sequence of lines, with a line of another bundle among them, is no evidence.
#[test]
fn every_other_sequence_of_lines() {
    let world = World::new(Flavour::Sqlite);
    let forged = world.bundle(Change::Nothing);
    let judge = Judge::of(&forged);
    let members = archive::read(&forged.file, 2).expect("an archive");
    let [attestations, payload] = [0, 1].map(|member| &forged.file[members[member].range.clone()]);
    let stranger = review(UNIT_SUBJECT, world.manifest.units[0].digest(), &["bob", "dave"]).write();
    let mut lines: Vec<Vec<u8>> = attestations.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    lines.push([stranger, b"\n".to_vec()].concat());
    assert_eq!(lines.len(), 4, "the release, two reviews, and one that does not belong here");
    let mut accepted = Vec::new();
    for sequence in sequences(lines.len(), 4) {
        let text = sequence.iter().map(|line| lines[*line].clone()).collect::<Vec<_>>().concat();
        let file = archive::write([(&*members[0].name, &*text), (&*members[1].name, payload)]);
        if judge.bundle(file).is_some() {
            accepted.push(sequence);
        }
    }
    assert_eq!(accepted, [[0, 1, 2]]);
}

/// All sequences of one to `longest` of the numbers below `count`, repetitions among them.
fn sequences(count: usize, longest: usize) -> Vec<Vec<usize>> {
    let mut all: Vec<Vec<usize>> = Vec::new();
    let mut last: Vec<Vec<usize>> = vec![Vec::new()];
    for _ in 0..longest {
        last = last.iter().flat_map(|start| (0..count).map(|next| [&start[..], &[next]].concat())).collect();
        all.extend(last.iter().cloned());
    }
    all
}

/// The signatures of a release cannot be exchanged with those of another one, nor repeated, nor be left to fewer people.
#[test]
fn signatures_belong_to_their_statement() {
    let world = World::new(Flavour::Sqlite);
    let mut other = World::new(Flavour::Sqlite);
    other.release.sequence = 41;
    let [ours, theirs] = [&world, &other].map(World::release_envelope);
    assert_eq!((ours.signatures().len(), theirs.signatures().len()), (2, 2));
    let pool: Vec<_> = ours.signatures().iter().chain(theirs.signatures()).cloned().collect();
    let forged = world.bundle(Change::Nothing);
    let judge = Judge::of(&forged);
    let members = archive::read(&forged.file, 2).expect("an archive");
    let [attestations, payload] = [0, 1].map(|member| &forged.file[members[member].range.clone()]);
    let evidence = attestations.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
    let mut accepted = Vec::new();
    for sequence in sequences(pool.len(), 4) {
        let mut envelope = Envelope::new(ours.payload().to_vec()).expect("a short statement");
        if sequence.iter().any(|index| envelope.attach(pool[*index].clone()).is_err()) {
            continue;
        }
        let text = [&envelope.write(), &b"\n"[..], &attestations[evidence..]].concat();
        let file = archive::write([(&*members[0].name, &*text), (&*members[1].name, payload)]);
        if judge.bundle(file).is_some() {
            accepted.push(sequence);
        }
    }
    // The order of signatures says nothing and is nobody's to choose.
    assert_eq!(accepted, [[0, 1], [1, 0]]);
}

/// Whoever holds all release keys and flips a bit of the manifest gets it accepted only where no unit is touched.
#[test]
fn release_keys_alone_change_no_unit() {
    let world = World::smallest();
    let forged = world.bundle(Change::Nothing);
    let judge = Judge::of(&forged);
    let reviewed = judge.bundle(forged.file).expect("the bundle as it was");
    let text = world.manifest.clone().check().expect("a manifest").write();
    let accepted = AtomicUsize::new(0);
    each(text.len() * 8, |bit| {
        let world = World { manifest_text: Some(flipped(&text, bit)), ..world.clone() };
        if let Some(bundle) = judge.bundle(world.bundle(Change::Nothing).file) {
            assert_eq!(bundle.manifest().units(), reviewed.manifest().units(), "byte {} bit {}", bit / 8, bit % 8);
            accepted.fetch_add(1, Ordering::Relaxed);
        }
    });
    assert!(accepted.into_inner() > 0, "what a release says of itself is the releasers' to change");
}

/// The same for the archive: whatever release keys sign, an accepted payload holds the reviewed bytes.
#[test]
fn release_keys_alone_change_no_script() {
    let world = World::smallest();
    let forged = world.bundle(Change::Nothing);
    let judge = Judge::of(&forged);
    let tar = world.archive();
    let bits = sample(4_000, tar.len() * 8);
    each(bits.len(), |index| {
        let file = world.bundle_of(&flipped(&tar, bits[index])).file;
        assert!(judge.bundle(file).is_none(), "byte {} bit {}", bits[index] / 8, bits[index] % 8);
    });
    assert!(judge.bundle(world.bundle_of(&tar).file).is_some());
}
