//! `sealift-runner`: applies verified migration bundles and nothing else.

use std::io::IsTerminal;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use sealift_runner::cli::{self, Surroundings};
use sealift_runner::{environment, operator::Operator};
use sealift_spec::Timestamp;
use sealift_verifier::report::{Exit, Failure, Process};

#[expect(clippy::disallowed_methods, reason = "`main` is the one place that reads the clock and the environment")]
fn main() -> ExitCode {
    let clock = || {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        Timestamp::from_seconds(seconds).unwrap_or_default()
    };
    let mut process = Process {
        program: "sealift-runner",
        clock: &clock,
        variable: &|name| std::env::var(name).ok(),
        input: &mut std::io::stdin().lock(),
        out: &mut std::io::stdout().lock(),
        err: &mut std::io::stderr().lock(),
        terminal: std::io::stdin().is_terminal() && std::io::stderr().is_terminal(),
        json: false,
    };
    if let Some(mut command) = environment::restart(std::env::args_os(), std::env::vars_os()) {
        let failure = Failure::new(Exit::Unknown, command.exec()).context("the environment cannot be narrowed");
        return process.fail(&failure.hint("run it with `env -i`, or mount /proc")).into();
    }
    let around = Surroundings { operator: Operator::of_this_process() };
    cli::run(std::env::args_os(), &around, &mut process).into()
}
