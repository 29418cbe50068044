//! `sealift-keys credentials`.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use sealift_spec::credentials::Database;
use sealift_spec::key::KeyId;
use sealift_spec::statement;
use sealift_verifier::file as files;
use sealift_verifier::report::{Exit, Failure, Process};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::{credentials, file};

mod sealed;

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
    ///   id = "5c0f.."                         # optional: the database's id, as `sealift-runner history` shows it
    #[command(verbatim_doc_comment)]
    Seal(Seal),
    /// Show to whom a file is sealed, and whether these are the hosts that ought to have it
    ///
    /// With --expect, the exit status is 1 when a host has it that should not, or the other way round.
    Recipients(sealed::Recipients),
    /// Open sealed credentials in memory and seal them to other hosts, with a higher serial and a new signature
    Reseal(sealed::Reseal),
    /// Judge sealed credentials as a host would, and show what they say in the open: never a secret
    Check(sealed::Check),
}

#[derive(Args)]
pub(super) struct Seal {
    /// The file with the connection URLs, or - for standard input
    #[arg(long = "in", value_name = "FILE")]
    input: PathBuf,
    /// The hosts' recipients, as `sealift-keys identity` printed them: age1..
    #[arg(long = "recipient", value_name = "R", required = true, num_args = 1..)]
    recipients: Vec<String>,
    /// The key of somebody who holds the role `credentials`: a private key file, or a NAME.pub that the ssh-agent knows
    #[arg(long, value_name = "KEY")]
    key: PathBuf,
    /// The file to write; a new serial deserves a new name, so an existing one is refused
    #[arg(long, value_name = "FILE.sealed")]
    out: PathBuf,
}

pub(super) fn run(command: &Credentials, process: &mut Process<'_>) -> Result<Exit, Failure> {
    match command {
        Credentials::Seal(arguments) => seal(arguments, process),
        Credentials::Recipients(arguments) => sealed::recipients(arguments, process),
        Credentials::Reseal(arguments) => sealed::reseal(arguments, process),
        Credentials::Check(arguments) => sealed::check(arguments, process),
    }
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
    tell(out, &sealed.statement, signer.public_key().id(), process);
    Ok(Exit::Done)
}

/// Says what was sealed.
fn tell(out: &Path, statement: &statement::Credentials, signed_by: KeyId, process: &mut Process<'_>) {
    process.say(format_args!(
        "{}: credentials {} of project `{}` for environment `{}`, until {}",
        out.display(),
        statement.serial,
        statement.project,
        statement.environment,
        statement.not_after
    ));
    describe(statement, process);
    process.say(format_args!("  signed by  {signed_by}"));
    let data = json!({ "file": out, "signedBy": signed_by, "payload": statement.payload });
    process.data("credentials", &described(statement, data));
}

/// Says what stands in the open: databases with their endpoints, and recipients.
fn describe(statement: &statement::Credentials, process: &mut Process<'_>) {
    for Database { name, endpoint, id, .. } in &statement.databases {
        match id {
            Some(id) => process.say(format_args!("  database   {name}: {endpoint} (id {id})")),
            None => process.say(format_args!("  database   {name}: {endpoint}")),
        }
    }
    for recipient in &statement.recipients {
        process.say(format_args!("  recipient  {recipient}"));
    }
}

/// The same as data, with more fields.
fn described(statement: &statement::Credentials, mut data: Value) -> Value {
    for (key, value) in [
        ("project", json!(statement.project)),
        ("environment", json!(statement.environment)),
        ("serial", json!(statement.serial)),
        ("notAfter", json!(statement.not_after)),
        ("databases", json!(statement.databases)),
        ("recipients", json!(statement.recipients)),
    ] {
        data[key] = value;
    }
    data
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
