//! The lock of a SQLite database: `flock` on a file beside it that is kept for ever (`history.md`, locks).
//!
//! SQLite's own locks end with each transaction, and a lock on the database file itself would be dropped by the first
//! `close` of that file anywhere in the process. Attack -> defence: the file lies where others may be able to create
//! files, so a link, a second hard link, a pipe or a file with other content is refused and never written to. A holder
//! that dies leaves its words in the file but not its lock.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use sealift_spec::Timestamp;

use crate::engine::Holder;

/// How the content begins; anything else is somebody else's file.
const MARK: &str = "sealift lock\n";

/// The content is a few short lines.
const LONGEST: u64 = 1024;

/// A held lock. Dropping it gives it up.
pub(super) struct FileLock {
    file: File,
}

/// Where the lock of a database lies.
pub(super) fn path_of(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(".sealift-lock");
    path.into()
}

impl FileLock {
    /// Takes the lock of `database` if it is free; says who holds it if not.
    pub(super) fn take(database: &Path) -> io::Result<Result<Self, Holder>> {
        let path = path_of(database);
        loop {
            let mut file = open(&path, database)?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return holder(&mut file).map(Err),
                Err(error) => return Err(error.into()),
            }
            // A file that was removed in the meantime is locked by nobody else, and so locks nobody out.
            let there = std::fs::symlink_metadata(&path);
            let here = file.metadata()?;
            if there.is_ok_and(|there| (there.dev(), there.ino()) == (here.dev(), here.ino())) {
                read(&mut file)?;
                file.set_len(0)?;
                file.seek(SeekFrom::Start(0))?;
                let name = rustix::system::uname();
                let host = name.nodename().to_string_lossy();
                file.write_all(format!("{MARK}pid={}\nhost={host}\n", std::process::id()).as_bytes())?;
                return Ok(Ok(Self { file }));
            }
        }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Closing gives the lock up; an empty file names no holder.
        let _ = self.file.set_len(0);
    }
}

fn foreign(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("this is {what}, not a lock file of sealift"))
}

/// Opens the file, or creates it with the owner and mode of the database, as SQLite does with its journals.
fn open(path: &Path, database: &Path) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let created = match std::fs::metadata(database) {
        Ok(like) => {
            let fd = rustix::fs::open(path, flags | OFlags::CREATE | OFlags::EXCL, Mode::from(0o600));
            fd.and_then(|fd| {
                if rustix::process::geteuid().is_root() {
                    rustix::fs::fchown(&fd, Some(Uid::from_raw(like.uid())), Some(Gid::from_raw(like.gid())))?;
                }
                rustix::fs::fchmod(&fd, Mode::from(like.mode() & 0o666))?;
                Ok(fd)
            })
        }
        Err(_) => rustix::fs::open(path, flags | OFlags::CREATE | OFlags::EXCL, Mode::from(0o644)),
    };
    let fd = match created {
        Err(Errno::EXIST) => rustix::fs::open(path, flags, Mode::empty())?,
        other => other?,
    };
    let file = File::from(fd);
    let kind = file.metadata()?;
    if !kind.is_file() {
        return Err(foreign("no plain file"));
    }
    if kind.nlink() > 1 {
        return Err(foreign("a file with a second name"));
    }
    Ok(file)
}

/// The words in the file, if they are ours.
fn read(file: &mut File) -> io::Result<String> {
    let mut words = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    Read::take(file, LONGEST).read_to_end(&mut words)?;
    if words.is_empty() {
        return Ok(String::new());
    }
    let words = String::from_utf8_lossy(&words);
    words.strip_prefix(MARK).map(str::to_owned).ok_or_else(|| foreign("a file with other content"))
}

fn holder(file: &mut File) -> io::Result<Holder> {
    let words = read(file)?;
    let value = |key| words.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=').map(str::to_owned));
    if words.is_empty() {
        return Ok(Holder::default());
    }
    let since = u64::try_from(file.metadata()?.mtime()).ok().and_then(Timestamp::from_seconds);
    Ok(Holder {
        pid: value("pid").and_then(|pid| pid.parse().ok()),
        host: value("host"),
        since: since.map(|since| since.to_string()),
        ..Holder::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_it_and_the_other_learns_who() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("a.db");
        let held = FileLock::take(&database).unwrap().ok().unwrap();
        let holder = FileLock::take(&database).unwrap().err().unwrap();
        assert_eq!(holder.pid, Some(u64::from(std::process::id())));
        assert!(holder.host.is_some() && holder.since.is_some());
        drop(held);
        assert_eq!(std::fs::read(path_of(&database)).unwrap(), b"");
        assert!(FileLock::take(&database).unwrap().is_ok());
    }

    #[test]
    fn it_is_as_open_as_its_database() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("a.db");
        std::fs::write(&database, "").unwrap();
        std::fs::set_permissions(&database, std::os::unix::fs::PermissionsExt::from_mode(0o660)).unwrap();
        let _held = FileLock::take(&database).unwrap().ok().unwrap();
        assert_eq!(std::fs::metadata(path_of(&database)).unwrap().mode() & 0o777, 0o660);
    }

    #[test]
    fn a_file_that_is_not_ours_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (database, other) = (folder.path().join("a.db"), folder.path().join("other"));
        let path = path_of(&database);
        let refused = || FileLock::take(&database).is_err();
        std::fs::write(&path, "precious").unwrap();
        assert!(refused());
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&other, "").unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        assert!(refused());
        std::fs::remove_file(&path).unwrap();
        std::fs::hard_link(&other, &path).unwrap();
        assert!(refused());
        std::fs::remove_file(&path).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, Mode::from(0o600)).unwrap();
        assert!(refused());
    }
}
