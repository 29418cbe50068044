//! `sealift-bundler new`.

use std::path::Path;

use clap::Args;
use sealift_spec::Timestamp;
use sealift_verifier::file;
use sealift_verifier::report::{Exit, Failure, Process};
use serde_json::json;

use crate::project::Project;
use crate::source::{self, MigrationSet};

#[derive(Args)]
pub(super) struct New {
    /// What it does, in a few words: `add orders index`
    name: String,
}

pub(super) fn run(arguments: &New, folder: &Path, process: &mut Process<'_>) -> Result<Exit, Failure> {
    let project = Project::find(folder)?;
    let set = source::read(&project.migrations)?;
    let slug: String = arguments
        .name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect::<Vec<_>>()
        .join("_");
    if slug.is_empty() || slug.len() > 100 {
        let text = "the name has no letters or digits, or too many";
        return Err(Failure::new(Exit::Unknown, text).hint("say in a few words what it does: `add orders index`"));
    }
    let version = next_version(&set, (process.clock)());
    for (direction, text) in [
        ("up", format!("-- {}\n\n", arguments.name.trim())),
        ("down", format!("-- The way back from: {}\n\n", arguments.name.trim())),
    ] {
        let path = project.migrations.join(format!("{version}_{slug}.{direction}.sql"));
        file::write(&path, text.replace(|c: char| c.is_control() && c != '\n', " ").as_bytes(), 0o644, false).map_err(
            |error| Failure::new(Exit::Unknown, error).context(format!("cannot write `{}`", path.display())),
        )?;
        process.say(format_args!("wrote {}", path.display()));
        process.data("file", &json!({ "path": path }));
    }
    Ok(Exit::Done)
}

/// The next version in the manner of the ones before: one more, as wide; a time where the last one is a time.
fn next_version(set: &MigrationSet, now: Timestamp) -> String {
    let Some(last) = set.migrations.last() else { return "0001".to_owned() };
    let last = last.id.as_str();
    if last.len() == 14 && last.starts_with("20") {
        let time: String = now.to_string().chars().filter(char::is_ascii_digit).collect();
        if time.as_str() > last {
            return time;
        }
    }
    let mut digits: Vec<u8> = last.bytes().collect();
    for digit in digits.iter_mut().rev() {
        if *digit == b'9' {
            *digit = b'0';
        } else {
            *digit += 1;
            return String::from_utf8_lossy(&digits).into_owned();
        }
    }
    format!("1{}", String::from_utf8_lossy(&digits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Migration, SourceFile};

    #[test]
    fn versions_continue_in_the_manner_of_the_directory() {
        let now = "2026-11-20T10:50:43Z".parse().unwrap();
        let set = |last: Option<&str>| MigrationSet {
            format: "native".parse().unwrap(),
            migrations: last
                .map(|id| Migration {
                    id: id.parse().unwrap(),
                    name: "x".parse().unwrap(),
                    up: SourceFile { name: "x".parse().unwrap(), sql: vec![] },
                    down: None,
                })
                .into_iter()
                .collect(),
            ignored: vec![],
        };
        for (last, next) in [
            (None, "0001"),
            (Some("0009"), "0010"),
            (Some("99"), "100"),
            (Some("20240131120000"), "20261120105043"),
            (Some("20990131120000"), "20990131120001"),
        ] {
            assert_eq!(next_version(&set(last), now), next);
        }
    }
}
