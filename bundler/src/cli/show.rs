//! `sealift-bundler show`, and the listing that `review` shows too.

use std::path::Path;

use clap::Args;
use sealift_spec::manifest::{Direction, Kind, Script};
use sealift_spec::name::UnitId;
use sealift_spec::text::Source;
use sealift_verifier::report::{Exit, Failure, Process};
use serde_json::json;

use crate::unit::{Draft, mode_words};

#[derive(Args)]
pub(super) struct Show {
    /// The migrations, by version
    #[arg(required = true)]
    ids: Vec<UnitId>,
}

pub(super) fn run(arguments: &Show, folder: &Path, process: &mut Process<'_>) -> Result<Exit, Failure> {
    let (_, drafts) = super::load(folder, process)?;
    for draft in super::select(&drafts, &arguments.ids)? {
        for line in listing(draft) {
            process.say(line);
        }
        process.data("unit", &json!({ "digest": draft.unit.digest(), "unit": draft.unit, "warnings": draft.warnings }));
    }
    Ok(Exit::Done)
}

/// Everything that shapes how a unit runs, and its SQL with statement boundaries.
pub(super) fn listing(draft: &Draft) -> Vec<String> {
    let unit = &draft.unit;
    let parents: Vec<_> = unit.parents.iter().map(ToString::to_string).collect();
    let limit = |ms: u32| if ms == 0 { "none".to_owned() } else { format!("{ms} ms") };
    let mut lines = vec![
        format!("migration {} · {}", unit.id, unit.name),
        format!("  unit digest {}", unit.digest()),
        format!("  author      {}", unit.author),
        format!("  parents     {}", if parents.is_empty() { "none".to_owned() } else { parents.join(", ") }),
        format!("  timeouts    lock {}, statement {}", limit(unit.timeouts.lock_ms), limit(unit.timeouts.statement_ms)),
    ];
    if let Some(on) = unit.foreign_keys {
        lines.push(format!("  foreign keys are {} while it runs", if on { "enforced" } else { "not enforced" }));
    }
    for (file, line, text) in &draft.warnings {
        lines.push(format!("  warning     {file}:{line}: {text}"));
    }
    for (direction, script) in unit.scripts() {
        let sql = match direction {
            Direction::Up => Some(&draft.migration.up),
            Direction::Down => draft.migration.down.as_ref(),
        };
        lines.push(format!("  {direction}: {}, {}", script.file, mode_words(script.mode)));
        lines.extend(statements(script, sql.map_or(&[], |file| &file.sql)));
    }
    lines
}

fn statements(script: &Script, sql: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut number = 0;
    for (range, statement) in script.ranges() {
        let text = sql.get(range.start as usize..range.end as usize).unwrap_or_default();
        let text = String::from_utf8_lossy(text);
        let text = text.trim_matches(['\n', '\r', ' ']);
        if statement.kind == Kind::Skip {
            if !text.is_empty() {
                lines.push("  ┄ not sent".to_owned());
                lines.extend(Source(text).to_string().lines().map(|line| format!("  ┊ {line}")));
            }
            continue;
        }
        number += 1;
        let kind = serde_json::to_value(statement.kind).unwrap_or_default();
        let lock = statement.lock.as_ref().map_or_else(String::new, |lock| format!(", lock {}", Source(lock)));
        lines.push(format!("  ─ {number}: {}{lock}", kind.as_str().unwrap_or_default()));
        lines.extend(Source(text).to_string().lines().map(|line| format!("  │ {line}")));
    }
    if number == 0 {
        lines.push("  (nothing is sent)".to_owned());
    }
    lines
}
