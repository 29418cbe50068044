//! Questions to the system catalog. All of them only read.

use sealift_spec::manifest::{Object, Probe};

use super::batch::{identifier, literal};

/// Facts about server and session.
pub(super) const FACTS: &str = "SELECT pg_catalog.current_setting('server_version'), pg_catalog.pg_is_in_recovery(), \
     pg_catalog.current_setting('default_transaction_read_only'), pg_catalog.pg_backend_pid()";

/// Owners of the history who are neither the account that logged in, nor the database's owner, nor a superuser.
pub(super) const STRANGERS: &str = "SELECT o.name, r.rolname FROM ( \
       SELECT nspname::text AS name, nspowner AS owner FROM pg_catalog.pg_namespace WHERE nspname = 'sealift' \
       UNION ALL \
       SELECT 'sealift.' || c.relname, c.relowner FROM pg_catalog.pg_class c \
       JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
       WHERE n.nspname = 'sealift' AND c.relname IN ('history', 'evidence') \
     ) o JOIN pg_catalog.pg_roles r ON r.oid = o.owner \
     WHERE NOT r.rolsuper AND r.rolname <> session_user \
     AND r.oid <> (SELECT datdba FROM pg_catalog.pg_database WHERE datname = current_database())";

/// All rows, oldest first.
pub(super) const HISTORY: &str = "SELECT seq, body, sha256 FROM sealift.history ORDER BY seq";

/// The envelopes.
pub(super) const EVIDENCE: &str = "SELECT sha256, body FROM sealift.evidence ORDER BY sha256";

/// The history tables.
pub(super) const TABLES: [&str; 3] = [
    "CREATE SCHEMA IF NOT EXISTS sealift",
    "CREATE TABLE IF NOT EXISTS sealift.history (seq bigint PRIMARY KEY, body text NOT NULL, sha256 text NOT NULL)",
    "CREATE TABLE IF NOT EXISTS sealift.evidence (sha256 text PRIMARY KEY, body text NOT NULL)",
];

/// Whether there is any object of a user. Extensions and what belongs to them do not count.
pub(super) const OBJECTS: &str = "WITH ours AS ( \
       SELECT oid FROM pg_catalog.pg_namespace \
       WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'sealift') \
     ), extension AS ( \
       SELECT classid, objid FROM pg_catalog.pg_depend WHERE deptype = 'e' \
     ) SELECT \
       EXISTS (SELECT FROM pg_catalog.pg_class o WHERE relnamespace IN (SELECT oid FROM ours) \
         AND NOT EXISTS (SELECT FROM extension WHERE classid = 'pg_catalog.pg_class'::regclass AND objid = o.oid)) \
       OR EXISTS (SELECT FROM pg_catalog.pg_proc o WHERE pronamespace IN (SELECT oid FROM ours) \
         AND NOT EXISTS (SELECT FROM extension WHERE classid = 'pg_catalog.pg_proc'::regclass AND objid = o.oid)) \
       OR EXISTS (SELECT FROM pg_catalog.pg_type o WHERE typnamespace IN (SELECT oid FROM ours) \
         AND typtype IN ('e', 'd', 'r') \
         AND NOT EXISTS (SELECT FROM extension WHERE classid = 'pg_catalog.pg_type'::regclass AND objid = o.oid))";

/// Who holds an advisory lock.
pub(super) fn holder(key: i64) -> String {
    let (high, low) = ((key as u64) >> 32, key as u64 & 0xffff_ffff);
    format!(
        "SELECT l.pid, a.application_name, a.client_addr, a.usename, \
         to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC' \
         FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
         WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.classid = '{high}' AND l.objid = '{low}' \
         AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()) LIMIT 1"
    )
}

/// A name of one to three parts as text that `to_regclass` reads. A third part in front is the database, which is this one.
fn name(parts: &[String]) -> String {
    let parts = &parts[parts.len().saturating_sub(2)..];
    literal(&parts.iter().map(|part| identifier(part)).collect::<Vec<_>>().join("."))
}

/// Finds what a probe names by the session's own search path: the number of the object, or of the table it belongs to.
/// Nothing but a function of the system catalog is looked up by name here. `None` for what names alone do not identify.
pub(super) fn resolve(probe: &Probe) -> Option<String> {
    let parts = match probe.object {
        Object::Table | Object::View => &probe.name,
        Object::Index if probe.name.len() > 1 || probe.table.is_empty() => &probe.name,
        Object::Index | Object::Column | Object::Trigger => &probe.table,
        Object::Routine => return None,
    };
    let name = name(parts);
    Some(format!("SELECT pg_catalog.to_regclass({name})::pg_catalog.oid"))
}

/// Looks at what [`resolve`] found, with names of the system catalog only: `present`, `absent`, `invalid` or `building`.
pub(super) fn look(probe: &Probe, oid: u32) -> String {
    let last = probe.name.last().map_or("", String::as_str);
    let named = literal(last);
    let exists = |query: String| format!("SELECT CASE WHEN EXISTS ({query}) THEN 'present' ELSE 'absent' END");
    match probe.object {
        Object::Table => {
            exists(format!("SELECT FROM pg_catalog.pg_class WHERE oid = '{oid}' AND relkind IN ('r', 'p', 'f')"))
        }
        Object::View | Object::Routine => {
            exists(format!("SELECT FROM pg_catalog.pg_class WHERE oid = '{oid}' AND relkind IN ('v', 'm')"))
        }
        Object::Column => exists(format!(
            "SELECT FROM pg_catalog.pg_attribute WHERE attrelid = '{oid}' AND attname = {named} AND NOT attisdropped"
        )),
        Object::Trigger => exists(format!(
            "SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = '{oid}' AND tgname = {named} AND NOT tgisinternal"
        )),
        Object::Index => {
            // An index without a schema lies where its table does.
            let which = if probe.name.len() > 1 || probe.table.is_empty() {
                format!("c.oid = '{oid}'")
            } else {
                format!(
                    "c.relname = {named} AND c.relnamespace = \
                     (SELECT relnamespace FROM pg_catalog.pg_class WHERE oid = '{oid}')"
                )
            };
            format!(
                "SELECT coalesce((SELECT CASE WHEN i.indisvalid THEN 'present' \
                 WHEN EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.locktype = 'relation' AND l.granted \
                 AND l.relation = i.indrelid AND l.mode = 'ShareUpdateExclusiveLock' AND l.pid <> pg_backend_pid() \
                 AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())) \
                 THEN 'building' ELSE 'invalid' END \
                 FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid WHERE {which}), 'absent')"
            )
        }
    }
}
