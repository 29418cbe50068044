//! Drills: the key that signs credentials is stolen; the age identity of a host is stolen. What the thief can do alone, how
//! it is ended, what must be rotated (`threat-model.md`, the stolen keys).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command as Program;

use sealift_tests::command::{Command, Outcome};
use sealift_tests::server::{Database, sqlite};
use sealift_tests::story::{RULES, Story};

#[track_caller]
fn says(outcome: &Outcome, words: &str) {
    assert!(outcome.stderr.contains(words) || outcome.stdout.contains(words), "no `{words}` in\n{}", outcome.text());
}

/// A company in which Erin signs credentials, and nothing else on this host's environment.
struct Company {
    story: Story,
    bundle: String,
}

impl Company {
    fn new() -> Self {
        let mut story = Story::new(sqlite());
        fs::rename(story.path("trust"), story.path("unused")).expect("moved");
        let rules = Self::rules("");
        story.write("trust.toml", &story.trust_toml(&rules));
        let _ = story.keys("trust draft trust.toml --out central").expect(0);
        for who in ["alice", "bob"] {
            let _ = story.keys(&format!("trust sign central/1.root.json --key keys/{who}")).expect(0);
        }
        story.root = story.root_of("central");
        story.three_migrations();
        let bundle = story.release(1);
        let company = Self { story, bundle };
        let _ = company.update();
        company
    }

    fn rules(more: &str) -> String {
        let rules = RULES.replace(
            "credentials = { people = [\"alice@example.com\"] }",
            "credentials = { people = [\"erin@example.com\"] }",
        );
        assert_ne!(rules, RULES);
        format!("{rules}{more}")
    }

    /// The security team signs the next root.
    fn rotate(&self, version: u64, more: &str) {
        let (story, root) = (&self.story, &self.story.root);
        story.write("trust.toml", &story.trust_toml(&Self::rules(more)));
        let draft = format!("trust draft trust.toml --previous central --root-sha256 {root} --out central");
        let _ = story.keys(&draft).expect(0);
        for who in ["alice", "bob"] {
            let _ = story.keys(&format!("trust sign central/{version}.root.json --key keys/{who}")).expect(0);
        }
    }

    /// The host fetches the roots.
    fn update(&self) -> Outcome {
        self.story.keys(&format!("trust update trust --from central --root-sha256 {}", self.story.root)).expect(0)
    }

    fn seal(&self, key: &str, serial: u64, databases: &str, recipients: &[&str], out: &str) {
        let text = format!(
            "project = \"orders\"\nenvironment = \"trial\"\nserial = {serial}\nnot-after = 2030-01-01T00:00:00Z\n{databases}"
        );
        self.story.write("secrets.toml", &text);
        fs::set_permissions(self.story.path("secrets.toml"), fs::Permissions::from_mode(0o600)).expect("a mode");
        let line = format!(
            "credentials seal --in secrets.toml --recipient {} --key keys/{key} --out {out}",
            recipients.join(" ")
        );
        let _ = self.story.keys(&line).expect(0);
    }

    fn host(&self, verb: &str, bundle: &str, sealed: &str, identity: &str) -> Outcome {
        self.host_with(verb, bundle, sealed, identity, "state.json")
    }

    fn host_with(&self, verb: &str, bundle: &str, sealed: &str, identity: &str, state: &str) -> Outcome {
        let root = &self.story.root;
        let audit = if verb == "apply" { "--audit audit.jsonl" } else { "" };
        let line = format!(
            "{verb} --bundle {bundle} --trust trust --root-sha256 {root} --project orders --environment trial \
             --credentials {sealed} --identity {identity} --database main --state {state} {audit}"
        );
        Command::new("sealift-runner").folder(self.story.home()).line(&line).run()
    }

    fn apply(&self, sealed: &str) -> Outcome {
        self.host("apply", &self.bundle, sealed, "keys/host")
    }
}

fn database(url: &str) -> String {
    format!("[databases.main]\nurl = \"{url}\"\n")
}

fn untouched(database: &Database) -> bool {
    !database.schema().contains("customer")
}

#[test]
fn the_credentials_key_is_stolen() {
    let company = Company::new();
    let Company { story, bundle, .. } = &company;
    let host = story.recipient("keys/host");
    let ours = database(&story.database.url);
    company.seal("erin", 1, &ours, &[&host], "main.sealed");
    let erin = fs::read_to_string(story.path("keys/erin.pub")).expect("a key");
    let fingerprint = erin.trim().parse::<sealift_spec::key::PublicKey>().expect("a key").id();
    for end in ["", ".pub"] {
        fs::copy(story.path(&format!("keys/erin{end}")), story.path(&format!("keys/stolen{end}"))).expect("a copy");
    }

    // Alone, the thief cannot read what was sealed, nor hand it on.
    let _ = story.keys("identity --out keys/thief").expect(0);
    let thief = story.recipient("keys/thief");
    let trust = format!("--trust trust --root-sha256 {}", story.root);
    let reseal = format!(
        "credentials reseal main.sealed {trust} --identity keys/thief --recipient {thief} --key keys/stolen --out x.sealed"
    );
    says(&story.keys(&reseal).expect(1), "not to this identity");
    // Nor run anything of their own: no bundle, no review.
    story.migration("4_backdoor", "CREATE TABLE customer_copy (id INTEGER);", "DROP TABLE customer_copy;");
    let _ = story.bundler("pack --sequence 2 --environment trial --out evil.sealift --key keys/stolen").expect(0);
    says(&company.host("apply", "evil.sealift", "main.sealed", "keys/host").expect(1), "is by no key that may sign");
    let _ = story.bundler("review 4 --key keys/stolen --answers answers.toml").expect(0);
    let _ = story.bundler("pack --sequence 2 --environment trial --out evil2.sealift --key keys/carol").expect(0);
    let unreviewed = company.host("apply", "evil2.sealift", "main.sealed", "keys/host").expect(1);
    says(&unreviewed, "needs 2 people to sign the review");
    assert!(untouched(&story.database));

    // But aim a host that has not used its database yet at a server of theirs, with a serial that nobody outbids by
    // accident: reviewed SQL runs there.
    let theirs = sqlite();
    company.seal("stolen", 1_000_000, &database(&theirs.url), &[&host], "aimed.sealed");
    let new_host = |sealed: &str| company.host_with("apply", bundle, sealed, "keys/host", "new-host.json");
    let _ = new_host("aimed.sealed").expect(0);
    assert!(untouched(&story.database) && !untouched(&theirs));
    says(&new_host("main.sealed").expect(1), "serial 1, but serial 1000000 has been used on this host");
    // The audit log of that host tells of a first use that nobody planned.
    let audit = fs::read_to_string(story.path("audit.jsonl")).expect("a log");
    assert!(audit.contains("first-use"), "{audit}");
    // A host that has used its database knows another one when it sees it; what is left is to keep it from working.
    let _ = company.apply("main.sealed").expect(0);
    let elsewhere = sqlite();
    company.seal("stolen", 1_000_000, &database(&elsewhere.url), &[&host], "aimed2.sealed");
    let refused = company.apply("aimed2.sealed").expect(1);
    says(&refused, "never been used");
    assert!(untouched(&elsewhere));

    // Revoked: Erin gets a new key. The host is away for two more rotations, and recovers in one step.
    let _ = story.keys("generate --no-passphrase --holder erin@example.com --out keys/fresh").expect(0);
    for end in ["", ".pub"] {
        fs::rename(story.path(&format!("keys/fresh{end}")), story.path(&format!("keys/erin{end}"))).expect("moved");
    }
    for version in 2..=4 {
        let days = 180 + version;
        let more = format!("\n[root]\nexpires-in-days = {days}\n\n[revoked]\nkeys = [\"{fingerprint}\"]\n");
        company.rotate(version, &more);
    }
    let away = company.host_with("plan", bundle, "aimed.sealed", "keys/host", "new-host.json");
    let _ = away.expect(0);
    let _ = company.update();
    for sealed in ["aimed.sealed", "main.sealed"] {
        says(&company.apply(sealed).expect(1), "is by no key that may sign");
        let desk = format!("credentials check {sealed} {trust} --project orders --environment trial");
        says(&story.keys(&desk).expect(1), "is by no key that may sign");
    }
    // Rotated: every file of that key is sealed anew, from its source, above the serial that the thief used up.
    company.seal("erin", 2, &ours, &[&host], "low.sealed");
    says(&company.apply("low.sealed").expect(1), "serial 1000000 has been used on this host");
    company.seal("erin", 1_000_001, &ours, &[&host], "new.sealed");
    let _ = company.apply("new.sealed").expect(0);
}

/// What somebody with an identity reads in sealed credentials, with public tools.
fn stolen_glance(story: &Story, sealed: &str, identity: &str) -> Option<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let tar = Program::new("tar").arg("xf").arg(story.path(sealed)).arg("-C").arg(folder.path()).status();
    assert!(tar.expect("tar runs").success());
    let mut age = Program::new("age");
    age.arg("-d").arg("-i").arg(story.path(identity)).arg(folder.path().join("payload.age"));
    let output = age.output().expect("age runs (Debian package `age`)");
    output.status.success().then(|| String::from_utf8(output.stdout).expect("text"))
}

#[test]
fn the_age_identity_of_a_host_is_stolen() {
    let company = Company::new();
    let Company { story, bundle, .. } = &company;
    let ours = |password: &str| {
        format!(
            "{}[databases.billing]\nurl = \"postgresql://deploy:{password}@db.example.com/billing\"\nca = \"ca.pem\"\n",
            database(&story.database.url)
        )
    };
    story.write("ca.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let _ = story.keys("identity --out keys/desk").expect(0);
    let (old, desk) = (story.recipient("keys/host"), story.recipient("keys/desk"));
    company.seal("erin", 1, &ours("hunter2"), &[&old, &desk], "main.sealed");
    let _ = story.keys("identity --out keys/other").expect(0);
    let other = story.recipient("keys/other");
    company.seal("erin", 1, &ours("another"), &[&other], "other.sealed");
    fs::rename(story.path("keys/host"), story.path("keys/stolen")).expect("moved");
    fs::copy(story.path("keys/stolen"), story.path("keys/host")).expect("a copy");

    // Alone, the thief reads every password that was sealed to that host, and none of another host.
    assert!(stolen_glance(story, "main.sealed", "keys/stolen").expect("opened").contains("hunter2"));
    assert!(stolen_glance(story, "other.sealed", "keys/stolen").is_none());
    // Whatever the thief seals instead is signed by nobody who may.
    let _ = story.keys("generate --no-passphrase --holder thief@example.com --out keys/thief").expect(0);
    let trust = format!("--trust trust --root-sha256 {}", story.root);
    let reseal = format!(
        "credentials reseal main.sealed {trust} --identity keys/stolen --recipient {old} --key keys/thief --out x.sealed"
    );
    let _ = story.keys(&reseal).expect(0);
    says(&company.apply("x.sealed").expect(1), "is by no key that may sign");
    assert!(untouched(&story.database) && !Path::new(&story.path("audit.jsonl")).exists());

    // Ended: the host makes a new identity, and the file that still has the old one is found.
    fs::remove_file(story.path("keys/host")).expect("the old identity is gone");
    let _ = story.keys("identity --out keys/host").expect(0);
    let new = story.recipient("keys/host");
    let stale = format!("credentials recipients main.sealed {trust} --expect {new} {desk}");
    says(&story.keys(&stale).expect(1), &format!("stale recipient {old}"));
    // To take it out is not enough, and the desk is told so: the password is still the one that was read.
    let reseal = format!(
        "credentials reseal main.sealed {trust} --identity keys/desk --recipient {new} {desk} --key keys/erin --out 2.sealed"
    );
    says(&story.keys(&reseal).expect(0), &format!("{old} is out, and may have read the passwords before"));
    assert!(stolen_glance(story, "2.sealed", "keys/stolen").is_none());
    assert!(stolen_glance(story, "2.sealed", "keys/host").expect("opened").contains("hunter2"));
    // Rotated: the password, then sealed to the new identity.
    company.seal("erin", 3, &ours("changed"), &[&new, &desk], "3.sealed");
    assert!(stolen_glance(story, "3.sealed", "keys/stolen").is_none());
    let _ = story.keys(&format!("credentials recipients 3.sealed {trust} --expect {new} {desk}")).expect(0);
    let _ = company.apply("3.sealed").expect(0);
    // What the thief kept is of no use here: an older serial, for an identity that is gone.
    says(&company.apply("main.sealed").expect(1), "serial 1, but serial 3 has been used on this host");
    let elsewhere = company.host("plan", bundle, "3.sealed", "keys/stolen").expect(1);
    says(&elsewhere, "this identity is");
}
