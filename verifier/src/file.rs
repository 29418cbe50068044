//! Files that decide what happens: opened once, without following links, only where nobody else can write.
//!
//! Attack -> defence. Swapping a file between judging and using it: a bundle is read once, into memory that belongs to
//! this process alone, and its path is never used again. Links: refused at the last component. A directory somebody else
//! can write to: [`guard`] walks the real path and refuses it. Endless or huge files (FIFOs, devices): only regular files
//! within a limit are read.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

/// The bytes of a file, read once.
pub struct SealedFile {
    bytes: Vec<u8>,
}

/// Why a file is not read.
#[derive(Debug)]
#[non_exhaustive]
pub enum FileError {
    /// It cannot be opened or read.
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is a link, a FIFO or a device, or a folder where a file is wanted.
    NotRegular {
        /// The file.
        path: PathBuf,
    },
    /// It is larger than its format allows.
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The largest size allowed, in bytes.
        limit: u64,
    },
    /// Somebody other than root and the effective user owns it or may write to it.
    Writable {
        /// The file or folder.
        path: PathBuf,
    },
    /// Others may read a file that is for its owner alone.
    Readable {
        /// The file.
        path: PathBuf,
    },
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, .. } => write!(f, "cannot read `{}`", path.display()),
            Self::NotRegular { path } => write!(f, "`{}` is a link, or no regular file or folder", path.display()),
            Self::TooLarge { path, limit } => write!(f, "`{}` is larger than {limit} bytes", path.display()),
            Self::Writable { path } => {
                write!(f, "`{}` can be changed by others than root and the user who runs this", path.display())
            }
            Self::Readable { path } => write!(f, "`{}` can be read by others than its owner", path.display()),
        }
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl FileError {
    /// What to do about it, if that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Writable { path } => {
                Some(format!("chmod go-w '{0}', and chown it to root or to yourself", path.display()))
            }
            Self::Readable { path } => Some(format!("chmod 600 '{}'", path.display())),
            _ => None,
        }
    }
}

/// Opens a regular file without following a link at its last component, and without blocking on a FIFO.
///
/// # Errors
/// [`FileError::Io`] or [`FileError::NotRegular`].
pub fn open(path: &Path) -> Result<(File, Metadata), FileError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let descriptor = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(descriptor) => descriptor,
        Err(rustix::io::Errno::LOOP) => return Err(FileError::NotRegular { path: path.to_owned() }),
        Err(error) => return Err(FileError::Io { path: path.to_owned(), source: error.into() }),
    };
    let file = File::from(descriptor);
    let metadata = file.metadata().map_err(|source| FileError::Io { path: path.to_owned(), source })?;
    if !metadata.is_file() {
        return Err(FileError::NotRegular { path: path.to_owned() });
    }
    Ok((file, metadata))
}

/// Reads an open file of at most `limit` bytes.
///
/// # Errors
/// [`FileError::Io`] or [`FileError::TooLarge`].
pub fn read_all(file: File, size: u64, path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let too_large = || FileError::TooLarge { path: path.to_owned(), limit };
    if size > limit {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(size as usize + 1);
    // The file may grow while it is read; one byte more than the limit is enough to know.
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|source| FileError::Io { path: path.to_owned(), source })?;
    if bytes.len() as u64 > limit { Err(too_large()) } else { Ok(bytes) }
}

impl SealedFile {
    /// Reads a file of at most `limit` bytes, once.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn read(path: &Path, limit: u64) -> Result<Self, FileError> {
        let (file, metadata) = open(path)?;
        Ok(Self { bytes: read_all(file, metadata.len(), path, limit)? })
    }

    /// Takes over bytes that never were in a file.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// A path of which [`guard`] found that only root and the effective user can change what it leads to.
#[derive(Debug, Clone)]
pub struct GuardedPath(PathBuf);

impl GuardedPath {
    /// The real path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// Checks a file or folder and every folder above it: owned by root, or, outside `/etc`, by the effective user; not
/// writable by anybody else, except a sticky folder of root's. The path itself must not be a link; folders above it may be
/// reached through links, and what they lead to is checked.
///
/// # Errors
/// [`FileError::Writable`] naming the first component that others can change; [`FileError::Io`].
pub fn guard(path: &Path) -> Result<GuardedPath, FileError> {
    let is_link = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
    if is_link {
        return Err(FileError::NotRegular { path: path.to_owned() });
    }
    let real = std::fs::canonicalize(path).map_err(|source| FileError::Io { path: path.to_owned(), source })?;
    let user = rustix::process::geteuid().as_raw();
    let in_etc = real.starts_with("/etc");
    for component in real.ancestors() {
        let metadata = std::fs::symlink_metadata(component)
            .map_err(|source| FileError::Io { path: component.to_owned(), source })?;
        let owned = metadata.uid() == 0 || (!in_etc && metadata.uid() == user);
        let others_write = metadata.mode() & 0o022 != 0;
        let sticky = metadata.is_dir() && metadata.mode() & 0o1000 != 0 && metadata.uid() == 0;
        if !owned || (others_write && !(sticky && component != real)) {
            return Err(FileError::Writable { path: component.to_owned() });
        }
    }
    Ok(GuardedPath(real))
}

/// Opens a file that holds a secret: regular, no link, owned by root or the effective user, nobody else may read it.
///
/// # Errors
/// [`FileError`].
pub fn open_private(path: &Path) -> Result<(File, Metadata), FileError> {
    let (file, metadata) = open(path)?;
    let user = rustix::process::geteuid().as_raw();
    if metadata.uid() != 0 && metadata.uid() != user {
        return Err(FileError::Writable { path: path.to_owned() });
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(FileError::Readable { path: path.to_owned() });
    }
    Ok((file, metadata))
}

/// Writes a file whole or not at all: temporary name, sync, then a name that must be free (`replace` false) or is replaced.
///
/// # Errors
/// The error of the system call that failed; [`io::ErrorKind::AlreadyExists`] when the name is taken.
pub fn write(path: &Path, bytes: &[u8], mode: u32, replace: bool) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut temporary_name = std::ffi::OsString::from(".");
    temporary_name.push(name);
    temporary_name.push(format!(".{}.tmp", std::process::id()));
    let temporary = folder.join(temporary_name);
    let result = (|| {
        let mut file = File::options().write(true).create_new(true).mode(mode).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        if replace {
            std::fs::rename(&temporary, path)?;
        } else {
            let here = rustix::fs::CWD;
            rustix::fs::renameat_with(here, &temporary, here, path, rustix::fs::RenameFlags::NOREPLACE)?;
        }
        File::open(folder)?.sync_all()
    })();
    if result.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    result
}
