//! Connection URLs and the endpoints in them (`credentials.md` section 3).
//!
//! `postgresql://USER[:PASSWORD]@HOST[:PORT]/DATABASE`, `mysql://..` alike, a Unix socket as `?socket=/PATH`, and
//! `sqlite:PATH`. Attack -> defence. Parameters that change what a connection means (`sslmode`, `options`, a second
//! host): there are none but `socket`, everything else is refused. Two spellings of one endpoint: an endpoint is compared
//! in the canonical text this module writes.

use std::fmt;

use crate::manifest::Engine;
use crate::secret::Secret;

/// Where a database is, without who connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A TCP address.
    Tcp {
        /// The engine that speaks there.
        engine: Engine,
        /// Host name or address, lower case.
        host: String,
        /// Port.
        port: u16,
        /// Database name.
        database: String,
    },
    /// A Unix socket: PostgreSQL's directory, or MariaDB's socket file.
    Socket {
        /// The engine that speaks there.
        engine: Engine,
        /// Absolute path.
        path: String,
        /// Port, which is part of the name of PostgreSQL's socket file.
        port: u16,
        /// Database name.
        database: String,
    },
    /// A SQLite file.
    File {
        /// Its path, as given.
        path: String,
    },
}

/// A connection URL, taken apart.
pub struct ConnectionUrl {
    /// Where.
    pub endpoint: Endpoint,
    /// Who; empty for SQLite.
    pub user: String,
    /// With which password, if any.
    pub password: Option<Secret>,
}

/// Why a connection URL is refused. Never holds any part of the URL but the name of a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum UrlError {
    /// The scheme is none of ours.
    Scheme,
    /// User, host or database is missing, or a part is not well formed.
    Part {
        /// Which part.
        part: &'static str,
    },
    /// A socket and a host are both given.
    SocketHost,
    /// A parameter that does not exist here.
    Parameter {
        /// Its name.
        name: String,
    },
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme => f.write_str("a connection URL starts with `postgresql://`, `mysql://` or `sqlite:`"),
            Self::Part { part } => write!(f, "the {part} of the connection URL is missing or not well formed"),
            Self::SocketHost => f.write_str("a socket takes no host: nothing stands between `@` and `/`"),
            Self::Parameter { name } => {
                write!(f, "parameter `{}` is not known; only `socket` is", crate::text::Plain(name))
            }
        }
    }
}

impl std::error::Error for UrlError {}

impl UrlError {
    /// What connection URLs look like.
    pub const HINT: &str = "for example sqlite:app.db, postgresql://me@localhost/app, \
        postgresql://me@/app?socket=/run/postgresql, mysql://me@127.0.0.1/app \
        or mysql://me@/app?socket=/run/mysqld/mysqld.sock";
}

impl Endpoint {
    /// The engine that answers there.
    pub fn engine(&self) -> Engine {
        match self {
            Self::Tcp { engine, .. } | Self::Socket { engine, .. } => *engine,
            Self::File { .. } => Engine::Sqlite,
        }
    }

    /// Whether only this machine can be meant: a file, a socket, or a loopback address.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp { host, .. } => {
                host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
            }
            Self::Socket { .. } | Self::File { .. } => true,
        }
    }
}

impl fmt::Display for Endpoint {
    /// Writes the canonical text of the endpoint: no user, no password, the port always.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { engine, host, port, database } => {
                let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
                write!(f, "{engine}://{host}:{port}/{}", Encoded(database))
            }
            Self::Socket { engine, path, port, database } => {
                write!(f, "{engine}://:{port}/{}?socket={}", Encoded(database), Encoded(path))
            }
            Self::File { path } => write!(f, "sqlite:{path}"),
        }
    }
}

struct Encoded<'a>(&'a str);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                    fmt::Write::write_char(f, char::from(byte))?;
                }
                _ => write!(f, "%{byte:02X}")?,
            }
        }
        Ok(())
    }
}

fn decode(text: &str, part: &'static str) -> Result<String, UrlError> {
    let error = UrlError::Part { part };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
            let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else { return Err(error) };
            bytes.push((high * 16 + low) as u8);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0')).ok_or(error)
}

impl ConnectionUrl {
    /// Takes a connection URL apart.
    ///
    /// # Errors
    /// [`UrlError`], which never holds the URL.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let part = |part| UrlError::Part { part };
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            let plain = !path.is_empty() && !path.contains(['?', '#', '\0', '%']) && path != ":memory:";
            if !plain {
                return Err(part("path"));
            }
            let endpoint = Endpoint::File { path: path.to_owned() };
            return Ok(Self { endpoint, user: String::new(), password: None });
        }
        let (engine, rest) = [
            ("postgresql://", Engine::Postgresql),
            ("postgres://", Engine::Postgresql),
            ("mysql://", Engine::Mysql),
            ("mariadb://", Engine::Mysql),
        ]
        .into_iter()
        .find_map(|(scheme, engine)| url.strip_prefix(scheme).map(|rest| (engine, rest)))
        .ok_or(UrlError::Scheme)?;
        let default_port = if engine == Engine::Mysql { 3306 } else { 5432 };
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let (authority, database) = rest.split_once('/').ok_or(part("database"))?;
        let database = decode(database, "database")?;
        if database.is_empty() || database.contains('/') {
            return Err(part("database"));
        }
        let (login, address) = authority.rsplit_once('@').ok_or(part("user"))?;
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(Secret::new(decode(password, "password")?))),
            None => (login, None),
        };
        let user = decode(user, "user")?;
        if user.is_empty() {
            return Err(part("user"));
        }
        let (host, port) = match address.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or(part("host"))?;
                let _: std::net::Ipv6Addr = host.parse().map_err(|_| part("host"))?;
                (host, if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or(part("port"))?) })
            }
            None => address.split_once(':').map_or((address, None), |(host, port)| (host, Some(port))),
        };
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or(part("port"))?,
            None => default_port,
        };
        let socket = match query {
            None => None,
            Some(query) => match query.split_once('=') {
                Some(("socket", path)) => Some(decode(path, "socket")?),
                Some((name, _)) => return Err(UrlError::Parameter { name: name.to_owned() }),
                None => return Err(part("query")),
            },
        };
        let endpoint = match socket {
            Some(path) => {
                if !host.is_empty() {
                    return Err(UrlError::SocketHost);
                }
                if !path.starts_with('/') || path.contains('&') {
                    return Err(part("socket"));
                }
                Endpoint::Socket { engine, path, port, database }
            }
            None => {
                let plain = !host.is_empty()
                    && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':'));
                if !plain {
                    return Err(part("host"));
                }
                Endpoint::Tcp { engine, host: host.to_ascii_lowercase(), port, database }
            }
        };
        Ok(Self { endpoint, user, password })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_has_one_spelling() {
        for (url, endpoint) in [
            ("postgres://u:p@DB.example.com/orders", "postgresql://db.example.com:5432/orders"),
            ("postgresql://u@[::1]:5433/a%20b", "postgresql://[::1]:5433/a%20b"),
            ("mariadb://u:p%40x@127.0.0.1/o", "mysql://127.0.0.1:3306/o"),
            ("postgresql://u@/o?socket=/run/pg", "postgresql://:5432/o?socket=/run/pg"),
            ("sqlite:///var/lib/o.db", "sqlite:/var/lib/o.db"),
            ("sqlite:o.db", "sqlite:o.db"),
        ] {
            assert_eq!(ConnectionUrl::parse(url).map(|url| url.endpoint.to_string()).as_deref(), Ok(endpoint), "{url}");
        }
    }

    #[test]
    fn what_could_mean_something_else_is_refused() {
        for url in [
            "http://u@h/d",
            "postgresql://u@h",
            "postgresql://h/d",
            "postgresql://u@h/d?sslmode=disable",
            "postgresql://u@h,g/d",
            "postgresql://u@h:0/d",
            "postgresql://u@h/d?socket=/x",
            "postgresql://u@/d",
            "postgresql://u@h/d%0",
            "postgresql://u@h/a%00",
            "sqlite::memory:",
            "sqlite:a?mode=ro",
        ] {
            assert!(ConnectionUrl::parse(url).is_err(), "{url}");
        }
        let both = ConnectionUrl::parse("mysql://root@localhost/db?socket=/run/s").map(|_| ());
        assert_eq!(both, Err(UrlError::SocketHost));
    }
}
