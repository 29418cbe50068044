//! `sealift-bundler`: packs, reviews and signs migrations, and runs them on local databases.

use std::io::IsTerminal;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use sealift_bundler::cli;
use sealift_runner::environment;
use sealift_spec::Timestamp;
use sealift_verifier::report::{Exit, Failure, Process};

#[expect(clippy::disallowed_methods, reason = "`main` is the one place that reads the clock and the environment")]
fn main() -> ExitCode {
    let clock = || {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        Timestamp::from_seconds(seconds).unwrap_or_default()
    };
    let mut process = Process {
        program: "sealift-bundler",
        clock: &clock,
        variable: &|name| std::env::var(name).ok(),
        input: &mut std::io::stdin().lock(),
        out: &mut std::io::stdout().lock(),
        err: &mut std::io::stderr().lock(),
        terminal: std::io::stdin().is_terminal() && std::io::stderr().is_terminal(),
        json: false,
    };
    // `dev` uses the runner's database drivers, which must not read the environment either.
    if let Some(mut command) = environment::restart(std::env::args_os(), std::env::vars_os()) {
        let failure = Failure::new(Exit::Unknown, command.exec()).context("the environment cannot be narrowed");
        return process.fail(&failure.hint("run it with `env -i`, or mount /proc")).into();
    }
    cli::run(std::env::args_os(), &mut process).into()
}
