//! One root after another: drafted, compared, signed by two thresholds, copied to hosts; and how far a chain may grow.
#![expect(clippy::unwrap_used, reason = "in a test, a surprise is a failure")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use sealift_keys::signer::Signer;
use sealift_keys::trust::difference::{self, About};
use sealift_keys::trust::source;
use sealift_spec::key::PublicKey;
use sealift_spec::policy::{Environment, Holder, Member, Policy, Requirement, Revoked, Validity};
use sealift_spec::root::{Root, RootError, RootFile};
use sealift_spec::statement::{Content, PredicateKind};
use sealift_spec::{Digest, Timestamp, limit};
use sealift_verifier::file::FileError;
use sealift_verifier::trust::{Chain, Trust, TrustError, TrustFiles};
use tempfile::TempDir;

struct Outcome {
    status: i32,
    out: String,
    err: String,
}

impl Outcome {
    #[track_caller]
    fn expect(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{}{}", self.out, self.err);
        self
    }

    #[track_caller]
    fn says(self, words: &str) -> Self {
        assert!(self.err.contains(words) || self.out.contains(words), "expected: {words}\n{}{}", self.out, self.err);
        self
    }
}

/// Ann, bob and cy hold root 1, two of whom sign; dee waits.
struct Desk {
    folder: TempDir,
    digest: String,
}

const WHO: [&str; 5] = ["ann", "bob", "cy", "dee", "ci"];

const RULES: &str = r#"[roles]
root = { people = ["ann", "bob", "cy"], threshold = 2 }
release = { people = ["ci"] }
review = { people = ["ann", "bob", "cy"] }
[environments.production]
require = [
  { statement = "release", role = "release", people = 1 },
  { statement = "review", role = "review", people = 2 },
]
[root]
expires-in-days = 100
"#;

impl Desk {
    fn new() -> Self {
        let mut desk = Self { folder: tempfile::tempdir().unwrap(), digest: String::new() };
        let mut people = String::new();
        for who in WHO {
            desk.keys(&format!("generate --holder {who} --out {who} --no-passphrase")).expect(0);
            let kind = if who == "ci" { "service" } else { "human" };
            let key = desk.public(who);
            people += &format!("[people.{who}]\nkind = \"{kind}\"\nkeys = [\"{key}\"]\n");
        }
        fs::write(desk.path("trust.toml"), people + RULES).unwrap();
        desk.digest = desk.keys("trust draft trust.toml --out one").expect(0).out.trim().to_owned();
        desk.sign("one/1", &["ann", "bob"]);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn public(&self, who: &str) -> PublicKey {
        fs::read_to_string(self.path(&format!("{who}.pub"))).unwrap().parse().unwrap()
    }

    fn keys(&self, line: &str) -> Outcome {
        let line = line.replace("PIN", &format!("--root-sha256 {}", self.digest));
        let output = Command::new(env!("CARGO_BIN_EXE_sealift-keys"))
            .args(line.split_whitespace())
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Outcome { status: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    #[track_caller]
    fn sign(&self, root: &str, who: &[&str]) {
        for who in who {
            self.keys(&format!("trust sign {root}.root.json --key {who}")).expect(0);
        }
    }

    /// Drafts the next root from `from` into `out`, with one passage of trust.toml replaced for good.
    #[track_caller]
    fn next(&self, from: &str, out: &str, passage: &str, by: &str) -> Outcome {
        let text = fs::read_to_string(self.path("trust.toml")).unwrap();
        assert!(text.contains(passage), "{passage}");
        fs::write(self.path("trust.toml"), text.replace(passage, by)).unwrap();
        self.keys(&format!("trust draft trust.toml --previous {from} PIN --out {out}"))
    }

    /// Root 2: dee replaces cy as a holder. Drafted, not signed.
    fn second(&self) {
        self.next("one", "two", "root = { people = [\"ann\", \"bob\", \"cy\"]", "root = { people = [\"ann\", \"dee\"]")
            .expect(0);
    }

    fn files(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(self.path(folder)).unwrap().map(|entry| entry.unwrap());
        entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect()
    }
}

#[test]
fn the_next_root_is_signed_by_two_thresholds() {
    let desk = Desk::new();
    desk.second();
    assert_eq!(
        desk.files("two").keys().collect::<Vec<_>>(),
        ["1.policy.json", "1.root.json", "2.policy.json", "2.root.json"]
    );
    let show = "trust show two PIN";
    desk.keys(show).expect(1).says("root 2 needs 2 signatures by keys of root 1, 0 verify");
    let signed = desk.keys("trust sign two/2.root.json --key ann").expect(0);
    let signed = signed.says("by holders of root 1: 1 of 2 signatures, 1 missing, of bob, cy");
    signed.says("by holders of root 2: 1 of 2 signatures, 1 missing, of dee");
    // Its own holders suffice for it, and not for those before.
    let signed = desk.keys("trust sign two/2.root.json --key dee --json").expect(0);
    let data = serde_json::from_str::<serde_json::Value>(&signed.out).unwrap()["data"].clone();
    assert_eq!((&data["missing"], &data["thresholds"][0]["missing"]), (&0.into(), &1.into()), "{data}");
    assert_eq!(data["thresholds"][0]["open"], serde_json::json!(["bob", "cy"]));
    desk.keys(show).expect(1).says("root 2 needs 2 signatures by keys of root 1, 1 verify");
    desk.keys("trust sign two/2.root.json --key ci").expect(1).says("is no key of root 2, nor of the one before it");
    // Cy leaves, and signs all the same: their word counts for root 1.
    desk.sign("two/2", &["cy"]);
    let shown = desk.keys(show).expect(0).says("verified");
    shown.says("2 of 2 signatures, none missing by holders of root 1").says("root: 2 of 2 must sign");
}

#[test]
fn holders_before_do_not_suffice_alone() {
    let desk = Desk::new();
    desk.second();
    desk.sign("two/2", &["bob", "cy"]);
    desk.keys("trust show two PIN").expect(1).says("root 2 needs 2 signatures by keys of root 2, 0 verify");
}

#[test]
fn a_root_is_signed_beside_the_one_before_it_only() {
    let desk = Desk::new();
    desk.second();
    fs::remove_file(desk.path("two/1.root.json")).unwrap();
    desk.keys("trust sign two/2.root.json --key ann").expect(1).says("root 1 does not lie beside `two/2.root.json`");
}

#[test]
fn drafting_the_next_root_verifies_the_chain_first() {
    let desk = Desk::new();
    let draft = "trust draft trust.toml --out two --previous one";
    desk.keys(draft).expect(2).says("--root-sha256");
    desk.keys(&format!("{draft} --root-sha256 {}", "0".repeat(64))).expect(1).says("is not the pinned root");
    // Nothing changed, and the time gained is none.
    desk.keys(&format!("{draft} PIN")).expect(1).says("root 2 would change nothing");
    assert!(!desk.path("two").exists());
    // Time gained is what a renewal is for.
    let renewed = desk.next("one", "two", "expires-in-days = 100", "expires-in-days = 150").expect(0);
    renewed.says("nothing changes but the time it expires").says("and 2 of 3 by holders of root 1");
    // What nobody signed is nothing to build on.
    let more = desk.next("two", "three", "expires-in-days = 150", "expires-in-days = 200").expect(1);
    more.says("root 2 needs 2 signatures by keys of root 1, 0 verify");
    desk.sign("two/2", &["ann", "cy"]);
    // In place: beside the roots it follows.
    desk.next("two", "two", "expires-in-days = 200", "expires-in-days = 250").expect(0);
    assert!(desk.files("two").contains_key("3.root.json"));
    // Another folder with roots is not disturbed.
    desk.sign("two/3", &["ann", "cy"]);
    let before = desk.files("one");
    desk.next("two", "one", "expires-in-days = 250", "expires-in-days = 300").expect(1).says("already");
    assert_eq!(desk.files("one"), before);
}

#[test]
fn thresholds_that_take_more_signatures_than_a_root_holds_are_refused() {
    let desk = Desk::new();
    let keys: Vec<_> = (0..19).map(|_| Signer::generate().unwrap()).collect();
    // Holders from one place in the list to another, all of whom must sign.
    let text = |holders: std::ops::Range<usize>| {
        let mut text = fs::read_to_string(desk.path("trust.toml")).unwrap();
        let names: Vec<_> = holders.clone().map(|index| format!("\"h{index}\"")).collect();
        for index in holders {
            let key = keys[index].public_key();
            text = format!("[people.h{index}]\nkind = \"human\"\nkeys = [\"{key}\"]\n{text}");
        }
        let root = format!("root = {{ people = [{}], threshold = {} }}", names.join(", "), names.len());
        text.replace("root = { people = [\"ann\", \"bob\", \"cy\"], threshold = 2 }", &root)
    };
    fs::write(desk.path("many.toml"), text(0..17)).unwrap();
    desk.keys("trust draft many.toml --out many")
        .expect(1)
        .says("root 1 would take 17 signatures, and holds at most 16");
    assert!(!desk.path("many").exists());
    // Two of root 1 and 15 others.
    fs::write(desk.path("many.toml"), text(0..15)).unwrap();
    let next = "trust draft many.toml --previous one PIN --out many";
    desk.keys(next).expect(1).says("root 2 would take 17 signatures");
    fs::write(desk.path("many.toml"), text(0..14)).unwrap();
    desk.keys(next).expect(0).says("takes 14 of 14 signatures and 2 of 3 by holders of root 1");
}

#[test]
fn an_expired_root_can_be_followed() {
    // A policy of two, whose first root has expired long ago; drafting looks at signatures only.
    let desk = Desk::new();
    let signers = [Signer::generate().unwrap(), Signer::generate().unwrap()];
    let text = fs::read_to_string(desk.path("trust.toml")).unwrap();
    let text = text.replace(&desk.public("ann").to_string(), &signers[0].public_key().to_string());
    let text = text.replace(&desk.public("bob").to_string(), &signers[1].public_key().to_string());
    let long_ago = "2020-01-01T00:00:00Z".parse().unwrap();
    let mut first = source::compile(&text, long_ago).unwrap().draft;
    for signer in &signers {
        signer.sign_root(&mut first.root).unwrap();
    }
    fs::create_dir(desk.path("old")).unwrap();
    fs::write(desk.path("old/1.root.json"), first.root.write()).unwrap();
    fs::write(desk.path("old/1.policy.json"), first.policy_bytes()).unwrap();
    fs::write(desk.path("old.toml"), &text).unwrap();
    let pin = first.root.digest();
    desk.keys(&format!("trust show old --root-sha256 {pin}")).expect(1).says("root 1 expired at 2020-04-10");
    desk.keys(&format!("trust draft old.toml --previous old --root-sha256 {pin} --out new")).expect(0);
    let path = desk.path("new/2.root.json");
    let mut second = RootFile::read(&fs::read(&path).unwrap()).unwrap();
    for signer in &signers {
        signer.sign_root(&mut second).unwrap();
    }
    fs::write(&path, second.write()).unwrap();
    desk.keys(&format!("trust update host --from new --root-sha256 {pin}")).expect(0).says("root 2 is in force");
    // What has expired is not copied to anybody.
    let update = desk.keys(&format!("trust update other --from old --root-sha256 {pin}")).expect(1);
    update.says("root 1 expired").says("nothing was copied");
    assert!(!desk.path("other").exists());
}

#[test]
fn diff_says_what_changes() {
    let desk = Desk::new();
    desk.keys("trust diff one").expect(1).says("is the first");
    desk.second();
    let diff = desk.keys("trust diff two PIN").expect(0);
    let (dee, cy) = (desk.public("dee").id(), desk.public("cy").id());
    for line in [
        "verified up to root 1",
        "  root threshold: 2 of 2 signatures, was 2 of 3 signatures\n",
        &format!("  root key {dee}: added (dee)\n"),
        &format!("  root key {cy}: removed (cy)\n"),
        "by holders of root 1: 0 of 2 signatures",
    ] {
        assert!(diff.out.contains(line) || diff.err.contains(line), "{line}\n{}{}", diff.out, diff.err);
    }
    assert!(!diff.out.contains("review"), "{}", diff.out);
    desk.keys("trust diff two").expect(0).says("nothing was judged");
    let data = desk.keys("trust diff two PIN --json").expect(0);
    let data = serde_json::from_str::<serde_json::Value>(&data.out).unwrap()["data"].clone();
    let added = serde_json::json!({ "about": "root-key", "subject": dee, "before": null, "after": "dee" });
    assert!(data["changes"].as_array().unwrap().contains(&added), "{data}");
    // The root before was exchanged for one that hosts do not trust.
    let other = Desk::new();
    for file in ["1.root.json", "1.policy.json"] {
        fs::copy(other.path(&format!("one/{file}")), desk.path(&format!("two/{file}"))).unwrap();
    }
    desk.keys("trust diff two PIN").expect(1).says("is not the pinned root");
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn policy(keys: &[PublicKey]) -> Policy {
    let me: sealift_spec::name::Person = "me".parse().unwrap();
    let role: sealift_spec::name::Name = "release".parse().unwrap();
    let require = vec![Requirement { people: 1, role: role.clone(), statement: PredicateKind::Release }];
    Policy {
        environments: [("lab".parse().unwrap(), Environment { require, ..Environment::default() })].into(),
        people: [(me.clone(), Member { keys: keys.to_vec(), kind: Holder::Human })].into(),
        predicates: [(PredicateKind::Release, [role.clone()].into())].into(),
        revoked: Revoked::default(),
        roles: [(role, [me].into())].into(),
        validity: BTreeMap::new(),
        warning_days: 30,
    }
}

fn root(version: u64, expires: &str, signer: &Signer, policy: &[u8]) -> RootFile {
    let mut file = RootFile::new(Root {
        version,
        expires: time(expires),
        keys: vec![signer.public_key()],
        threshold: 1,
        policy: Content { sha256: Digest::of(policy), size: policy.len() as u64 },
    })
    .unwrap();
    signer.sign_root(&mut file).unwrap();
    file
}

/// A policy that says something else is never called the same.
#[test]
fn everything_that_a_policy_says_is_a_fact() {
    let (signer, other) = (Signer::generate().unwrap(), Signer::generate().unwrap());
    let before = policy(&[signer.public_key()]);
    let first = root(1, "2030-01-01T00:00:00Z", &signer, &before.write());
    let digest = Digest::of(b"x");
    type Edit = fn(&mut Policy, Digest, PublicKey);
    let edits: [(About, Edit); 15] = [
        (About::Person, |p, _, _| {
            drop(p.people.insert("you".parse().unwrap(), Member { keys: vec![], kind: Holder::Service }))
        }),
        (About::Person, |p, _, _| p.people.values_mut().for_each(|member| member.kind = Holder::Service)),
        (About::Key, |p, _, key| p.people.values_mut().for_each(|member| member.keys.push(key))),
        (About::Role, |p, _, _| drop(p.roles.insert("dba".parse().unwrap(), ["me".parse().unwrap()].into()))),
        (About::Predicate, |p, _, _| {
            drop(p.predicates.insert(PredicateKind::Review, ["release".parse().unwrap()].into()))
        }),
        (About::Environment, |p, _, _| p.environments.values_mut().for_each(|e| e.protected = true)),
        (About::Requirement, |p, _, _| p.environments.values_mut().for_each(|e| e.require[0].people = 2)),
        (About::Requirement, |p, _, _| p.environments.values_mut().for_each(|e| e.require.push(e.require[0].clone()))),
        (About::MaxAge, |p, _, _| p.environments.values_mut().for_each(|e| e.max_age_days = Some(7))),
        (About::MinSequence, |p, _, _| p.environments.values_mut().for_each(|e| e.min_sequence = Some(7))),
        (About::RevokedKey, |p, _, key| assert!(p.revoked.keys.insert(key.id()))),
        (About::RevokedUnit, |p, digest, _| assert!(p.revoked.units.insert(digest))),
        (About::RevokedContent, |p, digest, _| assert!(p.revoked.contents.insert(digest))),
        (About::RevokedRelease, |p, digest, _| assert!(p.revoked.releases.insert(digest))),
        (About::Warning, |p, _, _| p.warning_days = 7),
    ];
    for (about, edit) in edits {
        let mut after = before.clone();
        edit(&mut after, digest, other.public_key());
        let changes = difference::between((first.root(), &before), (first.root(), &after));
        let found: Vec<_> = changes.iter().map(|change| change.about).collect();
        assert_eq!(found, [about], "{changes:?}");
    }
    let mut after = before.clone();
    let until = Validity { not_after: Some(time("2029-01-01T00:00:00Z")), not_before: None };
    after.validity.insert(signer.public_key().id(), until);
    let changes = difference::between((first.root(), &before), (first.root(), &after));
    assert_eq!(
        changes[0].to_string(),
        format!("validity of key {}: added (until 2029-01-01T00:00:00Z)", signer.public_key().id())
    );
    let later = Root { expires: time("2031-01-01T00:00:00Z"), ..first.root().clone() };
    let changes = difference::between((first.root(), &before), (&later, &before));
    assert_eq!(changes[0].to_string(), "expiry: 2031-01-01T00:00:00Z, was 2030-01-01T00:00:00Z");
    assert_eq!(difference::between((first.root(), &before), (first.root(), &before)), []);
}

#[test]
fn update_copies_after_verifying_and_never_removes() {
    let desk = Desk::new();
    let update = desk.keys("trust update host --from one PIN").expect(0);
    update.says("host: 1.policy.json copied\nhost: 1.root.json copied\nhost: root 1 is in force, where there was none");
    let first = desk.files("host");
    assert_eq!(first, desk.files("one"));
    desk.second();
    // Refused metadata leaves nothing behind.
    desk.keys("trust update host --from two PIN").expect(1).says("nothing was copied");
    assert_eq!(desk.files("host"), first);
    desk.sign("two/2", &["ann", "bob", "dee"]);
    desk.keys(&format!("trust update host --from two --root-sha256 {}", "0".repeat(64))).expect(1).says("pinned");
    assert_eq!(desk.files("host"), first);
    // What an update that was cut short left behind is no obstacle.
    fs::write(desk.path("host/2.policy.json"), "{}").unwrap();
    fs::write(desk.path("host/note"), "ours").unwrap();
    desk.keys("trust update host --from two PIN").expect(0).says("root 2 is in force, before it was root 1");
    let second = desk.files("host");
    assert_eq!(second["2.policy.json"], desk.files("two")["2.policy.json"]);
    assert_eq!((second.len(), &*second["note"]), (5, &b"ours"[..]));
    desk.keys("trust update host --from two PIN").expect(0).says("host: nothing to do, root 2 is there");
    // Rollback.
    let back = desk.keys("trust update host --from one PIN").expect(1);
    back.says("the newest root is version 1, but version 2 has been in force here");
    assert_eq!(desk.files("host"), second);
    // A root with one more signature is the same root.
    desk.sign("two/2", &["cy"]);
    desk.keys("trust update host --from two PIN").expect(0).says("nothing to do");
    assert_eq!(desk.files("host"), second);
    // A policy that was lost comes back, one that was changed is told.
    fs::remove_file(desk.path("host/2.policy.json")).unwrap();
    desk.keys("trust update host --from two PIN").expect(0).says("host: 2.policy.json copied");
    fs::write(desk.path("host/1.policy.json"), "{}").unwrap();
    desk.keys("trust update host --from two PIN").expect(1).says("two different roots or policies of version 1");
    // So are roots on the host that do not verify.
    fs::write(desk.path("host/1.root.json"), "{}").unwrap();
    desk.keys("trust update host --from two PIN").expect(1).says("the trust directory to update is not trusted itself");
}

#[test]
fn update_refuses_a_fork() {
    let desk = Desk::new();
    desk.second();
    desk.sign("two/2", &["ann", "bob", "dee"]);
    desk.keys("trust update host --from two PIN").expect(0);
    let there = desk.files("host");
    desk.next("one", "other", "expires-in-days = 100", "expires-in-days = 150").expect(0);
    desk.sign("other/2", &["ann", "bob", "dee"]);
    desk.keys("trust show other PIN").expect(0);
    desk.keys("trust update host --from other PIN").expect(1).says("two different roots or policies of version 2");
    assert_eq!(desk.files("host"), there);
}

#[test]
fn a_policy_that_is_not_the_named_one_is_not_copied() {
    let desk = Desk::new();
    desk.second();
    desk.sign("two/2", &["ann", "bob", "dee"]);
    // Hosts read the newest policy only; copied is none that is wrong.
    fs::write(desk.path("two/1.policy.json"), "{}").unwrap();
    desk.keys("trust update host --from two PIN").expect(1).says("not the file that root 1 names");
    assert!(!desk.path("host").exists());
}

#[test]
fn a_chain_has_1024_roots_and_a_root_has_64_kib() {
    let signer = Signer::generate().unwrap();
    let bytes = policy(&[signer.public_key()]).write();
    let roots: Vec<_> =
        (1..=limit::ROOTS).map(|version| root(version, "2030-01-01T00:00:00Z", &signer, &bytes)).collect();
    let pinned = roots[0].digest();
    let mut files: Vec<_> = roots.iter().map(|root| (root.write(), bytes.clone())).collect();
    let trust =
        Trust::verify(&TrustFiles::from_bytes(files.clone()), pinned, 1024, time("2029-12-31T00:00:00Z")).unwrap();
    assert_eq!(trust.root_version(), 1024);
    // The format has no root 1025, so nobody can make hosts walk on.
    let next = Root { version: 1025, ..roots[0].root().clone() };
    assert!(matches!(RootFile::new(next), Err(RootError::Field { field: "version" })));
    files.push(files[1023].clone());
    let longer = Chain::verify(&TrustFiles::from_bytes(files), pinned).unwrap_err();
    assert!(matches!(longer, TrustError::Version { expected: 1025, found: 1024 }), "{longer}");

    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("1.root.json"), vec![b' '; limit::ROOT + 1]).unwrap();
    let error = TrustFiles::read(folder.path()).err().unwrap();
    assert!(matches!(error, TrustError::File(FileError::TooLarge { limit: 65_536, .. })), "{error:?}");
    fs::write(folder.path().join("1.root.json"), roots[0].write()).unwrap();
    fs::write(folder.path().join("1.policy.json"), vec![b' '; limit::POLICY + 1]).unwrap();
    let error = TrustFiles::read(folder.path()).err().unwrap();
    assert!(matches!(error, TrustError::File(FileError::TooLarge { limit: 1_048_576, .. })), "{error:?}");
}

#[test]
fn a_warning_comes_before_expiry() {
    let signer = Signer::generate().unwrap();
    let bytes = policy(&[signer.public_key()]).write();
    let root = root(1, "2030-01-31T00:00:00Z", &signer, &bytes);
    let files = TrustFiles::from_bytes(vec![(root.write(), bytes)]);
    let warning = |now| Trust::verify(&files, root.digest(), 0, time(now)).unwrap().warning().map(|it| it.to_string());
    assert_eq!(warning("2029-12-31T23:59:59Z"), None);
    let words = warning("2030-01-01T00:00:00Z").unwrap();
    assert!(words.starts_with("root 1 expires in 30 days, at 2030-01-31T00:00:00Z"), "{words}");
    assert!(warning("2030-01-30T00:00:01Z").unwrap().starts_with("root 1 expires within a day"));
    let gone = Trust::verify(&files, root.digest(), 0, time("2030-01-31T00:00:00Z")).unwrap_err();
    assert!(matches!(gone, TrustError::Expired { version: 1, .. }));
}

#[test]
fn validity_of_a_key_is_judged_when_it_is_used() {
    let desk = Desk::new();
    let (ci, stranger) = (desk.public("ci"), Signer::generate().unwrap().public_key());
    let text = fs::read_to_string(desk.path("trust.toml")).unwrap();
    let now = time("2026-11-20T12:00:00Z");
    let with =
        |key: &PublicKey, rule: &str| source::compile(&format!("{text}[validity.\"{}\"]\n{rule}\n", key.id()), now);
    let limited = with(&ci, "not-before = \"2026-12-01T00:00:00Z\"\nnot-after = \"2027-01-01T00:00:00Z\"").unwrap();
    let may = |at| limited.draft.policy().signers(PredicateKind::Release, time(at)).contains_key(&ci);
    assert!(!may("2026-11-30T23:59:59Z") && may("2026-12-01T00:00:00Z"));
    assert!(may("2026-12-31T23:59:59Z") && !may("2027-01-01T00:00:00Z"));
    // It ends before it begins; it is nobody's; it has ended.
    assert!(with(&ci, "not-before = \"2027-01-01T00:00:00Z\"\nnot-after = \"2027-01-01T00:00:00Z\"").is_err());
    assert!(with(&stranger, "not-after = \"2027-01-01T00:00:00Z\"").is_err());
    assert!(with(&ci, "until = \"2027-01-01T00:00:00Z\"").is_err());
    let ended = with(&ci, "not-after = \"2026-11-20T12:00:00Z\"").unwrap().warnings;
    let words: Vec<String> = ended.iter().map(ToString::to_string).collect();
    assert!(
        words.contains(&format!("key `{}` of `ci` is valid no more, since 2026-11-20T12:00:00Z", ci.id())),
        "{words:?}"
    );
}
