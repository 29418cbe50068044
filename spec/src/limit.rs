//! Every size limit of the formats, in one place (`bundle.md` section 8). All are enforced before allocation.

/// A statement that is signed: an external signer such as a cloud KMS signs no more than 4,096 bytes.
pub const STATEMENT: usize = 4_000;
/// Signatures on one envelope.
pub const SIGNATURES: usize = 16;
/// One line of `attestations.intoto.jsonl`.
pub const ENVELOPE: usize = 16 * 1024;
/// Lines of `attestations.intoto.jsonl`.
pub const ENVELOPES: usize = 50_000;
/// `attestations.intoto.jsonl` as a whole.
pub const ATTESTATIONS: usize = 64 * 1024 * 1024;
/// The payload as it travels, and the archive inside it.
pub const PAYLOAD: u64 = 8 * 1024 * 1024 * 1024;
/// `manifest.json`.
pub const MANIFEST: usize = 64 * 1024 * 1024;
/// Units of a manifest.
pub const UNITS: usize = 100_000;
/// Heads of a target.
pub const HEADS: usize = 64;
/// Statements or groups of one script.
pub const STATEMENTS: usize = 10_000;
/// One statement or group.
pub const STATEMENT_SQL: u64 = 64 * 1024 * 1024;
/// A transaction-mode script beyond this many bytes carries groups instead of statements.
pub const GROUP_BYTES: u64 = 1024 * 1024;
/// A transaction-mode script beyond this many statements carries groups instead of statements.
pub const GROUP_STATEMENTS: usize = 1_000;
/// The words for one expected lock.
pub const LOCK: usize = 64;
/// One part of a name in a probe: 64 characters of up to four bytes.
pub const PROBE_NAME: usize = 256;
/// One `N.root.json`.
pub const ROOT: usize = 64 * 1024;
/// One `N.policy.json`.
pub const POLICY: usize = 1024 * 1024;
/// Roots of one chain.
pub const ROOTS: u64 = 1_024;
/// `payload.age`, and the document in it.
pub const CREDENTIALS: usize = 1024 * 1024;
