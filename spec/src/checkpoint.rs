//! Checkpoints of audit logs: signed notes and the Merkle tree they name (`audit.md` section 5).
//!
//! A checkpoint is what C2SP calls one (`tlog-checkpoint`, a `signed-note`): origin, size and RFC 6962 tree head, each line
//! of the log a leaf. Attack -> defence. A log computed anew from some line on: the tree of an earlier size is another. A
//! checkpoint of another log: the origin names host, project and environment. One text read in two ways: a note has one
//! spelling here, without extension lines, and one signature a key. This module knows bytes; who may sign is the policy's
//! to say, and whether a signature is right the verifier's.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};

use crate::Digest;
use crate::audit::{Note, Record};
use crate::key::PublicKey;

/// The largest checkpoint file, in bytes: room for the signatures of witnesses.
pub const CHECKPOINT: usize = 64 * 1024;

/// The most signatures on a checkpoint.
const SIGNATURES: usize = 16;
/// The byte that names Ed25519 in key IDs of signed notes.
const ED25519: u8 = 1;

/// What a log is called: `sealift/audit/PROJECT/ENVIRONMENT/HOST`. Also the name under which its key signs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(String);

impl Origin {
    /// The origin of the log that begins with a record; `None` if that is no intent.
    pub fn of(first: &Record) -> Option<Self> {
        let Note::Intent { project, environment, .. } = &first.note else { return None };
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-._".contains(c) { c } else { '_' };
        let host: String = first.host.as_str().chars().map(plain).collect();
        Some(Self(format!("sealift/audit/{project}/{environment}/{host}")))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The four bytes by which a note names a key: from the name and the key, so the same key has another under each name.
    pub fn key_id(&self, key: &PublicKey) -> [u8; 4] {
        let digest = Digest::of_parts([self.0.as_bytes(), b"\n", &[ED25519], key.as_bytes()]);
        let [a, b, c, d, ..] = *digest.as_bytes();
        [a, b, c, d]
    }

    /// The key as other implementations of signed notes take it: `NAME+ID+BASE64`.
    pub fn verifier_key(&self, key: &PublicKey) -> String {
        let id = crate::digest::encode_hex(&self.key_id(key));
        format!("{}+{id}+{}", self.0, STANDARD.encode([&[ED25519][..], key.as_bytes()].concat()))
    }
}

impl FromStr for Origin {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'+';
        if text.is_empty() || text.len() > 1024 || !text.bytes().all(plain) {
            return Err(CheckpointError::Form);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The RFC 6962 Merkle tree of the lines of a log, without their line feeds. Keeps one digest a level, not the leaves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    /// The roots of the full trees that the size is made of, the largest first.
    full: Vec<Digest>,
}

impl Tree {
    /// The tree of all lines of a log.
    pub fn of(log: &[u8]) -> Self {
        let mut tree = Self::default();
        log.split_inclusive(|byte| *byte == b'\n').for_each(|line| tree.push(line.strip_suffix(b"\n").unwrap_or(line)));
        tree
    }

    /// The tree of the first `size` lines of a log; `None` if there are fewer.
    pub fn of_first(log: &[u8], size: u64) -> Option<Self> {
        let mut tree = Self::default();
        let mut lines = log.split_inclusive(|byte| *byte == b'\n');
        while tree.size < size {
            let line = lines.next()?;
            tree.push(line.strip_suffix(b"\n").unwrap_or(line));
        }
        Some(tree)
    }

    /// Takes one more line in.
    pub fn push(&mut self, line: &[u8]) {
        let mut node = Digest::of_parts([&[0], line]);
        // As many full trees end here as the old size has ones at its end.
        for _ in 0..self.size.trailing_ones() {
            let Some(left) = self.full.pop() else { break };
            node = join(left, node);
        }
        self.full.push(node);
        self.size += 1;
    }

    /// How many lines there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The tree head.
    pub fn root(&self) -> Digest {
        let mut smaller = self.full.iter().rev().copied();
        match smaller.next() {
            None => Digest::of(b""),
            Some(last) => smaller.fold(last, |right, left| join(left, right)),
        }
    }
}

fn join(left: Digest, right: Digest) -> Digest {
    Digest::of_parts([&[1], &left.as_bytes()[..], right.as_bytes()])
}

/// What a checkpoint says: this log had this tree when it had so many lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: Origin,
    /// How many lines.
    pub size: u64,
    /// The tree head of these lines.
    pub root: Digest,
}

impl Checkpoint {
    /// The text that is signed.
    pub fn write(&self) -> Vec<u8> {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root.as_bytes())).into_bytes()
    }

    fn read(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let (origin, size, root) = (lines.next()?.parse().ok()?, lines.next()?, lines.next()?);
        let number: u64 = size.parse().ok()?;
        let root: [u8; 32] = STANDARD.decode(root).ok()?.try_into().ok()?;
        let whole = lines.next().is_none() && number.to_string() == size;
        whole.then(|| Self { origin, size: number, root: root.into() })
    }
}

/// One signature line of a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    /// The name of the key.
    pub name: Origin,
    /// Its ID ([`Origin::key_id`]).
    pub key_id: [u8; 4],
    /// The signature: 64 bytes where it is a plain one.
    pub bytes: Vec<u8>,
}

/// A checkpoint and the signatures on it, none of which has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// Who signed.
    pub signatures: Vec<NoteSignature>,
}

/// Why bytes are no checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Not the text of a signed note with an origin, a size and a tree head.
    Form,
    /// No signature, or too many.
    Signatures,
    /// One key signed twice.
    Duplicate,
}

impl fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "this is no checkpoint: a signed note of origin, size and tree head",
            Self::Signatures => "the checkpoint has no signature, or too many",
            Self::Duplicate => "one key stands on the checkpoint twice",
        })
    }
}

impl std::error::Error for CheckpointError {}

impl SignedCheckpoint {
    /// Reads a checkpoint file.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn read(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= CHECKPOINT);
        let (body, lines) = text.and_then(|text| text.split_once("\n\n")).ok_or(CheckpointError::Form)?;
        let checkpoint = Checkpoint::read(&format!("{body}\n")).ok_or(CheckpointError::Form)?;
        let mut signatures: Vec<NoteSignature> = Vec::new();
        for line in lines.split_inclusive('\n') {
            let signature = signature(line).ok_or(CheckpointError::Form)?;
            if signatures.iter().any(|other| other.name == signature.name && other.key_id == signature.key_id) {
                return Err(CheckpointError::Duplicate);
            }
            signatures.push(signature);
        }
        if signatures.is_empty() || signatures.len() > SIGNATURES {
            return Err(CheckpointError::Signatures);
        }
        Ok(Self { checkpoint, signatures })
    }

    /// The text of the file.
    pub fn write(&self) -> Vec<u8> {
        let mut text = self.checkpoint.write();
        text.push(b'\n');
        for NoteSignature { name, key_id, bytes } in &self.signatures {
            let blob = STANDARD.encode([&key_id[..], bytes].concat());
            text.extend(format!("\u{2014} {name} {blob}\n").into_bytes());
        }
        text
    }
}

fn signature(line: &str) -> Option<NoteSignature> {
    let (name, blob) = line.strip_suffix('\n')?.strip_prefix("\u{2014} ")?.split_once(' ')?;
    let blob = STANDARD.decode(blob).ok()?;
    let (key_id, bytes) = blob.split_first_chunk::<4>().filter(|(_, bytes)| !bytes.is_empty())?;
    Some(NoteSignature { name: name.parse().ok()?, key_id: *key_id, bytes: bytes.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    // The tree heads of RFC 6962 as Google's CT implementation tests them.
    const LEAVES: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    const HEADS: [(usize, &str); 6] = [
        (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
        (2, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
        (3, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
        (7, "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"),
        (8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
    ];

    #[test]
    fn trees_are_those_of_certificate_transparency() {
        for (size, head) in HEADS {
            let mut tree = Tree::default();
            LEAVES[..size].iter().for_each(|leaf| tree.push(leaf));
            assert_eq!((tree.size(), tree.root().to_string()), (size as u64, head.to_owned()));
        }
        assert_eq!(Tree::of(b"a\nb\n").size(), 2);
        assert_eq!(Tree::of_first(b"a\nb\n", 1), Some(Tree::of(b"a\n")));
        assert_eq!(Tree::of_first(b"a\nb\n", 3), None);
    }

    fn signed() -> SignedCheckpoint {
        let origin: Origin = "sealift/audit/orders/production/db1".parse().unwrap();
        let signature = NoteSignature { name: origin.clone(), key_id: [1, 2, 3, 4], bytes: vec![7; 64] };
        let checkpoint = Checkpoint { origin, size: 2, root: Tree::of(b"a\nb\n").root() };
        SignedCheckpoint { checkpoint, signatures: vec![signature] }
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(SignedCheckpoint::read(&signed().write()), Ok(signed()));
    }

    #[test]
    fn other_spellings_are_refused() {
        let text = String::from_utf8(signed().write()).unwrap();
        let read = |text: &str| SignedCheckpoint::read(text.as_bytes()).unwrap_err();
        let line = text.lines().last().unwrap();
        assert_eq!(read(&format!("{text}{line}\n")), CheckpointError::Duplicate);
        assert_eq!(read(&text[..text.len() - line.len() - 1]), CheckpointError::Signatures);
        for other in [
            text.replacen("\n2\n", "\n02\n", 1),
            text.replacen("\n2\n", "\n+2\n", 1),
            text.replacen("\n\n", "\nextension\n\n", 1),
            text.replace('\n', "\r\n"),
            text.replace('\u{2014}', "-"),
            text.replacen("sealift/audit", "sealift audit", 1),
            text.trim_end().to_owned(),
            format!("{text}\n"),
        ] {
            assert_eq!(read(&other), CheckpointError::Form, "{other}");
        }
    }

    #[test]
    fn key_ids_are_those_of_signed_notes() {
        // The example key of Go's `golang.org/x/mod/sumdb/note`.
        let origin: Origin = "PeterNeumann".parse().unwrap();
        let text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let raw = STANDARD.decode(&text[22..]).unwrap();
        let key = PublicKey::from_bytes(raw[1..].try_into().unwrap());
        assert_eq!(origin.verifier_key(&key), text);
    }
}
