//! Drill: the key of one root holder is stolen. What the thief can do alone, how it is revoked, what must be rotated; and a
//! host that missed three rotations (`threat-model.md`, the stolen keys).

use std::fs;

use sealift_tests::command::{Command, Outcome};
use sealift_tests::server::sqlite;
use sealift_tests::story::{RULES, Story};

/// A company whose root takes two of Alice, Bob and Dave.
struct Company {
    story: Story,
}

impl Company {
    fn new() -> Self {
        let mut story = Story::new(sqlite());
        fs::rename(story.path("trust"), story.path("unused")).expect("moved");
        story.write("trust.toml", &story.trust_toml(&rules()));
        let _ = story.keys("trust draft trust.toml --out central").expect(0);
        let company = Self { story };
        company.sign("central", 1, &["alice", "bob"]);
        let root = company.story.root_of("central");
        story = company.story;
        story.root = root;
        let company = Self { story };
        let _ = company.update("central").expect(0);
        company
    }

    fn sign(&self, folder: &str, version: u64, who: &[&str]) {
        for who in who {
            let _ = self.story.keys(&format!("trust sign {folder}/{version}.root.json --key keys/{who}")).expect(0);
        }
    }

    fn draft(&self, toml: &str, out: &str) {
        self.story.write("next.toml", toml);
        let root = &self.story.root;
        let line = format!("trust draft next.toml --previous central --root-sha256 {root} --out {out}");
        let _ = self.story.keys(&line).expect(0);
    }

    fn update(&self, from: &str) -> Outcome {
        self.story.keys(&format!("trust update trust --from {from} --root-sha256 {}", self.story.root))
    }

    /// Applies as a host that remembers what it has seen.
    fn apply(&self, trust: &str, bundle: &str) -> Outcome {
        let (root, access) = (&self.story.root, self.story.access());
        let line = format!(
            "apply --bundle {bundle} --trust {trust} --root-sha256 {root} --project orders --environment trial \
             --database main {access} --audit audit.jsonl --state state.json"
        );
        Command::new("sealift-runner").folder(self.story.home()).line(&line).run()
    }

    fn public(&self, who: &str) -> String {
        let text = fs::read_to_string(self.story.path(&format!("keys/{who}.pub"))).expect("a public key");
        text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    }

    /// Files that a thief put together: all of `central`, and what `from` has more.
    fn mix(&self, from: &str, out: &str) {
        fs::create_dir(self.story.path(out)).expect("a folder");
        for folder in ["central", from] {
            for entry in fs::read_dir(self.story.path(folder)).expect("a folder") {
                let entry = entry.expect("an entry");
                let _ = fs::copy(entry.path(), self.story.path(out).join(entry.file_name())).expect("copied");
            }
        }
    }
}

fn rules() -> String {
    let rules = RULES.replace(
        "root = { people = [\"alice@example.com\", \"bob@example.com\"], threshold = 2 }",
        "root = { people = [\"alice@example.com\", \"bob@example.com\", \"dave@example.com\"], threshold = 2 }",
    );
    assert_ne!(rules, RULES);
    rules
}

#[track_caller]
fn refused(outcome: Outcome, words: &str) {
    let outcome = outcome.expect(1);
    assert!(outcome.stderr.contains(words), "no `{words}` in\n{}", outcome.text());
}

#[test]
fn one_root_key_is_stolen() {
    let company = Company::new();
    let story = &company.story;
    story.three_migrations();
    let bundle = story.release(1);

    // The thief has Alice's key and a wish: Mallory reviews, releases and holds the root.
    let evil = story.trust_toml(&rules());
    let evil = evil.replace(&company.public("bob"), &company.public("mallory"));
    company.draft(&evil, "evil");
    company.sign("evil", 2, &["alice", "mallory"]);
    company.mix("evil", "evil-chain");
    refused(company.update("evil-chain"), "nothing was copied");
    assert!(!story.path("trust/2.root.json").exists());
    refused(company.apply("evil-chain", &bundle), "root 2 needs 2 signatures by keys of root 1, 1 verify");
    // A chain of their own has another first root.
    story.write("own.toml", &evil);
    let _ = story.keys("trust draft own.toml --out own").expect(0);
    company.sign("own", 1, &["alice", "mallory"]);
    refused(company.apply("own", &bundle), "pinned");
    // The same key twice is one key.
    let again = story.keys("trust sign evil/2.root.json --key keys/alice").expect(1);
    assert!(again.stderr.contains("has signed it already"), "{}", again.text());
    assert!(!story.database.schema().contains("customer"));
    let _ = company.apply("trust", &bundle).expect(0);

    // Revoked by the two others: a root without the key, a policy that revokes it, a new key for Alice.
    let _ = story.keys("generate --no-passphrase --holder alice@example.com --out keys/alice2").expect(0);
    let id = format!("[revoked]\nkeys = [\"{}\"]\n", key_id(story, "alice"));
    let next = story.trust_toml(&rules()).replace(&company.public("alice"), &company.public("alice2")) + "\n" + &id;
    company.draft(&next, "central");
    company.sign("central", 2, &["bob", "dave"]);
    let _ = company.update("central").expect(0);

    // The stolen key says nothing about the root after it, even together with another one.
    company.draft(&(next.clone() + "\n[root]\nexpires-in-days = 300\n"), "evil3");
    let no_holder = story.keys("trust sign evil3/3.root.json --key keys/alice").expect(1);
    assert!(no_holder.stderr.contains("the root was not signed"), "{}", no_holder.text());
    company.sign("evil3", 3, &["dave"]);
    company.mix("evil3", "evil3-chain");
    refused(company.update("evil3-chain"), "nothing was copied");

    // To be rotated: what Alice signed in another role with that key. What is applied stays, what is pending is reviewed
    // again; by her with the new key.
    story.migration("4_more", "CREATE TABLE more (id INTEGER);", "DROP TABLE more;");
    for who in ["alice", "bob"] {
        let _ = story.bundler(&format!("review 4 --key keys/{who} --answers answers.toml")).expect(0);
    }
    let second = story.pack(2);
    refused(company.apply("trust", &second), "needs 2 people to sign the review, 1 counted");
    let _ = story.bundler("review 4 --key keys/alice2 --answers answers.toml").expect(0);
    let third = story.pack(3);
    let _ = company.apply("trust", &third).expect(0);
    // Taking the new root away from the host does not bring the key back.
    fs::create_dir(story.path("old")).expect("a folder");
    for file in ["1.root.json", "1.policy.json"] {
        let _ = fs::copy(story.path("trust").join(file), story.path("old").join(file)).expect("copied");
    }
    refused(company.apply("old", &third), "but version 2 has been in force here");
}

#[test]
fn a_host_that_missed_three_rotations_recovers() {
    let company = Company::new();
    let story = &company.story;
    story.three_migrations();
    // Each rotation replaces one root holder's key, until none of the first keys signs any more.
    let mut toml = story.trust_toml(&rules());
    let rotations: [(&str, &str, [&str; 2]); 3] = [
        ("alice", "alice2", ["bob", "dave"]),
        ("bob", "bob2", ["alice2", "dave"]),
        ("dave", "dave2", ["alice2", "bob2"]),
    ];
    for (version, (old, new, signers)) in (2..).zip(rotations) {
        let _ = story.keys(&format!("generate --no-passphrase --holder {old}@example.com --out keys/{new}")).expect(0);
        let revoked = format!("\"{}\"", key_id(story, old));
        toml = toml.replace(&company.public(old), &company.public(new));
        toml = match toml.contains("[revoked]") {
            true => toml.replace("keys = [\"SHA256:", &format!("keys = [{revoked}, \"SHA256:")),
            false => format!("{toml}\n[revoked]\nkeys = [{revoked}]\n"),
        };
        company.draft(&toml, "central");
        company.sign("central", version, &signers);
    }
    for who in ["alice2", "bob2"] {
        let _ = story.bundler(&format!("review --key keys/{who} --answers answers.toml")).expect(0);
    }
    let bundle = story.pack(1);
    // The host knows the first root only, by which these reviewers are nobody.
    refused(company.apply("trust", &bundle), "nobody counts");
    // A gap in the chain is no chain; the whole of it is walked at once.
    company.mix("central", "gap");
    fs::remove_file(story.path("gap/3.root.json")).expect("removed");
    let _ = company.update("gap");
    refused(company.apply("trust", &bundle), "needs 2 people");
    let updated = company.update("central").expect(0);
    assert!(updated.stdout.contains("root 4 is in force"), "{}", updated.text());
    let _ = company.apply("trust", &bundle).expect(0);
}

fn key_id(story: &Story, who: &str) -> String {
    let output =
        std::process::Command::new("ssh-keygen").arg("-lf").arg(story.path(&format!("keys/{who}.pub"))).output();
    let text = String::from_utf8(output.expect("ssh-keygen").stdout).expect("text");
    text.split_whitespace().nth(1).expect("a fingerprint").to_owned()
}
