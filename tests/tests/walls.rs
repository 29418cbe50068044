//! The walls of the house: which crate may link which. What cargo resolves is what is judged, not what manifests intend.

use std::collections::BTreeSet;
use std::env;
use std::process::Command;

/// Who may use whom, within the workspace. `sealift-tests` may use everybody.
const ARROWS: [(&str, &[&str]); 5] = [
    ("sealift-spec", &[]),
    ("sealift-verifier", &["sealift-spec"]),
    ("sealift-keys", &["sealift-spec", "sealift-verifier"]),
    ("sealift-runner", &["sealift-spec", "sealift-verifier"]),
    ("sealift-bundler", &["sealift-spec", "sealift-verifier", "sealift-keys", "sealift-runner"]),
];

const SQL_PARSERS: [&str; 7] =
    ["squawk-syntax", "squawk-parser", "squawk-lexer", "sqlite3-parser", "sqlparser", "pg_query", "libpg_query"];

fn cargo(arguments: &[&str]) -> String {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).arg("--locked").current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let output = command.output().expect("cargo can be run");
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo prints UTF-8")
}

/// Everything that is linked into a package, by name, the package itself left out.
fn linked(package: &str) -> BTreeSet<String> {
    // Build dependencies run on the builder's machine and are no part of the program.
    let tree = cargo(&["tree", "--package", package, "--edges", "normal", "--prefix", "none", "--format", "{p}"]);
    let names = tree.lines().filter_map(|line| line.split(' ').next()).filter(|name| !name.is_empty());
    let mut names: BTreeSet<String> = names.map(str::to_owned).collect();
    assert!(names.remove(package), "`cargo tree` does not name {package} itself:\n{tree}");
    names
}

#[track_caller]
fn keeps_out(package: &str, unwanted: impl Fn(&str) -> bool) {
    let links = linked(package);
    let found: Vec<_> = links.iter().filter(|name| unwanted(name)).collect();
    assert!(
        found.is_empty(),
        "{package} links {found:?}: `cargo tree -p {package} -e normal -i NAME` shows by which way"
    );
}

#[test]
fn arrows_between_our_crates() {
    let metadata: serde_json::Value =
        serde_json::from_str(&cargo(&["metadata", "--format-version", "1", "--no-deps"])).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let name = |value: &serde_json::Value| value["name"].as_str().expect("a name").to_owned();
    let members: BTreeSet<String> = packages.iter().map(&name).collect();
    let known = ARROWS.iter().map(|(from, _)| (*from).to_owned()).chain(["sealift-tests".to_owned()]).collect();
    assert_eq!(members, known, "a new crate needs its arrows written down here and in the README");

    for package in packages {
        let from = name(package);
        let Some((_, allowed)) = ARROWS.iter().find(|(crate_name, _)| *crate_name == from) else { continue };
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let to = name(dependency);
            // Tests inside a crate may look over the wall; what is shipped may not.
            if dependency["kind"] == "dev" || !members.contains(&to) {
                continue;
            }
            assert!(allowed.contains(&to.as_str()), "{from} uses {to}; it may use {allowed:?}");
        }
    }
}

#[test]
fn the_runner_holds_no_signing_and_no_bundling() {
    keeps_out("sealift-runner", |name| ["sealift-keys", "sealift-bundler", "ssh-key"].contains(&name));
}

#[test]
fn the_runner_has_no_sql_parser() {
    keeps_out("sealift-runner", |name| SQL_PARSERS.contains(&name) || name.starts_with("squawk"));
}

#[test]
fn the_verifier_has_no_secrets_no_database_no_network() {
    let unwanted =
        ["sealift-keys", "sealift-bundler", "sealift-runner", "age", "age-core", "ssh-key", "tokio", "rustls", "ring"];
    keeps_out("sealift-verifier", |name| {
        unwanted.contains(&name) || name.starts_with("sqlx") || name == "libsqlite3-sys"
    });
}

#[test]
fn the_formats_are_bytes_and_values_only() {
    let unwanted = ["tokio", "rustls", "rustix", "age", "ssh-key", "clap", "getrandom"];
    keeps_out("sealift-spec", |name| unwanted.contains(&name) || name.starts_with("sqlx"));
}

#[test]
fn nothing_links_the_tests() {
    for (package, _) in ARROWS {
        keeps_out(package, |name| name == "sealift-tests");
    }
}
