//! Trust in use: the warning before a root expires, keys whose time is over, and a host that is brought up to date.

use std::fs;

use sealift_spec::key::PublicKey;
use sealift_tests::server::sqlite;
use sealift_tests::story::{RULES, Story};

/// Replaces the trust of a story by that of a `trust.toml` with more lines, and pins it.
fn with(story: &mut Story, name: &str, more: &str) {
    story.write("trust.toml", &format!("{}\n{more}\n", story.trust_toml(RULES)));
    let _ = story.keys(&format!("trust draft trust.toml --out {name}")).expect(0);
    for who in ["alice", "bob"] {
        let _ = story.keys(&format!("trust sign {name}/1.root.json --key keys/{who}")).expect(0);
    }
    fs::remove_dir_all(story.path("trust")).expect("the first trust");
    fs::rename(story.path(name), story.path("trust")).expect("another one");
    story.root = story.root_of("trust");
}

#[test]
fn programs_warn_before_a_root_expires_and_not_earlier() {
    let mut story = Story::new(sqlite());
    story.three_migrations();
    let bundle = story.release(1);
    let warning = "warning: root 1 expires in 1";
    for (warns, more) in [(false, ""), (true, "[root]\nwarning-days = 181")] {
        with(&mut story, "next", more);
        let trust = format!("--trust trust --root-sha256 {}", story.root);
        let pack =
            format!("pack --sequence 2 --environment trial --out again.sealift --force --key keys/carol {trust}");
        for outcome in [
            story.verify(&bundle),
            story.runner("plan", &bundle),
            story.runner("apply --steps 1", &bundle),
            story.runner("status", &bundle),
            story.bundler(&format!("status {trust}")),
            story.bundler(&pack),
            story.keys(&format!("trust show {trust}").replace("--trust ", "")),
            story.keys(&format!("trust update host-{warns} --from {trust}").replace("--trust ", "")),
        ] {
            // A warning changes no verdict.
            assert_eq!(outcome.status, 0, "{}", outcome.text());
            assert_eq!(outcome.stderr.contains(warning), warns, "{}", outcome.text());
        }
        fs::remove_file(story.path("audit.jsonl")).expect("an audit log");
        let _ = fs::remove_file(story.path("state.json"));
    }
}

#[test]
fn a_key_counts_while_it_is_valid() {
    let mut story = Story::new(sqlite());
    story.three_migrations();
    let bundle = story.release(1);
    let id = |who: &str| {
        let text = fs::read_to_string(story.path(&format!("keys/{who}.pub"))).expect("a key");
        text.parse::<PublicKey>().expect("a key").id()
    };
    let (carol, alice) = (id("carol"), id("alice"));
    for (key, rule, status, words) in [
        (carol, "not-after = \"2999-01-01T00:00:00Z\"", 0, ""),
        (carol, "not-after = \"2020-01-01T00:00:00Z\"", 1, "is by no key that may sign a release"),
        (carol, "not-before = \"2999-01-01T00:00:00Z\"", 1, "is by no key that may sign a release"),
        (alice, "not-before = \"2020-01-01T00:00:00Z\"", 0, ""),
        (alice, "not-after = \"2020-01-01T00:00:00Z\"", 1, "needs 2 people to sign the review"),
    ] {
        with(&mut story, "next", &format!("[validity.\"{key}\"]\n{rule}"));
        let verdict = story.verify(&bundle).expect(status);
        assert!(verdict.stderr.contains(words), "{}", verdict.text());
        let plan = story.runner("plan", &bundle).expect(status);
        assert!(plan.stderr.contains(words), "{}", plan.text());
        let shown = story.keys("trust show trust").expect(0);
        let time = rule.split('"').nth(1).expect("a time");
        assert!(shown.stdout.contains(time), "{}", shown.text());
    }
}

/// What a host lives on while the team goes on: revocation reaches it with the update, and going back is refused.
#[test]
fn revocation_reaches_a_host_with_the_next_root() {
    let story = Story::new(sqlite());
    story.three_migrations();
    let bundle = story.release(1);
    let _ = story.verify(&bundle).expect(0);
    let root = &story.root;
    let text = fs::read_to_string(story.path("keys/carol.pub")).expect("a key");
    let carol = text.parse::<PublicKey>().expect("a key").id();
    let people =
        story.trust_toml(&RULES.replace("[\"carol@example.com\"]", "[\"dave@example.com\", \"carol@example.com\"]"));
    story.write("next.toml", &format!("{people}\n[revoked]\nkeys = [\"{carol}\"]\n"));
    let _ = story.keys(&format!("trust draft next.toml --previous trust --root-sha256 {root} --out next")).expect(0);
    for who in ["alice", "bob"] {
        let _ = story.keys(&format!("trust sign next/2.root.json --key keys/{who}")).expect(0);
    }
    let _ = story.keys(&format!("trust update trust --from next --root-sha256 {root}")).expect(0);
    let refused = story.verify(&bundle).expect(1);
    assert!(refused.stderr.contains(&carol.to_string()), "{}", refused.text());
    let _ = story.runner("plan", &bundle).expect(1);
}
