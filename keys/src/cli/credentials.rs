//! `sealift-keys credentials`.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use sealift_verifier::file as files;
use sealift_verifier::report::{Exit, Failure, Process};
use serde_json::json;
use zeroize::Zeroizing;

use crate::{credentials, file};

#[derive(Subcommand)]
pub(super) enum Credentials {
    /// Encrypt connection URLs to the hosts that may use them, and sign what they are for
    ///
    /// The input is TOML:
    ///
    ///   project = "orders"
    ///   environment = "production"
    ///   serial = 1                            # grows with every sealing
    ///   not-after = 2027-06-30T00:00:00Z
    ///
    ///   [databases.main]
    ///   url = "postgresql://deploy:PASSWORD@db.example.com:5432/orders"
    ///   ca = "db-ca.pem"                      # beside the input file
    #[command(verbatim_doc_comment)]
    Seal(Seal),
}

#[derive(Args)]
pub(super) struct Seal {
    /// The file with the connection URLs, or - for standard input
    #[arg(long = "in", value_name = "FILE")]
    input: PathBuf,
    /// The hosts' recipients, as `sealift-keys identity` printed them: age1..
    #[arg(long = "recipient", value_name = "R", required = true, num_args = 1..)]
    recipients: Vec<String>,
    /// The private key to sign with, of somebody who holds the role `credentials`
    #[arg(long, value_name = "KEY")]
    key: PathBuf,
    /// The file to write; a new serial deserves a new name, so an existing one is refused
    #[arg(long, value_name = "FILE.sealed")]
    out: PathBuf,
}

pub(super) fn run(command: &Credentials, process: &mut Process<'_>) -> Result<Exit, Failure> {
    let Credentials::Seal(arguments) = command;
    seal(arguments, process)
}

fn seal(arguments: &Seal, process: &mut Process<'_>) -> Result<Exit, Failure> {
    let Seal { input, recipients, key, out } = arguments;
    file::free(out)?;
    let now = (process.clock)();
    let text = read(input, process)?;
    let refused = |failure: Failure| failure.context(format!("`{}` was not sealed", input.display()));
    let folder = if is_stdin(input) { Path::new("") } else { input.parent().unwrap_or(Path::new("")) };
    let input = credentials::parse(&text, folder, now).map_err(|error| refused(error.into()))?;
    drop(text);
    let recipients = credentials::recipients(recipients)?;
    for database in input.unverifiable() {
        process.warn(format_args!(
            "database `{database}` is reached over the network and has no `ca`: a host cannot verify its server"
        ));
    }
    let signer = super::signer(key, process)?;
    let sealed = credentials::seal(input, recipients, &signer).map_err(|error| refused(error.into()))?;
    file::create(out, &sealed.file, 0o644)?;
    let statement = &sealed.statement;
    let signed_by = signer.public_key().id();
    process.say(format_args!(
        "{}: credentials {} of project `{}` for environment `{}`, until {}",
        out.display(),
        statement.serial,
        statement.project,
        statement.environment,
        statement.not_after
    ));
    for database in &statement.databases {
        process.say(format_args!("  database   {}: {}", database.name, database.endpoint));
    }
    for recipient in &statement.recipients {
        process.say(format_args!("  recipient  {recipient}"));
    }
    process.say(format_args!("  signed by  {signed_by}"));
    process.data(
        "credentials",
        &json!({
            "file": out, "project": statement.project, "environment": statement.environment,
            "serial": statement.serial, "notAfter": statement.not_after, "databases": statement.databases,
            "recipients": statement.recipients, "signedBy": signed_by, "payload": statement.payload,
        }),
    );
    Ok(Exit::Done)
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn read(path: &Path, process: &mut Process<'_>) -> Result<Zeroizing<String>, Failure> {
    let bytes = if is_stdin(path) {
        // Room up front: a growing buffer would leave copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(credentials::LIMIT as usize + 1));
        let read = Read::take(&mut process.input, credentials::LIMIT + 1).read_to_end(&mut bytes);
        read.map_err(|error| Failure::new(Exit::Unknown, error).context("cannot read standard input"))?;
        if bytes.len() as u64 > credentials::LIMIT {
            return Err(Failure::new(Exit::No, format!("standard input is larger than {} bytes", credentials::LIMIT)));
        }
        bytes
    } else {
        let (file, metadata) = files::open(path)?;
        if metadata.mode() & 0o077 != 0 {
            let path = path.display();
            process.warn(format_args!("`{path}` holds passwords and can be read by others: chmod 600 '{path}'"));
        }
        Zeroizing::new(files::read_all(file, metadata.len(), path, credentials::LIMIT)?)
    };
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(Failure::new(Exit::No, format!("`{}` is not UTF-8 text", path.display()))),
    }
}
