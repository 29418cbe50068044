//! Keys that are not in a file: held by the real ssh-agent, or used elsewhere by OpenSSL.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Program, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealift_spec::key::PublicKey;
use sealift_tests::command::{Command, Outcome};
use sealift_tests::server::sqlite;
use sealift_tests::story::Story;

/// An ssh-agent of our own, ended when dropped.
struct Agent {
    child: Child,
    socket: PathBuf,
}

impl Agent {
    fn start(folder: &Path) -> Self {
        let socket = folder.join("agent");
        let child = Program::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn();
        let agent = Self { child: child.expect("ssh-agent runs (Debian package `openssh-client`)"), socket };
        let wait = |_| {
            std::thread::sleep(Duration::from_millis(20));
            agent.socket.exists()
        };
        assert!((0..200).any(wait), "ssh-agent makes no socket at {}", agent.socket.display());
        agent
    }

    fn add(&self, arguments: &[&Path]) {
        let output = Program::new("ssh-add").args(arguments).env("SSH_AUTH_SOCK", &self.socket).output();
        let output = output.expect("ssh-add runs (Debian package `openssh-client`)");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(story: &Story, program: &'static str, line: &str, socket: &Path) -> Outcome {
    Command::new(program).folder(story.home()).line(line).variable("SSH_AUTH_SOCK", socket).run()
}

#[test]
fn every_program_signs_with_what_the_agent_holds() {
    let story = Story::new(sqlite());
    story.three_migrations();
    let agent = Agent::start(story.home());
    for who in ["alice", "bob", "carol"] {
        agent.add(&[&story.key(who)]);
        fs::remove_file(story.key(who)).expect("the private key is with the agent only");
    }
    let keys = |line: &str| run(&story, "sealift-keys", line, &agent.socket);
    let bundler = |line: &str| run(&story, "sealift-bundler", line, &agent.socket);
    for who in ["alice", "bob"] {
        let review = bundler(&format!("review --key keys/{who}.pub --answers answers.toml")).expect(0);
        assert!(review.stderr.contains("3 reviews signed"), "{}", review.text());
    }
    let _ = bundler("pack --sequence 1 --environment trial --out one.sealift --key keys/carol.pub").expect(0);
    let _ = bundler("pack --sequence 2 --environment trial --out two.sealift").expect(0);
    let _ = bundler("sign two.sealift --key keys/carol.pub").expect(0);
    for bundle in ["one.sealift", "two.sealift"] {
        let accepted = story.verify(bundle).expect(0);
        assert!(accepted.stdout.contains("carol@example.com"), "{}", accepted.text());
    }
    let _ = story.runner("apply", "one.sealift").expect(0);

    let _ = keys("trust draft trust.toml --out again").expect(0);
    let signed = keys("trust sign again/1.root.json --key keys/alice.pub").expect(0);
    assert!(signed.stdout.contains("alice@example.com"), "{}", signed.text());
    story.write(
        "secrets.toml",
        "project = \"orders\"\nenvironment = \"trial\"\nserial = 1\nnot-after = 2030-01-01T00:00:00Z\n\
         [databases.main]\nurl = \"sqlite:/srv/orders.db\"\n",
    );
    let seal = format!(
        "credentials seal --in secrets.toml --recipient {} --key keys/alice.pub --out main.sealed",
        story.recipient("keys/host")
    );
    let _ = keys(&seal).expect(0);
    let check = format!(
        "credentials check main.sealed --trust trust --root-sha256 {} --project orders --environment trial",
        story.root
    );
    let checked = keys(&check).expect(0);
    assert!(checked.stdout.contains("signed by  alice@example.com"), "{}", checked.text());
}

#[test]
fn what_the_agent_does_not_hold_is_not_signed() {
    let story = Story::new(sqlite());
    story.three_migrations();
    let _ = story.bundler("pack --sequence 1 --environment trial --out one.sealift").expect(0);
    let before = fs::read(story.path("one.sealift")).expect("a bundle");
    let agent = Agent::start(story.home());
    agent.add(&[&story.key("alice")]);
    let refused = |key: &str, socket: Option<&Path>, status: i32, words: &str| {
        let mut command =
            Command::new("sealift-bundler").folder(story.home()).line(&format!("sign one.sealift --key {key}"));
        if let Some(socket) = socket {
            command = command.variable("SSH_AUTH_SOCK", socket);
        }
        let outcome = command.run().expect(status);
        assert!(outcome.stderr.contains(words), "no `{words}` in\n{}", outcome.text());
        assert!(fs::read(story.path("one.sealift")).expect("a bundle") == before, "{}", outcome.text());
    };
    let socket = Some(agent.socket.as_path());
    refused("keys/carol.pub", socket, 1, "it holds 1 keys\nhint: add the private half with `ssh-add FILE`");
    refused("keys/alice.pub", None, 2, "SSH_AUTH_SOCK is not set");
    refused("keys/alice.pub", Some(&story.path("nowhere")), 2, "does not answer");

    let mut sk = Vec::new();
    for part in [b"sk-ssh-ed25519@openssh.com".as_slice(), &[7; 32], b"ssh:"] {
        sk.extend_from_slice(&u32::try_from(part.len()).expect("short").to_be_bytes());
        sk.extend_from_slice(part);
    }
    let line = |kind: &str, blob: &[u8]| format!("{kind} {} a@example.com\n", STANDARD.encode(blob));
    story.write("sk.pub", &line("sk-ssh-ed25519@openssh.com", &sk));
    refused("sk.pub", socket, 1, "a FIDO security key (`sk-`) signs only inside SSH's own format, not DSSE envelopes");
    // The neutral element: of small order, so that anything verifies under it.
    let mut weak = [0; 32];
    weak[0] = 1;
    story.write("weak.pub", &format!("{}\n", PublicKey::from_bytes(weak)));
    refused("weak.pub", socket, 1, "small order");
    let rsa = [b"\0\0\0\x07ssh-rsa".as_slice(), b"\0\0\0\x01\x03"].concat();
    story.write("rsa.pub", &line("ssh-rsa", &rsa));
    refused("rsa.pub", socket, 1, "only Ed25519 keys");
}

/// Makes carol's key one that OpenSSL reads: PKCS #8 (RFC 8410), with the seed from OpenSSH's file.
fn to_openssl(story: &Story, who: &str) -> PathBuf {
    let text = fs::read_to_string(story.key(who)).expect("a key");
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let bytes = STANDARD.decode(body).expect("base64");
    let marker = [0, 0, 0, 64];
    let at = bytes.windows(4).rposition(|window| window == marker).expect("the secret half") + 4;
    let head = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let path = story.path("pkcs8.der");
    fs::write(&path, [&head[..], &bytes[at..at + 32]].concat()).expect("a file");
    path
}

/// Signs a file as it is with OpenSSL, which knows nothing of us.
fn sign_elsewhere(story: &Story, who: &str, input: &str, out: &str) {
    let key = to_openssl(story, who);
    let mut openssl = Program::new("openssl");
    openssl.args(["pkeyutl", "-sign", "-rawin", "-keyform", "DER", "-inkey"]).arg(&key);
    let output = openssl.arg("-in").arg(story.path(input)).arg("-out").arg(story.path(out)).output();
    let output = output.expect("openssl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_root_is_signed_elsewhere_too() {
    let story = Story::new(sqlite());
    let _ = story.keys("trust draft trust.toml --out next").expect(0);
    let request = story.keys("trust sign next/1.root.json --request root.request --json").expect(0);
    let digest = story.root_of("next");
    assert_eq!(request.json_lines()[0]["data"]["sha256"], digest);
    let bytes = fs::read(story.path("root.request")).expect("a request");
    assert_eq!(sealift_spec::Digest::of(&bytes).to_string(), digest);
    let before = fs::read(story.path("next/1.root.json")).expect("a root");
    sign_elsewhere(&story, "alice", "root.request", "root.sig");
    // Mallory holds no root key, and Bob did not sign this.
    for who in ["mallory", "bob"] {
        let line = format!("trust sign next/1.root.json --attach root.sig --public-key keys/{who}.pub");
        let _ = story.keys(&line).expect(1);
        assert!(fs::read(story.path("next/1.root.json")).expect("a root") == before, "{who}");
    }
    let attach = "trust sign next/1.root.json --attach root.sig --public-key keys/alice.pub";
    let signed = story.keys(attach).expect(0);
    assert!(signed.stdout.contains("alice@example.com"), "{}", signed.text());
    let _ = story.keys("trust sign next/1.root.json --key keys/bob").expect(0);
    let draft = format!("trust update host --from next --root-sha256 {digest}");
    let _ = story.keys(&draft).expect(0);
}

#[test]
fn a_signature_made_elsewhere_is_attached_when_it_verifies() {
    let story = Story::new(sqlite());
    story.three_migrations();
    story.review();
    for sequence in [1, 2] {
        let line = format!("pack --sequence {sequence} --environment trial --out {sequence}.sealift");
        let _ = story.bundler(&line).expect(0);
    }
    let request = story.bundler("sign 1.sealift --request 1.request --json").expect(0);
    let data = &request.json_lines()[0]["data"];
    let bytes = fs::read(story.path("1.request")).expect("a request");
    assert_eq!(data["sha256"], sealift_spec::Digest::of(&bytes).to_string());
    let packed = story.verify("1.sealift").expect(1);
    assert!(packed.stderr.contains("nobody has signed it"), "{}", packed.text());
    // The request holds the statement itself, so that whoever signs can look.
    assert!(String::from_utf8_lossy(&bytes).starts_with("DSSEv1 28 application/vnd.in-toto+json "));
    let again = story.bundler("sign 1.sealift --request 1.request").expect(1);
    assert!(again.stderr.contains("is not overwritten"), "{}", again.text());

    sign_elsewhere(&story, "carol", "1.request", "1.sig");
    let signature = fs::read(story.path("1.sig")).expect("a signature");
    let before = fs::read(story.path("1.sealift")).expect("a bundle");
    let refused = |line: &str, status: i32, words: &str| {
        let outcome = story.bundler(line).expect(status);
        assert!(outcome.stderr.contains(words), "no `{words}` in\n{}", outcome.text());
        assert!(fs::read(story.path("1.sealift")).expect("a bundle") == before, "{}", outcome.text());
    };
    let foreign = "the signature given is not by";
    // Of another bundle, by another key, damaged, no signature at all.
    let other = story.bundler("sign 2.sealift --attach 1.sig --public-key keys/carol.pub").expect(1);
    assert!(other.stderr.contains(foreign), "{}", other.text());
    refused("sign 1.sealift --attach 1.sig --public-key keys/alice.pub", 1, foreign);
    let mut damaged = signature.clone();
    damaged[40] ^= 1;
    fs::write(story.path("damaged.sig"), damaged).expect("a file");
    refused("sign 1.sealift --attach damaged.sig --public-key keys/carol.pub", 1, foreign);
    refused("sign 1.sealift --attach 1.request --public-key keys/carol.pub", 1, "is no Ed25519 signature");
    refused("sign 1.sealift --attach 1.sig --public-key keys/carol", 1, "this is a private key");
    refused("sign 1.sealift --attach 1.sig", 2, "--public-key");
    refused("sign 1.sealift", 2, "--key");

    // Raw, and as base64: the same bundle comes out.
    let _ = story.bundler("sign 1.sealift --attach 1.sig --public-key keys/carol.pub").expect(0);
    let raw = fs::read(story.path("1.sealift")).expect("a bundle");
    fs::write(story.path("1.sealift"), &before).expect("a file");
    story.write("1.b64", &format!("{}\n", STANDARD.encode(&signature)));
    let _ = story.bundler("sign 1.sealift --attach 1.b64 --public-key keys/carol.pub").expect(0);
    assert!(fs::read(story.path("1.sealift")).expect("a bundle") == raw);
    let _ = story.verify("1.sealift").expect(0);
    let _ = story.runner("apply", "1.sealift").expect(0);
}
