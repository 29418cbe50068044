//! `README.md`: the story from the author to the production host is executed as it is printed, against PostgreSQL over TLS.
//!
//! Changed for the test: where databases are, and where the host's folders are; `review` is given answers, `permit` its
//! yes and `generate` no passphrase, since nobody sits at a terminal.

use std::fs;
use std::path::Path;
use std::process::Command;

use sealift_tests::command::program;
use sealift_tests::server::postgresql;
use sealift_tests::story::ANSWERS;

/// The indented blocks of the story, in their order.
fn commands() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let text = fs::read_to_string(path).expect("the README");
    let begin = text.find("## The author, at the desk").expect("the author");
    let end = text.find("## Exit statuses").expect("the end");
    let mut script = String::new();
    for line in text[begin..end].lines() {
        match line.strip_prefix("    ") {
            Some(command) => script += &format!("{command}\n"),
            None => script.push('\n'),
        }
    }
    script
}

/// Replaces something that must be there.
fn replace(script: &str, from: &str, to: &str) -> String {
    assert!(script.contains(from), "the README has no `{from}`");
    script.replace(from, to)
}

#[test]
fn the_commands_run_as_printed() {
    let (dev, production) = (postgresql().fresh_database(), postgresql().fresh_database());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let home = folder.path().display();
    fs::write(folder.path().join("answers.toml"), ANSWERS).expect("answers");
    let mut script = commands();
    let ca = production.ca.as_ref().expect("an authority").display().to_string();
    for (from, to) in [
        ("postgresql://me@/shop_dev?socket=/run/postgresql", dev.socket_url.clone().expect("a socket")),
        ("postgresql://deploy:PASSWORD@db.example.com/shop", production.url.clone()),
        ("db-ca.pem", ca),
        ("/etc/sealift", format!("{home}/etc")),
        ("/var/log/sealift", format!("{home}/log")),
        ("/var/lib/sealift", format!("{home}/lib")),
        ("2027-06-30T00:00:00Z", "2999-06-30T00:00:00Z".to_owned()),
    ] {
        script = replace(&script, from, &to);
    }
    let nobody_sits_here = format!(
        r#"
sealift-keys() {{
    case $1 in
        generate) set -- "$@" --no-passphrase ;;
        permit) set -- "$@" --yes ;;
    esac
    command sealift-keys "$@"
}}
sealift-bundler() {{
    if [ "$1" = review ]; then set -- "$@" --answers {home}/answers.toml; fi
    command sealift-bundler "$@"
}}
sealift-runner() {{ command sealift-runner "$@" --config {home}/etc/runner.toml; }}
"#
    );
    let programs = program("sealift-runner");
    let path = format!("{}:/usr/bin:/bin", programs.parent().expect("a folder").display());
    for name in ["sealift-keys", "sealift-bundler", "sealift-verifier"] {
        let _ = program(name);
    }
    let mut command = Command::new("bash");
    command.args(["-eu", "-o", "pipefail", "-c", &format!("{nobody_sits_here}{script}")]);
    command.current_dir(folder.path()).env_clear().env("PATH", path).env("HOME", folder.path());
    let output = command.env("LC_ALL", "C.UTF-8").output().expect("bash");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{said}", output.status);
    assert!(dev.schema().contains("orders") && dev.schema().contains("customer"), "{said}");
    // The last command reverted one of two.
    assert!(!production.schema().contains("orders") && production.schema().contains("customer"), "{said}");
    assert!(!said.contains("warning"), "{said}");
}
