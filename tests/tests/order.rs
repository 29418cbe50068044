//! The order of a run, seen from outside: a bundle that fails to verify opens no socket and reads no credentials.

use std::fs;
use std::process::Command;

use sealift_tests::server::postgresql;
use sealift_tests::story::Story;

/// The system calls of one run that open files or sockets, as strace saw them.
fn traced(story: &Story, verb: &str, bundle: &str) -> (String, Option<i32>) {
    let command = story.runner_command(verb, bundle).to_std();
    let log = story.path("strace.log");
    let status = Command::new("strace")
        .args(["-f", "-qq", "-e", "trace=open,openat,openat2,socket,connect", "-o"])
        .arg(&log)
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir(story.home())
        .status()
        .expect("strace runs (Debian package `strace`)");
    (fs::read_to_string(log).expect("a trace"), status.code())
}

#[test]
fn nothing_is_opened_for_a_bundle_that_fails_to_verify() {
    let story = Story::new(postgresql().fresh_database());
    story.three_migrations();
    let bundle = story.release(1);
    let mut bytes = fs::read(story.path(&bundle)).expect("a bundle");
    let last = bytes.len() - 1600;
    bytes[last] ^= 1;
    fs::write(story.path("changed.sealift"), bytes).expect("a file");
    for verb in ["apply", "plan", "status"] {
        let (trace, status) = traced(&story, verb, "changed.sealift");
        assert_eq!(status, Some(1), "{trace}");
        assert!(trace.contains("changed.sealift"), "{trace}");
        for secret in ["socket(", "connect(", "credentials.sealed", "keys/host"] {
            assert!(!trace.contains(secret), "{verb} reached `{secret}`:\n{trace}");
        }
    }
    // The trace would have shown them: the good bundle goes through all of it.
    let (trace, status) = traced(&story, "apply", &bundle);
    assert_eq!(status, Some(0), "{trace}");
    let at = |words: &str| trace.find(words).unwrap_or_else(|| panic!("no `{words}` in\n{trace}"));
    assert!(at(&bundle) < at("credentials.sealed") && at("credentials.sealed") < at("socket("), "{trace}");
}

#[test]
fn a_bundle_is_read_once() {
    let story = Story::new(postgresql().fresh_database());
    story.three_migrations();
    let bundle = story.release(1);
    let (trace, _) = traced(&story, "apply", &bundle);
    assert_eq!(trace.lines().filter(|line| line.contains(&bundle)).count(), 1, "{trace}");
}
