//! What a PostgreSQL statement does, by its leading keywords: its kind, the lock it takes, how to find out whether it ran.
//!
//! The grammar has accepted the statement before any of this is asked. What code inside functions does is not followed.

use sealift_spec::manifest::{Expect, Kind, Object};

use crate::split::clause::Clause;
use crate::split::{Draft, Part, SplitError};

const TEMPORARY: &str = "a temporary table";

/// State that lives in the session and cannot be made again from the script's settings alone.
pub(super) fn volatile(mut clause: Clause<'_>) -> Option<&'static str> {
    if clause.at_any(&["PREPARE", "EXECUTE", "DEALLOCATE"]) {
        return Some("a prepared statement");
    }
    if clause.eat("CREATE") {
        clause.eat_all(&["GLOBAL", "LOCAL", "OR REPLACE"]);
        return clause.at_any(&["TEMP", "TEMPORARY"]).then_some(TEMPORARY);
    }
    if clause.at_any(&["SELECT", "WITH", "VALUES", "TABLE"]) {
        let temporary = clause.has_pair("INTO", "TEMP") || clause.has_pair("INTO", "TEMPORARY");
        return temporary.then_some(TEMPORARY);
    }
    None
}

/// Why a statement cannot run in a transaction, if so (the server refuses it there).
pub(super) fn alone(mut clause: Clause<'_>) -> Option<&'static str> {
    if clause.at("VACUUM") {
        return Some("VACUUM");
    }
    if clause.eat("CREATE") {
        clause.eat("UNIQUE");
        return if clause.eat("INDEX CONCURRENTLY") {
            Some("CREATE INDEX CONCURRENTLY")
        } else if clause.at("DATABASE") {
            Some("CREATE DATABASE")
        } else if clause.at("TABLESPACE") {
            Some("CREATE TABLESPACE")
        } else {
            clause.at("SUBSCRIPTION").then_some("CREATE SUBSCRIPTION")
        };
    }
    if clause.eat("DROP") {
        return if clause.at("INDEX CONCURRENTLY") {
            Some("DROP INDEX CONCURRENTLY")
        } else if clause.at("DATABASE") {
            Some("DROP DATABASE")
        } else if clause.at("TABLESPACE") {
            Some("DROP TABLESPACE")
        } else {
            clause.at("SUBSCRIPTION").then_some("DROP SUBSCRIPTION")
        };
    }
    if clause.eat("REINDEX") {
        let concurrently = clause.tokens().iter().any(|token| clause.of(*token).eq_ignore_ascii_case("CONCURRENTLY"));
        clause.eat_list();
        return if concurrently {
            Some("REINDEX CONCURRENTLY")
        } else {
            clause.at_any(&["SCHEMA", "DATABASE", "SYSTEM"]).then_some("REINDEX of more than one table")
        };
    }
    if clause.eat("CLUSTER") {
        clause.eat_list();
        clause.eat("VERBOSE");
        return clause.done().then_some("CLUSTER without a table");
    }
    if clause.at("ALTER SYSTEM") {
        return Some("ALTER SYSTEM");
    }
    if clause.at("ALTER DATABASE") {
        return clause.has_pair("SET", "TABLESPACE").then_some("ALTER DATABASE .. SET TABLESPACE");
    }
    if clause.at("ALTER SUBSCRIPTION") {
        return (clause.has("REFRESH") || clause.has("PUBLICATION")).then_some("ALTER SUBSCRIPTION .. PUBLICATION");
    }
    let detaches = clause.at("ALTER TABLE") && clause.has_pair("DETACH", "PARTITION") && clause.has("CONCURRENTLY");
    detaches.then_some("DETACH PARTITION CONCURRENTLY")
}

pub(super) fn kind(mut clause: Clause<'_>) -> Kind {
    const DML: [&str; 18] = [
        "SELECT", "WITH", "VALUES", "TABLE", "INSERT", "UPDATE", "DELETE", "MERGE", "COPY", "TRUNCATE", "EXPLAIN",
        "LOCK", "DECLARE", "FETCH", "MOVE", "CLOSE", "SHOW", "NOTIFY",
    ];
    if clause.at_any(&["SET", "RESET", "LISTEN", "UNLISTEN", "LOAD"]) || sets_config(clause) {
        Kind::Session
    } else if clause.at_any(&["DO", "CALL", "EXECUTE", "PREPARE", "DEALLOCATE", "CHECKPOINT"]) {
        Kind::Opaque
    } else if clause.at_mark(b'(') || clause.at_any(&DML) {
        if clause.eat("SELECT") && clause.has("INTO") { Kind::Ddl } else { Kind::Dml }
    } else {
        Kind::Ddl
    }
}

/// `SELECT set_config('..', '..', false)` with nothing but literals, the way `pg_dump` clears the search path.
fn sets_config(mut clause: Clause<'_>) -> bool {
    if !clause.eat("SELECT") {
        return false;
    }
    if clause.eat("pg_catalog") {
        clause.eat_mark(b'.');
    }
    clause.eat("set_config")
        && clause.eat_mark(b'(')
        && clause.literal().is_some()
        && clause.eat_mark(b',')
        && clause.literal().is_some()
        && clause.eat_mark(b',')
        && (clause.eat("false") || clause.eat("true"))
        && clause.eat_mark(b')')
        && clause.done()
}

const ACCESS_EXCLUSIVE: &str = "access exclusive";
const EXCLUSIVE: &str = "exclusive";
const SHARE_ROW_EXCLUSIVE: &str = "share row exclusive";
const SHARE: &str = "share";
const SHARE_UPDATE_EXCLUSIVE: &str = "share update exclusive";
const ROW_EXCLUSIVE: &str = "row exclusive";

/// The strongest lock on a table that existed before, by the manual's table of explicit locking.
pub(super) fn lock(mut clause: Clause<'_>) -> Option<&'static str> {
    let concurrently = clause.has("CONCURRENTLY");
    let gentle = |otherwise| Some(if concurrently { SHARE_UPDATE_EXCLUSIVE } else { otherwise });
    if clause.at_any(&["INSERT", "UPDATE", "DELETE", "MERGE"]) {
        return Some(ROW_EXCLUSIVE);
    }
    if clause.at("TRUNCATE") || clause.at("CLUSTER") {
        return Some(ACCESS_EXCLUSIVE);
    }
    if clause.eat("VACUUM") {
        let full = clause.tokens().iter().any(|token| clause.of(*token).eq_ignore_ascii_case("FULL"));
        return Some(if full { ACCESS_EXCLUSIVE } else { SHARE_UPDATE_EXCLUSIVE });
    }
    if clause.at("ANALYZE") {
        return Some(SHARE_UPDATE_EXCLUSIVE);
    }
    if clause.eat("REINDEX") {
        let within = clause.tokens().iter().any(|token| clause.of(*token).eq_ignore_ascii_case("CONCURRENTLY"));
        return Some(if within { SHARE_UPDATE_EXCLUSIVE } else { ACCESS_EXCLUSIVE });
    }
    if clause.at("REFRESH MATERIALIZED VIEW") {
        return Some(if concurrently { EXCLUSIVE } else { ACCESS_EXCLUSIVE });
    }
    if clause.eat("CREATE") {
        let replace = clause.eat("OR REPLACE");
        clause.eat_all(&["UNIQUE", "CONSTRAINT"]);
        return if clause.at("INDEX") {
            gentle(SHARE)
        } else if clause.at("TRIGGER") {
            Some(SHARE_ROW_EXCLUSIVE)
        } else if clause.at("STATISTICS") {
            Some(SHARE_UPDATE_EXCLUSIVE)
        } else if clause.at_any(&["POLICY", "RULE"]) || (replace && clause.has("VIEW")) {
            Some(ACCESS_EXCLUSIVE)
        } else {
            None
        };
    }
    if clause.eat("DROP") {
        return match clause.at("INDEX") {
            true => gentle(ACCESS_EXCLUSIVE),
            false => clause
                .at_any(&["TABLE", "VIEW", "MATERIALIZED", "TRIGGER", "POLICY", "RULE", "SEQUENCE"])
                .then_some(ACCESS_EXCLUSIVE),
        };
    }
    if clause.eat("ALTER TABLE") {
        alter_target(&mut clause)?;
        let actions = clause.parts();
        let strength = [SHARE_UPDATE_EXCLUSIVE, SHARE_ROW_EXCLUSIVE, ACCESS_EXCLUSIVE];
        let found = actions.into_iter().map(action_lock);
        return found.max_by_key(|lock| strength.iter().position(|known| known == lock));
    }
    None
}

/// Goes past the name of an altered table.
fn alter_target(clause: &mut Clause<'_>) -> Option<Vec<String>> {
    clause.eat("IF EXISTS");
    clause.eat("ONLY");
    let name = clause.name();
    clause.eat_mark(b'*');
    name
}

fn action_lock(action: Clause<'_>) -> &'static str {
    let column = action.at("ALTER") && (action.has("STATISTICS") || action.has("N_DISTINCT"));
    let constraint = action.at("ADD") && action.has_pair("FOREIGN", "KEY");
    if action.at("VALIDATE CONSTRAINT")
        || action.at("ATTACH PARTITION")
        || action.at("CLUSTER ON")
        || action.at("SET WITHOUT CLUSTER")
        || (action.at("DETACH PARTITION") && action.has("CONCURRENTLY"))
        || column
    {
        SHARE_UPDATE_EXCLUSIVE
    } else if constraint || (action.at_any(&["ENABLE", "DISABLE"]) && action.has("TRIGGER")) {
        SHARE_ROW_EXCLUSIVE
    } else {
        ACCESS_EXCLUSIVE
    }
}

/// What to look up after a crash, where presence alone tells. `IF [NOT] EXISTS` and `OR REPLACE` prove nothing.
pub(super) fn probe(draft: &mut Draft<'_>, mut clause: Clause<'_>, part: &mut Part) -> Result<(), SplitError> {
    let at = clause.offset();
    if clause.eat("CREATE") {
        clause.eat("UNIQUE");
        if clause.eat("INDEX") {
            let concurrently = clause.eat("CONCURRENTLY");
            let conditional = clause.eat("IF NOT EXISTS");
            if concurrently && clause.at("ON") {
                return Err(SplitError::UnnamedIndex { line: draft.line(at) });
            }
            if clause.at("ON") || (conditional && !concurrently) {
                return Ok(());
            }
            let expect = if concurrently { Expect::Valid } else { Expect::Present };
            part.probe = clause.probe(expect, Object::Index);
            part.probe = part.probe.take().and_then(|probe| clause.on_table(probe));
            return Ok(());
        }
        clause.eat_all(&["UNLOGGED", "RECURSIVE", "MATERIALIZED", "CONSTRAINT"]);
        if clause.eat("TABLE") && !clause.at("IF NOT EXISTS") {
            part.probe = clause.probe(Expect::Present, Object::Table);
        } else if clause.eat("VIEW") && !clause.at("IF NOT EXISTS") {
            part.probe = clause.probe(Expect::Present, Object::View);
        } else if clause.eat("TRIGGER") {
            part.probe = clause.probe(Expect::Present, Object::Trigger);
            while !clause.at("ON") && clause.skip().is_some() {}
            part.probe = part.probe.take().and_then(|probe| clause.on_table(probe));
        }
        return Ok(());
    }
    if clause.eat("DROP") {
        clause.eat("MATERIALIZED");
        let object = if clause.eat("TABLE") {
            Object::Table
        } else if clause.eat("VIEW") {
            Object::View
        } else if clause.eat("INDEX") {
            clause.eat("CONCURRENTLY");
            Object::Index
        } else if clause.eat("TRIGGER") {
            Object::Trigger
        } else {
            return Ok(());
        };
        if !clause.at("IF EXISTS") {
            part.probe = clause.probe(Expect::Absent, object);
            if object == Object::Trigger {
                part.probe = part.probe.take().and_then(|probe| clause.on_table(probe));
            }
            clause.eat_all(&["CASCADE", "RESTRICT"]);
            part.probe = part.probe.take().filter(|_| clause.done());
        }
        return Ok(());
    }
    if clause.eat("ALTER TABLE") && !clause.at("IF EXISTS") {
        let Some(table) = alter_target(&mut clause) else { return Ok(()) };
        part.probe = clause.column_probe(table);
    }
    Ok(())
}
