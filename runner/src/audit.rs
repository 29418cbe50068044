//! Writes the audit log of this host: an intent before the first change, an outcome after the last (`audit.md`).
//!
//! Attack -> defence. A file that cannot be written when it matters: it is opened, locked, verified from the first line and
//! tried before anything connects. Two runs at once: each append holds the file's lock, and first reads and verifies what
//! others have added. A link or a file of somebody else in its place: not followed, not written. A crash in the middle of a
//! line: that line was never synced, so nothing was done in its name; a whole record that lacks its line feed gets it, a
//! fragment is cut off, and the caller is told. A log computed anew while nobody looked: where this host has a record key,
//! the checkpoint beside the log must be of a beginning of it, or nothing is signed and nothing runs. Deliberately not here:
//! whether that checkpoint's signature is right, which an auditor judges with the policy at hand.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use sealift_spec::audit::{self, AuditError, Head, Note, Record};
use sealift_spec::checkpoint::{CHECKPOINT, Checkpoint, CheckpointError, Origin, SignedCheckpoint, Tree};
use sealift_spec::name::Label;
use sealift_spec::statement::FIRST_USE;
use sealift_spec::{Digest, Timestamp};
use sealift_verifier::file;

use crate::operator::Operator;
use crate::record::RecordKey;

/// Why the audit log cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum AuditLogError {
    /// Opening, reading, writing or syncing failed.
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else owns it or may write it, or it is no ordinary file.
    Open {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// Its chain does not hold.
    Chain {
        /// The file.
        path: PathBuf,
        /// Where.
        source: AuditError,
    },
    /// It is shorter than it was a moment ago.
    Shrunk {
        /// The file.
        path: PathBuf,
    },
    /// A record is larger than the format allows; it was not written.
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size, in bytes.
        size: usize,
    },
    /// The checkpoint beside it cannot be read or written.
    CheckpointFile {
        /// The checkpoint.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What lies beside it is no checkpoint.
    NoCheckpoint {
        /// The checkpoint.
        path: PathBuf,
        /// Why.
        source: CheckpointError,
    },
    /// It is not a continuation of the log that the checkpoint beside it is of.
    Rewritten {
        /// The file.
        path: PathBuf,
        /// The size that the checkpoint states.
        size: u64,
    },
}

impl fmt::Display for AuditLogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, .. } => write!(f, "the audit log `{}` cannot be used", path.display()),
            Self::Open { path, reason } => write!(f, "the audit log `{}` {reason}", path.display()),
            Self::Chain { path, .. } => write!(f, "the audit log `{}` does not hold together", path.display()),
            Self::Shrunk { path } => write!(f, "the audit log `{}` became shorter while it was in use", path.display()),
            Self::TooLarge { path, size } => {
                write!(f, "a record of {size} bytes is too large for the audit log `{}`", path.display())
            }
            Self::CheckpointFile { path, .. } => write!(f, "the checkpoint `{}` cannot be used", path.display()),
            Self::NoCheckpoint { path, .. } => write!(f, "the checkpoint `{}` is refused", path.display()),
            Self::Rewritten { path, size } => write!(
                f,
                "the audit log `{}` was cut off or rewritten: the checkpoint beside it is of {size} other records",
                path.display()
            ),
        }
    }
}

impl std::error::Error for AuditLogError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
            Self::Chain { source, .. } => Some(source),
            Self::CheckpointFile { source, .. } => Some(source),
            Self::NoCheckpoint { source, .. } => Some(source),
            Self::Open { .. } | Self::Shrunk { .. } | Self::TooLarge { .. } | Self::Rewritten { .. } => None,
        }
    }
}

/// An audit log whose chain holds, open for appending.
pub struct AuditLog {
    file: File,
    path: PathBuf,
    head: Head,
    size: u64,
    repaired: Option<u64>,
    origin: Option<Origin>,
    tree: Tree,
    key: Option<RecordKey>,
    /// The database of each run that has begun and not ended.
    runs: BTreeMap<Label, Label>,
    /// The newest history event that the log knows of each database.
    heads: BTreeMap<Label, Digest>,
    /// The same after runs that gave a database its id, by run: the log could not name the database before they ended.
    first: BTreeMap<Label, Digest>,
}

/// Where the newest checkpoint of a log lies: beside it, as `NAME.checkpoint`.
pub fn checkpoint_path(log: &Path) -> PathBuf {
    let mut path = log.as_os_str().to_owned();
    path.push(".checkpoint");
    path.into()
}

impl AuditLog {
    /// Opens a log, or begins one with mode 0600, and verifies all of it.
    ///
    /// # Errors
    /// [`AuditLogError`] when it cannot be written, is not this user's alone to write, or its chain does not hold.
    pub fn open(path: &Path) -> Result<Self, AuditLogError> {
        let failed = |source: io::Error| AuditLogError::File { path: path.to_owned(), source };
        let refused = |reason| AuditLogError::Open { path: path.to_owned(), reason };
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::APPEND;
        let mode = Mode::RUSR | Mode::WUSR;
        let (file, new) = match open(path, flags, mode) {
            Ok(file) => (File::from(file), false),
            Err(rustix::io::Errno::NOENT) => {
                // Not exclusive: whoever makes it first, both may append.
                (File::from(open(path, flags | OFlags::CREATE, mode).map_err(|e| failed(e.into()))?), true)
            }
            Err(error) => return Err(failed(error.into())),
        };
        let facts = file.metadata().map_err(failed)?;
        if !facts.is_file() {
            return Err(refused("is no ordinary file"));
        }
        if facts.uid() != rustix::process::geteuid().as_raw() {
            return Err(refused("belongs to another user"));
        }
        if facts.mode() & 0o022 != 0 {
            return Err(refused("can be written by others; `chmod 600` it"));
        }
        if new {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        }
        let (head, tree) = (Head::default(), Tree::default());
        let mut log = Self {
            file,
            path: path.to_owned(),
            head,
            size: 0,
            repaired: None,
            origin: None,
            tree,
            key: None,
            runs: BTreeMap::new(),
            first: BTreeMap::new(),
            heads: BTreeMap::new(),
        };
        log.locked(Self::catch_up)?;
        Ok(log)
    }

    /// The same, for a host that signs checkpoints: the log must go on from the checkpoint beside it, if there is one, and
    /// each outcome is followed by a new checkpoint.
    ///
    /// # Errors
    /// [`AuditLogError`]; [`AuditLogError::Rewritten`] when the log is not a continuation.
    pub fn open_signed(path: &Path, key: RecordKey) -> Result<Self, AuditLogError> {
        let mut log = Self::open(path)?;
        log.locked(|log| log.believe())?;
        log.key = Some(key);
        Ok(log)
    }

    /// The end of the log, as of the last look.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The newest history event that this log knows of a database; its history must still hold it.
    pub fn knows(&self, database: &Label) -> Option<Digest> {
        self.heads.get(database).copied()
    }

    /// The same for a database that has seen one run only: the newest event of the run that gave it its id.
    pub fn knows_first(&self, run: &Label) -> Option<Digest> {
        self.first.get(run).copied()
    }

    /// How many bytes of a torn last line were cut off when the log was opened, if any were.
    pub fn repaired(&self) -> Option<u64> {
        self.repaired
    }

    /// Appends one record and syncs it to disk.
    ///
    /// # Errors
    /// [`AuditLogError`]; the log then ends as before, or in a torn line that the next opening cuts off.
    pub fn append(&mut self, at: Timestamp, operator: &Operator, run: &Label, note: Note) -> Result<(), AuditLogError> {
        self.locked(|log| {
            log.catch_up()?;
            let record = Record {
                at,
                host: operator.host.clone(),
                note,
                operator: operator.name.clone(),
                previous: log.head.digest,
                run: run.clone(),
                seq: log.head.seq + 1,
            };
            let mut line = record.write();
            if line.len() > audit::RECORD {
                return Err(AuditLogError::TooLarge { path: log.path.clone(), size: line.len() });
            }
            line.push(b'\n');
            log.write(&line)?;
            if matches!(record.note, Note::Outcome { .. }) { log.sign() } else { Ok(()) }
        })
    }

    /// Signs what the log is now, unless it is no continuation of what was signed before.
    fn sign(&mut self) -> Result<(), AuditLogError> {
        let (Some(key), Some(origin)) = (&self.key, &self.origin) else { return Ok(()) };
        self.believe()?;
        let checkpoint = Checkpoint { origin: origin.clone(), size: self.tree.size(), root: self.tree.root() };
        let (path, text) = (checkpoint_path(&self.path), key.sign(checkpoint).write());
        file::write(&path, &text, 0o644, true).map_err(|source| AuditLogError::CheckpointFile { path, source })
    }

    /// Whether the log goes on from the checkpoint beside it, if there is one. Under the lock of the file.
    fn believe(&self) -> Result<(), AuditLogError> {
        let path = checkpoint_path(&self.path);
        let read = open(&path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK, Mode::empty());
        let mut bytes = Vec::new();
        match read {
            Err(rustix::io::Errno::NOENT) => return Ok(()),
            Err(error) => return Err(AuditLogError::CheckpointFile { path, source: error.into() }),
            Ok(file) => File::from(file).take(CHECKPOINT as u64 + 1).read_to_end(&mut bytes),
        }
        .map_err(|source| AuditLogError::CheckpointFile { path: path.clone(), source })?;
        let old = SignedCheckpoint::read(&bytes).map_err(|source| AuditLogError::NoCheckpoint { path, source })?;
        let Checkpoint { origin, size, root } = old.checkpoint;
        let mut log = Vec::new();
        let mut file = &self.file;
        let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.take(self.size).read_to_end(&mut log));
        read.map_err(|source| self.failed(source))?;
        let tree = Tree::of_first(&log, size);
        if self.origin.as_ref() != Some(&origin) || tree.is_none_or(|tree| tree.root() != root) {
            return Err(AuditLogError::Rewritten { path: self.path.clone(), size });
        }
        Ok(())
    }

    /// Takes verified lines in.
    fn took(&mut self, records: &[Record], lines: &[u8], head: Head) {
        if self.head.seq == 0 {
            self.origin = records.first().and_then(Origin::of);
        }
        for record in records {
            match &record.note {
                Note::Intent { database, head, .. } => {
                    self.runs.insert(record.run.clone(), database.clone());
                    self.heads.insert(database.clone(), *head);
                }
                Note::Outcome { head, .. } => match self.runs.remove(&record.run) {
                    Some(database) if database.as_str() == FIRST_USE => {
                        self.first.insert(record.run.clone(), *head);
                    }
                    Some(database) => {
                        self.heads.insert(database, *head);
                    }
                    None => {}
                },
            }
        }
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            self.tree.push(line.strip_suffix(b"\n").unwrap_or(line));
        }
        (self.head, self.size) = (head, self.size + lines.len() as u64);
    }

    fn failed(&self, source: io::Error) -> AuditLogError {
        AuditLogError::File { path: self.path.clone(), source }
    }

    fn locked(&mut self, act: impl FnOnce(&mut Self) -> Result<(), AuditLogError>) -> Result<(), AuditLogError> {
        flock(&self.file, FlockOperation::LockExclusive).map_err(|e| self.failed(e.into()))?;
        let result = act(self);
        let unlocked = flock(&self.file, FlockOperation::Unlock).map_err(|e| self.failed(e.into()));
        result.and(unlocked)
    }

    /// Reads and verifies what has been added since the last look, and mends a torn end.
    fn catch_up(&mut self) -> Result<(), AuditLogError> {
        let size = self.file.metadata().map_err(|e| self.failed(e))?.len();
        if size < self.size {
            return Err(AuditLogError::Shrunk { path: self.path.clone() });
        }
        if size == self.size {
            return Ok(());
        }
        let mut added = Vec::new();
        self.file.seek(SeekFrom::Start(self.size)).map_err(|e| self.failed(e))?;
        (&self.file).take(size - self.size).read_to_end(&mut added).map_err(|e| self.failed(e))?;
        let whole = added.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let chain = |source| AuditLogError::Chain { path: self.path.clone(), source };
        let (records, head) = audit::read_after(self.head, &added[..whole]).map_err(chain)?;
        self.took(&records, &added[..whole], head);
        let torn = &added[whole..];
        if torn.is_empty() {
            return Ok(());
        }
        // A record is whole when only its line feed is missing.
        let mended = [torn, b"\n"].concat();
        if let Ok((records, head)) = audit::read_after(head, &mended) {
            self.file.write_all(b"\n").and_then(|()| self.file.sync_data()).map_err(|e| self.failed(e))?;
            self.took(&records, &mended, head);
        } else {
            self.file.set_len(self.size).and_then(|()| self.file.sync_data()).map_err(|e| self.failed(e))?;
            self.repaired = Some(torn.len() as u64);
        }
        Ok(())
    }

    fn write(&mut self, line: &[u8]) -> Result<(), AuditLogError> {
        let written = self.file.write_all(line).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // A full disk leaves half a line behind; without it the log is as before.
            let _ = self.file.set_len(self.size);
            return Err(self.failed(error));
        }
        let chain = |source| AuditLogError::Chain { path: self.path.clone(), source };
        let (records, head) = audit::read_after(self.head, line).map_err(chain)?;
        self.took(&records, line, head);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use sealift_spec::audit::{Result as End, genesis};

    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("sealift-audit-{}-{name}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        fn log(&self) -> PathBuf {
            self.0.join("audit.jsonl")
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn append(log: &mut AuditLog) {
        let operator = Operator { name: "deploy".parse().unwrap(), host: "db1".parse().unwrap() };
        let note = Note::Outcome { done: vec![], error: None, head: genesis(), result: End::Done };
        log.append(Timestamp::from_seconds(1_800_000_000).unwrap(), &operator, &"00".parse().unwrap(), note).unwrap();
    }

    #[test]
    fn two_writers_make_one_chain() {
        let scratch = Scratch::new("two");
        let (mut one, mut two) = (AuditLog::open(&scratch.log()).unwrap(), AuditLog::open(&scratch.log()).unwrap());
        append(&mut one);
        append(&mut two);
        append(&mut one);
        let bytes = fs::read(scratch.log()).unwrap();
        assert_eq!(audit::read(&bytes).unwrap().1.seq, 3);
        assert_eq!(fs::metadata(scratch.log()).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_torn_end_is_mended() {
        let scratch = Scratch::new("torn");
        append(&mut AuditLog::open(&scratch.log()).unwrap());
        let whole = fs::read(scratch.log()).unwrap();
        // A fragment goes; a whole record without its line feed stays.
        fs::write(scratch.log(), [&whole[..], b"{\"at\":\"20"].concat()).unwrap();
        let mut log = AuditLog::open(&scratch.log()).unwrap();
        assert_eq!((log.repaired(), fs::read(scratch.log()).unwrap()), (Some(9), whole.clone()));
        fs::write(scratch.log(), &whole[..whole.len() - 1]).unwrap();
        assert!(matches!(log.locked(AuditLog::catch_up), Err(AuditLogError::Shrunk { .. })));
        let mut log = AuditLog::open(&scratch.log()).unwrap();
        assert_eq!(log.repaired(), None);
        append(&mut log);
        assert_eq!(audit::read(&fs::read(scratch.log()).unwrap()).unwrap().1.seq, 2);
    }

    #[test]
    fn a_record_that_is_too_large_is_not_written() {
        let scratch = Scratch::new("large");
        let mut log = AuditLog::open(&scratch.log()).unwrap();
        append(&mut log);
        let operator = Operator { name: "deploy".parse().unwrap(), host: "db1".parse().unwrap() };
        let error = Some("x".repeat(audit::RECORD));
        let note = Note::Outcome { done: vec![], error, head: genesis(), result: End::Stopped };
        let at = Timestamp::from_seconds(1_800_000_000).unwrap();
        let refused = log.append(at, &operator, &"00".parse().unwrap(), note);
        assert!(matches!(refused, Err(AuditLogError::TooLarge { .. })));
        append(&mut log);
        assert_eq!(AuditLog::open(&scratch.log()).unwrap().head().seq, 2);
    }

    #[test]
    fn what_others_could_write_or_redirect_is_refused() {
        let scratch = Scratch::new("open");
        append(&mut AuditLog::open(&scratch.log()).unwrap());
        fs::set_permissions(scratch.log(), fs::Permissions::from_mode(0o660)).unwrap();
        assert!(matches!(AuditLog::open(&scratch.log()), Err(AuditLogError::Open { .. })));
        fs::set_permissions(scratch.log(), fs::Permissions::from_mode(0o600)).unwrap();
        let link = scratch.0.join("link");
        std::os::unix::fs::symlink(scratch.log(), &link).unwrap();
        assert!(matches!(AuditLog::open(&link), Err(AuditLogError::File { .. })));
        assert!(matches!(AuditLog::open(Path::new("/dev/null")), Err(AuditLogError::Open { .. })));
        let edited = fs::read_to_string(scratch.log()).unwrap().replace("deploy", "nobody");
        fs::write(scratch.log(), edited + "{}\n").unwrap();
        assert!(matches!(AuditLog::open(&scratch.log()), Err(AuditLogError::Chain { .. })));
    }
}
