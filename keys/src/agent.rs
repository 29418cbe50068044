//! Keys that an ssh-agent holds (draft-miller-ssh-agent; `trust.md` section 1).
//!
//! Of the protocol two requests are spoken: list the keys, sign with one. A key is chosen by its public half, from a `.pub`
//! file; the agent is asked and believed in nothing else. Attack -> defence. An agent (or whoever answers on its socket)
//! that sends endless, torn or oversized answers: lengths are bounded before they are believed, and so is the time. One that
//! signs something else, or with another key: every signature is verified by the one function that verifies, before it is
//! used. FIDO keys: refused by name, since they sign a structure of their own around the message. Cards (OpenPGP, PIV) are
//! used through the agents that speak to them.

use std::error::Error;
use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sealift_spec::envelope::SignatureBytes;
use sealift_spec::key::{KeyError, KeyId, PublicKey};
use sealift_verifier::file::{FileError, SealedFile};
use sealift_verifier::report::{Exit, Failure};
use sealift_verifier::signature::{self, KeyWeakness};

/// The largest message either way, as in OpenSSH.
const MESSAGE: usize = 256 * 1024;
/// The most keys an answer may list, as in OpenSSH.
const KEYS: u32 = 2048;
/// The largest public key file.
const LIMIT: u64 = 16 * 1024;
/// How long an agent may take: somebody may have to type a PIN or touch a card.
const PATIENCE: Duration = Duration::from_secs(120);

const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

const ED25519: &[u8] = b"ssh-ed25519";

/// Why an agent does not sign, or a public key file is not used.
#[derive(Debug)]
#[non_exhaustive]
pub enum AgentError {
    /// The public key file cannot be read.
    File(FileError),
    /// The file holds no key that can sign.
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
    /// The key is one that nobody may enrol.
    Weak {
        /// The file.
        path: PathBuf,
        /// Why.
        source: KeyWeakness,
    },
    /// It is not known where the agent listens.
    NoSocket,
    /// The agent cannot be reached, or does not answer.
    Io {
        /// Its socket.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The answer is not one of the protocol.
    Protocol {
        /// In which way.
        reason: &'static str,
    },
    /// The agent does not hold the key.
    Absent {
        /// The key.
        key_id: KeyId,
        /// How many keys it holds.
        held: usize,
        /// How many of them are FIDO keys.
        security: usize,
    },
    /// The agent declines to sign: it is locked, or somebody declined to confirm.
    Declined {
        /// The key.
        key_id: KeyId,
    },
    /// The agent signed with a FIDO key.
    SecurityKey,
    /// The request is larger than an agent takes.
    TooLarge,
}

impl fmt::Display for AgentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(_) => f.write_str("the public key cannot be used"),
            Self::Key { path, .. } | Self::Weak { path, .. } => {
                write!(f, "`{}` names no key that can sign", path.display())
            }
            Self::NoSocket => {
                f.write_str("a public key was given, and there is no ssh-agent: SSH_AUTH_SOCK is not set")
            }
            Self::Io { socket, .. } => write!(f, "the ssh-agent at `{}` does not answer", socket.display()),
            Self::Protocol { reason } => write!(f, "the answer of the ssh-agent is refused: {reason}"),
            Self::Absent { key_id, held, security } => {
                write!(f, "the ssh-agent does not hold `{key_id}`; it holds {held} keys")?;
                if *security > 0 { write!(f, ", {security} of them FIDO keys, which cannot sign this") } else { Ok(()) }
            }
            Self::Declined { key_id } => write!(f, "the ssh-agent declined to sign with `{key_id}`"),
            Self::SecurityKey => write!(f, "{}", KeyError::SecurityKey),
            Self::TooLarge => write!(f, "an ssh-agent signs at most {MESSAGE} bytes"),
        }
    }
}

impl Error for AgentError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::File(source) => Some(source),
            Self::Key { source, .. } => Some(source),
            Self::Weak { source, .. } => Some(source),
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl AgentError {
    /// The exit status it leads to.
    pub fn exit(&self) -> Exit {
        match self {
            Self::File(FileError::Io { .. }) | Self::NoSocket | Self::Io { .. } | Self::Declined { .. } => {
                Exit::Unknown
            }
            _ => Exit::No,
        }
    }

    /// What to do about it, if that is known.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::File(source) => return source.hint(),
            Self::Key { .. } | Self::SecurityKey => {
                "make one with `sealift-keys generate` or `ssh-keygen -t ed25519`".to_owned()
            }
            Self::Weak { .. } => "do not use this key, and find out who made it".to_owned(),
            Self::NoSocket => "give the private key file, or start an agent: eval \"$(ssh-agent)\"".to_owned(),
            Self::Absent { .. } => "add the private half with `ssh-add FILE`".to_owned(),
            Self::Declined { .. } => "unlock the agent (`ssh-add -X`), or confirm when it asks".to_owned(),
            Self::Io { .. } | Self::Protocol { .. } | Self::TooLarge => return None,
        })
    }
}

impl From<AgentError> for Failure {
    fn from(error: AgentError) -> Self {
        let hint = error.hint();
        Self { hint, ..Self::new(error.exit(), error) }
    }
}

/// A key whose private half an agent holds. There is nothing secret in it.
#[derive(Debug, Clone)]
pub struct AgentKey {
    public: PublicKey,
    socket: PathBuf,
}

/// Reads the public key in a file, and refuses one that nobody may enrol.
///
/// # Errors
/// [`AgentError::File`], [`AgentError::Key`] or [`AgentError::Weak`].
pub fn read_public(path: &Path) -> Result<PublicKey, AgentError> {
    let file = SealedFile::read(path, LIMIT).map_err(AgentError::File)?;
    let refused = |source| AgentError::Key { path: path.to_owned(), source };
    let text = std::str::from_utf8(file.bytes()).map_err(|_| refused(KeyError::Form))?;
    let key: PublicKey = text.parse().map_err(refused)?;
    signature::check_key(&key).map_err(|source| AgentError::Weak { path: path.to_owned(), source })?;
    Ok(key)
}

impl AgentKey {
    /// Finds a key in the agent that listens on a socket.
    ///
    /// # Errors
    /// [`AgentError`], also when the agent does not hold it.
    pub fn find(public: PublicKey, socket: &Path) -> Result<Self, AgentError> {
        let key = Self { public, socket: socket.to_owned() };
        let answer = key.ask(&[REQUEST_IDENTITIES])?;
        let mut answer = Answer(&answer);
        if answer.byte()? != IDENTITIES_ANSWER {
            return Err(AgentError::Protocol { reason: "it lists no keys" });
        }
        let count = answer.number()?;
        if count > KEYS {
            return Err(AgentError::Protocol { reason: "it lists too many keys" });
        }
        let (mut found, mut security) = (false, 0);
        for _ in 0..count {
            let (blob, _comment) = (answer.string()?, answer.string()?);
            found |= blob == public.to_blob();
            security += usize::from(Answer(blob).string().is_ok_and(|kind| kind.starts_with(b"sk-")));
        }
        answer.end()?;
        if found { Ok(key) } else { Err(AgentError::Absent { key_id: public.id(), held: count as usize, security }) }
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        self.public
    }

    /// Has a message signed. What comes back has the length of a signature; whether it is one is for the caller to verify.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<SignatureBytes, AgentError> {
        let blob = self.public.to_blob();
        if message.len() > MESSAGE - 1024 {
            return Err(AgentError::TooLarge);
        }
        let mut request = vec![SIGN_REQUEST];
        for part in [&blob, message] {
            request.extend_from_slice(&(part.len() as u32).to_be_bytes());
            request.extend_from_slice(part);
        }
        // No flags: those are for RSA.
        request.extend_from_slice(&[0; 4]);
        let answer = self.ask(&request)?;
        let mut answer = Answer(&answer);
        match answer.byte()? {
            SIGN_RESPONSE => {}
            FAILURE => return Err(AgentError::Declined { key_id: self.public.id() }),
            _ => return Err(AgentError::Protocol { reason: "it is of an unknown kind" }),
        }
        let mut signature = Answer(answer.string()?);
        answer.end()?;
        match signature.string()? {
            ED25519 => {}
            kind if kind.starts_with(b"sk-") => return Err(AgentError::SecurityKey),
            _ => return Err(AgentError::Protocol { reason: "the signature is of another algorithm" }),
        }
        let bytes = signature.string()?.try_into();
        signature.end()?;
        bytes.map_err(|_| AgentError::Protocol { reason: "a signature has 64 bytes" })
    }

    /// Sends one request and reads its answer, over a connection of its own.
    fn ask(&self, request: &[u8]) -> Result<Vec<u8>, AgentError> {
        let failed = |source| AgentError::Io { socket: self.socket.clone(), source };
        let mut stream = UnixStream::connect(&self.socket).map_err(failed)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
        let message = [&(request.len() as u32).to_be_bytes(), request].concat();
        stream.write_all(&message).map_err(failed)?;
        let mut length = [0; 4];
        stream.read_exact(&mut length).map_err(failed)?;
        let length = u32::from_be_bytes(length) as usize;
        if length == 0 || length > MESSAGE {
            return Err(AgentError::Protocol { reason: "it is empty or too long" });
        }
        let mut answer = vec![0; length];
        stream.read_exact(&mut answer).map_err(failed)?;
        Ok(answer)
    }
}

/// What is left of an answer.
struct Answer<'a>(&'a [u8]);

impl<'a> Answer<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], AgentError> {
        let (head, rest) = self.0.split_at_checked(count).ok_or(AgentError::Protocol { reason: "it is cut off" })?;
        self.0 = rest;
        Ok(head)
    }

    fn byte(&mut self) -> Result<u8, AgentError> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self) -> Result<u32, AgentError> {
        let bytes = self.take(4)?;
        Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn string(&mut self) -> Result<&'a [u8], AgentError> {
        let count = self.number()?;
        self.take(count as usize)
    }

    fn end(&self) -> Result<(), AgentError> {
        if self.0.is_empty() { Ok(()) } else { Err(AgentError::Protocol { reason: "something follows it" }) }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::signer::{SignError, Signer};
    use sealift_spec::envelope::Envelope;

    fn string(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
    }

    fn message(bytes: &[u8]) -> Vec<u8> {
        string(bytes)
    }

    /// Answers one request after the other, each with the next of `answers`, without reading what was asked to its end.
    fn agent(answers: Vec<Vec<u8>>) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent");
        let listener = UnixListener::bind(&socket).unwrap();
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut length = [0; 4];
                stream.read_exact(&mut length).unwrap();
                let mut request = vec![0; u32::from_be_bytes(length) as usize];
                stream.read_exact(&mut request).unwrap();
                stream.write_all(&answer).unwrap();
            }
        });
        (folder, socket)
    }

    fn list(blobs: &[&[u8]]) -> Vec<u8> {
        let mut answer = vec![IDENTITIES_ANSWER];
        answer.extend_from_slice(&(blobs.len() as u32).to_be_bytes());
        for blob in blobs {
            answer.extend(string(blob));
            answer.extend(string(b"a comment"));
        }
        answer
    }

    fn signed(kind: &[u8], bytes: &[u8]) -> Vec<u8> {
        [vec![SIGN_RESPONSE], string(&[string(kind), string(bytes)].concat())].concat()
    }

    fn public() -> PublicKey {
        Signer::generate().unwrap().public_key()
    }

    #[test]
    fn a_list_that_is_no_list_is_refused() {
        let key = public();
        let good = list(&[&key.to_blob()]);
        let many = [vec![IDENTITIES_ANSWER], (KEYS + 1).to_be_bytes().to_vec()].concat();
        let long = [vec![IDENTITIES_ANSWER, 0, 0, 0, 1], u32::MAX.to_be_bytes().to_vec()].concat();
        for (answer, word) in [
            (message(&[]), "empty"),
            (((MESSAGE + 1) as u32).to_be_bytes().to_vec(), "too long"),
            (message(&[FAILURE]), "lists no keys"),
            (message(&many), "too many"),
            (message(&long), "cut off"),
            (message(&good[..good.len() - 1]), "cut off"),
            (message(&[good.as_slice(), b"x"].concat()), "follows"),
        ] {
            let (_folder, socket) = agent(vec![answer]);
            let error = AgentKey::find(key, &socket).unwrap_err();
            assert!(matches!(&error, AgentError::Protocol { reason } if reason.contains(word)), "{word}: {error}");
        }
        // Hangs up in the middle.
        let (_folder, socket) = agent(vec![message(&good)[..9].to_vec()]);
        assert!(matches!(AgentKey::find(key, &socket), Err(AgentError::Io { .. })));
        assert!(matches!(AgentKey::find(key, Path::new("/nonexistent")), Err(AgentError::Io { .. })));
    }

    #[test]
    fn a_key_that_the_agent_lacks_is_named_and_fido_keys_are_counted() {
        let security = string(b"sk-ssh-ed25519@openssh.com");
        let (_folder, socket) = agent(vec![message(&list(&[&security, &public().to_blob()]))]);
        let key = public();
        let error = AgentKey::find(key, &socket).unwrap_err();
        assert!(matches!(&error, AgentError::Absent { held: 2, security: 1, .. }), "{error}");
        assert!(error.to_string().contains(&key.id().to_string()));
    }

    #[test]
    fn what_is_no_signature_of_the_message_is_not_used() {
        let signer = Signer::generate().unwrap();
        let key = signer.public_key();
        let attempt = |answer: Vec<u8>| {
            let (_folder, socket) = agent(vec![message(&list(&[&key.to_blob()])), message(&answer)]);
            let signer = Signer::from_agent(AgentKey::find(key, &socket).unwrap());
            let mut envelope = Envelope::new(b"{}".to_vec()).unwrap();
            let result = signer.sign_envelope(&mut envelope);
            assert!(envelope.signatures().is_empty() == result.is_err());
            result
        };
        let agent_error = |answer| match attempt(answer) {
            Err(SignError::Agent { source, .. }) => source,
            other => panic!("{other:?}"),
        };
        let mut envelope = Envelope::new(b"{}".to_vec()).unwrap();
        signer.sign_envelope(&mut envelope).unwrap();
        let good = envelope.signatures()[0].bytes;
        assert!(attempt(signed(ED25519, &good)).is_ok());

        // Over another message, by another key, or just wrong.
        let mut other = Envelope::new(b"[]".to_vec()).unwrap();
        signer.sign_envelope(&mut other).unwrap();
        let mut theirs = Envelope::new(b"{}".to_vec()).unwrap();
        Signer::generate().unwrap().sign_envelope(&mut theirs).unwrap();
        for bytes in [other.signatures()[0].bytes, theirs.signatures()[0].bytes, [0; 64]] {
            assert!(matches!(attempt(signed(ED25519, &bytes)), Err(SignError::Faulty { .. })));
        }
        assert!(matches!(agent_error(signed(b"sk-ssh-ed25519@openssh.com", &good)), AgentError::SecurityKey));
        assert!(matches!(agent_error(vec![FAILURE]), AgentError::Declined { .. }));
        for answer in [
            signed(b"ssh-rsa", &good),
            signed(ED25519, &good[..63]),
            signed(ED25519, &[good.as_slice(), b"x"].concat()),
            [signed(ED25519, &good), b"x".to_vec()].concat(),
            vec![SIGN_RESPONSE],
            vec![6],
        ] {
            assert!(matches!(agent_error(answer), AgentError::Protocol { .. }));
        }
    }

    #[test]
    fn a_message_that_no_agent_takes_is_not_sent() {
        let key = AgentKey { public: public(), socket: "/nonexistent".into() };
        assert!(matches!(key.sign(&vec![0; MESSAGE]), Err(AgentError::TooLarge)));
    }
}
