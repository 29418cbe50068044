//! What a `trust.toml` may say, what it compiles to, and with which words the rest is refused.
#![expect(clippy::unwrap_used, reason = "in a test, a surprise is a failure")]

use sealift_keys::signer::Signer;
use sealift_keys::trust::problem::Warning;
use sealift_keys::trust::problem::{Problem, SourceError};
use sealift_keys::trust::source::{self, Compiled};
use sealift_spec::Timestamp;
use sealift_spec::key::PublicKey;
use sealift_spec::statement::PredicateKind;
use sealift_verifier::signature::KeyWeakness;
use sealift_verifier::trust::{Trust, TrustFiles};

fn now() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

/// Five people, each with a key made from their place in the list.
struct Team {
    signers: Vec<Signer>,
}

impl Team {
    fn new() -> Self {
        Self { signers: (0..5).map(|_| Signer::generate().unwrap()).collect() }
    }

    /// A text in which `KEY0` .. `KEY4` stand for the keys of ann, bob, cy, dee and ci.
    fn fill(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (index, signer) in self.signers.iter().enumerate() {
            text = text.replace(&format!("KEY{index}"), &signer.public_key().to_string());
        }
        text
    }

    fn compile(&self, text: &str) -> Result<Compiled, SourceError> {
        source::compile(&self.fill(text), now())
    }

    #[track_caller]
    fn refused(&self, text: &str) -> String {
        match self.compile(text) {
            Ok(_) => panic!("not refused:\n{text}"),
            Err(error) => error.to_string(),
        }
    }
}

const GOOD: &str = r#"[people."ann@example.com"]
kind = "human"
keys = ["KEY0"]
[people."bob@example.com"]
kind = "human"
keys = ["KEY1"]
[people."cy@example.com"]
kind = "human"
keys = ["KEY2"]
[people.ci]
kind = "service"
keys = ["KEY4"]

[roles]
root = { people = ["ann@example.com", "bob@example.com", "cy@example.com"], threshold = 2 }
release = { people = ["ci"] }
review = { people = ["ann@example.com", "bob@example.com", "cy@example.com"] }
credentials = { people = ["ann@example.com"] }

[environments.production]
protected = true
require = [
  { statement = "release", role = "release", people = 1 },
  { statement = "review", role = "review", people = 2 },
]
[environments.staging]
require = [
  { statement = "release", role = "release", people = 1 },
  { statement = "review", role = "review", people = 1 },
]
"#;

/// The good text with one passage replaced, which must be there.
fn changed(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    GOOD.replacen(from, to, 1)
}

#[test]
fn a_team_becomes_a_root_that_hosts_accept() {
    let team = Team::new();
    let Compiled { mut draft, environments, warnings } = team.compile(GOOD).unwrap();
    // Nobody holds role `operate` in this team.
    assert!(
        matches!(&*warnings, [Warning::Unguarded { environment }] if environment.as_str() == "production"),
        "{warnings:?}"
    );
    assert_eq!(draft.root.root().expires.to_string(), "2027-05-19T12:00:00Z");
    assert_eq!((draft.root.root().keys.len(), draft.root.root().threshold), (3, 2));
    let production = &environments["production"];
    assert_eq!((production.smallest, production.reviewers), (3, 2));
    assert!(production.example.contains("ci"));
    let indispensable: Vec<_> = production.indispensable.iter().map(ToString::to_string).collect();
    assert_eq!(indispensable, ["ci"]);
    assert_eq!(environments["staging"].smallest, 2);
    let predicates = &draft.policy().predicates;
    assert!(predicates[&PredicateKind::Credentials].contains("credentials"));
    assert!(!draft.policy().roles.contains_key("root"));

    for signer in &team.signers[..2] {
        signer.sign_root(&mut draft.root).unwrap();
    }
    let files = TrustFiles::from_bytes(vec![(draft.root.write(), draft.policy_bytes().to_vec())]);
    assert!(Trust::verify(&files, draft.root.digest(), 1, now()).is_ok());
    assert!(Trust::verify(&files, draft.root.digest(), 1, draft.root.root().expires).is_err());
}

#[test]
fn a_role_that_is_required_may_sign_and_predicates_can_be_narrowed() {
    let team = Team::new();
    let dba = changed("credentials = {", "dba = { people = [\"bob@example.com\"] }\ncredentials = {")
        .replacen("{ statement = \"review\", role = \"review\", people = 2 }", "{ statement = \"review\", role = \"review\", people = 2 },\n{ statement = \"review\", role = \"dba\", people = 1 }", 1);
    let compiled = team.compile(&dba).unwrap();
    let review: Vec<_> =
        compiled.draft.policy().predicates[&PredicateKind::Review].iter().map(|r| r.as_str()).collect();
    assert_eq!(review, ["dba", "review"]);
    assert_eq!(compiled.environments["production"].smallest, 4);

    let narrowed = format!("{dba}\n[predicates]\nreview = [\"review\"]\n");
    assert_eq!(team.refused(&narrowed), "line 26: role `dba` may not sign the review: `[predicates]` does not list it");
    let unknown = format!("{GOOD}\n[predicates]\nreview = [\"reviewers\"]\n");
    assert_eq!(team.refused(&unknown), "line 33: there is no role `reviewers`");
}

#[test]
fn a_separate_root_key_is_the_one_that_signs_roots() {
    let team = Team::new();
    let text = changed("keys = [\"KEY0\"]", "keys = [\"KEY0\"]\nroot-key = \"KEY3\"");
    let root = team.compile(&text).unwrap().draft.root.root().clone();
    assert!(root.keys.contains(&team.signers[3].public_key()));
    assert!(!root.keys.contains(&team.signers[0].public_key()));
    // Two keys and nothing said about which one signs roots.
    let text = changed("keys = [\"KEY0\"]", "keys = [\"KEY0\", \"KEY3\"]");
    assert_eq!(
        team.refused(&text),
        "line 15: `ann@example.com` holds role `root` and has 2 keys, none of them called `root-key`"
    );
    let text = changed("keys = [\"KEY0\"]", "keys = [\"KEY0\", \"KEY3\"]\nroot-key = \"KEY3\"");
    assert!(team.compile(&text).is_ok());
}

#[test]
fn refusals_name_the_line_and_the_reason() {
    let team = Team::new();
    for (from, to, expected) in [
        ("protected = true", "protect = true", "line 21: unknown field `protect`, expected one of `protected`,"),
        ("[roles]", "[rolls]", "line 14: unknown field `rolls`"),
        ("\"KEY1\"", "\"KEY0\"", "line 6: key `"),
        ("\"KEY1\"", "\"sk-ssh-ed25519@openssh.com AAAA\"", "line 6: a FIDO security key"),
        ("\"KEY1\"", "\"ssh-rsa AAAA\"", "line 6: only Ed25519 keys"),
        ("kind = \"human\"", "", "line 1: missing field `kind`"),
        ("environments.staging", "environments.dev", "line 26: environment `dev` is reserved"),
        ("environments.staging", "environments.rehearsal", "line 26: environment `rehearsal` is reserved"),
        ("threshold = 2", "threshold = 1", "line 15: the threshold of role `root` is 1, expected 2 to 3"),
        ("threshold = 2", "threshold = 4", "line 15: the threshold of role `root` is 4, expected 2 to 3"),
        (", threshold = 2", "", "line 15: role `root` has no threshold"),
        ("people = [\"ci\"]", "people = [\"ci\"], threshold = 1", "line 16: role `release` has a threshold"),
        ("root = {", "wood = {", "there is no role `root`"),
        ("people = [\"ci\"]", "people = [\"cd\"]", "line 16: role `release` names `cd`, who is not among the people"),
        ("people = [\"ci\"]", "people = [\"ci\", \"ci\"]", "line 16: role `release` names `ci` twice"),
        ("people = [\"ci\"]", "people = []", "line 16: role `release` is held by nobody"),
        ("people = 2 }", "people = 0 }", "line 24: environment `production` has a requirement of 0 people"),
        ("people = 2 }", "people = 1 }", "line 20: protected environment `production` requires 1 reviewer, expected 2"),
        ("people = 2 }", "people = 4 }", "line 20: nobody can satisfy environment `production`"),
        ("role = \"review\"", "role = \"root\"", "line 24: role `root` signs roots and nothing else"),
        ("role = \"review\"", "role = \"qa\"", "line 24: there is no role `qa`"),
        ("statement = \"review\"", "statement = \"revue\"", "line 24: unknown variant `revue`"),
        (
            "  { statement = \"release\", role = \"release\", people = 1 },",
            "",
            "line 20: environment `production` requires nobody to sign",
        ),
        (
            "[roles]",
            "[root]\nexpires-in-days = 401\n[roles]",
            "line 15: the root would expire in 401 days, expected 1 to 400",
        ),
        ("[roles]", "[root]\nexpires-in-days = 0\n[roles]", "line 15: the root would expire in 0 days"),
        ("[roles]", "[root]\nexpires = 9\n[roles]", "line 15: unknown field `expires`"),
        ("[roles]", "[revoked]\nkey = []\n[roles]", "line 15: unknown field `key`"),
        ("[people.ci]", "[people.\"c i\"]", "line 10: a person is 1 to 128"),
    ] {
        let found = team.refused(&changed(from, to));
        assert!(found.starts_with(expected), "{from} -> {to}\nexpected: {expected}\nfound:    {found}");
        assert!(!found.contains('\n'), "{found}");
    }
}

#[test]
fn weak_and_mixed_order_keys_are_refused() {
    let team = Team::new();
    for (hex, weakness) in [
        ("0100000000000000000000000000000000000000000000000000000000000000", KeyWeakness::SmallOrder),
        ("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", KeyWeakness::SmallOrder),
        // The base point plus the point of order 2.
        ("9599999999999999999999999999999999999999999999999999999999999999", KeyWeakness::MixedOrder),
        ("0200000000000000000000000000000000000000000000000000000000000000", KeyWeakness::NotAPoint),
    ] {
        let key = PublicKey::from_hex(hex).unwrap();
        let error = team.compile(&changed("KEY1", &key.to_string())).unwrap_err();
        assert_eq!(error.to_string(), "line 6: a key of `bob@example.com` must not be trusted", "{hex}");
        assert!(matches!(error.problem, Problem::WeakKey { source, .. } if source == weakness), "{hex}");
    }
}

#[test]
fn environments_that_one_person_could_satisfy_are_refused() {
    let team = Team::new();
    let found = team.refused(&format!(
        "{GOOD}[environments.lab]\nrequire = [{{ statement = \"release\", role = \"release\", people = 1 }}]\n"
    ));
    assert_eq!(found, "line 31: environment `lab` could be satisfied by 1 person alone, expected 2 or more");
}

#[test]
fn nobody_is_counted_twice() {
    let team = Team::new();
    // ann alone may release, and of the three reviewers two must review: fine, but not if only ann and bob review.
    let text = changed("release = { people = [\"ci\"] }", "release = { people = [\"ann@example.com\"] }");
    let compiled = team.compile(&text).unwrap();
    assert_eq!(compiled.environments["production"].smallest, 3);
    let words: Vec<String> = compiled.warnings.iter().map(ToString::to_string).collect();
    assert!(
        words.contains(&"environment `production`: if `ann@example.com` is counted for the review, role `release` needs 1 person to sign the release, nobody counts".to_owned()),
        "{words:#?}"
    );
    assert!(words.contains(&"`ci` holds no role".to_owned()), "{words:#?}");
    let two = text.replacen(
        "review = { people = [\"ann@example.com\", \"bob@example.com\", \"cy@example.com\"] }",
        "review = { people = [\"ann@example.com\", \"bob@example.com\"] }",
        1,
    );
    assert_ne!(two, text);
    assert!(team.refused(&two).ends_with("nobody can satisfy environment `production`, not even all people together"));
}

#[test]
fn revoked_keys_count_nowhere() {
    let team = Team::new();
    let id = team.signers[4].public_key().id();
    let text = format!("{GOOD}[revoked]\nkeys = [\"{id}\"]\n");
    assert!(team.refused(&text).contains("nobody can satisfy"));
    let id = team.signers[0].public_key().id();
    let text = format!("{GOOD}[revoked]\nkeys = [\"{id}\"]\n");
    assert!(team.refused(&text).contains("these people, roles and environments make no root"));
}

#[test]
fn what_is_unwise_is_said() {
    let team = Team::new();
    let text = changed("release = { people = [\"ci\"] }", "release = { people = [\"ci\", \"bob@example.com\"] }")
        .replacen("role = \"review\", people = 1", "role = \"release\", people = 1", 1)
        .replacen("{ statement = \"review\", role = \"release\"", "{ statement = \"release\", role = \"release\"", 1);
    let words: Vec<String> = team.compile(&text).unwrap().warnings.iter().map(ToString::to_string).collect();
    assert!(
        words.contains(&"environment `staging` requires no review: whatever is released runs there".to_owned()),
        "{words:#?}"
    );
    let text = changed("review = { people = [", "review = { people = [\"ci\", ");
    let words: Vec<String> = team.compile(&text).unwrap().warnings.iter().map(ToString::to_string).collect();
    assert!(
        words.contains(&"`ci` is a service, and its reviews do not count for environment `production`".to_owned()),
        "{words:#?}"
    );
    let text =
        changed("threshold = 2", "threshold = 2").replacen("root = { people = [", "root = { people = [\"ci\", ", 1);
    let words: Vec<String> = team.compile(&text).unwrap().warnings.iter().map(ToString::to_string).collect();
    assert!(words.contains(&"`ci` is a service and holds a root key".to_owned()), "{words:#?}");
}
