//! Sealed credentials from the desk to the host: who can open them, for which database, and what is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command as Program, Stdio};

use sealift_tests::command::{Command, Outcome};
use sealift_tests::server::sqlite;
use sealift_tests::story::Story;

/// A story whose host reaches its database by sealed credentials, sealed to the host and to the desk of Alice.
struct World {
    story: Story,
    bundle: String,
    host: String,
    desk: String,
}

impl World {
    fn new() -> Self {
        let story = Story::new(sqlite());
        story.three_migrations();
        let bundle = story.release(1);
        let _ = story.keys("identity --out keys/desk").expect(0);
        let (host, desk) = (story.recipient("keys/host"), story.recipient("keys/desk"));
        let world = Self { story, bundle, host, desk };
        world.input(1, "");
        let _ = world.seal("alice", "main.sealed").expect(0);
        world
    }

    fn input(&self, serial: u64, more: &str) {
        self.story.write(
            "secrets.toml",
            &format!(
                "project = \"orders\"\nenvironment = \"trial\"\nserial = {serial}\nnot-after = 2030-01-01T00:00:00Z\n\
                 [databases.main]\nurl = \"{}\"\n{more}",
                self.story.database.url
            ),
        );
        let path = self.story.path("secrets.toml");
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("a mode");
    }

    fn seal(&self, who: &str, out: &str) -> Outcome {
        let Self { host, desk, .. } = self;
        self.story
            .keys(&format!("credentials seal --in secrets.toml --recipient {host} {desk} --key keys/{who} --out {out}"))
    }

    /// What the host runs, with the way to its identity in `identity`.
    fn host(&self, verb: &str, sealed: &str, identity: &str) -> Command {
        let (root, bundle) = (&self.story.root, &self.bundle);
        let audit = if verb == "apply" { "--audit audit.jsonl" } else { "" };
        Command::new("sealift-runner").folder(self.story.home()).line(&format!(
            "{verb} --bundle {bundle} --trust trust --root-sha256 {root} --project orders --environment trial \
             --credentials {sealed} {identity} --database main --state state.json {audit}"
        ))
    }

    fn apply(&self, sealed: &str) -> Outcome {
        self.host("apply", sealed, "--identity keys/host").run()
    }

    fn trust(&self) -> String {
        format!("--trust trust --root-sha256 {}", self.story.root)
    }

    fn reseal(&self, sealed: &str, more: &str) -> Outcome {
        let (trust, host) = (self.trust(), &self.host);
        self.story.keys(&format!(
            "credentials reseal {sealed} {trust} --identity keys/desk --recipient {host} --key keys/alice {more}"
        ))
    }

    /// The id that the database got at first use.
    fn id(&self) -> String {
        let line = self.host("status", "main.sealed", "--identity keys/host").argument("--json").run().expect(0);
        let lines = line.json_lines();
        let binding =
            lines.iter().find_map(|line| if line["type"] == "database" { line["data"]["id"].as_str() } else { None });
        binding.unwrap_or_else(|| panic!("no database in\n{}", line.text())).to_owned()
    }
}

#[track_caller]
fn says(outcome: &Outcome, words: &str) {
    assert!(outcome.stderr.contains(words) || outcome.stdout.contains(words), "no `{words}` in\n{}", outcome.text());
}

#[test]
fn what_is_sealed_is_shown_checked_and_sealed_anew() {
    let world = World::new();
    let World { story, host, desk, .. } = &world;
    let trust = world.trust();

    let claimed = story.keys("credentials recipients main.sealed").expect(0);
    says(&claimed, "not verified");
    let mut both = [host.as_str(), desk.as_str()];
    both.sort_unstable();
    assert_eq!(claimed.stdout.lines().collect::<Vec<_>>(), both);
    let expect = |hosts: &str| story.keys(&format!("credentials recipients main.sealed {trust} --expect {hosts}"));
    let agreed = expect(&format!("{desk} {host}")).expect(0);
    assert_eq!(agreed.stderr, "", "{}", agreed.text());
    says(&expect(host).expect(1), &format!("stale recipient {desk}"));
    let _ = story.keys("identity --out keys/new").expect(0);
    let new = story.recipient("keys/new");
    says(&expect(&format!("{host} {desk} {new}")).expect(1), &format!("{new} is expected and cannot open"));

    let check = |sealed: &str, environment: &str| {
        story.keys(&format!("credentials check {sealed} {trust} --project orders --environment {environment}"))
    };
    let checked = check("main.sealed", "trial").expect(0);
    says(&checked, "signed by  alice@example.com");
    says(&checked, "credentials 1 of project `orders`");
    says(&check("main.sealed", "production").expect(1), "for environment");
    let wrong = format!(
        "credentials check main.sealed --trust trust --root-sha256 {} --project orders --environment trial",
        "0".repeat(64)
    );
    let _ = story.keys(&wrong).expect(1);

    let resealed = world.reseal("main.sealed", "--out 2.sealed").expect(0);
    says(&resealed, "credentials 2 of project");
    says(&resealed, &format!("{desk} is out, and may have read the passwords before"));
    let _ = check("2.sealed", "trial").expect(0);
    let _ = world.apply("2.sealed").expect(0);
    // Alice's desk is no recipient any more, and serials only grow.
    says(&world.reseal("2.sealed", "--out 3.sealed").expect(1), "not to this identity");
    says(&world.reseal("main.sealed", "--serial 1 --out 3.sealed").expect(1), "serial 1 does not follow serial 1");
    says(&world.reseal("main.sealed", "--not-after 2020-01-01T00:00:00Z --out 3.sealed").expect(1), "lies in the past");
    says(&world.reseal("main.sealed", "--out 2.sealed").expect(1), "is not overwritten");
    assert!(!story.path("3.sealed").exists());
    // The host has seen serial 2.
    says(&world.apply("main.sealed").expect(1), "serial 1, but serial 2 has been used on this host");
}

#[test]
fn nothing_is_decrypted_that_did_not_verify() {
    let world = World::new();
    let _ = world.seal("mallory", "forged.sealed").expect(0);
    let trust = world.trust();
    let check = format!("credentials check forged.sealed {trust} --project orders --environment trial");
    for outcome in [
        world.reseal("forged.sealed", "--out 2.sealed"),
        world.story.keys(&check),
        world.story.keys(&format!("credentials recipients forged.sealed {trust}")),
        // An identity that does not exist would be missed if it were read before the signature was judged.
        world.host("apply", "forged.sealed", "--identity nowhere").run(),
    ] {
        says(&outcome.expect(1), "is by no key that may sign");
    }
    assert!(!world.story.path("2.sealed").exists());
}

#[test]
fn the_database_that_answers_is_the_one_that_was_signed() {
    let world = World::new();
    world.input(2, "id = \"0123456789abcdef\"\n");
    let _ = world.seal("alice", "early.sealed").expect(0);
    let never = world.host("plan", "early.sealed", "--identity keys/host").run().expect(1);
    says(&never, "for database `0123456789abcdef`, the database that answers has never been used");
    let _ = world.apply("main.sealed").expect(0);
    let id = world.id();
    for verb in ["plan", "status", "apply"] {
        let other = world.host(verb, "early.sealed", "--identity keys/host").run().expect(1);
        says(&other, &format!("for database `0123456789abcdef`, the database that answers is `{id}`"));
        says(&other, "rebind");
    }
    world.input(3, &format!("id = \"{id}\"\n"));
    let sealed = world.seal("alice", "right.sealed").expect(0);
    says(&sealed, &format!("(id {id})"));
    for verb in ["plan", "status", "apply"] {
        let _ = world.host(verb, "right.sealed", "--identity keys/host").run().expect(0);
    }
    // Sealing anew keeps the id.
    says(&world.reseal("right.sealed", "--out 4.sealed").expect(0), &format!("(id {id})"));
    let _ = world.apply("4.sealed").expect(0);
    // The same file name, another database.
    fs::copy(world.story.path("4.sealed"), world.story.path("kept.sealed")).expect("a copy");
    let path = world.story.database.url.strip_prefix("sqlite:").expect("a file");
    fs::remove_file(path).expect("the database is gone");
    says(&world.apply("kept.sealed").expect(1), "has never been used");
}

#[test]
fn the_identity_comes_from_a_file_a_descriptor_or_a_systemd_credential() {
    let world = World::new();
    let folder = world.story.path("run");
    fs::create_dir(&folder).expect("a folder");
    fs::copy(world.story.path("keys/host"), folder.join("host.age")).expect("a copy");
    let chmod = |name: &str, mode| {
        fs::set_permissions(world.story.path(name), fs::Permissions::from_mode(mode)).expect("a mode");
    };
    chmod("run/host.age", 0o400);
    chmod("run", 0o500);
    let named = world.host("plan", "main.sealed", "--identity-credential host.age");
    says(&named.run().expect(2), "CREDENTIALS_DIRECTORY is not set");
    let service = named.clone().variable("CREDENTIALS_DIRECTORY", &folder);
    let _ = service.run().expect(0);
    world.story.write("runner.toml", "identity-credential = \"host.age\"\n");
    let configured = world.host("plan", "main.sealed", "--config runner.toml");
    let _ = configured.clone().variable("CREDENTIALS_DIRECTORY", &folder).run().expect(0);
    for (name, mode) in [("run/host.age", 0o444), ("run", 0o555)] {
        chmod(name, mode);
        says(&service.run().expect(1), "can be read by others than its owner");
        chmod(name, 0o500);
    }
    for elsewhere in ["../keys/host", "/etc/passwd"] {
        let line = format!("--identity-credential {elsewhere}");
        let _ = world.host("plan", "main.sealed", &line).variable("CREDENTIALS_DIRECTORY", &folder).run().expect(2);
    }
    let both = world.host("plan", "main.sealed", "--identity keys/host --identity-credential host.age");
    let _ = both.run().expect(2);
    let fd = world.host("plan", "main.sealed", "--identity-fd 0").to_std();
    let mut child = { fd }
        .stdin(fs::File::open(world.story.path("keys/host")).expect("an identity"))
        .stdout(Stdio::null())
        .spawn()
        .expect("the runner");
    assert!(child.wait().expect("its end").success());
}

/// Replaces the age file in sealed credentials and has Alice sign that: what a careless or hostile signer could make.
fn sealed_by_hand(world: &World, ciphertext: &[u8], out: &str) {
    use sealift_spec::Digest;
    use sealift_spec::container::{self, Container, ContainerKind};
    use sealift_spec::envelope::{Envelope, Signature};
    use sealift_spec::statement::{Content, Credentials, Statement};

    let bytes = fs::read(world.story.path("main.sealed")).expect("credentials");
    let main = Container::read(&bytes, ContainerKind::Credentials).expect("a container").main;
    let mut statement = Statement::<Credentials>::read(main.payload()).expect("a statement");
    let payload = Content { sha256: Digest::of(ciphertext), size: ciphertext.len() as u64 };
    statement.predicate.payload = payload;
    statement.predicate.serial += 1;
    statement.subjects[0].sha256 = payload.sha256;
    let mut envelope = Envelope::new(statement.write()).expect("an envelope");
    let key = secret_key(&fs::read_to_string(world.story.key("alice")).expect("a key"));
    let public = sealift_spec::key::PublicKey::from_bytes(key.verifying_key().to_bytes());
    let made = ed25519_dalek::Signer::sign(&key, &envelope.signed_bytes()).to_bytes();
    envelope.attach(Signature { key_id: public.id(), bytes: made }).expect("a signature");
    let bytes = container::write(ContainerKind::Credentials, &envelope, &[], ciphertext);
    fs::write(world.story.path(out), bytes).expect("a file");
}

/// The secret key of an OpenSSH file without a passphrase: the last string of 64 bytes in it.
fn secret_key(text: &str) -> ed25519_dalek::SigningKey {
    use base64::Engine as _;
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let bytes = base64::engine::general_purpose::STANDARD.decode(body).expect("base64");
    let at = bytes.windows(4).rposition(|window| window == [0, 0, 0, 64]).expect("the secret half") + 4;
    ed25519_dalek::SigningKey::from_bytes(bytes[at..at + 32].try_into().expect("32 bytes"))
}

#[test]
fn passphrases_and_plugins_are_refused_on_hosts_and_at_the_desk() {
    let world = World::new();
    let age = |recipient: &str| {
        let mut command = Program::new("age");
        let mut child =
            command.args(["-r", recipient]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("age runs");
        let url = &world.story.database.url;
        let text = format!(r#"{{"databases":{{"main":{{"url":"{url}"}}}},"schema":"urn:sealift:secrets:v1"}}"#);
        std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), text.as_bytes()).expect("written");
        child.wait_with_output().expect("age ends").stdout
    };
    // A file of the real age program, signed: it opens.
    let good = age(&world.host);
    sealed_by_hand(&world, &good, "good.sealed");
    let _ = world.host("plan", "good.sealed", "--identity keys/host").run().expect(0);
    // Two recipients are named, and the file has one.
    says(
        &world.story.keys("credentials recipients good.sealed").expect(1),
        "2 recipients are named, and the age file is encrypted to 1",
    );
    // Beside or in place of the stanza of the host. The header's MAC no longer holds, which comes after the refusal.
    let text = String::from_utf8_lossy(&good).into_owned();
    let head = text.find("-> X25519").expect("a stanza");
    let with = |stanza: &str| [&good[..head], stanza.as_bytes(), &good[head..]].concat();
    let scrypt = "-> scrypt bBjlhJVYZeE4aqUdmtRHfw 18\nZV/AhotwSGqaPCU43cepl4WYUouAa17a3xpu4G2yi5k\n";
    let plugin = "-> yubikey-1 abcd\nZV/AhotwSGqaPCU43cepl4WYUouAa17a3xpu4G2yi5k\n";
    for (name, stanza, words) in
        [("scrypt.sealed", scrypt, "with a passphrase"), ("plugin.sealed", plugin, "recipient of kind `yubikey-1`")]
    {
        sealed_by_hand(&world, &with(stanza), name);
        says(&world.host("plan", name, "--identity keys/host").run().expect(1), words);
        let at_desk = world.reseal(name, "--out no.sealed").expect(1);
        says(&at_desk, "only X25519 is accepted");
        assert!(!world.story.path("no.sealed").exists());
    }
    // A passphrase is typed by people: the real program, on a terminal of its own.
    let line = "age -p -o typed.age secrets.toml";
    let typed = Program::new("script")
        .args(["-qec", line, "/dev/null"])
        .current_dir(world.story.home())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .and_then(|mut child| {
            std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), b"long enough\nlong enough\n")?;
            child.wait_with_output()
        });
    assert!(typed.expect("script runs (Debian package `bsdutils`)").status.success());
    sealed_by_hand(&world, &fs::read(world.story.path("typed.age")).expect("an age file"), "typed.sealed");
    says(&world.host("plan", "typed.sealed", "--identity keys/host").run().expect(1), "with a passphrase");
    // Secrets that are not what was signed are neither used nor sealed again.
    let elsewhere = {
        world.story.write(
            "elsewhere",
            r#"{"databases":{"main":{"url":"sqlite:/srv/other.db"}},"schema":"urn:sealift:secrets:v1"}"#,
        );
        let output = Program::new("age")
            .args(["-r", &world.host, "-r", &world.desk])
            .arg(world.story.path("elsewhere"))
            .output();
        output.expect("age runs").stdout
    };
    sealed_by_hand(&world, &elsewhere, "elsewhere.sealed");
    says(&world.apply("elsewhere.sealed").expect(1), "the secret URL leads to `sqlite:/srv/other.db`");
    says(&world.reseal("elsewhere.sealed", "--out no.sealed").expect(1), "is not the one that was signed");
}
