//! Keeps the caller's environment away from the database drivers (`threat-model.md`, the host).
//!
//! sqlx reads `PG*` variables whenever it makes connection options, and some of what they set (`PGOPTIONS`, `PGSSLCERT`)
//! cannot be unset through its interface; resolvers and TLS libraries have variables of their own. A process cannot drop
//! variables safely once it runs, so a program that met one starts itself anew with an allow-list. Deliberately not
//! defended against: `LD_PRELOAD` and its like. Whoever sets them already runs code as this user.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// Variables that are kept when the environment is narrowed: how to speak to people, where systemd put credentials, and
/// what the bundler needs to find `git` and the ssh-agent.
const KEPT: [&str; 10] = [
    "COLUMNS",
    "CREDENTIALS_DIRECTORY",
    "LANG",
    "LC_ALL",
    "NO_COLOR",
    "PATH",
    "SOURCE_DATE_EPOCH",
    "SSH_AUTH_SOCK",
    "TERM",
    "TMPDIR",
];

/// What the names of variables that reach a driver, a resolver or a TLS library begin with.
const REACHING: [&str; 11] = [
    "GLIBC_TUNABLES",
    "HOSTALIASES",
    "LIBMYSQL_",
    "LOCALDOMAIN",
    "MARIADB",
    "MYSQL",
    "PG",
    "RES_OPTIONS",
    "SQLITE",
    "SSLKEYLOGFILE",
    "SSL_CERT_",
];

fn reaches(name: &OsStr) -> bool {
    REACHING.iter().any(|prefix| name.as_bytes().starts_with(prefix.as_bytes()))
}

/// The environment to run with instead, if the given one could reach a database driver; `None` when it may stay.
pub fn narrowed(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Option<Vec<(OsString, OsString)>> {
    let variables: Vec<_> = variables.into_iter().collect();
    variables.iter().any(|(name, _)| reaches(name)).then(|| {
        let kept = variables.into_iter();
        kept.filter(|(name, _)| KEPT.iter().any(|kept| name == kept)).collect()
    })
}

/// The command that starts this program anew with the same arguments and a narrowed environment, if it must be narrowed.
/// `main` replaces itself with it before it does anything else; descriptors that were inherited stay open.
pub fn restart(
    arguments: impl IntoIterator<Item = OsString>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Option<Command> {
    let kept = narrowed(variables)?;
    let mut arguments = arguments.into_iter();
    // By its path, so that process listings show its name; a program that was replaced while it starts has none any more.
    let link = PathBuf::from("/proc/self/exe");
    let path = std::fs::read_link(&link).ok().filter(|path| path.exists());
    let mut command = Command::new(path.unwrap_or(link));
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments).env_clear().envs(kept);
    Some(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(names: &[&str]) -> Vec<(OsString, OsString)> {
        names.iter().map(|name| (name.into(), "x".into())).collect()
    }

    #[test]
    fn a_harmless_environment_stays() {
        assert_eq!(narrowed(variables(&["HOME", "PATH", "TERM", "USER", "LD_LIBRARY_PATH", "XPGUSER"])), None);
    }

    #[test]
    fn every_reaching_variable_drops_all_but_the_kept_ones() {
        let reaching =
            ["PGOPTIONS", "PGPASSWORD", "PGSSLKEY", "MYSQL_PWD", "MARIADB_HOME", "SSLKEYLOGFILE", "SSL_CERT_FILE"];
        for name in reaching {
            let kept = narrowed(variables(&["HOME", "NO_COLOR", name])).unwrap();
            assert_eq!(kept, variables(&["NO_COLOR"]), "{name}");
        }
    }

    #[test]
    fn a_narrowed_environment_is_never_narrowed_again() {
        let all: Vec<&str> = KEPT.into_iter().chain(["PGHOST"]).collect();
        let kept = narrowed(variables(&all)).unwrap();
        assert_eq!(kept, variables(&KEPT));
        assert_eq!(narrowed(kept), None);
    }

    #[test]
    fn the_restarted_program_gets_its_own_name_and_arguments() {
        let arguments = ["sealift-runner", "plan", "--json"].map(OsString::from);
        let restart = |names: &[&str]| super::restart(arguments.clone(), variables(names));
        assert!(restart(&["HOME"]).is_none());
        let command = restart(&["TERM", "PGHOST"]).unwrap();
        assert_eq!(Some(PathBuf::from(command.get_program())), std::env::current_exe().ok());
        assert_eq!(command.get_args().collect::<Vec<_>>(), ["plan", "--json"]);
        assert_eq!(command.get_envs().collect::<Vec<_>>(), [(OsStr::new("TERM"), Some(OsStr::new("x")))]);
    }
}
