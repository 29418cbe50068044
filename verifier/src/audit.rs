//! Is this the audit log that was written, all of it, and does the history of the database agree? (`audit.md` section 6)
//!
//! Everything is judged offline from files. Four answers are kept apart, because they call for different people: a *bad
//! signature* is forgery, *rewritten* and *truncated* are somebody with access to a host or a database, and *unverifiable*
//! is a key or file that the auditor lacks; a missing key is never called tampering. Attack -> defence. A log computed anew:
//! checkpoints signed by keys with the role `record`. A log cut off: the same, and the history. A history computed anew: the
//! heads in the log. A release that was never signed: its envelope, judged under the root and at the time the history names.
//! Deliberately not here: reviews, which are in the bundle and not in the history.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use sealift_spec::audit::{self, AuditError, Head, Note, Record, Result as End};
use sealift_spec::checkpoint::{Origin, SignedCheckpoint, Tree};
use sealift_spec::envelope::Envelope;
use sealift_spec::history::{Binding, Event, Happening, History, HistoryError, Under};
use sealift_spec::key::{KeyId, PublicKey};
use sealift_spec::name::{Label, Name};
use sealift_spec::policy::RECORD_ROLE;
use sealift_spec::statement::{Permit, PredicateKind, RELEASE_SUBJECT, Release, Statement};
use sealift_spec::{Digest, Timestamp};

use crate::listing::Listing;
use crate::requirement::{self, Signatures};
use crate::signature;
use crate::trust::{Trust, TrustFiles};

/// Why a log, a checkpoint or a history is not what it should be. Each reason is one line in words.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Doubt {
    /// A signature is wrong, or those there are do not suffice: somebody claims what was never signed.
    BadSignature {
        /// What.
        reason: String,
    },
    /// Something else stands where something was signed or chained before.
    Rewritten {
        /// What.
        reason: String,
    },
    /// The end is missing.
    Truncated {
        /// What.
        reason: String,
    },
    /// It cannot be told, because a key, a root or a file is missing.
    Unverifiable {
        /// What.
        reason: String,
    },
}

impl Doubt {
    /// One word, for machines.
    pub fn word(&self) -> &'static str {
        match self {
            Self::BadSignature { .. } => "bad-signature",
            Self::Rewritten { .. } => "rewritten",
            Self::Truncated { .. } => "truncated",
            Self::Unverifiable { .. } => "unverifiable",
        }
    }

    /// What was found.
    pub fn reason(&self) -> &str {
        match self {
            Self::BadSignature { reason }
            | Self::Rewritten { reason }
            | Self::Truncated { reason }
            | Self::Unverifiable { reason } => reason,
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.word().replace('-', " "), self.reason())
    }
}

impl std::error::Error for Doubt {}

fn bad(reason: impl Into<String>) -> Doubt {
    Doubt::BadSignature { reason: reason.into() }
}

fn rewritten(reason: impl Into<String>) -> Doubt {
    Doubt::Rewritten { reason: reason.into() }
}

fn truncated(reason: impl Into<String>) -> Doubt {
    Doubt::Truncated { reason: reason.into() }
}

fn unverifiable(reason: impl Into<String>) -> Doubt {
    Doubt::Unverifiable { reason: reason.into() }
}

impl From<AuditError> for Doubt {
    fn from(error: AuditError) -> Self {
        match error {
            AuditError::Torn { .. } => truncated(error.to_string()),
            error => rewritten(error.to_string()),
        }
    }
}

impl From<HistoryError> for Doubt {
    fn from(error: HistoryError) -> Self {
        rewritten(error.to_string())
    }
}

/// A log whose chain holds.
pub struct Log {
    bytes: Vec<u8>,
    records: Vec<Record>,
    head: Head,
    origin: Option<Origin>,
}

/// Proof that a key with the role signed a beginning of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vouched {
    /// How many records.
    pub size: u64,
    /// By which key.
    pub key: KeyId,
}

impl Log {
    /// Reads a log and checks its chain.
    ///
    /// # Errors
    /// [`Doubt::Truncated`] when its last line is torn, else [`Doubt::Rewritten`].
    pub fn read(bytes: Vec<u8>) -> Result<Self, Doubt> {
        let (records, head) = audit::read(&bytes)?;
        let origin = records.first().and_then(Origin::of);
        Ok(Self { bytes, records, head, origin })
    }

    /// Its records.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Its end.
    pub fn head(&self) -> Head {
        self.head
    }

    /// What it is called; `None` while it has no record.
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// When the record was written that a checkpoint ends with.
    pub fn time_of(&self, size: u64) -> Option<Timestamp> {
        let index = usize::try_from(size).ok()?.checked_sub(1)?;
        Some(self.records.get(index)?.at)
    }

    /// Judges a checkpoint: of this log, signed by one of `keys`, and of a beginning of what is there now.
    ///
    /// # Errors
    /// [`Doubt`], in this order: of another log or by no such key (unverifiable), bad signature, truncated, rewritten.
    pub fn judge<'k>(
        &self,
        signed: &SignedCheckpoint,
        keys: impl IntoIterator<Item = &'k PublicKey>,
    ) -> Result<Vouched, Doubt> {
        let SignedCheckpoint { checkpoint, signatures } = signed;
        let origin = &checkpoint.origin;
        if let Some(ours) = self.origin.as_ref().filter(|ours| *ours != origin) {
            return Err(unverifiable(format!("the checkpoint is of log `{origin}`, this one is `{ours}`")));
        }
        let keys: BTreeMap<[u8; 4], &PublicKey> = keys.into_iter().map(|key| (origin.key_id(key), key)).collect();
        let mut named = signatures
            .iter()
            .filter(|signature| signature.name == *origin)
            .filter_map(|signature| Some((signature, *keys.get(&signature.key_id)?)))
            .peekable();
        if named.peek().is_none() {
            return Err(unverifiable("the checkpoint is signed by no key that holds role `record`"));
        }
        let message = checkpoint.write();
        let mut by = None;
        for (signature, key) in named {
            let bytes = signature.bytes.as_slice().try_into().ok();
            let verified = bytes.and_then(|bytes| signature::verify(&message, &bytes, [key]));
            by = Some(verified.ok_or_else(|| bad(format!("the checkpoint was not signed by key {}", key.id())))?);
        }
        let Some(by) = by else { return Err(unverifiable("the checkpoint has no signature")) };
        let (size, there) = (checkpoint.size, self.records.len());
        let Some(tree) = Tree::of_first(&self.bytes, size) else {
            return Err(truncated(format!(
                "the log has {there} records, and had {size} when the checkpoint was signed"
            )));
        };
        if tree.root() != checkpoint.root {
            return Err(rewritten(format!("the first {size} records are not the ones that were signed")));
        }
        Ok(Vouched { size, key: by.key().id() })
    }
}

/// What was trusted when: a chain of roots with all the policies that are still there.
pub struct Archive {
    files: TrustFiles,
    pinned: Digest,
    newest: Trust,
}

impl Archive {
    /// Takes over a chain and what it came to.
    pub fn new(files: TrustFiles, pinned: Digest, newest: Trust) -> Self {
        Self { files, pinned, newest }
    }

    /// What was trusted at a time under a root of the chain.
    fn at(&self, root: u64, time: Timestamp) -> Result<Trust, Doubt> {
        if root > self.newest.root_version() {
            let there = self.newest.root_version();
            return Err(unverifiable(format!("root {root} is not in the trust directory, which ends with {there}")));
        }
        Trust::verify(&self.files.until(root), self.pinned, root, time)
            .map_err(|error| unverifiable(format!("root {root} cannot be used: {error}")))
    }

    /// Whether somebody holds the role that signs checkpoints.
    pub fn signs(&self) -> bool {
        self.newest.policy().roles.iter().any(|(role, people)| role.as_str() == RECORD_ROLE && !people.is_empty())
    }

    /// The keys whose checkpoints count: those that hold the role now, and those that held it under an earlier root when
    /// what they signed was written, unless they were revoked since.
    pub fn recorders(&self, now: Timestamp, written: Option<Timestamp>) -> BTreeSet<PublicKey> {
        let policy = self.newest.policy();
        let mut keys: BTreeSet<PublicKey> = policy.recorders(now).into_keys().copied().collect();
        let earlier = 1..self.newest.root_version();
        let then = earlier.filter_map(|root| self.at(root, written.unwrap_or(now)).ok());
        for trust in then {
            keys.extend(trust.policy().recorders(written.unwrap_or(now)).into_keys().copied());
        }
        keys.retain(|key| !policy.revoked.keys.contains(&key.id()));
        keys
    }
}

/// What comparing logs and a history came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// How many runs of the history have their intent and outcome.
    pub runs: usize,
    /// The runs that have an intent and no outcome: killed, or still going on.
    pub open: Vec<Label>,
    /// How many releases and permits verified.
    pub evidence: usize,
}

/// What the logs tell of a run.
#[derive(Default)]
struct Told<'l> {
    intent: Option<&'l Record>,
    outcome: Option<&'l Record>,
}

/// Compares logs with the history of one database, and judges the envelopes that it holds.
///
/// # Errors
/// [`Doubt`] of the first thing that does not fit.
pub fn compare(logs: &[Log], listing: &Listing, archive: &Archive) -> Result<Compared, Doubt> {
    let history = &listing.history;
    let mut compared = Compared::default();
    let mut told: BTreeMap<&Label, Told<'_>> = BTreeMap::new();
    let mut hosts: BTreeMap<&Label, Option<Timestamp>> = BTreeMap::new();
    for record in logs.iter().flat_map(|log| &log.records) {
        let run = told.entry(&record.run).or_default();
        match &record.note {
            Note::Intent { .. } if run.intent.is_none() => run.intent = Some(record),
            Note::Outcome { .. } if run.outcome.is_none() => run.outcome = Some(record),
            _ => return Err(rewritten(format!("run {} stands in the log twice", record.run))),
        }
        let last = hosts.entry(&record.host).or_default();
        *last = (*last).max(Some(record.at));
    }
    runs(history, &told, &hosts, &mut compared)?;
    lost(history, &told)?;
    compared.evidence = evidence(listing, archive)?;
    Ok(compared)
}

/// Every run of the history is told of as it was.
fn runs(
    history: &History,
    told: &BTreeMap<&Label, Told<'_>>,
    hosts: &BTreeMap<&Label, Option<Timestamp>>,
    compared: &mut Compared,
) -> Result<(), Doubt> {
    let mut events = history.events().chunk_by(|one, other| one.run == other.run).peekable();
    while let Some(chunk) = events.next() {
        let [first, ..] = chunk else { continue };
        let (run, host) = (&first.run, &first.host);
        let Some(intent) = told.get(run).and_then(|told| told.intent) else {
            let later = history.events().iter().skip(usize::try_from(first.seq).unwrap_or(usize::MAX));
            let goes_on = later.filter(|event| event.host == *host).any(|event| told.contains_key(&event.run));
            return Err(match hosts.get(host) {
                None => unverifiable(format!("run {run} was made on host `{host}`, whose log was not given")),
                Some(last) if goes_on || last.is_some_and(|last| last > first.at) => {
                    rewritten(format!("the log of `{host}` goes on, and says nothing of run {run}"))
                }
                Some(_) => truncated(format!("the log of `{host}` ends before run {run}")),
            });
        };
        let Note::Intent { head, under, .. } = &intent.note else { continue };
        if *head != first.previous {
            return Err(rewritten(format!("run {run} began at another point of the history than the log says")));
        }
        if chunk.iter().filter_map(|event| under_of(&event.event)).any(|other| other != under) {
            return Err(rewritten(format!("run {run} was made under another release than the log says")));
        }
        let outcome = told.get(run).and_then(|told| told.outcome).map(|record| &record.note);
        let Some(Note::Outcome { head, done, result, .. }) = outcome else {
            compared.open.push(run.clone());
            continue;
        };
        let reached = chunk.iter().position(|event| event.digest() == *head);
        match reached {
            // A commit may have gone through although the connection was lost before it was known.
            Some(index) if index + 1 == chunk.len() || *result != End::Done => compared.runs += 1,
            Some(_) => return Err(rewritten(format!("the history tells more of run {run} than the log"))),
            None if *head == first.previous && *result != End::Done => compared.runs += 1,
            None => {
                let scripts =
                    |event: &&Event| matches!(event.event, Happening::Applied { .. } | Happening::Reverted { .. });
                let whole = !done.is_empty() && chunk.iter().filter(scripts).count() >= done.len();
                let reason = format!("the history of run {run} does not end where the log says");
                let cut = !whole && events.peek().is_none();
                return Err(if cut { truncated(reason) } else { rewritten(reason) });
            }
        }
    }
    Ok(())
}

/// Nothing that the logs tell of this database is missing from its history.
fn lost(history: &History, told: &BTreeMap<&Label, Told<'_>>) -> Result<(), Doubt> {
    let mut ids: BTreeSet<&Label> = BTreeSet::new();
    let mut heads: BTreeSet<Digest> = [sealift_spec::history::genesis()].into();
    for event in history.events() {
        match &event.event {
            Happening::Bound { database, .. } | Happening::Rebound { database, .. } => {
                ids.insert(database);
            }
            _ => {}
        }
        heads.insert(event.digest());
    }
    let mut runs: Vec<_> = told.iter().filter_map(|(run, told)| Some((run, told.intent?, told.outcome?))).collect();
    runs.sort_by_key(|(_, intent, _)| (intent.at, intent.seq));
    for (run, intent, outcome) in runs {
        let (Note::Intent { database, head: before, .. }, Note::Outcome { head: after, result, .. }) =
            (&intent.note, &outcome.note)
        else {
            continue;
        };
        if ids.is_empty() && *result == End::Done {
            return Err(unverifiable("the history is empty, and the log tells of runs"));
        }
        if !ids.contains(database) || heads.contains(after) {
            continue;
        }
        let reason = format!("the log tells of run {run}, which the history lacks");
        let cut = *before == history.head() || !heads.contains(before);
        return Err(if cut { truncated(reason) } else { rewritten(reason) });
    }
    Ok(())
}

fn under_of(event: &Happening) -> Option<&Under> {
    match event {
        Happening::Bound { .. } | Happening::Progress { .. } => None,
        Happening::Rebound { under, .. }
        | Happening::Applied { under, .. }
        | Happening::Reverted { under, .. }
        | Happening::Started { under, .. }
        | Happening::Completed { under, .. } => Some(under),
    }
}

/// Every release and permit that the history names was signed by enough people, under the root it names, at that time.
fn evidence(listing: &Listing, archive: &Archive) -> Result<usize, Doubt> {
    let mut binding: Option<Binding> = None;
    let mut judged: BTreeSet<(Digest, u64)> = BTreeSet::new();
    let mut open: BTreeSet<(u64, Name)> = BTreeSet::new();
    for event in listing.history.events() {
        match &event.event {
            Happening::Bound { database, engine, environment, project, .. } => {
                let (database, environment) = (database.clone(), environment.clone());
                binding = Some(Binding { database, engine: *engine, environment, project: project.clone() });
            }
            Happening::Rebound { environment, .. } => {
                if let Some(binding) = &mut binding {
                    binding.environment = environment.clone();
                }
            }
            _ => {}
        }
        let (Some(under), Some(binding)) = (under_of(&event.event), &binding) else { continue };
        let (release, root) = (under.release, under.root);
        if judged.insert((release, root)) {
            let trust = archive.at(root, event.at)?;
            let envelope = stored(listing, release, "release")?;
            sufficient(&envelope, PredicateKind::Release, &trust, binding)?;
            let statement = Statement::<Release>::read(envelope.payload())
                .map_err(|error| rewritten(format!("release {} is none: {error}", release.short())))?;
            let Release { project, environments, sequence, .. } = &statement.predicate;
            if *project != binding.project
                || !environments.contains(&binding.environment)
                || *sequence != under.sequence
            {
                return Err(rewritten(format!("release {} is not the one that history describes", release.short())));
            }
        }
        match under.permit {
            Some(permit) if judged.insert((permit, root)) => {
                let trust = archive.at(root, event.at)?;
                let envelope = stored(listing, permit, "permit")?;
                sufficient(&envelope, PredicateKind::Permit, &trust, binding)?;
                let statement = Statement::<Permit>::read(envelope.payload())
                    .map_err(|error| rewritten(format!("permit {} is none: {error}", permit.short())))?;
                let about = matches!(statement.subjects.as_slice(),
                    [subject] if subject.name.as_str() == RELEASE_SUBJECT && subject.sha256 == release);
                let Permit { project, environment, .. } = &statement.predicate;
                if !about || *project != binding.project || *environment != binding.environment {
                    return Err(rewritten(format!("permit {} is not for what history describes", permit.short())));
                }
            }
            Some(_) => {}
            None if !open.insert((root, binding.environment.clone())) => {}
            None => {
                let rules = archive.at(root, event.at)?;
                if rules.policy().environments.get(&binding.environment).is_some_and(|rules| rules.protected) {
                    let reason = format!(
                        "environment `{}` is protected, and event {} names no permit",
                        binding.environment, event.seq
                    );
                    return Err(bad(reason));
                }
            }
        }
    }
    Ok(judged.len())
}

fn stored(listing: &Listing, digest: Digest, what: &str) -> Result<Envelope, Doubt> {
    let short = digest.short();
    let body = listing.evidence.get(&digest);
    let body = body.ok_or_else(|| unverifiable(format!("the envelope of {what} {short} is not beside the history")))?;
    let envelope = Envelope::read(body.as_bytes())
        .map_err(|error| rewritten(format!("the envelope of {what} {short} is none: {error}")))?;
    if envelope.digest() != digest {
        return Err(rewritten(format!("what lies beside the history as {what} {short} is another one")));
    }
    Ok(envelope)
}

/// Whether the signatures on an envelope suffice for what an environment asks of such statements.
fn sufficient(envelope: &Envelope, kind: PredicateKind, trust: &Trust, binding: &Binding) -> Result<(), Doubt> {
    let what = format!("{kind} {}", envelope.digest().short());
    let keys = trust.signers(kind);
    let signers = signature::verify_envelope(envelope, &keys);
    if let Some(id) = signers.unexplained.first() {
        let known = trust.policy().people.values().flat_map(|member| &member.keys).any(|key| key.id() == *id);
        return Err(if known {
            bad(format!("{what} was not signed by key {id}"))
        } else {
            unverifiable(format!("{what} is signed by key {id}, which root {} does not know", trust.root_version()))
        });
    }
    let environment = &binding.environment;
    let rules = trust.policy().environments.get(environment);
    let rules = rules
        .ok_or_else(|| unverifiable(format!("root {} knows no environment `{environment}`", trust.root_version())))?;
    let about = rules.require.iter().filter(|requirement| requirement.statement == kind);
    let signatures: Signatures<'_> = [(kind, signers.people.keys().collect())].into();
    requirement::satisfy(trust.policy(), about, &signatures).map_err(|short| bad(format!("{what}: {short}")))?;
    Ok(())
}
