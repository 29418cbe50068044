//! `sealift-keys` as people run it, judged by `ssh-keygen`, `age`, `age-keygen` and `tar`.

#![expect(clippy::unwrap_used, reason = "in a test, a surprise is a failure")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use sealift_spec::Timestamp;
use sealift_verifier::credentials;
use sealift_verifier::file::SealedFile;
use sealift_verifier::release::Expected;
use sealift_verifier::trust::{Trust, TrustFiles};
use serde_json::Value;
use tempfile::TempDir;

const KEYS: &str = env!("CARGO_BIN_EXE_sealift-keys");

/// A folder in which commands run.
struct Desk(TempDir);

struct Outcome {
    status: i32,
    out: String,
    err: String,
}

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.path(name)).unwrap().permissions().mode() & 0o777
    }

    fn files(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[track_caller]
    fn run(&self, program: &str, arguments: &[&str], input: &[u8]) -> Outcome {
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir(self.0.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("`{program}` cannot be run: {error}"));
        // Whoever does not read its input closes the pipe.
        let _ = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Outcome { status: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Runs `sealift-keys` with arguments separated by blanks.
    #[track_caller]
    fn keys(&self, line: &str) -> Outcome {
        self.run(KEYS, &line.split(' ').collect::<Vec<_>>(), b"")
    }

    /// Runs it on a terminal of its own, on which somebody types.
    #[track_caller]
    fn keys_on_terminal(&self, line: &str, typed: &str) -> Outcome {
        self.run("script", &["-qec", &format!("{KEYS} {line}"), "/dev/null"], typed.as_bytes())
    }

    #[track_caller]
    fn tool(&self, line: &str) -> String {
        let words: Vec<_> = line.split(' ').collect();
        let outcome = self.run(words[0], &words[1..], b"");
        assert_eq!(outcome.status, 0, "{line}\n{}", outcome.err);
        outcome.out
    }

    /// Makes keys of ann, bob, cy and ci, and a `trust.toml` of them.
    fn team(&self) {
        let mut text = String::new();
        for (name, holder, kind) in [
            ("ann", "ann@example.com", "human"),
            ("bob", "bob@example.com", "human"),
            ("cy", "cy@example.com", "human"),
            ("ci", "ci", "service"),
        ] {
            self.keys(&format!("generate --holder {holder} --out {name} --no-passphrase")).expect(0);
            let key = self.read(&format!("{name}.pub"));
            text += &format!("[people.\"{holder}\"]\nkind = \"{kind}\"\nkeys = [\"{}\"]\n", key.trim());
        }
        self.write("trust.toml", &(text + ROLES));
    }
}

const ROLES: &str = r#"[roles]
root = { people = ["ann@example.com", "bob@example.com", "cy@example.com"], threshold = 2 }
release = { people = ["ci"] }
review = { people = ["ann@example.com", "bob@example.com", "cy@example.com"] }
credentials = { people = ["ann@example.com"] }
[environments.production]
require = [
  { statement = "release", role = "release", people = 1 },
  { statement = "review", role = "review", people = 2 },
]
"#;

impl Outcome {
    #[track_caller]
    fn expect(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{}{}", self.out, self.err);
        self
    }

    #[track_caller]
    fn says(self, words: &str) -> Self {
        assert!(self.err.contains(words), "expected: {words}\n{}", self.err);
        self
    }

    /// The data of its one JSON line, of the type expected.
    #[track_caller]
    fn data(&self, kind: &str) -> Value {
        let line: Value = serde_json::from_str(self.out.trim()).unwrap_or_else(|error| panic!("{error}: {}", self.out));
        assert_eq!(line["type"], kind);
        line["data"].clone()
    }
}

#[test]
fn generate_makes_what_ssh_keygen_makes() {
    let desk = Desk::new();
    let made = desk.keys("generate --holder ann@example.com --out key --no-passphrase").expect(0);
    let fingerprint = desk.tool("ssh-keygen -lf key.pub");
    assert_eq!(made.out, format!("{}{}\n", desk.read("key.pub"), fingerprint.split(' ').nth(1).unwrap()));
    assert_eq!(desk.tool("ssh-keygen -y -f key"), desk.read("key.pub"));
    assert_eq!((desk.mode("key"), desk.mode("key.pub")), (0o600, 0o644));

    let made = desk.keys("generate --holder ci --out other --no-passphrase --json").expect(0).data("key");
    assert_eq!(made["holder"], "ci");
    assert_eq!(format!("{} ci\n", made["publicKey"].as_str().unwrap()), desk.read("other.pub"));
    assert_eq!(made["encrypted"], false);
}

#[test]
fn a_passphrase_is_asked_for_twice_on_a_terminal_and_nowhere_else() {
    let desk = Desk::new();
    desk.keys("generate --holder ann --out key").expect(2).says("hint: --no-passphrase");
    for (typed, words) in [("one\ntwo\n", "the two passphrases differ"), ("\n", "the passphrase is empty")] {
        let refused = desk.keys_on_terminal("generate --holder ann --out key", typed).expect(1);
        assert!(refused.out.contains(words), "{}", refused.out);
    }
    assert!(desk.files(".").is_empty());
    desk.keys_on_terminal("generate --holder ann --out key", "correct\ncorrect\n").expect(0);
    assert_eq!(desk.tool("ssh-keygen -y -P correct -f key"), desk.read("key.pub"));
    let wrong = desk.run("ssh-keygen", &["-y", "-P", "", "-f", "key"], b"");
    assert_ne!(wrong.status, 0);
}

#[test]
fn encrypted_keys_sign_on_a_terminal() {
    let desk = Desk::new();
    desk.team();
    desk.keys("trust draft trust.toml --out trust").expect(0);
    desk.tool("ssh-keygen -q -p -P  -N secret -f ann");
    desk.keys("trust sign trust/1.root.json --key ann").expect(2).says("there is no terminal to ask on");
    let wrong = desk.keys_on_terminal("trust sign trust/1.root.json --key ann", "other\n").expect(1);
    assert!(wrong.out.contains("this is not the passphrase of `ann`"), "{}", wrong.out);
    let signed = desk.keys_on_terminal("trust sign trust/1.root.json --key ann", "secret\n").expect(0);
    assert!(signed.out.contains("root 1 signed by ann@example.com: 1 of 2 signatures"), "{}", signed.out);
}

#[test]
fn existing_files_stay_as_they_are() {
    let desk = Desk::new();
    desk.write("key", "mine");
    desk.keys("generate --holder ann --out key --no-passphrase").expect(1).says("`key` exists and is not overwritten");
    desk.keys("identity --out key").expect(1).says("`key` exists and is not overwritten");
    assert_eq!((desk.read("key").as_str(), desk.files(".")), ("mine", vec!["key".to_owned()]));
    desk.keys("generate --holder ann --out no/key --no-passphrase").expect(2).says("cannot write `no/key`");
}

#[test]
fn identities_are_age_identities() {
    let desk = Desk::new();
    let made = desk.keys("identity --out host.age").expect(0);
    assert_eq!(made.out, desk.tool("age-keygen -y host.age"));
    assert_eq!(desk.mode("host.age"), 0o400);
    let recipient = made.out.trim();
    let sealed = desk.run("age", &["-r", recipient, "-o", "x.age"], b"hello").expect(0);
    assert_eq!(sealed.out, "");
    assert_eq!(desk.tool("age -d -i host.age x.age"), "hello");
    let other = desk.keys("identity --out other.age --json").expect(0).data("identity");
    assert_eq!(other["recipient"], desk.tool("age-keygen -y other.age").trim());
}

#[test]
fn a_root_is_drafted_signed_and_shown() {
    let desk = Desk::new();
    desk.team();
    let draft = desk.keys("trust draft trust.toml --out trust").expect(0);
    let digest = draft.out.trim().to_owned();
    assert_eq!(digest.len(), 64);
    let draft = draft.says("smallest set: 3 people, such as ann@example.com, bob@example.com, ci");
    draft.says("impossible without: ci").says("takes 2 of 3 signatures");
    assert_eq!(desk.files("trust"), ["1.policy.json", "1.root.json"]);

    let show = format!("trust show trust --root-sha256 {digest}");
    desk.keys(&show).expect(1).says("root 1 needs 2 signatures by keys of root 1, 0 verify");
    let claims = desk.keys("trust show trust").expect(0).says("nothing was judged");
    assert!(claims.out.contains("0 of 2 signatures, 2 missing"), "{}", claims.out);
    desk.keys("trust sign trust/1.root.json --key ci").expect(1).says("is no key of root 1");
    let first = desk.keys("trust sign trust/1.root.json --key ann").expect(0);
    assert!(first.out.contains("1 of 2 signatures, 1 missing, of bob@example.com, cy@example.com"), "{}", first.out);
    desk.keys("trust sign trust/1.root.json --key ann").expect(1).says("has signed it already");
    let second = desk.keys("trust sign trust/1.root.json --key cy --json").expect(0).data("trust-signature");
    assert_eq!((&second["by"], &second["missing"]), (&"cy@example.com".into(), &0.into()));
    assert_eq!(second["rootSha256"], digest.as_str());

    let shown = desk.keys(&show).expect(0).says("verified");
    assert!(shown.out.contains("2 of 2 signatures, none missing"), "{}", shown.out);
    assert!(shown.out.contains("review: 2 of role `review` (ann@example.com, bob@example.com, cy@example.com)"));
    let data = desk.keys(&format!("{show} --json")).expect(0).data("trust");
    assert_eq!((&data["verified"], &data["environments"][0]["smallestSet"]), (&true.into(), &3.into()));
    assert_eq!(desk.keys("trust show trust --json").expect(0).data("trust")["verified"], false);
    desk.keys(&format!("trust show trust --root-sha256 {}", "0".repeat(64))).expect(1).says("is not the pinned root");
}

#[test]
fn drafting_refuses_to_disturb_an_existing_trust_directory() {
    let desk = Desk::new();
    desk.team();
    desk.keys("trust draft trust.toml --out trust").expect(0);
    let root = desk.read("trust/1.root.json");
    desk.keys("trust draft trust.toml --out trust").expect(1).says("holds `1.");
    assert_eq!(desk.read("trust/1.root.json"), root);
    fs::create_dir(desk.path("later")).unwrap();
    desk.write("later/7.root.json", "{}");
    desk.keys("trust draft trust.toml --out later").expect(1).says("`later` holds `7.root.json` already");
    assert_eq!(desk.files("later"), ["7.root.json"]);
    // Other files are nobody's business.
    fs::create_dir(desk.path("notes")).unwrap();
    desk.write("notes/README", "x");
    desk.keys("trust draft trust.toml --out notes").expect(0);
    // A refused draft leaves no directory behind.
    desk.write("bad.toml", &desk.read("trust.toml").replace("threshold = 2", "threshold = 1"));
    let refused = desk.keys("trust draft bad.toml --out bad").expect(1);
    let refused = refused.says("`bad.toml` makes no trust root").says("line 14: the threshold of role `root` is 1");
    refused.says("hint: [roles] root =");
    assert!(!desk.path("bad").exists());
    desk.keys("trust draft none.toml --out bad").expect(2).says("cannot read `none.toml`");
}

#[test]
fn a_root_that_was_tampered_with_is_not_signed() {
    let desk = Desk::new();
    desk.team();
    desk.keys("trust draft trust.toml --out trust").expect(0);
    desk.keys("trust sign trust/1.root.json --key ann").expect(0);
    let (root, policy) = (desk.read("trust/1.root.json"), desk.read("trust/1.policy.json"));
    let sign = "trust sign trust/1.root.json --key bob";

    desk.write("trust/1.policy.json", &policy.replace("\"people\":2", "\"people\":1"));
    desk.keys(sign).expect(1).says("is not the policy that the root names");
    desk.keys("trust show trust").expect(1).says("is not the policy that the root names");
    fs::remove_file(desk.path("trust/1.policy.json")).unwrap();
    desk.keys(sign).expect(2).says("cannot read `trust/1.policy.json`");
    desk.write("trust/1.policy.json", &policy);

    let at = root.find("\"sig\":\"").unwrap() + 7;
    let digit = if root.as_bytes()[at] == b'0' { "1" } else { "0" };
    desk.write("trust/1.root.json", &format!("{}{digit}{}", &root[..at], &root[at + 1..]));
    desk.keys(sign).expect(1).says("a signature in `trust/1.root.json` does not verify");
    let shown = desk.keys("trust show trust").expect(0);
    assert!(shown.out.contains("does not verify") && shown.out.contains("0 of 2 signatures"), "{}", shown.out);

    desk.write("trust/1.root.json", &format!(" {root}"));
    desk.keys(sign).expect(1).says("the root is not well formed");
    desk.write("trust/1.root.json", &root);
    fs::rename(desk.path("trust/1.root.json"), desk.path("trust/2.root.json")).unwrap();
    desk.keys("trust sign trust/2.root.json --key bob").expect(1).says("is not named after the root version in it");
    desk.keys("trust show trust").expect(2).says("there is no `1.root.json`");
    assert_eq!(desk.read("trust/2.root.json"), root);
}

const INPUT: &str = r#"project = "orders"
environment = "production"
serial = 3
not-after = 2999-06-30T00:00:00Z
[databases.main]
url = "postgresql://deploy:hunter2@db.example.com/orders"
ca = "ca.pem"
[databases.cache]
url = "mysql://deploy:hunter2@127.0.0.1/cache"
"#;
const CA: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

impl Desk {
    fn sealing(&self) -> [String; 2] {
        self.team();
        self.write("ca.pem", CA);
        self.write("in.toml", INPUT);
        ["a.age", "b.age"].map(|name| self.keys(&format!("identity --out {name}")).expect(0).out.trim().to_owned())
    }
}

#[test]
fn sealed_credentials_open_with_public_tools_and_pass_the_verifier() {
    let desk = Desk::new();
    let [a, b] = desk.sealing();
    let seal = format!("credentials seal --in in.toml --recipient {a} {b} --key ann --out o.sealed");
    let sealed = desk.keys(&seal).expect(0);
    assert_eq!(sealed.err, "");
    assert!(!sealed.out.contains("hunter2"));
    assert_eq!(desk.tool("tar tf o.sealed"), "attestations.intoto.jsonl\npayload.age\n");
    desk.tool("tar xf o.sealed");
    for identity in ["a.age", "b.age"] {
        let secrets: Value = serde_json::from_str(&desk.tool(&format!("age -d -i {identity} payload.age"))).unwrap();
        assert_eq!(secrets["databases"]["main"]["url"], "postgresql://deploy:hunter2@db.example.com/orders");
        assert_eq!(secrets["databases"]["main"]["ca"], CA);
    }
    assert!(!desk.read("attestations.intoto.jsonl").contains("hunter2"));

    let digest = desk.keys("trust draft trust.toml --out trust").expect(0).out.trim().parse().unwrap();
    for key in ["ann", "bob"] {
        desk.keys(&format!("trust sign trust/1.root.json --key {key}")).expect(0);
    }
    let now = Timestamp::from_seconds(1_795_000_000).unwrap();
    let trust = Trust::verify(&TrustFiles::read(&desk.path("trust")).unwrap(), digest, 0, now).unwrap();
    let expected = Expected { project: "orders".parse().unwrap(), environment: "production".parse().unwrap(), now };
    let read = |name: &str| SealedFile::read(&desk.path(name), 1 << 20).unwrap();
    let verified = credentials::verify(read("o.sealed"), &trust, &expected).unwrap();
    let endpoints: Vec<_> = verified.statement().databases.iter().map(|d| d.endpoint.as_str()).collect();
    assert_eq!(endpoints, ["mysql://127.0.0.1:3306/cache", "postgresql://db.example.com:5432/orders"]);
    let mut recipients = [a.as_str(), b.as_str()];
    recipients.sort_unstable();
    assert!(verified.statement().recipients.iter().map(|r| r.as_str()).eq(recipients));
    assert_eq!(verified.ciphertext(), fs::read(desk.path("payload.age")).unwrap());
    // Signed by somebody who does not hold the role.
    desk.keys(&seal.replace("--key ann --out o", "--key bob --out p")).expect(0);
    assert!(credentials::verify(read("p.sealed"), &trust, &expected).is_err());

    desk.keys(&seal).expect(1).says("`o.sealed` exists and is not overwritten");
}

#[test]
fn input_comes_from_standard_input_too_and_careless_modes_are_told() {
    let desk = Desk::new();
    let [a, _] = desk.sealing();
    let line = format!("credentials seal --in - --recipient {a} --key ann --out o.sealed --json");
    let input = INPUT.replace("ca = \"ca.pem\"\n", "").replace("2999-06-30T00:00:00Z", "\"2999-06-30T00:00:00Z\"");
    let sealed = desk.run(KEYS, &line.split(' ').collect::<Vec<_>>(), input.as_bytes()).expect(0);
    let data = sealed.data("credentials");
    assert_eq!((&data["serial"], &data["notAfter"]), (&3.into(), &"2999-06-30T00:00:00Z".into()));
    sealed.says("database `main` is reached over the network and has no `ca`");
    fs::set_permissions(desk.path("in.toml"), fs::Permissions::from_mode(0o644)).unwrap();
    let line = format!("credentials seal --in in.toml --recipient {a} --key ann --out p.sealed");
    desk.keys(&line).expect(0).says("can be read by others: chmod 600 'in.toml'");
}

#[test]
fn refused_input_is_not_repeated() {
    let desk = Desk::new();
    let [a, _] = desk.sealing();
    let before = desk.files(".");
    let refuse = |from: &str, to: &str, status: i32, words: &str| {
        assert!(INPUT.contains(from), "{from}");
        desk.write("in.toml", &INPUT.replacen(from, to, 1));
        let line = format!("credentials seal --in in.toml --recipient {a} --key ann --out o.sealed");
        let refused = desk.keys(&line).expect(status).says(words);
        assert!(!refused.err.contains("hunter2") && !refused.out.contains("hunter2"), "{}", refused.err);
        assert_eq!(desk.files("."), before);
    };
    refuse("serial = 3", "serial = \"hunter2\"", 1, "line 3: this is not TOML");
    refuse("serial = 3", "serial = 0", 1, "`serial` starts at 1");
    refuse("serial = 3\n", "", 1, "`serial` is missing");
    refuse("url = \"postgresql", "url = postgresql", 1, "line 6: this is not TOML");
    refuse("url = \"", "url = \"http:", 1, "the `url` of database `main` is refused");
    refuse("hunter2@", "hunter2@x@", 1, "more than one `@`");
    refuse("ca = ", "hunter2 = ", 1, "line 7: there is no such field");
    refuse("\"production\"", "\"dev\"", 1, "environment `dev` is reserved");
    refuse("\"orders\"", "\"Orders\"", 1, "line 1: a name is 1 to 64");
    refuse("2999-", "2001-", 1, "lies in the past");
    refuse("2999-06-30T00:00:00Z", "2999-06-30", 1, "line 4: `not-after` is written");
    refuse("ca.pem", "no.pem", 2, "cannot read `no.pem`");
    refuse("ca.pem", "ann", 1, "holds a private key");
    refuse("ca.pem", "ann.pub", 1, "holds no certificate");
}

#[test]
fn only_x25519_recipients_are_sealed_to() {
    let desk = Desk::new();
    let [a, _] = desk.sealing();
    let before = desk.files(".");
    let secret = desk.read("a.age").lines().find(|line| line.starts_with("AGE-SECRET")).unwrap().to_owned();
    for (recipients, words) in [
        (format!("{a} {a}"), "recipient 2 is given twice"),
        (secret.clone(), "recipient 1 is an identity, the secret half"),
        ("age1pq1qqqq".to_owned(), "recipient 1 is post-quantum"),
        ("age1yubikey1qqqq".to_owned(), "recipient 1 needs a plugin"),
        ("ssh-ed25519".to_owned(), "recipient 1 is an SSH key"),
        (a[..a.len() - 1].to_owned(), "recipient 1 is not an age recipient"),
    ] {
        let line = format!("credentials seal --in in.toml --recipient {recipients} --key ann --out o.sealed");
        let refused = desk.keys(&line).expect(1).says(words);
        assert!(!refused.err.contains(&secret));
        assert_eq!(desk.files("."), before);
    }
}

#[test]
fn too_many_recipients_for_one_statement_are_refused() {
    let desk = Desk::new();
    desk.sealing();
    let many: Vec<String> = (0..60).map(|_| age::x25519::Identity::generate().to_public().to_string()).collect();
    let line = format!("credentials seal --in in.toml --recipient {} --key ann --out o.sealed", many.join(" "));
    desk.keys(&line).expect(1).says("at most 4000 are signed").says("hint: seal fewer databases");
    assert!(!desk.path("o.sealed").exists());
}

#[test]
fn every_command_explains_itself() {
    let desk = Desk::new();
    for line in [
        "--help",
        "generate --help",
        "identity --help",
        "trust --help",
        "trust draft --help",
        "trust diff --help",
        "trust sign --help",
        "trust update --help",
        "trust show --help",
        "credentials --help",
        "credentials seal --help",
    ] {
        let help = desk.keys(line).expect(0);
        assert!(help.err.is_empty() && help.out.contains("Usage: sealift-keys"), "{line}");
        // Every option has a text: none is followed by an empty line or by the next one.
        let lines: Vec<&str> = help.out.lines().collect();
        for (index, text) in lines.iter().enumerate().filter(|(_, text)| text.trim_start().starts_with("--")) {
            let same_line = text.trim_start().split("  ").nth(1).is_some();
            let next_line =
                lines.get(index + 1).is_some_and(|next| !next.trim().is_empty() && !next.trim().starts_with('-'));
            assert!(same_line || next_line, "{line}: {text}");
        }
    }
    desk.keys("trust undo").expect(2).says("unrecognized subcommand");
    desk.keys("generate --holder a/b --out x --no-passphrase").expect(2).says("a person is 1 to 128");
}
