//! The native format: `<version>_<name>.up.sql` with `<version>_<name>.down.sql` beside it, or `<version>_<name>.sql`.
//!
//! golang-migrate (`source/parse.go`: `^([0-9]+)_(.*)\.(down|up)\.(.*)$`) and sqlx (`<version>_<name>[.up|.down].sql`)
//! directories are this already. Differences: versions are compared as numbers of any length (golang-migrate stops at 64 bits); a
//! leading `V` and `.` or `-` after the version are understood; whatever else ends in `.sql` is an error (both tools pass it by).

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::Path;

use sealift_spec::name::{Label, UnitId};

use super::{Migration, MigrationSet, SourceError, SourceFile};

/// A version: digits, compared by value.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version(String);

impl Version {
    fn significant(&self) -> &str {
        self.0.trim_start_matches('0')
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (self.significant(), other.significant());
        a.len().cmp(&b.len()).then_with(|| a.cmp(b))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Up,
    Down,
}

/// Takes a file name apart, or says what is wrong with it.
fn parse(name: &str) -> Result<(Version, String, Role), &'static str> {
    let stem = name.strip_suffix(".sql").ok_or("it does not end in `.sql`")?;
    let (stem, role) =
        match stem.strip_suffix(".up").map(|s| (s, Role::Up)).or(stem.strip_suffix(".down").map(|s| (s, Role::Down))) {
            Some((stem, role)) => (stem, role),
            None => (stem, Role::Up),
        };
    for suffix in [".pre", ".check"] {
        if stem.ends_with(suffix) {
            return Err("`.pre.sql` and `.check.sql` scripts are not supported yet");
        }
    }
    if stem.ends_with('.') {
        return Err("there are two dots before its ending");
    }
    let stem = stem.strip_prefix(['V', 'v']).unwrap_or(stem);
    let digits = stem.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return Err("it does not start with a version number");
    }
    let (version, rest) = stem.split_at(digits);
    let title = match rest.strip_prefix(['_', '.', '-']) {
        Some(title) => title.trim_start_matches('_'),
        None if rest.is_empty() => "",
        None => return Err("its version is not followed by `_`"),
    };
    if version.trim_start_matches('0').is_empty() && digits > 18 {
        return Err("its version is nothing but zeros");
    }
    let title = title.replace('_', " ");
    let title = if title.trim().is_empty() { "unnamed".to_owned() } else { title.trim().to_owned() };
    Ok((Version(version.to_owned()), title, role))
}

/// Reads a native directory.
///
/// # Errors
/// [`SourceError`].
pub fn read(folder: &Path) -> Result<MigrationSet, SourceError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| SourceError::Io { path, source }
    };
    let mut files: BTreeMap<Version, (Label, Option<SourceFile>, Option<SourceFile>)> = BTreeMap::new();
    let mut ignored = Vec::new();
    let mut entries: Vec<_> =
        std::fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(io(folder))?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let error = |reason| SourceError::Name { path: path.clone(), reason };
        let file_name = entry.file_name();
        let name = file_name.to_str().ok_or_else(|| error("it is not UTF-8"))?;
        // Of the entry itself: links are not followed.
        let kind = entry.file_type().map_err(io(&path))?;
        if name.starts_with('.') || !name.to_ascii_lowercase().ends_with(".sql") {
            ignored.push(name.to_owned());
            continue;
        }
        if kind.is_symlink() {
            return Err(SourceError::Link { path });
        }
        if !kind.is_file() {
            ignored.push(name.to_owned());
            continue;
        }
        let (version, title, role) = parse(name).map_err(error)?;
        let label: Label = name.parse().map_err(|_| error("its name is not 1 to 200 printable ASCII characters"))?;
        let title: Label = title.parse().map_err(|_| error("its name is not 1 to 200 printable ASCII characters"))?;
        let sql = std::fs::read(&path).map_err(io(&path))?;
        let file = SourceFile { name: label, sql };
        let slot = files.entry(version.clone()).or_insert((title, None, None));
        let place = if role == Role::Up { &mut slot.1 } else { &mut slot.2 };
        if let Some(first) = place {
            let first = folder.join(first.name.as_str());
            return Err(SourceError::Duplicate { version: version.0, first, second: path });
        }
        *place = Some(file);
    }
    let mut migrations = Vec::new();
    for (_, (name, up, down)) in files {
        let up = match (up, &down) {
            (Some(up), _) => up,
            (None, Some(down)) => return Err(SourceError::Orphan { path: folder.join(down.name.as_str()) }),
            (None, None) => continue,
        };
        // The version as the up script writes it: `0007` stays `0007`.
        let path = folder.join(up.name.as_str());
        let written = up.name.as_str().trim_start_matches(['V', 'v']);
        let digits = written.bytes().take_while(u8::is_ascii_digit).count();
        let id: UnitId = written[..digits]
            .parse()
            .map_err(|_| SourceError::Name { path, reason: "its version has more than 128 digits" })?;
        migrations.push(Migration { id, name, up, down });
    }
    let format = match "native".parse() {
        Ok(name) => name,
        Err(error) => unreachable!("{error}"),
    };
    Ok(MigrationSet { format, migrations, ignored })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        for (name, version, title, role) in [
            ("0001_create_users.up.sql", "0001", "create users", Role::Up),
            ("0001_create_users.down.sql", "0001", "create users", Role::Down),
            ("20240131120000_x.sql", "20240131120000", "x", Role::Up),
            ("V0001.Initial_Schema.up.sql", "0001", "Initial Schema", Role::Up),
            ("1__two.sql", "1", "two", Role::Up),
            ("7.up.sql", "7", "unnamed", Role::Up),
        ] {
            assert_eq!(parse(name), Ok((Version(version.to_owned()), title.to_owned(), role)), "{name}");
        }
        for name in ["users.sql", "1a.sql", "1_x.up..sql", "1_x.check.sql", "data_oauth.sql", "_1.sql"] {
            assert!(parse(name).is_err(), "{name}");
        }
    }

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            std::fs::write(folder.path().join(file), format!("-- {file}\n")).unwrap();
        }
        folder
    }

    #[test]
    fn versions_are_numbers_of_any_length() {
        let files = ["10_b.up.sql", "9_a.up.sql", "00010000000000000000000000_c.sql", "README.md", ".hidden.sql"];
        let set = read(folder(&files).path()).unwrap();
        let ids: Vec<_> = set.migrations.iter().map(|m| m.id.as_str()).collect();
        assert_eq!(ids, ["9", "10", "00010000000000000000000000"]);
        assert_eq!(set.ignored, [".hidden.sql", "README.md"]);
    }

    #[test]
    fn a_link_is_refused_and_what_it_leads_to_is_not_read() {
        let folder = folder(&["1_a.up.sql"]);
        let elsewhere = tempfile::NamedTempFile::new().unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), folder.path().join("notes")).unwrap();
        assert_eq!(read(folder.path()).unwrap().ignored, ["notes"]);
        for target in [elsewhere.path(), Path::new("/nowhere")] {
            let link = folder.path().join("2_b.up.sql");
            std::os::unix::fs::symlink(target, &link).unwrap();
            let error = read(folder.path()).unwrap_err();
            assert!(matches!(&error, SourceError::Link { path } if *path == link), "{error}");
            assert!(error.to_string().ends_with("2_b.up.sql` is a link"), "{error}");
            std::fs::remove_file(link).unwrap();
        }
    }

    #[test]
    fn what_a_file_name_holds_cannot_steer_the_terminal() {
        for file in ["1_\u{1b}[2K.up.sql", "x\u{1b}[2K.sql", "1_\u{202e}.down.sql"] {
            let error = read(folder(&[file]).path()).unwrap_err();
            let said = format!("{error} {}", error.hint().unwrap_or_default());
            assert!(!said.contains(['\u{1b}', '\u{202e}']), "{said:?}");
            assert!(said.contains("\\u{"), "{said}");
        }
    }

    #[test]
    fn what_is_ambiguous_is_refused() {
        for (files, expected) in [
            (&["1_a.up.sql", "01_b.up.sql"][..], "version 1 appears twice"),
            (&["1_a.up.sql", "1_a.sql"], "version 1 appears twice"),
            (&["2_a.down.sql"], "reverts a migration that is not there"),
            (&["1_a.sql", "notes.sql"], "is not named like a migration"),
        ] {
            let error = read(folder(files).path()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
