//! Names that stand in signed documents: short, ASCII, safe in file names, SQL literals, terminals and JSON keys.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The text is not allowed for a name of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameError {
    rule: &'static str,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rule)
    }
}

impl std::error::Error for NameError {}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $rule:literal, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The text of the name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let allowed: fn(&str) -> bool = $allowed;
                if allowed(text) { Ok(Self(text.to_owned())) } else { Err(NameError { rule: $rule }) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

fn is_slug(text: &str, longest: usize, inner: &[u8]) -> bool {
    let bytes = text.as_bytes();
    (1..=longest).contains(&bytes.len())
        && bytes[0].is_ascii_alphanumeric()
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || inner.contains(b))
}

fn is_lower_slug(text: &str) -> bool {
    is_slug(text, 64, b"._-") && !text.bytes().any(|b| b.is_ascii_uppercase())
}

name!(
    /// A project, an environment, a role or a database: `orders`, `production`, `release`.
    Name,
    "a name is 1 to 64 of a-z, 0-9, `.`, `_` and `-`, and starts with a letter or a digit",
    is_lower_slug
);

name!(
    /// The identity of a migration: `0042`, `20240131120000`, `a1b2c3d4`.
    UnitId,
    "a migration's version is 1 to 128 of A-Z, a-z, 0-9, `.`, `_`, `-` and `+`, and starts with a letter or a digit",
    |text| is_slug(text, 128, b"._-+")
);

name!(
    /// A person or service of the policy: `a@example.com`, `ci`.
    Person,
    "a person is 1 to 128 of A-Z, a-z, 0-9, `.`, `_`, `-`, `+` and `@`, and starts with a letter or a digit",
    |text| is_slug(text, 128, b"._-+@")
);

name!(
    /// One line of words for people: 1 to 200 printable ASCII characters.
    Label,
    "a label is 1 to 200 printable ASCII characters on one line",
    |text| (1..=200).contains(&text.len()) && text.bytes().all(|b| (0x20..0x7f).contains(&b))
);

impl Label {
    /// A label that stands in the source.
    pub(crate) fn fixed(text: &'static str) -> Self {
        debug_assert!(text.parse::<Self>().is_ok());
        Self(text.to_owned())
    }
}

impl Name {
    /// Whether this environment is one of the two that only exist with keys in memory (`dev`, `rehearsal`).
    pub fn is_reserved_environment(&self) -> bool {
        matches!(self.as_str(), "dev" | "rehearsal")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_held_to_their_alphabet() {
        for good in ["orders", "0", "a.b_c-d"] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        let long = "a".repeat(65);
        for bad in ["", "Orders", "-a", ".a", "a b", "a/b", "ä", "a\0", "a\n", &long] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
        assert!("a@example.com".parse::<Person>().is_ok());
        assert!("a\u{202e}b".parse::<Label>().is_err());
    }
}
