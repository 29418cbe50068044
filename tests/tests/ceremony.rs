//! `spec/ceremony.md`: the commands are executed as they stand there, and lead where the words say.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use sealift_tests::command::program;
use sealift_verifier::trust::{Trust, TrustFiles};
use tempfile::TempDir;

fn chapter() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/ceremony.md");
    fs::read_to_string(path).expect("the chapter")
}

/// The blocks of shell commands, each with the number of the section it stands in.
fn blocks(text: &str) -> Vec<(usize, String)> {
    let (mut found, mut section, mut open): (Vec<(usize, String)>, usize, bool) = (Vec::new(), 0, false);
    for line in text.lines() {
        match line {
            "```sh" => {
                found.push((section, String::new()));
                open = true;
            }
            "```" => open = false,
            _ if open => *found.last_mut().map(|(_, block)| block).expect("a block") += &format!("{line}\n"),
            _ if line.starts_with("## ") => section += 1,
            _ => assert!(!line.starts_with("```"), "a block of another kind is not executed: {line}"),
        }
    }
    assert!(!open, "the last block is not closed");
    found
}

/// Runs the blocks up to a section in a folder, as one shell would, stopping at the first command that fails.
fn run(folder: &Path, until: usize) -> Output {
    let script: String =
        blocks(&chapter()).into_iter().filter(|(section, _)| *section <= until).map(|(_, block)| block).collect();
    let programs = program("sealift-keys");
    let path = format!("{}:/usr/bin:/bin", programs.parent().expect("a folder").display());
    let mut command = Command::new("bash");
    command.args(["-eu", "-o", "pipefail", "-c", &script]).current_dir(folder).env_clear();
    command.env("PATH", path).env("HOME", folder).env("LC_ALL", "C.UTF-8").output().expect("bash")
}

#[track_caller]
fn performed(until: usize) -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = run(folder.path(), until);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{}\n{said}", output.status);
    (folder, said)
}

/// The trust of a host of the ceremony.
#[track_caller]
fn trust(folder: &Path, host: &str) -> Trust {
    let pinned = fs::read_to_string(folder.join("digest")).expect("a digest").trim().parse().expect("a digest");
    let files = TrustFiles::read(&folder.join(host)).expect("a trust directory");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_secs();
    let now = sealift_spec::Timestamp::from_seconds(now).expect("a time");
    Trust::verify(&files, pinned, 1, now).expect("trust")
}

#[test]
fn the_ceremonies_lead_where_the_chapter_says() {
    let (folder, said) = performed(7);
    let folder = folder.path();
    for host in ["host", "host-that-is-away"] {
        let trust = trust(folder, host);
        assert_eq!(trust.root_version(), 6);
        let people: Vec<_> = trust.policy().people.keys().map(|person| person.as_str()).collect();
        assert_eq!(people, ["ada@example.com", "ci@example.com", "cleo@example.com", "dora@example.com"]);
        let key = |name: &str| {
            let text = fs::read_to_string(folder.join("keys").join(name)).expect("a key");
            text.parse::<sealift_spec::key::PublicKey>().expect("a key")
        };
        assert!(trust.policy().revoked.keys.contains(&key("dora-stolen.pub").id()));
        assert!(trust.root().keys.contains(&key("cleo-root.pub")));
        assert!(!trust.root().keys.contains(&key("cleo-root-lost.pub")));
        assert!(!trust.root().keys.contains(&key("ben-root.pub")));
    }
    for words in [
        "person dora@example.com: added (human)",
        "person ben@example.com: removed (human)",
        "revocation of key SHA256:",
        "nothing changes but the time it expires",
        "host-that-is-away: root 6 is in force, before it was root 1",
    ] {
        assert!(said.contains(words), "{words}\n{said}");
    }
}

/// Each section stands on the ones before it only.
#[test]
fn the_first_ceremony_stands_alone() {
    let (folder, _) = performed(1);
    assert_eq!(trust(folder.path(), "host").root_version(), 1);
}

/// A section without commands would be one that nobody executes.
#[test]
fn every_section_has_commands() {
    let text = chapter();
    let sections = text.lines().filter(|line| line.starts_with("## ")).count();
    let blocks = blocks(&text);
    for section in 1..=sections {
        assert!(blocks.iter().any(|(found, _)| *found == section), "section {section} has no commands");
    }
    assert_eq!(sections, 7);
}
