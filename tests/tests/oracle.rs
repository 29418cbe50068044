//! Second opinions: what we write, opened and verified by programs that know nothing of us.
//!
//! Debian's `tar`, `zstd`, `jq`, `sha256sum` and `ssh-keygen` take bundles apart; PyPI's `securesystemslib`, `tuf` and
//! `in-toto-attestation` verify envelopes and roots and read statements (`tests/oracle/*.py`). Each of them also has to
//! refuse something, or it would be no judge. Bundles come from the vectors and, once, from the programs themselves.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

use sealift_spec::container::{Container, ContainerKind};
use sealift_spec::key::{KeyId, PublicKey};
use sealift_spec::root::RootFile;
use sealift_spec::statement::{Release, Review, Statement};
use sealift_tests::forge::{Host, key_id, public};
use sealift_tests::server::sqlite;
use sealift_tests::story::{RULES, Story};
use sealift_tests::vector::{self, Material};
use tempfile::TempDir;

/// The Debian packages of the tools.
const PACKAGES: &str = "apt-get install coreutils jq openssh-client tar zstd";

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/vectors")
}

fn run(command: &mut Command, input: &[u8], advice: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).env("LC_ALL", "C.UTF-8");
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}: {advice}"));
    let mut stdin = child.stdin.take().expect("a pipe");
    thread::scope(|scope| {
        // Whoever has read enough closes the pipe.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().expect("output")
    })
}

/// What a tool of Debian's prints.
#[track_caller]
fn tool(folder: &Path, line: &[&str], input: &[u8]) -> String {
    let output = run(Command::new(line[0]).args(&line[1..]).current_dir(folder), input, PACKAGES);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{line:?}: {}\n{stderr}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

/// What a script in `tests/oracle` prints, or why it refuses.
#[track_caller]
fn python(script: &str, arguments: &[&str]) -> Result<String, String> {
    let python = env::var_os("SEALIFT_TEST_PYTHON").map(PathBuf::from).filter(|python| python.is_file());
    let advice = "`./test packages` makes the Python environment, `./test run` sets SEALIFT_TEST_PYTHON; by hand: \
                  python3 -m venv target/oracles && target/oracles/bin/pip install -r tests/requirements.txt";
    let python = python.unwrap_or_else(|| panic!("SEALIFT_TEST_PYTHON names no python: {advice}"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("oracle").join(script);
    let output = run(Command::new(python).arg("-I").arg(&script).args(arguments), b"", advice);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout).expect("text"));
    }
    // Anything else is a script that broke, which refuses nothing.
    assert!(stderr.starts_with("refused: "), "{}: {stderr}", script.display());
    Err(stderr)
}

/// A bundle in a folder, taken apart by `tar` and `zstd`.
struct Opened {
    folder: TempDir,
    container: Container,
}

impl Opened {
    #[track_caller]
    fn new(bundle: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = bundle.to_str().expect("a path in UTF-8");
        let here = folder.path();
        assert_eq!(tool(here, &["tar", "-tf", path], b""), "attestations.intoto.jsonl\npayload.tar.zst\n");
        tool(here, &["tar", "-xf", path], b"");
        tool(here, &["zstd", "-q", "-t", "payload.tar.zst"], b"");
        tool(here, &["zstd", "-q", "-d", "payload.tar.zst"], b"");
        tool(here, &["tar", "-xf", "payload.tar"], b"");
        let container = Container::read(&fs::read(bundle).expect("a bundle"), ContainerKind::Bundle);
        Self { container: container.expect("a container"), folder }
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What `jq` finds in the statement of the first envelope.
    #[track_caller]
    fn of_release(&self, query: &str) -> String {
        let query = format!("if input_line_number == 1 then .payload | @base64d | fromjson | {query} else empty end");
        tool(self.folder(), &["jq", "-r", &query, "attestations.intoto.jsonl"], b"")
    }

    /// The SHA-256 of a file, by `sha256sum`.
    #[track_caller]
    fn sha256(&self, file: &str) -> String {
        tool(self.folder(), &["sha256sum", file], b"").split(' ').next().expect("a digest").to_owned()
    }
}

fn opened_vectors() -> Vec<Opened> {
    let names = ["sqlite", "postgresql", "mariadb", "mysql", "smallest", "list", "second-root"];
    names.map(|name| Opened::new(&vectors().join(format!("bundle/accepted-{name}.sealift")))).into()
}

/// A bundle that the programs made, with the world it was made in.
fn made() -> (Opened, Story) {
    let story = Story::new(sqlite());
    story.three_migrations();
    let bundle = story.release(1);
    (Opened::new(&story.path(&bundle)), story)
}

/// Everything that the statement signs is there, by the reckoning of `jq` and `sha256sum`.
#[track_caller]
fn adds_up(opened: &Opened) {
    let folder = opened.folder();
    // Subjects are lines of `sha256sum --check`.
    let subjects = opened.of_release(r#".subject[] | "\(.digest.sha256)  \(.name)""#);
    let checked = tool(folder, &["sha256sum", "--check", "--strict", "-"], subjects.as_bytes());
    assert_eq!(checked, "payload.tar.zst: OK\nmanifest.json: OK\n");
    let content = opened.of_release(".predicate.content.sha256, .predicate.content.size");
    let size = fs::metadata(folder.join("payload.tar")).expect("a file").len();
    assert_eq!(content, format!("{}\n{size}\n", opened.sha256("payload.tar")));
    // The evidence: every line but the first.
    let text = fs::read(folder.join("attestations.intoto.jsonl")).expect("a file");
    let evidence = &text[text.iter().position(|byte| *byte == b'\n').expect("a line") + 1..];
    let digest = tool(folder, &["sha256sum"], evidence).replace("  -\n", "");
    let count = tool(folder, &["wc", "-l"], evidence);
    let signed = opened.of_release(".predicate.evidence.sha256, .predicate.evidence.count");
    assert_eq!(signed, format!("{digest}\n{count}"));
    // The scripts and lists, by the manifest, and no file besides.
    let query = r#"(.units | to_entries[] | ("00000\(.key)"[-6:]) as $position | .value | (["up", .up], ["down", .down])
        | select(.[1]) | "\(.[1].sha256)  \($position).\(.[0]).sql"), (.lists // [] | .[] | "\(.sha256)  \(.sha256).list")"#;
    let members = tool(folder, &["jq", "-r", query, "manifest.json"], b"");
    tool(folder, &["sha256sum", "--check", "--strict", "--quiet", "-"], members.as_bytes());
    let names: Vec<_> = members.lines().map(|line| &line[66..]).collect();
    let listed = tool(folder, &["tar", "-tf", "payload.tar"], b"");
    assert_eq!(listed.lines().collect::<Vec<_>>(), [&["manifest.json"], &names[..]].concat());
}

#[test]
fn bundles_open_and_add_up_with_tar_zstd_jq_and_sha256sum() {
    for opened in opened_vectors() {
        adds_up(&opened);
    }
    adds_up(&made().0);
}

/// Reviews name units by a digest that `jq` can make out of the manifest; the release digest is that of the statement.
#[test]
fn unit_and_release_digests_are_those_of_jq_and_sha256sum() {
    for opened in [opened_vectors().remove(0), made().0] {
        let folder = opened.folder();
        let count: usize =
            tool(folder, &["jq", ".units | length", "manifest.json"], b"").trim().parse().expect("a number");
        let units: BTreeSet<String> = (0..count)
            .map(|index| {
                let unit = tool(folder, &["jq", "-jcS", &format!(".units[{index}]"), "manifest.json"], b"");
                tool(folder, &["sha256sum"], unit.as_bytes()).replace("  -\n", "")
            })
            .collect();
        let reviewed = opened.container.evidence.iter().map(|envelope| {
            let review = Statement::<Review>::read(envelope.payload()).expect("a review");
            review.subjects[0].sha256.to_string()
        });
        assert_eq!(reviewed.collect::<BTreeSet<_>>(), units);
        let statement = tool(
            folder,
            &[
                "jq",
                "-j",
                "if input_line_number == 1 then .payload | @base64d else empty end",
                "attestations.intoto.jsonl",
            ],
            b"",
        );
        let digest = tool(folder, &["sha256sum"], statement.as_bytes()).replace("  -\n", "");
        assert_eq!(digest, opened.container.main.digest().to_string());
        assert!(Statement::<Release>::read(statement.as_bytes()).is_ok());
    }
}

fn verified_by_securesystemslib(opened: &Opened, threshold: usize, keys: &[PublicKey]) -> Result<Vec<String>, String> {
    let keys: Vec<String> = keys.iter().map(|key| format!("{}={}", key.id(), key.to_hex())).collect();
    let attestations = opened.folder().join("attestations.intoto.jsonl");
    let threshold = threshold.to_string();
    let mut arguments = vec![attestations.to_str().expect("a path in UTF-8"), &threshold];
    arguments.extend(keys.iter().map(String::as_str));
    python("dsse.py", &arguments).map(|text| text.lines().map(str::to_owned).collect())
}

fn sorted(ids: &[KeyId]) -> Vec<String> {
    let mut ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
    ids.sort();
    ids
}

#[test]
fn release_envelopes_verify_with_securesystemslib() {
    let keys = ["carol", "ci", "erin"].map(public);
    let good = Opened::new(&vectors().join("bundle/accepted-sqlite.sealift"));
    let accepted = verified_by_securesystemslib(&good, 2, &keys);
    assert_eq!(accepted, Ok(sorted(&[key_id("carol"), key_id("ci")])));
    // It counts, and it looks at the signatures.
    assert!(verified_by_securesystemslib(&good, 3, &keys).is_err());
    assert!(verified_by_securesystemslib(&good, 2, &["carol", "erin"].map(public)).is_err());
    for name in ["one-of-two", "signature-malleated", "signature-without-pae", "payload-type-of-signature-changed"] {
        let bad = Opened::new(&vectors().join(format!("bundle/{name}.sealift")));
        assert!(verified_by_securesystemslib(&bad, 2, &keys).is_err(), "{name}");
    }
    let (made, story) = made();
    let key = fs::read_to_string(story.path("keys/carol.pub")).expect("a public key").parse().expect("a public key");
    assert_eq!(verified_by_securesystemslib(&made, 1, &[key]), Ok(vec![key.id().to_string()]));
}

#[test]
fn statements_are_read_by_in_toto_attestation() {
    for opened in opened_vectors().into_iter().chain([made().0]) {
        let attestations = opened.folder().join("attestations.intoto.jsonl");
        let read = python("statement.py", &[attestations.to_str().expect("a path in UTF-8")]).expect("statements");
        let mut expected = String::new();
        let release = Statement::<Release>::read(opened.container.main.payload()).expect("a release");
        for subject in release.subjects {
            expected += &format!("urn:sealift:release:v1 {} {}\n", subject.name, subject.sha256);
        }
        for envelope in &opened.container.evidence {
            let review = Statement::<Review>::read(envelope.payload()).expect("a review");
            let subject = &review.subjects[0];
            expected += &format!("urn:sealift:review:v1 {} {}\n", subject.name, subject.sha256);
        }
        assert_eq!(read, expected);
    }
    let none = Opened::new(&vectors().join("bundle/subjects-none.sealift"));
    let attestations = none.folder().join("attestations.intoto.jsonl");
    assert!(python("statement.py", &[attestations.to_str().expect("a path in UTF-8")]).is_err());
}

fn verified_by_tuf(folder: &Path, host: &Host) -> Result<String, String> {
    let paths = (1..).map(|version| folder.join(format!("{version}.root.json"))).take_while(|path| path.exists());
    let paths: Vec<String> = paths.map(|path| path.to_str().expect("a path in UTF-8").to_owned()).collect();
    let (pinned, now, floor) = (host.pinned.expect("a digest"), host.now.to_string(), host.floor.to_string());
    let pinned = pinned.to_string();
    let host = [&pinned, &now, &floor].into_iter().map(String::as_str);
    python("root.py", &host.chain(paths.iter().map(String::as_str)).collect::<Vec<_>>())
}

/// What `root.py` prints of a chain, by our own reader.
fn described(folder: &Path) -> String {
    let mut text = String::new();
    let mut policy = None;
    for version in 1.. {
        let Ok(bytes) = fs::read(folder.join(format!("{version}.root.json"))) else { break };
        let file = RootFile::read(&bytes).expect("a root");
        text += &format!("{} {} {}\n", file.root().version, file.root().expires, file.digest());
        policy = Some(file.root().policy);
    }
    let policy = policy.expect("a root");
    text + &format!("policy {} {}\n", policy.sha256, policy.size)
}

/// The vectors of which `decisions.md` says that a TUF client accepts what we refuse.
fn stricter_than_tuf() -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/decisions.md");
    let text = fs::read_to_string(path).expect("the decisions");
    let (_, list) =
        text.split_once("**Which root chains does a TUF client accept and we refuse?**").expect("the question");
    let names = list.lines().skip(1).skip_while(|line| !line.starts_with("* ")).take_while(|line| !line.is_empty());
    let names = names.filter_map(|line| line.strip_prefix("* ")).flat_map(|line| {
        let (names, reason) = line.split_once(": ").expect("names and a reason");
        assert!(!reason.is_empty(), "{line}");
        names.split(", ").map(|name| name.trim_matches('`').to_owned()).collect::<Vec<_>>()
    });
    names.collect()
}

/// Every chain that we accept python-tuf accepts, every one that we refuse it refuses, or `decisions.md` says why not.
#[test]
fn root_chains_are_judged_as_by_python_tuf() {
    let index = vector::index(&vectors()).expect("an index");
    let (mut stricter, mut accepted, mut refused) = (BTreeSet::new(), 0, 0);
    for entry in index.vectors.iter().filter(|entry| entry.kind == "root") {
        let (_, material) = index.material(&vectors(), entry).expect("files");
        let Material::Forged(forged) = material else { panic!("{} is no chain", entry.name) };
        let folder = vectors().join(entry.trust.as_ref().expect("a trust directory"));
        match (entry.expect.as_str(), verified_by_tuf(&folder, &forged.host)) {
            ("accepted", verdict) => {
                assert_eq!(verdict, Ok(described(&folder)), "{}", entry.name);
                accepted += 1;
            }
            (_, Err(_)) => refused += 1,
            (_, Ok(_)) => {
                stricter.insert(entry.name.clone());
            }
        }
    }
    assert_eq!(stricter, stricter_than_tuf(), "what python-tuf accepts and we refuse; `spec/decisions.md` lists it");
    assert!(accepted >= 3 && refused >= 20, "{accepted} accepted, {refused} refused");
}

#[test]
fn roots_that_the_programs_make_verify_with_python_tuf() {
    let story = Story::new(sqlite());
    let host = Host {
        project: "orders".parse().expect("a name"),
        environment: "trial".parse().expect("a name"),
        now: "2026-01-01T00:00:00Z".parse().expect("a time"),
        pinned: Some(story.root.parse().expect("a digest")),
        floor: 0,
    };
    assert_eq!(verified_by_tuf(&story.path("trust"), &host), Ok(described(&story.path("trust"))));
    story.write("next.toml", &story.trust_toml(&RULES.replace("\"dave@example.com\"]", "\"erin@example.com\"]")));
    let root = &story.root;
    let _ = story.keys(&format!("trust draft next.toml --previous trust --root-sha256 {root} --out next")).expect(0);
    assert!(verified_by_tuf(&story.path("next"), &host).is_err());
    for who in ["alice", "bob"] {
        let _ = story.keys(&format!("trust sign next/2.root.json --key keys/{who}")).expect(0);
    }
    assert_eq!(verified_by_tuf(&story.path("next"), &host), Ok(described(&story.path("next"))));
}

#[test]
fn key_ids_are_the_fingerprints_of_ssh_keygen() {
    let folder = vectors().join("key");
    let printed = tool(&folder, &["ssh-keygen", "-l", "-f", "accepted-key.pub"], b"");
    assert_eq!(printed.split(' ').nth(1), Some(&*key_id("alice").to_string()), "{printed}");
}
