//! Canonical JSON (RFC 8785 restricted to integers), and the one reader every signed or hashed document goes through.
//!
//! Attack -> defence. Duplicate keys, an array where an object belongs, `1.0` or `-0` for an integer, `null` for an
//! absent field, alternative escapes, a byte order mark, white space, trailing data: a document is accepted only when
//! it is *the* encoding of the value it was read as, byte for byte, so none of these has a second reading to hide in.
//! Depth: serde_json stops at 128. Size: callers pass the limit of the format (`limit.rs`). Unknown fields: every
//! type denies them.
//!
//! The canonical JSON of TUF (OLPC) differs from RFC 8785 only in control characters and non-ASCII key order; documents
//! of `root.rs` are ASCII without control characters, for which both are the same bytes.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Why a document was not accepted.
#[derive(Debug)]
#[non_exhaustive]
pub enum JsonError {
    /// The document is larger than its format allows.
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The largest size allowed, in bytes.
        limit: usize,
    },
    /// The text is no JSON, or does not have the shape of its format.
    Shape(serde_json::Error),
    /// A number is beyond 2^53 - 1, where readers that compute in floating point would see another one.
    Number,
    /// The value is well formed but was written differently from its canonical encoding.
    NotCanonical {
        /// The offset of the first byte that differs.
        offset: usize,
    },
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { size, limit } => write!(f, "{size} bytes of JSON, at most {limit} are allowed"),
            Self::Shape(_) => f.write_str("the JSON does not have the shape of its format"),
            Self::Number => f.write_str("a number in the JSON is beyond 2^53 - 1"),
            Self::NotCanonical { offset } => {
                write!(f, "the JSON is not in canonical form (RFC 8785): first difference at byte {offset}")
            }
        }
    }
}

impl std::error::Error for JsonError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Shape(error) => Some(error),
            _ => None,
        }
    }
}

/// Reads a canonical document of at most `limit` bytes.
///
/// # Errors
/// [`JsonError`] when the bytes are too many, not of the shape of `T`, or not the canonical encoding of that `T`.
pub fn read<T: DeserializeOwned + Serialize>(bytes: &[u8], limit: usize) -> Result<T, JsonError> {
    if bytes.len() > limit {
        return Err(JsonError::TooLarge { size: bytes.len(), limit });
    }
    let value: T = serde_json::from_slice(bytes).map_err(JsonError::Shape)?;
    let tree = tree(&value);
    let mut canonical = Vec::with_capacity(bytes.len());
    append(&tree, &mut canonical);
    if canonical != bytes {
        let same = canonical.iter().zip(bytes).take_while(|(a, b)| a == b).count();
        return Err(JsonError::NotCanonical { offset: same });
    }
    if !exact(&tree) {
        return Err(JsonError::Number);
    }
    Ok(value)
}

/// Writes the canonical encoding of a value: sorted keys, no white space, shortest escapes.
///
/// # Panics
/// When `T` serialises to something that is not JSON (a map with keys that are not strings): a bug in its definition.
pub fn write<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    append(&tree(value), &mut bytes);
    bytes
}

fn tree<T: Serialize + ?Sized>(value: &T) -> Value {
    match serde_json::to_value(value) {
        Ok(value) => value,
        Err(error) => panic!("a type of the format does not serialise to JSON: {error}"),
    }
}

/// Whether every number is an integer that a double holds exactly (RFC 8785 section 3.2.2.3).
fn exact(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_u64().is_some_and(|number| number < 1 << 53),
        Value::Array(values) => values.iter().all(exact),
        Value::Object(map) => map.values().all(exact),
        _ => true,
    }
}

fn append(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(map) => {
            // Sorted here and not left to the map: another crate of a build can switch serde_json's maps to insertion
            // order. RFC 8785 sorts by UTF-16 code units; keys of our formats are ASCII, or names held to ASCII.
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            out.push(b'{');
            for (index, (key, value)) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                append_scalar(&Value::String(key.clone()), out);
                out.push(b':');
                append(value, out);
            }
            out.push(b'}');
        }
        Value::Array(values) => {
            out.push(b'[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                append(value, out);
            }
            out.push(b']');
        }
        scalar => append_scalar(scalar, out),
    }
}

fn append_scalar(value: &Value, out: &mut Vec<u8>) {
    // serde_json escapes strings exactly as RFC 8785 3.2.2.2 asks, and writes integers in their shortest form.
    out.extend_from_slice(value.to_string().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Debug, Serialize, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        name: String,
        count: u64,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        note: Option<String>,
    }

    #[test]
    fn the_canonical_encoding_is_read() {
        let sample = Sample { name: "a\u{1}\"\\é\n".into(), count: 3, note: None };
        let bytes = write(&sample);
        assert_eq!(
            bytes,
            br#"{"count":3,"name":"a\u0001\"\\XX\n"}"#.as_slice().iter().fold(Vec::new(), |mut out, b| {
                // "é" stands for itself in canonical JSON.
                if *b == b'X' {
                    if out.last() != Some(&0xa9) {
                        out.extend("é".as_bytes())
                    }
                } else {
                    out.push(*b)
                }
                out
            })
        );
        assert_eq!(read::<Sample>(&bytes, 100).unwrap(), sample);
    }

    #[test]
    fn every_other_spelling_is_refused() {
        for text in [
            r#"{"name":"a","count":3}"#,
            r#"{"count":3,"name":"a" }"#,
            r#"{"count":3,"name":"\u0061"}"#,
            r#"{"count":3,"name":"a","name":"a"}"#,
            r#"{"count":3.0,"name":"a"}"#,
            r#"{"count":3e0,"name":"a"}"#,
            r#"{"count":-0,"name":"a"}"#,
            r#"{"count":3,"name":"a","note":null}"#,
            r#"["a",3]"#,
            r#"["a",3,null]"#,
            "\u{feff}{\"count\":3,\"name\":\"a\"}",
            "{\"count\":3,\"name\":\"a\"}\n",
            r#"{"count":3,"name":"a","extra":1}"#,
        ] {
            assert!(read::<Sample>(text.as_bytes(), 100).is_err(), "{text}");
        }
        assert!(read::<BTreeMap<String, u8>>(br#"{"a":1,"a":1}"#, 100).is_err());
        assert!(read::<BTreeMap<String, u8>>(br#"{"a":1}"#, 100).is_ok());
        assert!(matches!(read::<u64>(b"9007199254740992", 100), Err(JsonError::Number)));
        assert!(read::<u64>(b"9007199254740991", 100).is_ok());
        assert!(matches!(read::<Sample>(&[b' '; 101], 100), Err(JsonError::TooLarge { .. })));
    }
}
