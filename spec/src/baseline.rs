//! Which session settings a baseline has, and their defaults (`bundle.md` section 4.3).
//!
//! A baseline always states every setting of its flavour: what is not stated could differ between review and run. The
//! runner sets exactly these and reads them back; names outside the table are refused on both sides.

use std::collections::BTreeMap;

use crate::manifest::{Baseline, Flavour};

const POSTGRESQL: &[(&str, &str)] = &[
    ("DateStyle", "ISO, MDY"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("check_function_bodies", "on"),
    ("client_encoding", "UTF8"),
    ("search_path", "public"),
    ("standard_conforming_strings", "on"),
    ("transform_null_equals", "off"),
    ("xmloption", "content"),
];

// `sql_mode` as each vendor ships it; `NO_AUTO_CREATE_USER` exists on MariaDB only.
const MARIADB: &[(&str, &str)] = &[
    ("character_set", "utf8mb4"),
    ("collation", "utf8mb4_general_ci"),
    ("foreign_key_checks", "1"),
    ("sql_mode", "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_AUTO_CREATE_USER,NO_ENGINE_SUBSTITUTION"),
    ("time_zone", "+00:00"),
    ("unique_checks", "1"),
];

const MYSQL: &[(&str, &str)] = &[
    ("character_set", "utf8mb4"),
    ("collation", "utf8mb4_0900_ai_ci"),
    ("foreign_key_checks", "1"),
    (
        "sql_mode",
        "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION",
    ),
    ("time_zone", "+00:00"),
    ("unique_checks", "1"),
];

// `foreign_keys` is not here: it is signed unit by unit.
const SQLITE: &[(&str, &str)] =
    &[("defer_foreign_keys", "0"), ("legacy_alter_table", "0"), ("recursive_triggers", "0"), ("trusted_schema", "1")];

fn table(flavour: Flavour) -> &'static [(&'static str, &'static str)] {
    match flavour {
        Flavour::Postgresql => POSTGRESQL,
        Flavour::Mariadb => MARIADB,
        Flavour::Mysql => MYSQL,
        Flavour::Sqlite => SQLITE,
    }
}

/// Every setting of a flavour with its default.
pub fn defaults(flavour: Flavour) -> BTreeMap<String, String> {
    table(flavour).iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Whether a baseline states exactly the settings of a flavour, each with a plain value.
pub fn is_complete(baseline: &Baseline, flavour: Flavour) -> bool {
    let names = table(flavour).iter().map(|(name, _)| *name);
    let plain = |value: &String| value.len() <= 1000 && value.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'\\');
    baseline.0.keys().map(String::as_str).eq(names) && baseline.0.values().all(plain)
}
