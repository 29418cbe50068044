//! In which order a host opens what it was given (`trust.md` section 8, `credentials.md` section 5): settings, state file,
//! trust, bundle, credentials.
//!
//! The types hold the order. A connection needs a [`Target`]; for a bundle only [`Accepted`] makes one, and there is no
//! `Accepted` without a bundle that verified. So a bundle that fails to verify opens no socket, and its host's credentials
//! and identity are not even opened as files. [`look`] is the way of `history`, which has no bundle and changes nothing.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sealift_spec::endpoint::{ConnectionUrl, UrlError};
use sealift_spec::name::{Label, Name};
use sealift_spec::{Digest, Timestamp, limit};
use sealift_verifier::bundle::{OpenError, VerifiedBundle};
use sealift_verifier::file::{FileError, SealedFile};
use sealift_verifier::release::{self, Expected, VerifyError};
use sealift_verifier::trust::{Trust, TrustError, TrustFiles};

use crate::clock::{self, ClockError};
use crate::config::Settings;
use crate::credentials::{self, CredentialsError, Identity, IdentitySource};
use crate::engine::Target;
use crate::state::{Serial, State, StateError};

/// How long to wait for the lock, if nothing else was said.
const LOCK_WAIT: Duration = Duration::from_secs(60);
/// The largest bundle file: a payload and its attestations.
const BUNDLE: u64 = limit::PAYLOAD + limit::ATTESTATIONS as u64 + 4096;
/// The largest file of sealed credentials.
const SEALED: u64 = (limit::CREDENTIALS + limit::ENVELOPE + 4096) as u64;

/// Why a host does not open what it was given.
#[derive(Debug)]
#[non_exhaustive]
pub enum HostError {
    /// A setting is missing.
    Missing {
        /// Its key.
        key: &'static str,
    },
    /// Two settings exclude each other.
    Both {
        /// One key.
        key: &'static str,
        /// The other.
        other: &'static str,
    },
    /// There is no way to a database.
    NoDatabase,
    /// A systemd credential was named, and this is no service that has any.
    NoCredentials {
        /// Its name.
        name: Name,
    },
    /// The URL in the settings is not well formed.
    Url(UrlError),
    /// The URL in the settings holds a password.
    Password,
    /// The environment is one of those that only exist with keys in memory.
    Reserved {
        /// The environment.
        environment: Name,
    },
    /// The clock cannot be believed.
    Clock(ClockError),
    /// The state file cannot be used.
    State(StateError),
    /// The bundle cannot be read.
    Bundle(FileError),
    /// The trust root is refused.
    Trust(TrustError),
    /// The bundle is rejected.
    Rejected {
        /// The bundle.
        path: PathBuf,
        /// Why.
        source: VerifyError,
    },
    /// The payload of the bundle is rejected.
    Payload {
        /// The bundle.
        path: PathBuf,
        /// Why.
        source: OpenError,
    },
    /// The sealed credentials cannot be read.
    Sealed(FileError),
    /// The sealed credentials are rejected.
    RejectedCredentials {
        /// The file.
        path: PathBuf,
        /// Why.
        source: VerifyError,
    },
    /// The sealed credentials verified and are not opened.
    Credentials {
        /// The file.
        path: PathBuf,
        /// Why.
        source: CredentialsError,
    },
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { key } => write!(f, "`{key}` is not given"),
            Self::Both { key, other } => write!(f, "`{key}` and `{other}` are both given"),
            Self::NoDatabase => f.write_str("no database is given"),
            Self::NoCredentials { name } => {
                write!(f, "the identity is to be systemd credential `{name}`, and CREDENTIALS_DIRECTORY is not set")
            }
            Self::Url(_) => f.write_str("the connection URL is refused"),
            Self::Password => f.write_str("the connection URL holds a password"),
            Self::Reserved { environment } => {
                write!(f, "environment `{environment}` is reserved and never deployed to")
            }
            Self::Clock(source) => write!(f, "{source}"),
            Self::State(source) => write!(f, "{source}"),
            Self::Bundle(_) => f.write_str("the bundle cannot be used"),
            Self::Trust(_) => f.write_str("the trust root is refused"),
            Self::Rejected { path, .. } | Self::Payload { path, .. } | Self::RejectedCredentials { path, .. } => {
                write!(f, "{} rejected", path.display())
            }
            Self::Sealed(_) => f.write_str("the sealed credentials cannot be used"),
            Self::Credentials { path, .. } => write!(f, "{} verified, but is not opened", path.display()),
        }
    }
}

impl std::error::Error for HostError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Url(source) => Some(source),
            Self::State(source) => source.source(),
            Self::Bundle(source) | Self::Sealed(source) => Some(source),
            Self::Trust(source) => Some(source),
            Self::Rejected { source, .. } | Self::RejectedCredentials { source, .. } => Some(source),
            Self::Payload { source, .. } => Some(source),
            Self::Credentials { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// What this host believes in, and what it is.
struct Anchor {
    trust: PathBuf,
    pinned: Digest,
    root_min_version: u64,
    project: Name,
    environment: Name,
    state: Option<PathBuf>,
}

/// How to get to the database.
enum Way {
    Url(ConnectionUrl),
    Sealed { credentials: PathBuf, identity: IdentitySource, database: Name },
}

/// A host that was told everything it needs to know. Nothing has been opened yet.
pub struct Host {
    anchor: Anchor,
    bundle: PathBuf,
    way: Way,
    role: Option<String>,
    lock_wait: Duration,
    audit: Option<PathBuf>,
    record_key: Option<PathBuf>,
    database: Option<Name>,
}

/// A bundle that verified, the trust it was judged by, and the host it was accepted for.
pub struct Accepted<'h> {
    host: &'h Host,
    judge: Judge,
    bundle: VerifiedBundle,
}

/// The way to the database of an accepted bundle.
pub struct Opened {
    /// Where to connect, as whom.
    pub target: Target,
    /// The serial of the credentials, if there were any.
    serial: Option<Serial>,
}

/// Trust, the time it was judged at, and what was seen before.
struct Judge {
    trust: Trust,
    expected: Expected,
    state: State,
}

fn needed<T: Clone>(setting: &Option<T>, key: &'static str) -> Result<T, HostError> {
    setting.clone().ok_or(HostError::Missing { key })
}

fn anchor(settings: &Settings) -> Result<Anchor, HostError> {
    let environment = needed(&settings.environment, "environment")?;
    if environment.is_reserved_environment() {
        return Err(HostError::Reserved { environment });
    }
    Ok(Anchor {
        trust: needed(&settings.trust, "trust")?,
        pinned: needed(&settings.root_sha256, "root-sha256")?,
        root_min_version: settings.root_min_version.unwrap_or_default(),
        project: needed(&settings.project, "project")?,
        environment,
        state: settings.state.clone(),
    })
}

fn way(settings: &Settings, descriptor: Option<u32>) -> Result<Way, HostError> {
    let Settings { url, credentials, database, .. } = settings;
    let identity = identity(settings, descriptor)?;
    let (credentials, identity) = match (url, credentials, identity) {
        (Some(_), Some(_), _) => return Err(HostError::Both { key: "url", other: "credentials" }),
        (Some(_), None, Some((key, _))) => return Err(HostError::Both { key: "url", other: key }),
        (Some(url), None, None) => {
            let url = ConnectionUrl::parse(url).map_err(HostError::Url)?;
            // What stands on a command line or in a configuration file is no secret.
            return if url.password.is_some() { Err(HostError::Password) } else { Ok(Way::Url(url)) };
        }
        (None, None, _) => return Err(HostError::NoDatabase),
        (None, Some(_), None) => return Err(HostError::Missing { key: "identity" }),
        (None, Some(credentials), Some((_, identity))) => (credentials, identity),
    };
    Ok(Way::Sealed { credentials: credentials.clone(), identity, database: needed(database, "database")? })
}

/// The one place the identity comes from, and the key that names it.
fn identity(settings: &Settings, descriptor: Option<u32>) -> Result<Option<(&'static str, IdentitySource)>, HostError> {
    let file = settings.identity.clone().map(|path| Ok(("identity", IdentitySource::File(path))));
    let number = descriptor.map(|number| Ok(("identity-fd", IdentitySource::Descriptor(number))));
    let credential = settings.identity_credential.clone().map(|name| {
        let folder = settings.credentials_directory.clone().ok_or(HostError::NoCredentials { name: name.clone() })?;
        Ok(("identity-credential", IdentitySource::Credential { folder, name }))
    });
    let mut given = [file, number, credential].into_iter().flatten().collect::<Result<Vec<_>, _>>()?.into_iter();
    match (given.next(), given.next()) {
        (Some((key, _)), Some((other, _))) => Err(HostError::Both { key, other }),
        (first, _) => Ok(first),
    }
}

impl Host {
    /// Checks that everything a bundle needs was said. Opens nothing.
    ///
    /// # Errors
    /// [`HostError`] naming what is missing or contradicts itself.
    pub fn new(settings: &Settings, descriptor: Option<u32>) -> Result<Self, HostError> {
        Ok(Self {
            anchor: anchor(settings)?,
            bundle: needed(&settings.bundle, "bundle")?,
            way: way(settings, descriptor)?,
            role: settings.role.clone(),
            lock_wait: settings.lock_wait.map_or(LOCK_WAIT, Duration::from_secs),
            audit: settings.audit.clone(),
            record_key: settings.record_key.clone(),
            database: settings.database.clone(),
        })
    }

    /// How long to wait for the lock.
    pub fn lock_wait(&self) -> Duration {
        self.lock_wait
    }

    /// The audit log, which changes need.
    ///
    /// # Errors
    /// [`HostError::Missing`].
    pub fn audit(&self) -> Result<PathBuf, HostError> {
        needed(&self.audit, "audit")
    }

    /// The file with the record key, where this host has one.
    pub fn record_key(&self) -> Option<&Path> {
        self.record_key.as_deref()
    }

    /// Reads the bundle once and judges it. Opens no socket and no credentials.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn accept(&self, now: Timestamp) -> Result<Accepted<'_>, HostError> {
        let file = SealedFile::read(&self.bundle, BUNDLE).map_err(HostError::Bundle)?;
        let judge = self.anchor.judge(now)?;
        let release = release::verify(file, &judge.trust, &judge.expected)
            .map_err(|source| HostError::Rejected { path: self.bundle.clone(), source })?;
        let bundle =
            release.open(&judge.trust).map_err(|source| HostError::Payload { path: self.bundle.clone(), source })?;
        Ok(Accepted { host: self, judge, bundle })
    }
}

impl Anchor {
    fn judge(&self, now: Timestamp) -> Result<Judge, HostError> {
        let now = clock::judge(now).map_err(HostError::Clock)?;
        let state = self.state.as_deref().map(State::read).transpose().map_err(HostError::State)?.unwrap_or_default();
        let floor = self.root_min_version.max(state.root(self.pinned));
        let files = TrustFiles::read(&self.trust).map_err(HostError::Trust)?;
        let trust = Trust::verify(&files, self.pinned, floor, now).map_err(HostError::Trust)?;
        let expected = Expected { project: self.project.clone(), environment: self.environment.clone(), now };
        Ok(Judge { trust, expected, state })
    }
}

impl Accepted<'_> {
    /// The bundle.
    pub fn bundle(&self) -> &VerifiedBundle {
        &self.bundle
    }

    /// The trust it was judged by.
    pub fn trust(&self) -> &Trust {
        &self.judge.trust
    }

    /// Opens the credentials, if the way to the database needs any.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn open(&self) -> Result<Opened, HostError> {
        self.host.way.open(Some(&self.judge), self.host.role.clone())
    }

    /// Writes down what was seen, so that older roots and credentials are refused from now on. Before a change, not after:
    /// a run that is cut off has seen it too.
    ///
    /// # Errors
    /// [`HostError::State`].
    pub fn remember(&self, opened: &Opened) -> Result<Option<State>, HostError> {
        let Anchor { state, pinned, .. } = &self.host.anchor;
        let root = self.judge.trust.root_version();
        let raise = |path: &PathBuf| State::raise(path, *pinned, root, opened.serial.as_ref());
        state.as_ref().map(raise).transpose().map_err(HostError::State)
    }
}

impl Accepted<'_> {
    /// The id of the database, if it has been used from here under the name it goes by.
    pub fn known(&self) -> Option<&Label> {
        let Anchor { project, environment, .. } = &self.host.anchor;
        self.judge.state.database(project, environment, self.host.database.as_ref()?)
    }

    /// Remembers the id of the database, if it goes by a name.
    ///
    /// # Errors
    /// [`HostError::State`].
    pub fn learn(&self, id: &Label) -> Result<(), HostError> {
        let Anchor { project, environment, state, .. } = &self.host.anchor;
        match (state, &self.host.database) {
            (Some(path), Some(name)) if self.known() != Some(id) => {
                State::bind(path, project, environment, name, id).map_err(HostError::State).map(drop)
            }
            _ => Ok(()),
        }
    }
}

impl Way {
    fn open(&self, judge: Option<&Judge>, role: Option<String>) -> Result<Opened, HostError> {
        match (self, judge) {
            (Self::Url(url), _) => {
                let url = ConnectionUrl { endpoint: url.endpoint.clone(), user: url.user.clone(), password: None };
                Ok(Opened { target: Target { url, ca: None, role, id: None }, serial: None })
            }
            (Self::Sealed { .. }, None) => Err(HostError::Missing { key: "trust" }),
            (Self::Sealed { credentials: path, identity, database }, Some(judge)) => {
                let Judge { trust, expected, state } = judge;
                let file = SealedFile::read(path, SEALED).map_err(HostError::Sealed)?;
                let verified = sealift_verifier::credentials::verify(file, trust, expected)
                    .map_err(|source| HostError::RejectedCredentials { path: path.clone(), source })?;
                let failed = |source| HostError::Credentials { path: path.clone(), source };
                let floor = state.serial(&expected.project, &expected.environment, database);
                let identity = Identity::read(identity).map_err(failed)?;
                let login = credentials::open(&verified, &identity, database, floor).map_err(failed)?;
                let serial = Serial {
                    project: expected.project.clone(),
                    environment: expected.environment.clone(),
                    database: database.clone(),
                    serial: login.serial,
                };
                let target = Target { url: login.url, ca: login.ca, role, id: login.id };
                Ok(Opened { target, serial: Some(serial) })
            }
        }
    }
}

/// The way to a database for somebody who only looks at its history. Sealed credentials are judged as for a bundle.
///
/// # Errors
/// [`HostError`].
pub fn look(settings: &Settings, descriptor: Option<u32>, now: Timestamp) -> Result<Target, HostError> {
    let way = way(settings, descriptor)?;
    let judge = match way {
        Way::Url(_) => None,
        Way::Sealed { .. } => Some(anchor(settings)?.judge(now)?),
    };
    Ok(way.open(judge.as_ref(), settings.role.clone())?.target)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        let name = |text: &str| Some(text.parse().unwrap());
        let path = |text: &str| Some(PathBuf::from(text));
        Settings {
            bundle: path("/srv/orders.sealift"),
            environment: name("production"),
            project: name("orders"),
            root_sha256: Some(Digest::of(b"root")),
            trust: path("/srv/trust"),
            url: Some("sqlite:/srv/orders.db".to_owned()),
            ..Settings::default()
        }
    }

    fn refusal(settings: &Settings, descriptor: Option<u32>) -> String {
        Host::new(settings, descriptor).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_is_missing_or_contradicts_itself_is_named() {
        assert_eq!(refusal(&settings(), None), "");
        let sealed = Settings {
            credentials: Some("/srv/main.sealed".into()),
            identity: Some("/srv/host.age".into()),
            database: Some("main".parse().unwrap()),
            url: None,
            ..settings()
        };
        assert_eq!(refusal(&sealed, None), "");
        assert_eq!(refusal(&sealed, Some(3)), "`identity` and `identity-fd` are both given");
        assert_eq!(refusal(&Settings { identity: None, ..sealed.clone() }, Some(3)), "");
        let credential = Settings { identity_credential: Some("host.age".parse().unwrap()), ..sealed.clone() };
        assert!(refusal(&credential, None).contains("CREDENTIALS_DIRECTORY is not set"));
        let credential = Settings { credentials_directory: Some("/run/credentials/x".into()), ..credential };
        assert_eq!(refusal(&credential, None), "`identity` and `identity-credential` are both given");
        let credential = Settings { identity: None, ..credential };
        assert_eq!(refusal(&credential, None), "");
        assert_eq!(refusal(&credential, Some(3)), "`identity-fd` and `identity-credential` are both given");
        assert_eq!(refusal(&Settings { identity: None, ..sealed.clone() }, None), "`identity` is not given");
        assert_eq!(refusal(&Settings { database: None, ..sealed.clone() }, None), "`database` is not given");
        assert_eq!(refusal(&Settings { credentials: None, ..sealed.clone() }, None), "no database is given");
        assert_eq!(
            refusal(&Settings { url: settings().url, ..sealed }, None),
            "`url` and `credentials` are both given"
        );
        assert_eq!(refusal(&Settings { trust: None, ..settings() }, None), "`trust` is not given");
        let dev = Settings { environment: Some("dev".parse().unwrap()), ..settings() };
        assert_eq!(refusal(&dev, None), "environment `dev` is reserved and never deployed to");
    }

    #[test]
    fn a_url_with_a_password_is_refused_and_not_shown() {
        for url in ["postgresql://deploy:hunter2@localhost/orders", "postgresql://deploy:@localhost/orders"] {
            let with = Settings { url: Some(url.to_owned()), ..settings() };
            assert_eq!(refusal(&with, None), "the connection URL holds a password");
            assert!(matches!(look(&with, None, Timestamp::default()), Err(HostError::Password)));
        }
    }

    #[test]
    fn a_history_behind_a_url_needs_nothing_else() {
        let only = Settings { url: settings().url, ..Settings::default() };
        assert!(look(&only, None, Timestamp::default()).is_ok());
    }
}
