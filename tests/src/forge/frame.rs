//! zstd frames: the one that `pack` makes, and others made by hand (RFC 8878).

use zstd::zstd_safe::CParameter;

/// The magic of a frame.
pub const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The descriptor of a frame with an eight-byte content size, a window byte and a checksum.
pub const DESCRIPTOR: u8 = 0b1100_0100;
/// The window byte of a window of 1 MiB.
pub const WINDOW: u8 = (20 - 10) << 3;

/// Compresses as `pack` does.
pub fn compress(content: &[u8]) -> Vec<u8> {
    let mut compressor = zstd::bulk::Compressor::new(3).expect("a compressor");
    compressor.set_parameter(CParameter::ChecksumFlag(true)).expect("a known parameter");
    compressor.set_parameter(CParameter::ContentSizeFlag(true)).expect("a known parameter");
    compressor.compress(content).expect("memory")
}

/// The frame that `pack` makes, under another header.
///
/// # Panics
/// When the library's frame does not have the header that it has for small contents: one segment, no dictionary.
pub fn headed(header: &[u8], content: &[u8]) -> Vec<u8> {
    let frame = compress(content);
    let descriptor = frame[MAGIC.len()];
    assert_eq!(descriptor & 0b0011_1111, 0b0010_0100, "one segment, a checksum, nothing else");
    let content_size = [1, 2, 4, 8][usize::from(descriptor >> 6)];
    [&MAGIC, header, &frame[MAGIC.len() + 1 + content_size..]].concat()
}

/// The header of [`DESCRIPTOR`] with a window byte and content size of choice.
pub fn header(window: u8, size: u64) -> Vec<u8> {
    [&[DESCRIPTOR, window], &size.to_le_bytes()[..]].concat()
}

/// A skippable frame.
pub fn skippable(content: &[u8]) -> Vec<u8> {
    [&[0x50, 0x2a, 0x4d, 0x18], &(content.len() as u32).to_le_bytes()[..], content].concat()
}
