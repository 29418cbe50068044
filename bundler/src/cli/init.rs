//! `sealift-bundler init`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use sealift_spec::manifest::Flavour;
use sealift_spec::name::Name;
use sealift_verifier::file;
use sealift_verifier::report::{Exit, Failure, Process};
use serde_json::json;

use crate::project;

#[derive(Args)]
pub(super) struct Init {
    /// The database program the SQL is written for
    #[arg(long)]
    engine: EngineName,
    /// The project's name; the folder's name where none is given
    #[arg(long)]
    project: Option<Name>,
}

#[derive(Clone, Copy, ValueEnum)]
enum EngineName {
    Postgresql,
    Mariadb,
    Mysql,
    Sqlite,
}

impl From<EngineName> for Flavour {
    fn from(name: EngineName) -> Self {
        match name {
            EngineName::Postgresql => Self::Postgresql,
            EngineName::Mariadb => Self::Mariadb,
            EngineName::Mysql => Self::Mysql,
            EngineName::Sqlite => Self::Sqlite,
        }
    }
}

const UP: &str = "\
-- What this migration does and why, for whoever reviews it.
-- Directives go here, one comment line each:
--   -- sealift: author=a@example.com
--   -- sealift: no-transaction          (for statements that cannot run in one)

CREATE TABLE customer (
    id INTEGER NOT NULL PRIMARY KEY,
    name VARCHAR(200) NOT NULL
);
";
const DOWN: &str = "\
-- The way back: what has to run so that the database is as it was before.

DROP TABLE customer;
";

pub(super) fn run(arguments: &Init, folder: &Path, process: &mut Process<'_>) -> Result<Exit, Failure> {
    let failed = |path: &Path, error: std::io::Error| {
        Failure::new(Exit::Unknown, error).context(format!("cannot write `{}`", path.display()))
    };
    let name = match &arguments.project {
        Some(name) => name.clone(),
        None => {
            let real = std::fs::canonicalize(folder).map_err(|error| failed(folder, error))?;
            let name = real.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
            name.parse().map_err(|error| Failure::new(Exit::Unknown, error).hint("name the project with --project"))?
        }
    };
    let settings = folder.join(project::FILE);
    let text = project::template(&name, arguments.engine.into());
    let mut written: Vec<PathBuf> = Vec::new();
    file::write(&settings, text.as_bytes(), 0o644, false).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            let text = format!("`{}` exists already; nothing was changed", settings.display());
            Failure::new(Exit::No, text).hint("edit it, or remove it first")
        }
        _ => failed(&settings, error),
    })?;
    written.push(settings);
    let migrations = folder.join("migrations");
    let present = std::fs::read_dir(&migrations).is_ok_and(|mut entries| entries.next().is_some());
    if present {
        process.note(format_args!("note: `{}` has files already; they are left as they are", migrations.display()));
    } else {
        std::fs::create_dir_all(&migrations).map_err(|error| failed(&migrations, error))?;
        for (name, text) in [("0001_create_customer.up.sql", UP), ("0001_create_customer.down.sql", DOWN)] {
            let path = migrations.join(name);
            file::write(&path, text.as_bytes(), 0o644, false).map_err(|error| failed(&path, error))?;
            written.push(path);
        }
    }
    for path in &written {
        process.say(format_args!("wrote {}", path.display()));
        process.data("file", &json!({ "path": path }));
    }
    let url = match arguments.engine {
        EngineName::Sqlite => "sqlite:dev.db",
        EngineName::Postgresql => "postgresql://me@localhost/dev",
        EngineName::Mariadb | EngineName::Mysql => "mysql://me@127.0.0.1/dev",
    };
    process.note(format_args!("next: edit the first migration, then run it with `sealift-bundler dev up --url {url}`"));
    Ok(Exit::Done)
}
