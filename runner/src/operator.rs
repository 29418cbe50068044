//! Who runs this, on which host: what stands beside every history event and audit record.
//!
//! Claims of this host, no proof: root on the host can be anybody. The name is looked up in the text of `/etc/passwd`; an
//! account that only a directory service knows appears by its number.

use sealift_spec::name::Label;

/// Who, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// The user.
    pub name: Label,
    /// The host.
    pub host: Label,
}

impl Operator {
    /// The user and host of this process.
    pub fn of_this_process() -> Self {
        let text = |path| std::fs::read_to_string(path).unwrap_or_default();
        let uname = rustix::system::uname();
        let host = uname.nodename().to_string_lossy();
        Self::new(rustix::process::getuid().as_raw(), &text("/etc/passwd"), &text("/proc/self/loginuid"), &host)
    }

    /// Puts the names together: the real user, and who logged in if that was somebody else (`root (login anna)`).
    /// `passwd` is the text of `/etc/passwd`, `login` that of `/proc/self/loginuid`.
    pub fn new(uid: u32, passwd: &str, login: &str, host: &str) -> Self {
        let mut name = account(uid, passwd);
        // The kernel says 4,294,967,295 where nobody logged in, as in a service.
        if let Some(login) = login.trim().parse().ok().filter(|login| *login != u32::MAX && *login != uid) {
            name = format!("{name} (login {})", account(login, passwd));
        }
        Self { name: label(&name), host: label(host) }
    }
}

fn account(uid: u32, passwd: &str) -> String {
    let named = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(uid) && !name.is_empty()).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("uid {uid}"))
}

fn label(text: &str) -> Label {
    let plain = sealift_spec::text::Plain(text).to_string();
    let short: String = plain.chars().take(200).collect();
    match short.parse() {
        Ok(label) => label,
        Err(_) => match "unknown".parse() {
            Ok(label) => label,
            Err(error) => panic!("a constant label: {error}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nanna:x:1000:1000::/home/anna:/bin/sh\n";

    fn name(uid: u32, login: &str) -> String {
        Operator::new(uid, PASSWD, login, "db1").name.to_string()
    }

    #[test]
    fn operators_are_named_and_logins_are_kept() {
        assert_eq!(name(1000, "1000\n"), "anna");
        assert_eq!(name(0, "1000"), "root (login anna)");
        assert_eq!(name(0, "4294967295"), "root");
        assert_eq!(name(7, ""), "uid 7");
        assert_eq!(Operator::new(0, "", "", "").host.as_str(), "unknown");
        assert_eq!(Operator::new(0, "", "", "h\u{e9}").host.as_str(), "h\\u{e9}");
    }
}
