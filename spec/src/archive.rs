//! The one tar profile of Sealift, written and read (`bundle.md` section 2).
//!
//! Attack -> defence. Links, devices, pax and GNU extensions, base-256 sizes, prefixes, other modes and times, bad or
//! ambiguous checksums, names outside the alphabet: a header is accepted only if it is byte for byte the header we
//! would write for the name and size it states, so there is nothing else it could say. Truncation, padding, data after
//! the end: every byte of an archive is either such a header, content, zero padding or one of the two final blocks, and
//! the archive ends there. Duplicates and order: callers compare the sequence of names with the one they expect.

use std::fmt;
use std::ops::Range;

/// The size of a header, and the unit of padding, in bytes.
pub const BLOCK: usize = 512;
/// The longest member name, in bytes.
pub const NAME: usize = 99;
/// The largest member, in bytes: eleven octal digits.
pub const MEMBER: u64 = 0o77_777_777_777;

/// Why an archive is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArchiveError {
    /// A header is not the one we write for the name and size it states.
    Header {
        /// The offset of the header.
        offset: u64,
    },
    /// The archive ends inside a member, its padding, or the two final blocks.
    Truncated {
        /// The offset of the member's header, or of the final blocks.
        offset: u64,
    },
    /// The bytes between a member and the next header, or of the final blocks, are not all zero.
    Padding {
        /// The offset where they begin.
        offset: u64,
    },
    /// Data follows the two final blocks.
    Trailing {
        /// The offset of the first byte too many.
        offset: u64,
    },
    /// There are more members than the format has.
    TooManyMembers,
}

impl fmt::Display for ArchiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header { offset } => write!(f, "the header at byte {offset} is not of the strict ustar profile"),
            Self::Truncated { offset } => write!(f, "the archive ends inside what begins at byte {offset}"),
            Self::Padding { offset } => write!(f, "the padding at byte {offset} is not zero"),
            Self::Trailing { offset } => write!(f, "data follows the end of the archive at byte {offset}"),
            Self::TooManyMembers => f.write_str("the archive has more members than its format"),
        }
    }
}

impl std::error::Error for ArchiveError {}

/// Whether a name is one of the profile: 1 to 99 of `a-z 0-9 . _ -`, starting with a letter or a digit.
pub fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    (1..=NAME).contains(&bytes.len())
        && !matches!(bytes[0], b'.' | b'_' | b'-')
        && bytes.iter().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
}

/// The header of a member, or `None` when the name or size is outside the profile.
pub fn header(name: &str, size: u64) -> Option<[u8; BLOCK]> {
    if !is_name(name) || size > MEMBER {
        return None;
    }
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Some(block)
}

/// Reads a header: the name and size it was written for, or `None` if we would have written it differently.
pub fn read_header(block: &[u8; BLOCK]) -> Option<(&str, u64)> {
    let end = block[..=NAME].iter().position(|byte| *byte == 0)?;
    let name = std::str::from_utf8(&block[..end]).ok()?;
    let size = block[124..135].iter().try_fold(0u64, |size, digit| match digit {
        b'0'..=b'7' => Some(size * 8 + u64::from(digit - b'0')),
        _ => None,
    })?;
    (header(name, size)? == *block).then_some((name, size))
}

/// The number of zero bytes after `size` bytes of content.
pub fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

/// One member of an archive in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Where its content lies.
    pub range: Range<usize>,
}

/// Reads a whole archive in memory with at most `most` members.
///
/// # Errors
/// [`ArchiveError`] at the first byte that the profile does not allow.
pub fn read(bytes: &[u8], most: usize) -> Result<Vec<Member>, ArchiveError> {
    let mut members = Vec::new();
    let mut at = 0;
    loop {
        let offset = at as u64;
        let block: &[u8; BLOCK] =
            bytes.get(at..).and_then(|rest| rest.first_chunk()).ok_or(ArchiveError::Truncated { offset })?;
        if block[0] == 0 {
            break;
        }
        if members.len() == most {
            return Err(ArchiveError::TooManyMembers);
        }
        let (name, size) = read_header(block).ok_or(ArchiveError::Header { offset })?;
        let start = at + BLOCK;
        let end = usize::try_from(size).ok().and_then(|size| start.checked_add(size));
        let end = end.filter(|end| *end <= bytes.len()).ok_or(ArchiveError::Truncated { offset })?;
        let next = end + padding(size) as usize;
        let rest = bytes.get(end..next).ok_or(ArchiveError::Truncated { offset })?;
        if rest.iter().any(|byte| *byte != 0) {
            return Err(ArchiveError::Padding { offset: end as u64 });
        }
        members.push(Member { name: name.to_owned(), range: start..end });
        at = next;
    }
    let end = bytes.get(at..at + 2 * BLOCK).ok_or(ArchiveError::Truncated { offset: at as u64 })?;
    if end.iter().any(|byte| *byte != 0) {
        return Err(ArchiveError::Padding { offset: at as u64 });
    }
    if bytes.len() > at + 2 * BLOCK {
        return Err(ArchiveError::Trailing { offset: (at + 2 * BLOCK) as u64 });
    }
    Ok(members)
}

/// Writes an archive of members in memory.
///
/// # Panics
/// When a name or size is outside the profile: callers make the names.
pub fn write<'a>(members: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, content) in members {
        append(name, content, &mut bytes);
    }
    finish(&mut bytes);
    bytes
}

/// Appends one member.
///
/// # Panics
/// When the name or size is outside the profile: callers make the names.
pub fn append(name: &str, content: &[u8], out: &mut Vec<u8>) {
    let size = content.len() as u64;
    let Some(header) = header(name, size) else { panic!("member name `{name}` is outside the archive profile") };
    out.extend_from_slice(&header);
    out.extend_from_slice(content);
    out.resize(out.len() + padding(size) as usize, 0);
}

/// Appends the two final blocks.
pub fn finish(out: &mut Vec<u8>) {
    out.resize(out.len() + 2 * BLOCK, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        write([("manifest.json", b"{}".as_slice()), ("000000.up.sql", &[b'x'; 512]), ("empty", b"")])
    }

    #[test]
    fn what_we_write_is_what_we_and_tar_read() {
        let bytes = sample();
        let members = read(&bytes, 3).unwrap();
        assert_eq!(
            members.iter().map(|m| (&*m.name, m.range.len())).collect::<Vec<_>>(),
            [("manifest.json", 2), ("000000.up.sql", 512), ("empty", 0)]
        );
        let mut archive = tar::Archive::new(&*bytes);
        let entries: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                (entry.path().unwrap().to_string_lossy().into_owned(), entry.size())
            })
            .collect();
        assert_eq!(
            entries,
            [("manifest.json".to_owned(), 2), ("000000.up.sql".to_owned(), 512), ("empty".to_owned(), 0)]
        );
    }

    #[test]
    fn every_flipped_bit_outside_content_is_refused_or_moves_a_boundary() {
        let bytes = sample();
        let content: Vec<_> = read(&bytes, 3).unwrap().into_iter().map(|m| m.range).collect();
        for at in (0..bytes.len()).filter(|at| !content.iter().any(|range| range.contains(at))) {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                assert!(read(&flipped, 3).is_err(), "byte {at} bit {bit}");
            }
        }
    }

    #[test]
    fn every_other_length_is_refused() {
        let bytes = sample();
        assert!((0..bytes.len()).all(|length| read(&bytes[..length], 3).is_err()));
        let longer = [&*bytes, &[0]].concat();
        assert_eq!(read(&longer, 3), Err(ArchiveError::Trailing { offset: bytes.len() as u64 }));
        assert_eq!(read(&bytes, 2), Err(ArchiveError::TooManyMembers));
    }

    #[test]
    fn names_outside_the_alphabet_have_no_header() {
        for name in ["", "../a", "a/b", "A", ".a", "a\0b", &"a".repeat(100)] {
            assert_eq!(header(name, 0), None, "{name:?}");
        }
        assert_eq!(header("a", MEMBER + 1), None);
    }
}
