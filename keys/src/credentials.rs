//! Sealing credentials: from a file with passwords to a signed container that only named hosts can open
//! (`credentials.md` sections 2 and 6).
//!
//! Attack -> defence. Old credentials that aim a host at another database: endpoints and a serial stand in the signed part.
//! A password in an error: errors name a database, a line and a rule, never a value. A private key taken for a CA, an
//! identity for a recipient: refused, and not repeated in words. Post-quantum, passphrase and plugin recipients: hosts
//! refuse to open them, so nothing is sealed to them.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use age::x25519::Recipient;
use sealift_spec::container::{self, ContainerKind};
use sealift_spec::credentials::{Database, SecretDatabase, Secrets};
use sealift_spec::endpoint::{ConnectionUrl, Endpoint, UrlError};
use sealift_spec::envelope::{Envelope, EnvelopeError};
use sealift_spec::manifest::Engine;
use sealift_spec::name::{Label, Name};
use sealift_spec::secret::Secret;
use sealift_spec::statement::{self, Content, SEALED_MEMBER, Statement, Subject};
use sealift_spec::text::Plain;
use sealift_spec::{Digest, Timestamp, limit};
use sealift_verifier::credentials::VerifiedCredentials;
use sealift_verifier::file::{self, FileError};
use sealift_verifier::report::{Exit, Failure};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use crate::credentials::open::{Identity, OpenError};
use crate::place;
use crate::signer::{SignError, Signer};

pub mod open;

/// The largest input file, in bytes.
pub const LIMIT: u64 = 1024 * 1024;
/// The largest CA file, in bytes.
const CA_LIMIT: u64 = 256 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Wire {
    project: Name,
    environment: Name,
    serial: u64,
    #[serde(deserialize_with = "time")]
    not_after: Timestamp,
    databases: BTreeMap<Name, WireDatabase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireDatabase {
    #[serde(deserialize_with = "secret")]
    url: Secret,
    ca: Option<PathBuf>,
    id: Option<Label>,
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

/// A time, with or without quotation marks.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = match toml::Value::deserialize(deserializer)? {
        toml::Value::String(text) => text,
        toml::Value::Datetime(time) => time.to_string(),
        _ => String::new(),
    };
    text.parse().map_err(|_| serde::de::Error::custom(NOT_AFTER))
}

const NOT_AFTER: &str = "`not-after` is written YYYY-MM-DDTHH:MM:SSZ, in UTC";

/// What is to be sealed.
pub struct Input {
    project: Name,
    environment: Name,
    serial: u64,
    not_after: Timestamp,
    databases: BTreeMap<Name, InputDatabase>,
}

struct InputDatabase {
    endpoint: Endpoint,
    id: Option<Label>,
    secret: SecretDatabase,
}

/// The age keys of the hosts that may open what is sealed: at least one, each once.
pub struct Recipients(BTreeMap<Label, Recipient>);

impl Recipients {
    /// The recipients as text.
    pub fn names(&self) -> impl Iterator<Item = &Label> {
        self.0.keys()
    }
}

/// Sealed credentials.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// The file.
    pub file: Vec<u8>,
    /// What was signed.
    pub statement: statement::Credentials,
}

/// Why credentials were not sealed. Never holds a value of the input but names.
#[derive(Debug)]
#[non_exhaustive]
pub enum SealError {
    /// The input is not TOML of the shape.
    Shape {
        /// The line.
        line: Option<usize>,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// A CA file cannot be read.
    File(FileError),
    /// A CA file holds no certificate, or more than certificates.
    Ca {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A connection URL is refused.
    Url {
        /// The database.
        database: Name,
        /// Why.
        source: UrlError,
    },
    /// A connection URL has a second `@`: an unescaped password could end up in the signed, readable part.
    Ambiguous {
        /// The database.
        database: Name,
    },
    /// The endpoint is too long to be signed.
    Endpoint {
        /// The database.
        database: Name,
    },
    /// The environment's name is reserved.
    Reserved {
        /// The environment.
        environment: Name,
    },
    /// The credentials would be useless at once.
    Expired {
        /// When they end.
        not_after: Timestamp,
    },
    /// A recipient is not one that hosts can use.
    Recipient {
        /// Which of those given, from 1.
        number: usize,
        /// Why.
        reason: &'static str,
    },
    /// The secrets are larger than [`limit::CREDENTIALS`].
    TooLarge,
    /// Encrypting failed.
    Encrypt(Box<dyn Error + Send + Sync>),
    /// The description does not fit into one statement.
    Envelope(EnvelopeError),
    /// Signing failed.
    Sign(SignError),
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape { line: Some(line), rule } => write!(f, "line {line}: {rule}"),
            Self::Shape { line: None, rule } => f.write_str(rule),
            Self::File(_) => f.write_str("the certificate authority cannot be read"),
            Self::Ca { path, reason } => write!(f, "`{}` {reason}", Plain(&path.to_string_lossy())),
            Self::Url { database, .. } => write!(f, "the `url` of database `{database}` is refused"),
            Self::Ambiguous { database } => {
                write!(f, "the `url` of database `{database}` has more than one `@`, and could be read in two ways")
            }
            Self::Endpoint { database } => {
                write!(f, "the endpoint of database `{database}` is longer than 200 characters")
            }
            Self::Reserved { environment } => write!(f, "environment `{environment}` is reserved for local databases"),
            Self::Expired { not_after } => write!(f, "`not-after` lies in the past: {not_after}"),
            Self::Recipient { number, reason } => write!(f, "recipient {number} {reason}"),
            Self::TooLarge => write!(f, "the secrets have more than {} bytes", limit::CREDENTIALS),
            Self::Encrypt(_) => f.write_str("the secrets cannot be encrypted"),
            Self::Envelope(_) => f.write_str("the description of the credentials cannot be signed"),
            Self::Sign(_) => f.write_str("the credentials were not signed"),
        }
    }
}

impl Error for SealError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::File(error) => Some(error),
            Self::Url { source, .. } => Some(source),
            Self::Encrypt(error) => Some(&**error),
            Self::Envelope(error) => Some(error),
            Self::Sign(error) => Some(error),
            _ => None,
        }
    }
}

impl From<SealError> for Failure {
    fn from(error: SealError) -> Self {
        let unknown = match &error {
            SealError::File(FileError::Io { .. }) | SealError::Encrypt(_) => true,
            SealError::Sign(SignError::Agent { source, .. }) => source.exit() == Exit::Unknown,
            _ => false,
        };
        let hint = match &error {
            SealError::Sign(SignError::Agent { source, .. }) => source.hint(),
            SealError::File(error) => error.hint(),
            SealError::Url { .. } | SealError::Ambiguous { .. } => {
                Some("postgresql://USER:PASSWORD@HOST:PORT/DATABASE, special characters written as %XX".to_owned())
            }
            SealError::Recipient { .. } => {
                Some("a recipient is what `sealift-keys identity` or `age-keygen` printed: age1..".to_owned())
            }
            SealError::Envelope(_) => Some("seal fewer databases, or to fewer recipients, into one file".to_owned()),
            _ => None,
        };
        Self { hint, ..Self::new(if unknown { Exit::Unknown } else { Exit::No }, error) }
    }
}

/// Why credentials were not sealed anew.
#[derive(Debug)]
#[non_exhaustive]
pub enum ResealError {
    /// The serial does not grow: hosts would refuse what is sealed.
    Serial {
        /// The serial of the credentials at hand.
        before: u64,
        /// The one asked for.
        serial: u64,
    },
    /// They are not opened.
    Open(OpenError),
    /// They were opened and not sealed.
    Seal(SealError),
}

impl fmt::Display for ResealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serial { before, serial } => write!(f, "serial {serial} does not follow serial {before}"),
            Self::Open(source) => write!(f, "{source}"),
            Self::Seal(source) => write!(f, "{source}"),
        }
    }
}

impl Error for ResealError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Serial { .. } => None,
            Self::Open(source) => source.source(),
            Self::Seal(source) => source.source(),
        }
    }
}

impl From<ResealError> for Failure {
    fn from(error: ResealError) -> Self {
        match error {
            ResealError::Serial { .. } => Self::new(Exit::No, error),
            ResealError::Open(source) => source.into(),
            ResealError::Seal(source) => source.into(),
        }
    }
}

/// Reads what is to be sealed; paths of CA files are relative to `folder`.
///
/// # Errors
/// [`SealError`].
pub fn parse(text: &str, folder: &Path, now: Timestamp) -> Result<Input, SealError> {
    let wire: Wire = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| place::line(text, &span));
        SealError::Shape { line, rule: rule(error.message()) }
    })?;
    if wire.databases.is_empty() {
        return Err(SealError::Shape { line: None, rule: "there is no database: [databases.NAME] is missing" });
    }
    if wire.serial == 0 {
        return Err(SealError::Shape { line: None, rule: "`serial` starts at 1 and grows with every sealing" });
    }
    if wire.environment.is_reserved_environment() {
        return Err(SealError::Reserved { environment: wire.environment });
    }
    if wire.not_after <= now {
        return Err(SealError::Expired { not_after: wire.not_after });
    }
    let mut databases = BTreeMap::new();
    for (name, WireDatabase { url, ca, id }) in wire.databases {
        let parsed = ConnectionUrl::parse(url.expose());
        let endpoint = parsed.map_err(|source| SealError::Url { database: name.clone(), source })?.endpoint;
        if endpoint.engine() != Engine::Sqlite && url.expose().matches('@').count() > 1 {
            return Err(SealError::Ambiguous { database: name });
        }
        let ca = ca.map(|path| read_ca(&folder.join(path))).transpose()?;
        databases.insert(name, InputDatabase { endpoint, id, secret: SecretDatabase { ca, url } });
    }
    let Wire { project, environment, serial, not_after, .. } = wire;
    Ok(Input { project, environment, serial, not_after, databases })
}

/// The rule behind the TOML reader's words, which may repeat a value of the input and are therefore not shown.
fn rule(message: &str) -> &'static str {
    let fields = ["project", "environment", "serial", "not-after", "databases", "url"];
    let missing = [
        "`project` is missing",
        "`environment` is missing",
        "`serial` is missing",
        "`not-after` is missing",
        "[databases.NAME] is missing",
        "`url` is missing",
    ];
    if let Some(field) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'))
        && let Some(at) = fields.iter().position(|known| *known == field)
    {
        return missing[at];
    }
    match message {
        NOT_AFTER => NOT_AFTER,
        message if message.starts_with("a name is ") => {
            "a name is 1 to 64 of a-z, 0-9, `.`, `_` and `-`, and starts with a letter or a digit"
        }
        message if message.starts_with("unknown field") => {
            "there is no such field: `project`, `environment`, `serial`, `not-after`, and in [databases.NAME] `url`, `ca` and `id`"
        }
        message if message.starts_with("duplicate key") => "the field stands twice",
        _ => "this is not TOML, or not a value for this field",
    }
}

fn read_ca(path: &Path) -> Result<String, SealError> {
    let bytes = file::open(path)
        .and_then(|(file, metadata)| file::read_all(file, metadata.len(), path, CA_LIMIT))
        .map(Zeroizing::new)
        .map_err(SealError::File)?;
    let refuse = |reason| Err(SealError::Ca { path: path.to_owned(), reason });
    match std::str::from_utf8(&bytes) {
        Ok(text) if text.contains("PRIVATE KEY-----") => refuse("holds a private key; only certificates are wanted"),
        Ok(text) if text.contains("-----BEGIN CERTIFICATE-----") => Ok(text.to_owned()),
        _ => refuse("holds no certificate in PEM format"),
    }
}

impl Input {
    /// Databases that a host will not connect to as things are: over the network without a CA to verify the server.
    pub fn unverifiable(&self) -> Vec<&Name> {
        let remote = |database: &InputDatabase| !database.endpoint.is_local() && database.secret.ca.is_none();
        self.databases.iter().filter(|(_, database)| remote(database)).map(|(name, _)| name).collect()
    }
}

/// Encrypts to the recipients and signs.
///
/// # Errors
/// [`SealError`].
pub fn seal(input: Input, recipients: Recipients, signer: &Signer) -> Result<Sealed, SealError> {
    let Input { project, environment, serial, not_after, databases } = input;
    let mut described = Vec::new();
    let mut secrets = Secrets { databases: BTreeMap::new() };
    for (name, InputDatabase { endpoint, id, secret }) in databases {
        let endpoint: Label =
            endpoint.to_string().parse().map_err(|_| SealError::Endpoint { database: name.clone() })?;
        let ca = secret.ca.as_ref().map(|ca| Digest::of(ca.as_bytes()));
        described.push(Database { ca, endpoint, id, name: name.clone() });
        secrets.databases.insert(name, secret);
    }
    wrap(Terms { project, environment, serial, not_after, databases: described }, &secrets, recipients, signer)
}

/// What changes when credentials are sealed anew.
#[derive(Debug, Clone, Copy, Default)]
pub struct Renewal {
    /// The serial; one more than before where none is given.
    pub serial: Option<u64>,
    /// Until when they are valid; as before where nothing is given.
    pub not_after: Option<Timestamp>,
}

/// Opens verified credentials in memory, encrypts them to other recipients and signs them.
///
/// # Errors
/// [`ResealError`].
pub fn reseal(
    credentials: &VerifiedCredentials,
    identity: &Identity,
    renewal: Renewal,
    recipients: Recipients,
    signer: &Signer,
) -> Result<Sealed, ResealError> {
    let signed = credentials.statement();
    let serial = renewal.serial.unwrap_or(signed.serial + 1);
    if serial <= signed.serial {
        return Err(ResealError::Serial { before: signed.serial, serial });
    }
    let secrets = open::open(credentials, identity).map_err(ResealError::Open)?;
    let terms = Terms {
        project: signed.project.clone(),
        environment: signed.environment.clone(),
        serial,
        not_after: renewal.not_after.unwrap_or(signed.not_after),
        databases: signed.databases.clone(),
    };
    wrap(terms, &secrets, recipients, signer).map_err(ResealError::Seal)
}

/// The readable part, but for what encryption adds.
struct Terms {
    project: Name,
    environment: Name,
    serial: u64,
    not_after: Timestamp,
    databases: Vec<Database>,
}

fn wrap(terms: Terms, secrets: &Secrets, recipients: Recipients, signer: &Signer) -> Result<Sealed, SealError> {
    let Terms { project, environment, serial, not_after, databases } = terms;
    let ciphertext = encrypt(secrets, recipients.0.values())?;
    let payload = Content { sha256: Digest::of(&ciphertext), size: ciphertext.len() as u64 };
    let predicate = statement::Credentials {
        databases,
        environment,
        not_after,
        payload,
        project,
        recipients: recipients.0.into_keys().collect(),
        serial,
    };
    let subject = Subject { name: label(SEALED_MEMBER), sha256: payload.sha256 };
    let statement = Statement { subjects: vec![subject], predicate };
    let mut envelope = Envelope::new(statement.write()).map_err(SealError::Envelope)?;
    signer.sign_envelope(&mut envelope).map_err(SealError::Sign)?;
    let file = container::write(ContainerKind::Credentials, &envelope, &[], &ciphertext);
    Ok(Sealed { file, statement: statement.predicate })
}

fn label(text: &str) -> Label {
    match text.parse() {
        Ok(label) => label,
        Err(error) => panic!("a constant is no label: {error}"),
    }
}

fn encrypt<'r>(secrets: &Secrets, keys: impl Iterator<Item = &'r Recipient>) -> Result<Vec<u8>, SealError> {
    let text = secrets.write();
    if text.len() > limit::CREDENTIALS {
        return Err(SealError::TooLarge);
    }
    let encryptor = age::Encryptor::with_recipients(keys.map(|key| key as &dyn age::Recipient))
        .map_err(|error| SealError::Encrypt(error.into()))?;
    let mut ciphertext = Vec::new();
    let written = encryptor.wrap_output(&mut ciphertext).and_then(|mut writer| {
        writer.write_all(&text)?;
        writer.finish()
    });
    written.map_err(|error| SealError::Encrypt(error.into()))?;
    if ciphertext.len() > limit::CREDENTIALS { Err(SealError::TooLarge) } else { Ok(ciphertext) }
}

/// Reads recipients, `age1..` each.
///
/// # Errors
/// [`SealError::Recipient`], also when there is none.
pub fn recipients(texts: &[String]) -> Result<Recipients, SealError> {
    let refuse = |index: usize, reason| SealError::Recipient { number: index + 1, reason };
    let mut keys = BTreeMap::new();
    for (index, text) in texts.iter().enumerate() {
        let text = text.trim();
        let key: Recipient = text.parse().map_err(|_| refuse(index, reason(text)))?;
        let label: Label = key.to_string().parse().map_err(|_| refuse(index, "is not an age recipient"))?;
        if keys.insert(label, key).is_some() {
            return Err(refuse(index, "is given twice"));
        }
    }
    if keys.is_empty() { Err(refuse(0, "is missing")) } else { Ok(Recipients(keys)) }
}

fn reason(text: &str) -> &'static str {
    let lower = text.to_ascii_lowercase();
    match lower.as_str() {
        text if text.starts_with("age-secret-key") || text.starts_with("age-plugin") => {
            "is an identity, the secret half; now that it stood on a command line, make a new one"
        }
        text if text.starts_with("age1pq1") || text.starts_with("age1tagpq1") => {
            "is post-quantum; hosts open X25519 only"
        }
        text if text.starts_with("ssh-") => "is an SSH key; hosts open X25519 only",
        // A plain recipient has no second `1` after `age1`: that character separates a plugin's name.
        text if text.strip_prefix("age1").is_some_and(|rest| rest.contains('1')) => {
            "needs a plugin; hosts open X25519 only"
        }
        _ => "is not an age recipient",
    }
}
