//! From verified credentials to a connection: decrypts in memory and compares with what was signed (`credentials.md`
//! section 5).
//!
//! Attack -> defence. A ciphertext that somebody swapped: it was signed, and is verified before a byte of it reaches age.
//! Secrets that name another server than the signed part: the endpoint and the CA digest must be equal. Credentials that
//! were valid once: the serial never goes below what this host has seen. An identity that others can read, a link, a
//! terminal: refused. Only X25519: a passphrase would have to be typed, a plugin is a program found by name.
//! Deliberately not here: who may sign credentials, which the policy says and the verifier judges.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, IsTerminal, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use age::DecryptError;
use rustix::fs::{Mode, OFlags};
use sealift_spec::credentials::{RECIPIENT_KIND, Secrets, SecretsError, foreign_identity, recipient_kinds};
use sealift_spec::endpoint::{ConnectionUrl, UrlError};
use sealift_spec::name::{Label, Name};
use sealift_spec::text::Plain;
use sealift_spec::{Digest, limit, statement};
use sealift_verifier::credentials::VerifiedCredentials;
use sealift_verifier::file::{self, FileError};
use zeroize::Zeroizing;

/// The largest identity file, in bytes.
const IDENTITY: usize = 64 * 1024;

/// Where the age identity comes from. Never an argument's value, never the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentitySource {
    /// A file that only its owner may read.
    File(PathBuf),
    /// A descriptor that was open when this program started.
    Descriptor(u32),
    /// A credential that systemd hands to a service (`LoadCredential=`, systemd.exec(5)).
    Credential {
        /// The folder, as `$CREDENTIALS_DIRECTORY` names it.
        folder: PathBuf,
        /// Its name.
        name: Name,
    },
}

impl fmt::Display for IdentitySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "identity file `{}`", path.display()),
            Self::Descriptor(number) => write!(f, "descriptor {number}"),
            Self::Credential { name, .. } => write!(f, "systemd credential `{name}`"),
        }
    }
}

/// The X25519 identities of this host. Wiped when dropped, by age.
pub struct Identity {
    keys: Vec<age::x25519::Identity>,
}

/// What verified credentials hold for one database.
pub struct Login {
    /// The connection URL, with its password.
    pub url: ConnectionUrl,
    /// The PEM certificates that the server's certificate must chain to.
    pub ca: Option<String>,
    /// The serial of the credentials.
    pub serial: u64,
    /// The id of the database, if the signed part names it. It can be compared only with the history.
    pub id: Option<Label>,
}

/// Why credentials are not opened. Never holds any part of a secret.
#[derive(Debug)]
#[non_exhaustive]
pub enum CredentialsError {
    /// The identity file cannot be read, or others may read it.
    File(FileError),
    /// The descriptor cannot be read.
    Descriptor {
        /// Its number.
        number: u32,
        /// Why.
        source: io::Error,
    },
    /// The descriptor is a terminal.
    Terminal {
        /// Its number.
        number: u32,
    },
    /// A line of the identity is of another kind than X25519.
    Kind {
        /// Where.
        place: IdentitySource,
        /// The line, from 1.
        line: usize,
        /// Which kind it is.
        kind: &'static str,
    },
    /// A line of the identity is nothing known.
    Line {
        /// Where.
        place: IdentitySource,
        /// The line, from 1.
        line: usize,
    },
    /// There is no identity in it, or it is too long.
    Empty {
        /// Where.
        place: IdentitySource,
    },
    /// The credentials are sealed to a recipient of another kind than X25519.
    Recipient {
        /// The kind, as the age file says.
        kind: String,
    },
    /// The credentials are sealed to other hosts.
    NotForUs {
        /// The recipients they are sealed to, as signed.
        sealed_to: Vec<Label>,
        /// The recipients of the identity given.
        ours: Vec<String>,
    },
    /// The age file is damaged: who signed it sealed a broken file.
    Damaged {
        /// In which way.
        reason: &'static str,
    },
    /// What was decrypted is not a document of the format.
    Secrets(SecretsError),
    /// The credentials have no such database.
    Database {
        /// The name asked for.
        name: Name,
        /// The names there are.
        known: Vec<Name>,
    },
    /// The signed part names a database that the secret part lacks.
    Missing {
        /// The database.
        name: Name,
    },
    /// The secret URL is not well formed.
    Url(UrlError),
    /// The secret URL leads elsewhere than the signed endpoint.
    Endpoint {
        /// The endpoint that was signed.
        signed: Label,
        /// The endpoint of the secret URL.
        found: String,
    },
    /// The secret CA is not the signed one.
    Ca {
        /// The digest that was signed.
        signed: Option<Digest>,
        /// The digest of the secret part's CA.
        found: Option<Digest>,
    },
    /// Newer credentials were used on this host before.
    Serial {
        /// The newest serial seen.
        floor: u64,
        /// The serial found.
        found: u64,
    },
}

fn shown(digest: Option<&Digest>) -> String {
    digest.map_or_else(|| "none".to_owned(), |digest| format!("`{digest}`"))
}

fn listed<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(|item| format!("`{item}`")).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(_) => f.write_str("the age identity cannot be used"),
            Self::Descriptor { number, .. } => write!(f, "descriptor {number} cannot be read"),
            Self::Terminal { number } => {
                write!(f, "descriptor {number} is a terminal, and an identity is never typed")
            }
            Self::Kind { place, line, kind } => {
                write!(f, "{place}, line {line}: this is {kind}; only X25519 identities are accepted")
            }
            Self::Line { place, line } => write!(f, "{place}, line {line}: this is no age identity"),
            Self::Empty { place } => write!(f, "{place} holds no age identity, or too much"),
            Self::Recipient { kind } if kind == "scrypt" => {
                f.write_str("the credentials are sealed with a passphrase, which no host can type")
            }
            Self::Recipient { kind } => {
                write!(
                    f,
                    "the credentials are sealed to a recipient of kind `{}`; only X25519 is accepted",
                    Plain(kind)
                )
            }
            Self::NotForUs { sealed_to, ours } => {
                write!(f, "the credentials are sealed to {}; this identity is {}", listed(sealed_to), listed(ours))
            }
            Self::Damaged { reason } => write!(f, "the age file in the credentials is damaged: {reason}"),
            Self::Secrets(_) => f.write_str("the credentials were decrypted and are refused"),
            Self::Database { name, known } => {
                write!(f, "the credentials have no database `{name}`; they have {}", listed(known))
            }
            Self::Missing { name } => write!(f, "the secret part of the credentials lacks database `{name}`"),
            Self::Url(_) => f.write_str("the connection URL in the credentials is refused"),
            Self::Endpoint { signed, found } => {
                write!(f, "the signed endpoint is `{signed}`, but the secret URL leads to `{}`", Plain(found))
            }
            Self::Ca { signed, found } => write!(
                f,
                "the signed digest of the CA certificates is {}, that of the secret part {}",
                shown(signed.as_ref()),
                shown(found.as_ref())
            ),
            Self::Serial { floor, found } => {
                write!(f, "the credentials have serial {found}, but serial {floor} has been used on this host")
            }
        }
    }
}

impl std::error::Error for CredentialsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File(source) => Some(source),
            Self::Descriptor { source, .. } => Some(source),
            Self::Secrets(source) => Some(source),
            Self::Url(source) => Some(source),
            _ => None,
        }
    }
}

impl Identity {
    /// Reads an identity, once.
    ///
    /// # Errors
    /// [`CredentialsError`].
    pub fn read(source: &IdentitySource) -> Result<Self, CredentialsError> {
        let (file, error): (File, Box<dyn Fn(io::Error) -> CredentialsError>) = match source {
            IdentitySource::File(path) => {
                let (file, _) = file::open_private(path).map_err(CredentialsError::File)?;
                let path = path.clone();
                let error = move |source| CredentialsError::File(FileError::Io { path: path.clone(), source });
                (file, Box::new(error))
            }
            IdentitySource::Descriptor(number) => {
                let number = *number;
                let error = move |source| CredentialsError::Descriptor { number, source };
                (open_descriptor(number).map_err(error)?, Box::new(error))
            }
            IdentitySource::Credential { folder, name } => {
                let path = folder.join(name.as_str());
                let file = open_credential(folder, &path).map_err(CredentialsError::File)?;
                let error = move |source| CredentialsError::File(FileError::Io { path: path.clone(), source });
                (file, Box::new(error))
            }
        };
        if let IdentitySource::Descriptor(number) = source
            && file.is_terminal()
        {
            return Err(CredentialsError::Terminal { number: *number });
        }
        // Room for everything up front: a growing buffer would leave copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(IDENTITY + 64));
        file.take(IDENTITY as u64 + 1).read_to_end(&mut bytes).map_err(error)?;
        Self::parse(&bytes, source)
    }

    fn parse(bytes: &[u8], place: &IdentitySource) -> Result<Self, CredentialsError> {
        let mut keys = Vec::new();
        if bytes.len() > IDENTITY {
            return Err(CredentialsError::Empty { place: place.clone() });
        }
        for (index, bytes) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let line = index + 1;
            let unknown = || CredentialsError::Line { place: place.clone(), line };
            let text = std::str::from_utf8(bytes).map_err(|_| unknown())?.trim_end_matches('\r');
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            if let Some(kind) = foreign_identity(text) {
                return Err(CredentialsError::Kind { place: place.clone(), line, kind });
            }
            keys.push(text.parse().map_err(|_| unknown())?);
        }
        if keys.is_empty() { Err(CredentialsError::Empty { place: place.clone() }) } else { Ok(Self { keys }) }
    }
}

/// Opens an inherited descriptor anew by its name under `/proc`, which needs no `unsafe`. A file is read from its start.
fn open_descriptor(number: u32) -> io::Result<File> {
    let path = format!("/proc/self/fd/{number}");
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
    Ok(File::from(rustix::fs::open(Path::new(&path), flags, Mode::empty())?))
}

/// Opens a credential of systemd: in a folder that root or the effective user owns and nobody else enters, as a file for
/// its owner alone. systemd lets a service that is not root read root's file by an ACL, whose mask then shows as the bits of
/// the group `root`; that much is allowed, of a file that root owns.
fn open_credential(folder: &Path, path: &Path) -> Result<File, FileError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| FileError::Io { path, source }
    };
    let user = rustix::process::geteuid().as_raw();
    let owned = |metadata: &Metadata| metadata.uid() == 0 || metadata.uid() == user;
    let allowed = |metadata: &Metadata| if metadata.uid() == 0 && metadata.gid() == 0 { 0o750 } else { 0o700 };
    let around = std::fs::symlink_metadata(folder).map_err(io(folder))?;
    if !around.is_dir() || !folder.is_absolute() {
        return Err(FileError::NotRegular { path: folder.to_owned() });
    }
    if !owned(&around) {
        return Err(FileError::Writable { path: folder.to_owned() });
    }
    if around.mode() & 0o777 & !allowed(&around) != 0 {
        return Err(FileError::Readable { path: folder.to_owned() });
    }
    file::guard(folder)?;
    let (file, metadata) = file::open(path)?;
    if !owned(&metadata) {
        return Err(FileError::Writable { path: path.to_owned() });
    }
    if metadata.mode() & 0o777 & !(allowed(&metadata) & 0o640) != 0 {
        return Err(FileError::Readable { path: path.to_owned() });
    }
    Ok(file)
}

/// Opens verified credentials for one database. `floor` is the newest serial that this host has seen for it.
///
/// # Errors
/// [`CredentialsError`].
pub fn open(
    credentials: &VerifiedCredentials,
    identity: &Identity,
    database: &Name,
    floor: u64,
) -> Result<Login, CredentialsError> {
    open_parts(credentials.statement(), credentials.ciphertext(), identity, database, floor)
}

fn open_parts(
    signed: &statement::Credentials,
    ciphertext: &[u8],
    identity: &Identity,
    database: &Name,
    floor: u64,
) -> Result<Login, CredentialsError> {
    if signed.serial < floor {
        return Err(CredentialsError::Serial { floor, found: signed.serial });
    }
    let Some(described) = signed.databases.iter().find(|described| described.name == *database) else {
        let known = signed.databases.iter().map(|described| described.name.clone()).collect();
        return Err(CredentialsError::Database { name: database.clone(), known });
    };
    let plaintext = decrypt(signed, ciphertext, identity)?;
    let mut secrets = Secrets::read(&plaintext).map_err(CredentialsError::Secrets)?;
    let secret =
        secrets.databases.remove(database).ok_or_else(|| CredentialsError::Missing { name: database.clone() })?;
    let url = ConnectionUrl::parse(secret.url.expose()).map_err(CredentialsError::Url)?;
    let found = url.endpoint.to_string();
    if found != described.endpoint.as_str() {
        return Err(CredentialsError::Endpoint { signed: described.endpoint.clone(), found });
    }
    let found = secret.ca.as_ref().map(|ca| Digest::of(ca.as_bytes()));
    if found != described.ca {
        return Err(CredentialsError::Ca { signed: described.ca, found });
    }
    Ok(Login { url, ca: secret.ca, serial: signed.serial, id: described.id.clone() })
}

fn decrypt(
    signed: &statement::Credentials,
    ciphertext: &[u8],
    identity: &Identity,
) -> Result<Zeroizing<Vec<u8>>, CredentialsError> {
    if let Some(kind) = recipient_kinds(ciphertext).into_iter().find(|kind| kind != RECIPIENT_KIND) {
        return Err(CredentialsError::Recipient { kind });
    }
    let failed = |error: DecryptError| match error {
        DecryptError::NoMatchingKeys => CredentialsError::NotForUs {
            sealed_to: signed.recipients.clone(),
            ours: identity.keys.iter().map(|key| key.to_public().to_string()).collect(),
        },
        DecryptError::UnknownFormat => CredentialsError::Damaged { reason: "it is of an unknown version" },
        DecryptError::InvalidHeader => CredentialsError::Damaged { reason: "its header is not well formed" },
        DecryptError::InvalidMac => CredentialsError::Damaged { reason: "its header was changed" },
        _ => CredentialsError::Damaged { reason: "it cannot be decrypted" },
    };
    let decryptor = age::Decryptor::new_buffered(ciphertext).map_err(failed)?;
    let reader = decryptor.decrypt(identity.keys.iter().map(|key| key as &dyn age::Identity)).map_err(failed)?;
    let mut plaintext = Zeroizing::new(Vec::with_capacity(ciphertext.len() + 64));
    let damaged = |_| CredentialsError::Damaged { reason: "its content was changed or cut off" };
    reader.take(limit::CREDENTIALS as u64 + 1).read_to_end(&mut plaintext).map_err(damaged)?;
    if plaintext.len() > limit::CREDENTIALS {
        return Err(CredentialsError::Damaged { reason: "its content is too large" });
    }
    Ok(plaintext)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::process::{Command, Stdio};

    use sealift_spec::credentials::{Database, SecretDatabase};
    use sealift_spec::secret::Secret;
    use sealift_spec::statement::Content;

    use super::*;

    const URL: &str = "postgresql://deploy:hunter2@db.example.com/orders";
    const ENDPOINT: &str = "postgresql://db.example.com:5432/orders";
    const CA: &str = "-----BEGIN CERTIFICATE-----\n";

    fn main() -> Name {
        "main".parse().unwrap()
    }

    fn secrets(url: &str, ca: Option<&str>) -> Zeroizing<Vec<u8>> {
        let database = SecretDatabase { ca: ca.map(str::to_owned), url: Secret::new(url.to_owned()) };
        Secrets { databases: [(main(), database)].into() }.write()
    }

    fn signed(ciphertext: &[u8], endpoint: &str, ca: Option<&str>) -> statement::Credentials {
        statement::Credentials {
            databases: vec![Database {
                ca: ca.map(|ca| Digest::of(ca.as_bytes())),
                endpoint: endpoint.parse().unwrap(),
                id: None,
                name: main(),
            }],
            environment: "production".parse().unwrap(),
            not_after: "2027-01-01T00:00:00Z".parse().unwrap(),
            payload: Content { sha256: Digest::of(ciphertext), size: ciphertext.len() as u64 },
            project: "orders".parse().unwrap(),
            recipients: vec!["age1example".parse().unwrap()],
            serial: 5,
        }
    }

    struct Case {
        url: &'static str,
        ca: Option<&'static str>,
        endpoint: &'static str,
        signed_ca: Option<&'static str>,
        floor: u64,
    }

    const GOOD: Case = Case { url: URL, ca: Some(CA), endpoint: ENDPOINT, signed_ca: Some(CA), floor: 5 };

    fn attempt(case: &Case) -> Result<Login, CredentialsError> {
        let key = age::x25519::Identity::generate();
        let ciphertext = age::encrypt(&key.to_public(), &secrets(case.url, case.ca)).unwrap();
        let signed = signed(&ciphertext, case.endpoint, case.signed_ca);
        open_parts(&signed, &ciphertext, &Identity { keys: vec![key] }, &main(), case.floor)
    }

    fn refusal(case: &Case) -> CredentialsError {
        match attempt(case) {
            Ok(_) => panic!("accepted"),
            Err(error) => error,
        }
    }

    #[test]
    fn credentials_open_when_everything_agrees() {
        let login = attempt(&GOOD).ok().unwrap();
        assert_eq!(login.url.password.unwrap().expose(), "hunter2");
        assert_eq!((login.ca.as_deref(), login.serial), (Some(CA), 5));
    }

    #[test]
    fn the_secret_part_must_say_what_was_signed() {
        let error = refusal(&Case { endpoint: "postgresql://other.example.com:5432/orders", ..GOOD });
        assert!(matches!(&error, CredentialsError::Endpoint { .. }));
        assert!(!error.to_string().contains("hunter2"));
        for (ca, signed_ca) in [(Some(CA), None), (None, Some(CA)), (Some("other"), Some(CA))] {
            assert!(matches!(refusal(&Case { ca, signed_ca, ..GOOD }), CredentialsError::Ca { .. }));
        }
        let error = refusal(&Case { url: "postgresql://deploy:hunter2@h,g/d", ..GOOD });
        assert!(matches!(error, CredentialsError::Url(_)));
    }

    #[test]
    fn the_signed_id_is_handed_on() {
        let key = age::x25519::Identity::generate();
        let ciphertext = age::encrypt(&key.to_public(), &secrets(URL, Some(CA))).unwrap();
        let mut signed = signed(&ciphertext, ENDPOINT, Some(CA));
        signed.databases[0].id = Some("db-1".parse().unwrap());
        let login = open_parts(&signed, &ciphertext, &Identity { keys: vec![key] }, &main(), 0).ok().unwrap();
        assert_eq!(login.id, signed.databases[0].id);
    }

    #[test]
    fn a_systemd_credential_is_read_from_a_folder_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let name: Name = "host.age".parse().unwrap();
        let path = folder.path().join(name.as_str());
        std::fs::write(&path, run("age-keygen", &[], b"")).unwrap();
        let chmod = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        let read =
            || Identity::read(&IdentitySource::Credential { folder: folder.path().to_owned(), name: name.clone() });
        chmod(&path, 0o400);
        chmod(folder.path(), 0o500);
        assert!(read().is_ok());
        let refused = |error: Option<CredentialsError>| match error {
            Some(CredentialsError::File(FileError::Readable { path })) => path,
            _ => panic!("accepted"),
        };
        for mode in [0o404, 0o420, 0o444] {
            chmod(&path, mode);
            assert_eq!(refused(read().err()), path, "{mode:o}");
        }
        chmod(&path, 0o400);
        for mode in [0o505, 0o520, 0o555] {
            chmod(folder.path(), mode);
            assert_eq!(refused(read().err()), folder.path(), "{mode:o}");
        }
        chmod(folder.path(), 0o700);
        std::fs::rename(&path, folder.path().join("other")).unwrap();
        symlink(folder.path().join("other"), &path).unwrap();
        assert!(matches!(read().err(), Some(CredentialsError::File(FileError::NotRegular { .. }))));
        let relative = IdentitySource::Credential { folder: "credentials".into(), name };
        assert!(Identity::read(&relative).is_err());
    }

    #[test]
    fn a_serial_below_the_newest_one_seen_is_refused() {
        let error = refusal(&Case { floor: 6, ..GOOD });
        assert!(matches!(error, CredentialsError::Serial { floor: 6, found: 5 }));
    }

    #[test]
    fn another_host_is_told_for_whom_it_was_sealed() {
        let (ours, theirs) = (age::x25519::Identity::generate(), age::x25519::Identity::generate());
        let ciphertext = age::encrypt(&theirs.to_public(), &secrets(URL, None)).unwrap();
        let recipient = ours.to_public().to_string();
        let ours = Identity { keys: vec![ours] };
        let error = decrypt(&signed(&ciphertext, ENDPOINT, None), &ciphertext, &ours).unwrap_err().to_string();
        assert!(error.contains("`age1example`") && error.contains(&recipient), "{error}");
    }

    #[test]
    fn only_x25519_recipients_are_accepted() {
        let ours = Identity { keys: vec![age::x25519::Identity::generate()] };
        let mut passphrase = age::scrypt::Recipient::new("long enough".to_owned().into());
        passphrase.set_work_factor(2);
        let ciphertext = age::encrypt(&passphrase, &secrets(URL, None)).unwrap();
        let error = decrypt(&signed(&ciphertext, ENDPOINT, None), &ciphertext, &ours).unwrap_err();
        assert!(matches!(error, CredentialsError::Recipient { kind } if kind == "scrypt"));
        let plugin = b"age-encryption.org/v1\n-> X25519 abc\nabc\n-> yubikey abc\nabc\n--- abc\n";
        let error = decrypt(&signed(plugin, ENDPOINT, None), plugin, &ours).unwrap_err();
        assert!(matches!(error, CredentialsError::Recipient { kind } if kind == "yubikey"));
    }

    #[test]
    fn identities_of_other_kinds_are_named_and_never_shown() {
        let place = IdentitySource::Descriptor(3);
        let parse = |text: &str| Identity::parse(text.as_bytes(), &place).err().unwrap().to_string();
        for (text, word) in [
            ("# comment\nAGE-PLUGIN-YUBIKEY-1QQQ", "line 2: this is the identity of a plugin"),
            ("AGE-SECRET-KEY-PQ-1QQQ", "a post-quantum identity"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----", "a key of another program"),
            ("age-encryption.org/v1", "an encrypted file"),
            ("age1qqq", "a recipient"),
            ("AGE-SECRET-KEY-1QQQ", "line 1: this is no age identity"),
            ("# nothing\n\n", "holds no age identity"),
        ] {
            let error = parse(text);
            assert!(error.contains(word) && !error.contains("QQQ"), "{error}");
        }
    }

    /// Runs one of the reference implementation's programs.
    fn run(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("`{program}` cannot be run ({error}): install the package `age`"));
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{program} {arguments:?}");
        output.stdout
    }

    #[test]
    fn keys_and_files_of_the_age_program_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host.age");
        let text = run("age-keygen", &[], b"");
        std::fs::write(&path, &text).unwrap();
        let chmod = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        chmod(0o600);
        let recipient = run("age-keygen", &["-y"], &text);
        let recipient = std::str::from_utf8(&recipient).unwrap().trim();
        let ciphertext = run("age", &["-r", recipient], &secrets(URL, Some(CA)));
        let signed = signed(&ciphertext, ENDPOINT, Some(CA));
        let opens = |source: &IdentitySource| {
            let identity = Identity::read(source).ok().unwrap();
            open_parts(&signed, &ciphertext, &identity, &main(), 0).is_ok()
        };
        let source = IdentitySource::File(path.clone());
        assert!(opens(&source));
        chmod(0o400);
        assert!(opens(&source));
        // A pipe, as from a secret store.
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(&text).unwrap();
        drop(writer);
        assert!(opens(&IdentitySource::Descriptor(reader.as_raw_fd() as u32)));

        for mode in [0o440, 0o604, 0o660] {
            chmod(mode);
            let error = Identity::read(&source).err().unwrap();
            assert!(matches!(error, CredentialsError::File(FileError::Readable { .. })), "{mode:o}");
        }
        chmod(0o600);
        let link = folder.path().join("link");
        symlink(&path, &link).unwrap();
        let error = Identity::read(&IdentitySource::File(link)).err().unwrap();
        assert!(matches!(error, CredentialsError::File(FileError::NotRegular { .. })));
        let error = Identity::read(&IdentitySource::Descriptor(999_999)).err().unwrap();
        assert!(matches!(error, CredentialsError::Descriptor { .. }));
    }
}
