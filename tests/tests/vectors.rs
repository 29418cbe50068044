//! `spec/vectors`: the files are the ones that the program makes, each is judged as the index says, and none is refused for
//! another reason than its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use sealift_tests::vector::{self, Form, Judgement, Material};

const ADVICE: &str = "run `cargo run -p sealift-tests --bin vectors -- spec/vectors` and look at what changed";

fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/vectors")
}

/// Every file below a folder, by its path there.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("a path below").to_owned();
                found.insert(name, fs::read(&path).expect("a file"));
            }
        }
    }
    found
}

#[test]
fn the_files_are_the_ones_that_the_program_makes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    vector::write(folder.path()).expect("the vectors can be written");
    let made = files(folder.path());
    let mut there = files(&committed());
    there.remove(Path::new("README.md")).expect("the description of the folder");
    let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<BTreeSet<_>>();
    let different: Vec<_> = names(&made).symmetric_difference(&names(&there)).cloned().collect();
    assert!(different.is_empty(), "missing or left over: {different:?}: {ADVICE}");
    let different: Vec<_> = made.iter().filter(|(name, bytes)| there[*name] != **bytes).map(|(name, _)| name).collect();
    assert!(different.is_empty(), "not as the program makes them: {different:?}: {ADVICE}");
    let size: usize = there.values().map(Vec::len).sum();
    assert!(size < 2 * 1024 * 1024, "{size} bytes of vectors are too many to live in a repository");
}

/// From the files alone, as somebody would do it who has no more than these.
#[test]
fn every_vector_is_judged_as_the_index_says() {
    let folder = committed();
    let index = vector::index(&folder).expect("an index");
    assert_eq!(index.schema, "urn:sealift:vectors:v1");
    let mut wrong = Vec::new();
    for entry in &index.vectors {
        let (form, material) = index.material(&folder, entry).unwrap_or_else(|error| panic!("{}: {error}", entry.name));
        let found = Judgement::of(form, &material);
        if (&found.class, &found.cause) != (&entry.expect, &entry.cause) {
            wrong.push(format!("{}: expected {} < {}, found {found}", entry.name, entry.expect, entry.cause));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), index.vectors.len(), wrong.join("\n"));
}

#[test]
fn undoing_the_one_thing_makes_a_vector_accepted() {
    for vector in vector::all().iter().filter(|vector| !vector.is_accepted()) {
        let (material, undone) = (vector.material(), vector.undone());
        assert_ne!(material, undone, "{} changes nothing", vector.name);
        let found = Judgement::of(vector.form, &undone);
        assert_eq!(found.class, "accepted", "what {} was made from: {found}", vector.name);
    }
}

#[test]
fn names_are_unique_and_every_form_has_an_accepted_vector() {
    let vectors = vector::all();
    let names: BTreeSet<_> = vectors.iter().map(|vector| vector.name).collect();
    assert_eq!(names.len(), vectors.len());
    for vector in &vectors {
        assert!(
            vector.about.ends_with('.') && vector.about.starts_with(|c: char| c.is_ascii_uppercase() || c == '`'),
            "{}",
            vector.name
        );
        assert_eq!(vector.row == "-", vector.is_accepted(), "{}", vector.name);
        let accepted = vectors.iter().any(|other| other.form == vector.form && other.is_accepted());
        assert!(accepted, "{:?} has no accepted vector", vector.form);
    }
}

/// What is not tried is not shown: every outcome that a judgement of a bundle can have stands for at least one vector.
#[test]
fn every_class_of_refusal_has_a_vector() {
    let expected: BTreeSet<_> = vector::all().into_iter().map(|vector| vector.expect).collect();
    let classes = [
        (
            "VerifyError",
            "Container Unsigned UnknownSigner Statement Subjects Payload Evidence Project Environment \
          UnknownEnvironment NotYet Expired Times TooOld Sequence MinRoot Revoked Threshold",
        ),
        ("OpenError", "Frame Content Archive ManifestDigest Manifest Mismatch Member"),
        (
            "PermitError",
            "Envelope Line Unsigned UnknownSigner Statement Subjects Release Project Environment Times NotYet Expired \
          Root Threshold",
        ),
        ("TrustError", "Root Pinned Version Threshold Expired Rollback PolicyDigest Policy RootKeys"),
        ("Unreviewed", "Threshold Revoked"),
        ("HistoryError", "Row Edited Broken Impossible"),
        ("AuditError", "Line Broken Torn"),
        ("CheckpointError", "Form Signatures Duplicate"),
        ("Doubt", "BadSignature Rewritten Truncated Unverifiable"),
        ("KeyWeakness", "NotAPoint SmallOrder MixedOrder"),
    ];
    for (name, variants) in classes {
        for variant in variants.split_whitespace() {
            let class = format!("{name}::{variant}");
            assert!(expected.contains(&*class), "no vector is refused with {class}");
        }
    }
}

/// A material is what a judge is given, so equal materials would be one vector under two names.
#[test]
fn no_two_vectors_are_the_same() {
    let mut seen: Vec<(&str, Form, Material)> = Vec::new();
    for vector in vector::all() {
        let material = vector.material();
        if let Some((other, ..)) = seen.iter().find(|(_, form, other)| *form == vector.form && *other == material) {
            panic!("{} is {other}", vector.name);
        }
        seen.push((vector.name, vector.form, material));
    }
}
