//! Sealed credentials: the signed description and the secret document (`credentials.md`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::Digest;
use crate::name::{Label, Name};
use crate::secret::Secret;

/// The `schema` of the secret document.
pub const SCHEMA: &str = "urn:sealift:secrets:v1";

/// What the signed part says of one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// SHA-256 of the PEM bundle that the server's certificate must chain to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<Digest>,
    /// The canonical endpoint.
    pub endpoint: Label,
    /// The id that the database got at first use, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Label>,
    /// What people and the command line call it.
    pub name: Name,
}

/// The secret half: connection URLs with passwords, and CA certificates. No `Debug`; wiped when dropped.
pub struct Secrets {
    /// By database name.
    pub databases: BTreeMap<Name, SecretDatabase>,
}

/// The secret half of one database.
pub struct SecretDatabase {
    /// PEM certificates, if the connection uses TLS.
    pub ca: Option<String>,
    /// The connection URL.
    pub url: Secret,
}

// Fields in alphabetical order: this text is written straight into a buffer that is wiped, past the canonical writer.
#[derive(Serialize)]
struct WireOut<'a> {
    databases: BTreeMap<&'a Name, WireOutDatabase<'a>>,
    schema: &'a str,
}

#[derive(Serialize)]
struct WireOutDatabase<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    ca: Option<&'a str>,
    url: &'a str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireIn {
    databases: BTreeMap<Name, WireInDatabase>,
    schema: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireInDatabase {
    #[serde(default)]
    ca: Option<String>,
    url: String,
}

impl Drop for WireInDatabase {
    fn drop(&mut self) {
        self.url.zeroize();
    }
}

/// The decrypted document is not of the format. Says nothing of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretsError;

impl std::fmt::Display for SecretsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the decrypted credentials are not a document of this format")
    }
}

impl std::error::Error for SecretsError {}

impl Secrets {
    /// Writes the document that is encrypted.
    pub fn write(&self) -> Zeroizing<Vec<u8>> {
        let databases = self.databases.iter();
        let wire = WireOut {
            databases: databases
                .map(|(name, database)| {
                    (name, WireOutDatabase { ca: database.ca.as_deref(), url: database.url.expose() })
                })
                .collect(),
            schema: SCHEMA,
        };
        // Room for the text up front: a growing buffer would leave copies behind.
        let size = 64
            + self
                .databases
                .values()
                .map(|d| 300 + 6 * (d.url.expose().len() + d.ca.as_ref().map_or(0, String::len)))
                .sum::<usize>();
        let mut bytes = Zeroizing::new(Vec::with_capacity(size));
        if let Err(error) = serde_json::to_writer(&mut *bytes, &wire) {
            panic!("strings always serialise: {error}");
        }
        bytes
    }

    /// Reads a decrypted document.
    ///
    /// # Errors
    /// [`SecretsError`] when it is not the one encoding of its content.
    pub fn read(bytes: &[u8]) -> Result<Self, SecretsError> {
        let mut wire: WireIn = serde_json::from_slice(bytes).map_err(|_| SecretsError)?;
        if wire.schema != SCHEMA {
            return Err(SecretsError);
        }
        let databases = std::mem::take(&mut wire.databases).into_iter();
        let secrets = Self {
            databases: databases
                .map(|(name, mut database)| {
                    let url = Secret::new(std::mem::take(&mut database.url));
                    (name, SecretDatabase { ca: database.ca.take(), url })
                })
                .collect(),
        };
        if *secrets.write() != bytes {
            return Err(SecretsError);
        }
        Ok(secrets)
    }
}

/// The kinds of the recipients in an age header (age-encryption.org/v1: lines `-> KIND ..` up to the line `--- MAC`), without
/// "grease", which means nothing and is there so that readers learn to skip what they do not know.
pub fn recipient_kinds(ciphertext: &[u8]) -> Vec<String> {
    let header = ciphertext.split(|byte| *byte == b'\n').take_while(|line| !line.starts_with(b"---"));
    let kind = |stanza: &[u8]| {
        String::from_utf8_lossy(stanza.split(|byte| *byte == b' ').next().unwrap_or_default()).into_owned()
    };
    let kinds = header.filter_map(|line| line.strip_prefix(b"-> ")).map(kind);
    kinds.filter(|kind| !kind.ends_with("-grease")).collect()
}

/// The one kind of recipient that is sealed to and opened.
pub const RECIPIENT_KIND: &str = "X25519";

/// In words, what a line of an identity file is that is no X25519 identity; `None` if it is nothing known.
pub fn foreign_identity(line: &str) -> Option<&'static str> {
    let kinds = [
        ("AGE-PLUGIN-", "the identity of a plugin"),
        ("AGE-SECRET-KEY-PQ-", "a post-quantum identity"),
        ("age-encryption.org/", "an encrypted file"),
        ("-----BEGIN AGE ENCRYPTED FILE", "an encrypted file"),
        ("-----BEGIN", "a key of another program"),
        ("age1", "a recipient, the public half"),
    ];
    kinds.into_iter().find(|(prefix, _)| line.starts_with(prefix)).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_read_as_it_was_written_and_not_otherwise() {
        let database = SecretDatabase { ca: Some("PEM\n".into()), url: Secret::new("sqlite:a".into()) };
        let secrets = Secrets { databases: [("main".parse().unwrap(), database)].into() };
        let bytes = secrets.write();
        assert_eq!(
            *bytes,
            br#"{"databases":{"main":{"ca":"PEM\n","url":"sqlite:a"}},"schema":"urn:sealift:secrets:v1"}"#
        );
        assert_eq!(Secrets::read(&bytes).unwrap().databases["main"].url.expose(), "sqlite:a");
        let spaced = [&**bytes, b" "].concat();
        assert!(Secrets::read(&spaced).is_err());
    }

    #[test]
    fn kinds_of_recipients_are_read_from_the_header_alone() {
        let plugin =
            b"age-encryption.org/v1\n-> X25519 abc\nabc\n-> x-grease a\n-> yubikey abc\nabc\n--- abc\n-> not one";
        assert_eq!(recipient_kinds(plugin), ["X25519", "yubikey"]);
    }
}
