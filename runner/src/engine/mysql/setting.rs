//! The settings of a baseline: how each is set and read back.

use sealift_spec::baseline::defaults;
use sealift_spec::manifest::{Baseline, Flavour};

use super::session::Texts;
use crate::engine::EngineError;

/// What a session says of its settings.
pub(super) const READ_BACK: &str = "SELECT @@session.character_set_client, @@session.character_set_connection, \
     @@session.character_set_results, @@session.collation_connection, @@session.foreign_key_checks, \
     @@session.unique_checks, @@session.sql_mode, @@session.time_zone";

/// Which columns of [`READ_BACK`] a setting must be found in.
const COLUMNS: [(&str, &[usize]); 6] = [
    ("character_set", &[0, 1, 2]),
    ("collation", &[3]),
    ("foreign_key_checks", &[4]),
    ("sql_mode", &[6]),
    ("time_zone", &[7]),
    ("unique_checks", &[5]),
];

/// A string for the server, whatever its `sql_mode`.
fn quoted(name: &str, value: &str) -> Result<String, EngineError> {
    if value.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'\\') {
        return Ok(format!("'{}'", value.replace('\'', "''")));
    }
    Err(EngineError::Setting { name: name.to_owned(), expected: value.to_owned(), found: "left alone".to_owned() })
}

/// The statements that put a session on a baseline.
///
/// # Errors
/// [`EngineError::UnknownSetting`], before anything is set.
pub(super) fn assign(baseline: &Baseline) -> Result<String, EngineError> {
    // Both flavours have the same settings.
    let known = defaults(Flavour::Mariadb);
    if let Some(name) = baseline.0.keys().find(|name| !known.contains_key(*name)) {
        return Err(EngineError::UnknownSetting { name: name.clone() });
    }
    let mut names = String::new();
    let mut values = Vec::new();
    for (name, value) in &baseline.0 {
        let value = quoted(name, value)?;
        match name.as_str() {
            "character_set" => names.insert_str(0, &format!("SET NAMES {value}")),
            "collation" => names.push_str(&format!(" COLLATE {value}")),
            "foreign_key_checks" | "unique_checks" => values.push(format!("SESSION {name} = IF({value} = '1', 1, 0)")),
            _ => values.push(format!("SESSION {name} = {value}")),
        }
    }
    let values = if values.is_empty() { String::new() } else { format!("SET {}", values.join(", ")) };
    Ok([names, values].into_iter().filter(|sql| !sql.is_empty()).collect::<Vec<_>>().join("; "))
}

/// Modes in no order, and without regard to case.
fn modes(text: &str) -> Vec<String> {
    let mut modes: Vec<_> = text.split(',').map(|mode| mode.trim().to_ascii_uppercase()).collect();
    modes.retain(|mode| !mode.is_empty());
    modes.sort();
    modes.dedup();
    modes
}

/// Compares a baseline with what was read back.
///
/// # Errors
/// [`EngineError::Setting`] for the first setting that is something else.
pub(super) fn compare(baseline: &Baseline, row: &Texts) -> Result<(), EngineError> {
    for (name, columns) in COLUMNS {
        let Some(expected) = baseline.0.get(name) else { continue };
        for column in columns {
            let found = row.get(*column).cloned().flatten().unwrap_or_default();
            let same = match name {
                "sql_mode" => modes(expected) == modes(&found),
                _ => expected.eq_ignore_ascii_case(&found),
            };
            if !same {
                let (name, expected) = (name.to_owned(), expected.clone());
                return Err(EngineError::Setting { name, expected, found });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> Baseline {
        let mut baseline = Baseline(defaults(Flavour::Mariadb));
        baseline.0.insert(name.to_owned(), value.to_owned());
        baseline
    }

    #[test]
    fn every_setting_is_set_and_read_back() {
        let columns: Vec<_> = COLUMNS.iter().map(|(name, _)| (*name).to_owned()).collect();
        for flavour in [Flavour::Mariadb, Flavour::Mysql] {
            assert_eq!(defaults(flavour).into_keys().collect::<Vec<_>>(), columns);
        }
        let sql = assign(&with("sql_mode", "")).unwrap();
        assert_eq!(
            sql,
            "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_general_ci'; SET SESSION foreign_key_checks = IF('1' = '1', 1, 0), \
             SESSION sql_mode = '', SESSION time_zone = '+00:00', SESSION unique_checks = IF('1' = '1', 1, 0)"
        );
    }

    #[test]
    fn only_settings_of_the_list_are_taken() {
        let unknown = assign(&with("sql_log_bin", "0"));
        assert!(matches!(unknown, Err(EngineError::UnknownSetting { name }) if name == "sql_log_bin"));
        assert!(matches!(assign(&with("time_zone", "\\'")), Err(EngineError::Setting { .. })));
        assert!(assign(&with("time_zone", "'; DROP TABLE t -- ")).unwrap().contains("'''; DROP TABLE t -- '"));
    }

    #[test]
    fn a_difference_is_named() {
        let baseline = with("sql_mode", "b,A");
        let row = |mode: &str, checks: &str| {
            ["utf8mb4", "utf8mb4", "utf8mb4", "utf8mb4_general_ci", checks, "1", mode, "+00:00"]
                .map(|cell| Some(cell.to_owned()))
                .to_vec()
        };
        compare(&baseline, &row("A,B", "1")).unwrap();
        let named = |row| match compare(&baseline, &row) {
            Err(EngineError::Setting { name, .. }) => name,
            other => panic!("{other:?}"),
        };
        assert_eq!(named(row("A", "1")), "sql_mode");
        assert_eq!(named(row("A,B", "0")), "foreign_key_checks");
    }
}
