//! `N.root.json`: TUF root metadata with one extension (`trust.md` section 2; TUF specification 1.0.34 section 4.3).
//!
//! Attack -> defence. A second reading of the file: the whole file must be canonical. A key under a borrowed ID: key IDs
//! are recomputed. Two IDs for one key: refused. Threshold 0 or beyond the number of keys: refused. Other roles handing
//! out power: `targets`, `snapshot` and `timestamp` must be empty; they exist because TUF clients insist on them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::envelope::SignatureBytes;
use crate::json::{self, JsonError};
use crate::key::PublicKey;
use crate::statement::Content;
use crate::{Digest, Timestamp, limit};

const SPEC_VERSION: &str = "1.0.34";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireFile {
    signatures: Vec<WireSignature>,
    signed: WireSigned,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireSignature {
    keyid: Digest,
    sig: String,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireSigned {
    #[serde(rename = "_type")]
    kind: String,
    consistent_snapshot: bool,
    expires: Timestamp,
    keys: BTreeMap<Digest, WireKey>,
    roles: BTreeMap<String, WireRole>,
    spec_version: String,
    version: u64,
    #[serde(rename = "x-sealift")]
    sealift: WireExtension,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireKey {
    keytype: String,
    keyval: WireKeyValue,
    scheme: String,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireKeyValue {
    public: String,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireRole {
    keyids: Vec<Digest>,
    threshold: u64,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireExtension {
    policy: WirePolicy,
    schema: u64,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WirePolicy {
    length: u64,
    sha256: Digest,
}

/// Who holds the root, until when, and which policy it vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// 1, 2, 3, ..
    pub version: u64,
    /// Not valid from this time on.
    pub expires: Timestamp,
    /// The keys of the root role.
    pub keys: Vec<PublicKey>,
    /// How many of them must sign.
    pub threshold: u64,
    /// The policy file beside it.
    pub policy: Content,
}

/// A signature by a root key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootSignature {
    /// The TUF key ID it claims.
    pub key_id: Digest,
    /// The signature over the canonical `signed` object.
    pub bytes: SignatureBytes,
}

/// A root file: the root and the signatures over its exact bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootFile {
    root: Root,
    signed: Vec<u8>,
    signatures: Vec<RootSignature>,
}

/// Why a root file is refused.
#[derive(Debug)]
#[non_exhaustive]
pub enum RootError {
    /// Not canonical JSON of the format.
    Json(JsonError),
    /// A field has a value the format does not allow.
    Field {
        /// Which field.
        field: &'static str,
    },
    /// Two signatures claim the same key, or there are too many.
    Signatures,
}

impl fmt::Display for RootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(_) => f.write_str("the root is not well formed"),
            Self::Field { field } => write!(f, "`{field}` of the root has a value that the format does not allow"),
            Self::Signatures => write!(f, "the root has repeated signatures, or more than {}", limit::SIGNATURES),
        }
    }
}

impl std::error::Error for RootError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Json(error) => Some(error),
            _ => None,
        }
    }
}

fn wire_key(key: &PublicKey) -> WireKey {
    WireKey {
        keytype: "ed25519".to_owned(),
        keyval: WireKeyValue { public: key.to_hex() },
        scheme: "ed25519".to_owned(),
    }
}

/// The TUF key ID: SHA-256 of the canonical JSON of the key object.
pub fn tuf_key_id(key: &PublicKey) -> Digest {
    Digest::of(&json::write(&wire_key(key)))
}

impl Root {
    fn to_wire(&self) -> WireSigned {
        let keys: BTreeMap<_, _> = self.keys.iter().map(|key| (tuf_key_id(key), wire_key(key))).collect();
        let empty = || WireRole { keyids: Vec::new(), threshold: 1 };
        let root = WireRole { keyids: keys.keys().copied().collect(), threshold: self.threshold };
        WireSigned {
            kind: "root".to_owned(),
            consistent_snapshot: true,
            expires: self.expires,
            keys,
            roles: [
                ("root".to_owned(), root),
                ("snapshot".to_owned(), empty()),
                ("targets".to_owned(), empty()),
                ("timestamp".to_owned(), empty()),
            ]
            .into(),
            spec_version: SPEC_VERSION.to_owned(),
            version: self.version,
            sealift: WireExtension {
                policy: WirePolicy { length: self.policy.size, sha256: self.policy.sha256 },
                schema: 1,
            },
        }
    }
}

impl RootFile {
    /// An unsigned root file.
    ///
    /// # Errors
    /// [`RootError::Field`] when the root is not one the format allows.
    pub fn new(root: Root) -> Result<Self, RootError> {
        let signed = json::write(&root.to_wire());
        // Through the reader, so that nothing can be written that would not be read.
        Self::assemble(serde_json::from_slice(&signed).map_err(|e| RootError::Json(JsonError::Shape(e)))?, signed)
    }

    fn assemble(wire: WireSigned, signed: Vec<u8>) -> Result<Self, RootError> {
        let field = |field| RootError::Field { field };
        let check = |holds: bool, name| if holds { Ok(()) } else { Err(field(name)) };
        check(wire.kind == "root", "_type")?;
        check(wire.consistent_snapshot, "consistent_snapshot")?;
        check(wire.spec_version == SPEC_VERSION, "spec_version")?;
        check((1..=limit::ROOTS).contains(&wire.version), "version")?;
        check(wire.sealift.schema == 1, "x-sealift.schema")?;
        check(wire.sealift.policy.length <= limit::POLICY as u64, "x-sealift.policy.length")?;
        let mut keys = Vec::new();
        for (id, key) in &wire.keys {
            let public = PublicKey::from_hex(&key.keyval.public).ok_or(field("keys"))?;
            check(key.keytype == "ed25519" && key.scheme == "ed25519" && *id == tuf_key_id(&public), "keys")?;
            keys.push(public);
        }
        check(wire.roles.keys().map(String::as_str).eq(["root", "snapshot", "targets", "timestamp"]), "roles")?;
        for (name, role) in wire.roles.iter().filter(|(name, _)| *name != "root") {
            check(
                role.keyids.is_empty() && role.threshold == 1,
                if name == "targets" { "roles.targets" } else { "roles" },
            )?;
        }
        let role = &wire.roles["root"];
        check(role.keyids.is_sorted_by(|a, b| a < b) && role.keyids.iter().eq(wire.keys.keys()), "roles.root.keyids")?;
        check((1..=keys.len() as u64).contains(&role.threshold), "roles.root.threshold")?;
        let root = Root {
            version: wire.version,
            expires: wire.expires,
            keys,
            threshold: role.threshold,
            policy: Content { sha256: wire.sealift.policy.sha256, size: wire.sealift.policy.length },
        };
        Ok(Self { root, signed, signatures: Vec::new() })
    }

    /// Reads a root file.
    ///
    /// # Errors
    /// [`RootError`].
    pub fn read(bytes: &[u8]) -> Result<Self, RootError> {
        let wire: WireFile = json::read(bytes, limit::ROOT).map_err(RootError::Json)?;
        // The document is canonical, so the canonical `signed` object is the bytes that stand in the file.
        let signed = json::write(&wire.signed);
        let mut file = Self::assemble(wire.signed, signed)?;
        for WireSignature { keyid, sig } in wire.signatures {
            let bytes = crate::digest::decode_hex(&sig).ok_or(RootError::Field { field: "signatures.sig" })?;
            file.attach(RootSignature { key_id: keyid, bytes })?;
        }
        Ok(file)
    }

    /// Writes the file in canonical form.
    pub fn write(&self) -> Vec<u8> {
        let signatures = self.signatures.iter();
        json::write(&WireFile {
            signatures: signatures
                .map(|s| WireSignature { keyid: s.key_id, sig: crate::digest::encode_hex(&s.bytes) })
                .collect(),
            signed: self.root.to_wire(),
        })
    }

    /// Adds a signature; whether it is a good one is not looked at.
    ///
    /// # Errors
    /// [`RootError::Signatures`] when the key has signed already, or there are too many.
    pub fn attach(&mut self, signature: RootSignature) -> Result<(), RootError> {
        let repeated = self.signatures.iter().any(|present| present.key_id == signature.key_id);
        if repeated || self.signatures.len() == limit::SIGNATURES {
            return Err(RootError::Signatures);
        }
        self.signatures.push(signature);
        Ok(())
    }

    /// The root.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The bytes that are signed: the canonical `signed` object.
    pub fn signed_bytes(&self) -> &[u8] {
        &self.signed
    }

    /// The digest to pin: of the canonical `signed` object, so that adding signatures does not change it.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.signed)
    }

    /// The signatures.
    pub fn signatures(&self) -> &[RootSignature] {
        &self.signatures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> Root {
        Root {
            version: 1,
            expires: Timestamp::from_seconds(1_800_000_000).unwrap(),
            keys: vec![PublicKey::from_bytes([1; 32]), PublicKey::from_bytes([2; 32])],
            threshold: 2,
            policy: Content { sha256: Digest::of(b"policy"), size: 6 },
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut file = RootFile::new(root()).unwrap();
        let digest = file.digest();
        file.attach(RootSignature { key_id: tuf_key_id(&root().keys[0]), bytes: [3; 64] }).unwrap();
        let read = RootFile::read(&file.write()).unwrap();
        assert_eq!(read.digest(), digest);
        assert_eq!(read.signatures(), file.signatures());
        assert_eq!((read.root().version, read.root().threshold, read.root().keys.len()), (1, 2, 2));
    }

    #[test]
    fn thresholds_that_mean_nothing_are_refused() {
        for threshold in [0, 3] {
            assert!(RootFile::new(Root { threshold, ..root() }).is_err());
        }
        assert!(RootFile::new(Root { keys: vec![], threshold: 1, ..root() }).is_err());
    }

    #[test]
    fn a_changed_file_is_refused() {
        let text = String::from_utf8(RootFile::new(root()).unwrap().write()).unwrap();
        for (from, to) in [
            ("\"consistent_snapshot\":true", "\"consistent_snapshot\":false"),
            ("\"keytype\":\"ed25519\"", "\"keytype\":\"rsa\""),
            ("\"threshold\":2", "\"threshold\":2.0"),
            ("\"version\":1", "\"version\":0"),
            ("\"schema\":1", "\"schema\":2"),
            // It would be written back as ours, and no signature would fit any more.
            ("\"spec_version\":\"1.0.34\"", "\"spec_version\":\"1.0.35\""),
            ("0101", "0201"),
            ("{\"signatures\"", " {\"signatures\""),
        ] {
            assert!(text.contains(from), "{from}");
            assert!(RootFile::read(text.replacen(from, to, 1).as_bytes()).is_err(), "{from}");
        }
    }
}
