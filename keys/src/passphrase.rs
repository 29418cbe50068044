//! Asking for a passphrase, on a terminal and without echo.
//!
//! For the command lines of this crate and of the bundler; the libraries take what a callback gives them.

use std::io;
use std::path::Path;

use sealift_spec::secret::Secret;

/// Asks for the passphrase of a key file.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] when nobody sits at a terminal; otherwise what reading it fails with.
pub fn ask(path: &Path, terminal: bool) -> io::Result<Secret> {
    prompt(&format!("passphrase of {}: ", path.display()), terminal)
}

/// Asks a question whose answer is a secret.
///
/// # Errors
/// As [`ask`].
pub fn prompt(question: &str, terminal: bool) -> io::Result<Secret> {
    if !terminal {
        return Err(io::Error::new(io::ErrorKind::NotFound, "there is no terminal to ask on"));
    }
    rpassword::prompt_password(question).map(Secret::new)
}
