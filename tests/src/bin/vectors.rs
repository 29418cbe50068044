//! Writes the vectors anew: `cargo run -p sealift-tests --bin vectors -- spec/vectors`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let refuse = |text: &str| {
        let _ = writeln!(std::io::stderr(), "vectors: error: {text}");
        ExitCode::from(2)
    };
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(folder), None) = (arguments.next(), arguments.next()) else {
        return refuse("the folder of the vectors is wanted, and nothing else");
    };
    match sealift_tests::vector::replace(&folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&format!("`{}` cannot be written: {error}", folder.display())),
    }
}
