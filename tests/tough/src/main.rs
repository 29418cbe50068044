//! Walks every root chain of the vectors with the `tough` crate, as a TUF client that was shipped with the first root would.
//!
//! What the index accepts must be accepted. What it refuses must be refused too, or stand in `spec/decisions.md` among the
//! chains that a TUF client accepts and we refuse. Usage: `sealift-tough SPEC`, the folder `spec` of the repository.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;
use tough::schema::{Root, Signed};

/// Walks the chain of a folder; says why it stops.
fn walk(folder: &Path, now: &str, floor: u64) -> Result<u64, String> {
    let mut trusted: Option<Signed<Root>> = None;
    for version in 1.. {
        let Ok(bytes) = fs::read(folder.join(format!("{version}.root.json"))) else { break };
        let root: Signed<Root> = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
        if let Some(trusted) = &trusted {
            trusted.signed.verify_role(&root).map_err(|error| error.to_string())?;
        }
        root.signed.verify_role(&root).map_err(|error| error.to_string())?;
        if root.signed.version.get() != version {
            return Err(format!("version {} in place of {version}", root.signed.version));
        }
        trusted = Some(root);
    }
    let newest = trusted.ok_or("no root")?.signed;
    if newest.version.get() < floor {
        return Err(format!("version {}, {floor} was seen", newest.version));
    }
    // Both are written alike, so they compare as text.
    if newest.expires.to_string().as_str() <= now {
        return Err("expired".to_owned());
    }
    Ok(newest.version.get())
}

fn main() -> ExitCode {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "spec".to_owned());
    let folder = Path::new(&folder);
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let index: Value = serde_json::from_str(&read("vectors/vectors.json")).expect("an index");
    let decisions = read("decisions.md");
    let (mut accepted, mut refused, mut stricter, mut wrong) = (0, 0, 0, 0);
    for entry in index["vectors"].as_array().expect("vectors").iter().filter(|entry| entry["kind"] == "root") {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (name, expect) = (text(&entry["name"]), text(&entry["expect"]));
        let host = |key: &str| if entry["host"][key].is_null() { &index["host"][key] } else { &entry["host"][key] };
        let floor = host("rootFloor").as_u64().unwrap_or(0);
        let verdict = walk(&folder.join("vectors").join(text(&entry["trust"])), &text(host("now")), floor);
        // Which first root a client is shipped with is not for the client to judge.
        let shipped = expect != "TrustError::Pinned";
        match (expect == "accepted", verdict) {
            (true, Ok(_)) => accepted += 1,
            (false, Err(_)) => refused += 1,
            (false, Ok(_)) if !shipped || decisions.contains(&format!("`{name}`")) => stricter += 1,
            (_, verdict) => {
                println!("{name}: the index says {expect}, tough says {verdict:?}");
                wrong += 1;
            }
        }
    }
    println!("{accepted} accepted by both, {refused} refused by both, {stricter} refused by us alone and explained");
    println!("{} passed, {wrong} failed", accepted + refused + stricter);
    if wrong == 0 && accepted > 0 && refused > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
