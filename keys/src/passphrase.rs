//! Asks for passphrases on the terminal, without echo. The only place that does; everything else takes a function.

use std::io;
use std::path::Path;

use sealift_spec::secret::Secret;

/// Asks for the passphrase of an existing key file.
///
/// # Errors
/// When there is no terminal to ask on, or it cannot be read.
pub fn ask(path: &Path, terminal: bool) -> io::Result<Secret> {
    prompt(&format!("passphrase of {}: ", path.display()), terminal)
}

/// Asks for the passphrase of a new key file, twice.
///
/// # Errors
/// When there is no terminal to ask on, the passphrase is empty ([`io::ErrorKind::InvalidInput`]), or the two answers
/// differ ([`io::ErrorKind::InvalidData`]).
pub fn ask_new(path: &Path, terminal: bool) -> io::Result<Secret> {
    let first = prompt(&format!("new passphrase of {}: ", path.display()), terminal)?;
    if first.expose().is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the passphrase is empty"));
    }
    let second = prompt("the same passphrase again: ", terminal)?;
    if first.expose() != second.expose() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the two passphrases differ"));
    }
    Ok(first)
}

fn prompt(words: &str, terminal: bool) -> io::Result<Secret> {
    if !terminal {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "there is no terminal to ask on"));
    }
    rpassword::prompt_password(words).map(Secret::new)
}
