//! `sealift-verifier`: judges bundles and shows what they claim.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use sealift_spec::Timestamp;
use sealift_verifier::{cli, report::Process};

#[expect(clippy::disallowed_methods, reason = "`main` is the one place that reads the clock and the environment")]
fn main() -> ExitCode {
    let clock = || {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        Timestamp::from_seconds(seconds).unwrap_or_default()
    };
    let mut process = Process {
        program: "sealift-verifier",
        clock: &clock,
        variable: &|name| std::env::var(name).ok(),
        input: &mut std::io::stdin().lock(),
        out: &mut std::io::stdout().lock(),
        err: &mut std::io::stderr().lock(),
        terminal: std::io::stdin().is_terminal() && std::io::stderr().is_terminal(),
        json: false,
    };
    cli::run(std::env::args_os(), &mut process).into()
}
