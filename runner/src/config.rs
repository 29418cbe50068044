//! What a host is configured to run (`trust.md` section 8): `/etc/sealift/runner.toml`, another file, and the arguments.
//!
//! Attack -> defence. An argument that aims a configured host elsewhere: arguments and a second file may repeat what the
//! host's own file says or add what it leaves open, never change it. A file that somebody else can write, directly or by
//! replacing a folder above it: refused by `file::guard`. Deliberately not here: whether what is configured makes sense
//! together, which the verbs judge.

use std::fmt;
use std::path::{Path, PathBuf};

use sealift_spec::Digest;
use sealift_spec::name::Name;
use sealift_verifier::file::{self, FileError, SealedFile};
use serde::Deserialize;

/// Where the configuration of a host lies.
pub const DEFAULT_PATH: &str = "/etc/sealift/runner.toml";

/// The largest configuration file, in bytes.
const LIMIT: u64 = 64 * 1024;

/// What one source says. Everything may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// The audit log.
    pub audit: Option<PathBuf>,
    /// The bundle.
    pub bundle: Option<PathBuf>,
    /// The sealed credentials.
    pub credentials: Option<PathBuf>,
    /// The name of the database in the credentials.
    pub database: Option<Name>,
    /// The environment of this host.
    pub environment: Option<Name>,
    /// The age identity that opens the credentials.
    pub identity: Option<PathBuf>,
    /// The systemd credential that is the identity.
    pub identity_credential: Option<Name>,
    /// Where systemd put the credentials of this service. The environment says so, never a file.
    #[serde(skip)]
    pub credentials_directory: Option<PathBuf>,
    /// How long to wait for the lock, in seconds. The smallest one counts.
    pub lock_wait: Option<u64>,
    /// The project.
    pub project: Option<Name>,
    /// The key that signs checkpoints of the audit log.
    pub record_key: Option<PathBuf>,
    /// PostgreSQL: the role that migrations run as.
    pub role: Option<String>,
    /// The oldest root this host accepts. The largest one counts.
    pub root_min_version: Option<u64>,
    /// The digest of the first root.
    pub root_sha256: Option<Digest>,
    /// The state file.
    pub state: Option<PathBuf>,
    /// The trust directory.
    pub trust: Option<PathBuf>,
    /// A connection URL without a password.
    pub url: Option<String>,
}

/// Settings and where they come from.
#[derive(Debug, Clone)]
pub struct Layer {
    /// `the arguments`, or a file, in words.
    pub source: String,
    /// What it says.
    pub settings: Settings,
}

/// Why a configuration is refused.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read, or somebody else could have written it.
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: FileError,
    },
    /// Not TOML of these keys.
    Text {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Why.
        reason: String,
    },
    /// A relative path in a file: it would mean something else in another directory.
    Relative {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
    },
    /// Two sources disagree.
    Conflict {
        /// The key.
        key: &'static str,
        /// The value of the source that comes first.
        value: String,
        /// That source.
        source: String,
        /// The value of the later one.
        other: String,
        /// The later source.
        other_source: String,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, .. } => write!(f, "configuration file `{}` cannot be used", path.display()),
            Self::Text { path, line, reason } => {
                write!(f, "configuration file `{}`, line {line}: {reason}", path.display())
            }
            Self::Relative { path, key } => {
                write!(f, "`{key}` in configuration file `{}` is not an absolute path", path.display())
            }
            Self::Conflict { key, value, source, other, other_source } => {
                write!(f, "`{key}` is `{value}` in {source}, but `{other}` in {other_source}")
            }
        }
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl Layer {
    /// Reads a configuration file that only root, or outside `/etc` the effective user, can have written.
    ///
    /// # Errors
    /// [`ConfigError::File`], [`ConfigError::Text`] or [`ConfigError::Relative`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let file_error = |source| ConfigError::File { path: path.to_owned(), source };
        // The name given must not be a link; what is read is what the guarded path leads to.
        file::open(path).map_err(file_error)?;
        let guarded = file::guard(path).map_err(file_error)?;
        let file = SealedFile::read(guarded.path(), LIMIT).map_err(file_error)?;
        let settings = Settings::parse(file.bytes(), path)?;
        Ok(Self { source: format!("`{}`", path.display()), settings })
    }
}

impl Settings {
    fn parse(bytes: &[u8], path: &Path) -> Result<Self, ConfigError> {
        let text_error = |line, reason| ConfigError::Text { path: path.to_owned(), line, reason };
        let line = |end: usize| bytes[..end.min(bytes.len())].iter().filter(|byte| **byte == b'\n').count() + 1;
        let text = std::str::from_utf8(bytes)
            .map_err(|error| text_error(line(error.valid_up_to()), "this is not UTF-8".to_owned()))?;
        let settings: Self = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            text_error(line(start), error.message().lines().next().unwrap_or_default().to_owned())
        })?;
        let paths = [
            ("audit", &settings.audit),
            ("bundle", &settings.bundle),
            ("credentials", &settings.credentials),
            ("identity", &settings.identity),
            ("record-key", &settings.record_key),
            ("state", &settings.state),
            ("trust", &settings.trust),
        ];
        let relative = |path: &Option<PathBuf>| path.as_ref().is_some_and(|path| !path.is_absolute());
        let file = settings.url.as_deref().and_then(|url| url.strip_prefix("sqlite:"));
        let url = file.filter(|file| !file.starts_with('/')).map(|_| "url");
        let key = paths.into_iter().find(|(_, path)| relative(path)).map(|(key, _)| key).or(url);
        match key {
            Some(key) => Err(ConfigError::Relative { path: path.to_owned(), key }),
            None => Ok(settings),
        }
    }
}

/// Joins what several sources say, the most trusted first: a later one repeats or adds, and never changes. Of the oldest
/// acceptable root the largest counts, of the time to wait the smallest.
///
/// # Errors
/// [`ConfigError::Conflict`] naming both values.
pub fn settle(layers: &[Layer]) -> Result<Settings, ConfigError> {
    fn agreed<T: PartialEq + Clone>(
        layers: &[Layer],
        key: &'static str,
        value: impl Fn(&Settings) -> &Option<T>,
        show: impl Fn(&T) -> String,
    ) -> Result<Option<T>, ConfigError> {
        let mut said = layers.iter().filter_map(|layer| Some((&layer.source, value(&layer.settings).as_ref()?)));
        let Some((source, first)) = said.next() else { return Ok(None) };
        match said.find(|(_, other)| *other != first) {
            None => Ok(Some(first.clone())),
            Some((other_source, other)) => Err(ConfigError::Conflict {
                key,
                value: show(first),
                source: source.clone(),
                other: show(other),
                other_source: other_source.clone(),
            }),
        }
    }
    let path = |path: &PathBuf| path.display().to_string();
    Ok(Settings {
        audit: agreed(layers, "audit", |s| &s.audit, path)?,
        bundle: agreed(layers, "bundle", |s| &s.bundle, path)?,
        credentials: agreed(layers, "credentials", |s| &s.credentials, path)?,
        database: agreed(layers, "database", |s| &s.database, Name::to_string)?,
        environment: agreed(layers, "environment", |s| &s.environment, Name::to_string)?,
        identity: agreed(layers, "identity", |s| &s.identity, path)?,
        identity_credential: agreed(layers, "identity-credential", |s| &s.identity_credential, Name::to_string)?,
        credentials_directory: None,
        lock_wait: layers.iter().filter_map(|layer| layer.settings.lock_wait).min(),
        project: agreed(layers, "project", |s| &s.project, Name::to_string)?,
        record_key: agreed(layers, "record-key", |s| &s.record_key, path)?,
        role: agreed(layers, "role", |s| &s.role, String::clone)?,
        root_min_version: layers.iter().filter_map(|layer| layer.settings.root_min_version).max(),
        root_sha256: agreed(layers, "root-sha256", |s| &s.root_sha256, Digest::to_string)?,
        state: agreed(layers, "state", |s| &s.state, path)?,
        trust: agreed(layers, "trust", |s| &s.trust, path)?,
        // A URL may hold a password here, which is refused later: it is never shown.
        url: agreed(layers, "url", |s| &s.url, |_| "..".to_owned())?,
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    const TEXT: &str = "project = \"orders\"\nroot-min-version = 3\ntrust = \"/srv/trust\"\nlock-wait = 30\n";

    fn parse(text: &str) -> Result<Settings, ConfigError> {
        Settings::parse(text.as_bytes(), Path::new("/etc/x.toml"))
    }

    fn layer(source: &str, text: &str) -> Layer {
        Layer { source: source.to_owned(), settings: parse(text).unwrap() }
    }

    #[test]
    fn a_file_says_what_it_says_and_nothing_unknown() {
        let settings = parse(TEXT).unwrap();
        assert_eq!(settings.project.unwrap().as_str(), "orders");
        assert_eq!((settings.root_min_version, settings.lock_wait, settings.bundle), (Some(3), Some(30), None));
        for (text, line, word) in [
            ("# x\nprojekt = \"a\"", 2, "projekt"),
            ("project = \"A\"", 1, "a name is"),
            ("\n\nroot-sha256 = \"00\"", 3, "64"),
            ("project = ", 1, ""),
        ] {
            let error = parse(text).unwrap_err();
            let ConfigError::Text { line: found, reason, .. } = &error else { panic!("{error}") };
            assert!(*found == line && reason.contains(word), "{error}");
        }
    }

    #[test]
    fn files_hold_absolute_paths_only() {
        for (text, key) in [("trust = \"trust\"", "trust"), ("url = \"sqlite:o.db\"", "url")] {
            assert!(matches!(parse(text), Err(ConfigError::Relative { key: found, .. }) if found == key), "{text}");
        }
    }

    #[test]
    fn later_sources_repeat_and_add_but_never_change() {
        let host = layer("`/etc/x.toml`", TEXT);
        let same = layer("the arguments", "project = \"orders\"\nenvironment = \"production\"\nlock-wait = 10");
        let settings = settle(&[host.clone(), same]).unwrap();
        assert_eq!(settings.environment.unwrap().as_str(), "production");
        assert_eq!((settings.lock_wait, settings.root_min_version), (Some(10), Some(3)));

        let lower = layer("the arguments", "root-min-version = 1\nlock-wait = 600");
        let settings = settle(&[host.clone(), lower]).unwrap();
        assert_eq!((settings.lock_wait, settings.root_min_version), (Some(30), Some(3)));

        let other = layer("the arguments", "trust = \"/tmp/trust\"");
        assert_eq!(
            settle(&[host, Layer { source: "-".into(), settings: Settings::default() }, other])
                .unwrap_err()
                .to_string(),
            "`trust` is `/srv/trust` in `/etc/x.toml`, but `/tmp/trust` in the arguments"
        );
    }

    #[test]
    fn a_differing_url_is_not_shown() {
        let url = |source, url: &str| Layer {
            source: String::from(source),
            settings: Settings { url: Some(url.to_owned()), ..Settings::default() },
        };
        let layers = [url("`/etc/x.toml`", "mysql://u@h/d"), url("the arguments", "mysql://u:secret@h/d")];
        assert!(!settle(&layers).unwrap_err().to_string().contains("secret"));
    }

    #[test]
    fn a_file_that_others_can_change_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runner.toml");
        fs::write(&path, TEXT).unwrap();
        let chmod = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        chmod(&path, 0o644);
        assert!(Layer::read(&path).is_ok());
        for (file, directory) in [(0o664, 0o755), (0o646, 0o755), (0o644, 0o775), (0o644, 0o757)] {
            chmod(&path, file);
            chmod(folder.path(), directory);
            let refused = Layer::read(&path);
            assert!(matches!(refused, Err(ConfigError::File { source: FileError::Writable { .. }, .. })), "{file:o}");
        }
        chmod(folder.path(), 0o755);
        chmod(&path, 0o644);
        let link = folder.path().join("link.toml");
        symlink(&path, &link).unwrap();
        assert!(matches!(Layer::read(&link), Err(ConfigError::File { source: FileError::NotRegular { .. }, .. })));
    }
}
