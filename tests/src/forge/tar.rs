//! Archives that the strict profile does not know: headers made by hand, their checksums right unless told otherwise.

use sealift_spec::archive::{BLOCK, read};

/// Changes the header at an offset and makes its checksum right again.
pub fn edit(archive: &mut [u8], offset: usize, change: impl FnOnce(&mut [u8])) {
    let header = &mut archive[offset..offset + BLOCK];
    change(header);
    seal(header);
}

/// Writes the checksum of a header as the profile does.
pub fn seal(header: &mut [u8]) {
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// Puts a name into a header.
pub fn name(header: &mut [u8], name: &[u8]) {
    header[..100].fill(0);
    header[..name.len()].copy_from_slice(name);
}

/// A member of another type: a header like ours, but for the type, and its content.
pub fn member(title: &str, kind: u8, content: &[u8]) -> Vec<u8> {
    let mut block = sealift_spec::archive::header(title, content.len() as u64).expect("a name of the profile").to_vec();
    block[156] = kind;
    seal(&mut block);
    block.extend_from_slice(content);
    block.resize(block.len().next_multiple_of(BLOCK), 0);
    block
}

/// Where the header of a member of a well-formed archive begins.
pub fn header_of(archive: &[u8], index: usize) -> usize {
    read(archive, 1000).expect("a well-formed archive")[index].range.start - BLOCK
}

/// Where the content of a member of a well-formed archive ends, before its padding.
pub fn end_of(archive: &[u8], index: usize) -> usize {
    read(archive, 1000).expect("a well-formed archive")[index].range.end
}
