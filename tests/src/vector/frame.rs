//! Rows Z: payloads that are signed for and are not the one zstd frame of the profile.

use super::{Vector, bundle};
use crate::forge::Change;
use crate::forge::frame::{DESCRIPTOR, MAGIC, WINDOW, compress, headed, header, skippable};

const FRAME: (&str, &str) = ("OpenError::Frame", "");

pub(super) fn vectors() -> Vec<Vector> {
    let mut vectors = wholes();
    vectors.extend(headers());
    vectors
}

fn wholes() -> Vec<Vector> {
    vec![
        bundle(
            "frame-two",
            "Z1",
            "The archive is cut into two frames.",
            FRAME,
            Change::Frame(|tar| [compress(&tar[..512]), compress(&tar[512..])].concat()),
        ),
        bundle(
            "frame-two-second-empty",
            "Z1",
            "An empty frame follows the frame.",
            FRAME,
            Change::Frame(|tar| [compress(tar), compress(b"")].concat()),
        ),
        bundle(
            "frame-skippable-before",
            "Z2",
            "A skippable frame stands before the frame.",
            FRAME,
            Change::Frame(|tar| [skippable(b"hidden"), compress(tar)].concat()),
        ),
        bundle(
            "frame-skippable-after",
            "Z2",
            "A skippable frame follows the frame.",
            FRAME,
            Change::Frame(|tar| [compress(tar), skippable(b"hidden")].concat()),
        ),
        bundle(
            "frame-trailing-byte",
            "Z3",
            "One byte follows the frame.",
            FRAME,
            Change::Frame(|tar| [compress(tar), vec![0]].concat()),
        ),
        bundle(
            "frame-truncated",
            "Z4",
            "The frame lacks its last byte.",
            FRAME,
            Change::Frame(|tar| {
                let mut frame = compress(tar);
                frame.pop();
                frame
            }),
        ),
        bundle(
            "frame-checksum-wrong",
            "Z4",
            "The frame's checksum is not that of its content.",
            FRAME,
            Change::Frame(|tar| {
                let mut frame = compress(tar);
                let last = frame.len() - 1;
                frame[last] ^= 1;
                frame
            }),
        ),
        bundle(
            "frame-legacy",
            "Z7",
            "The payload has the magic of zstd 0.7.",
            FRAME,
            Change::Frame(|tar| {
                let mut frame = compress(tar);
                frame[0] = 0x27;
                frame
            }),
        ),
        bundle("frame-plain-tar", "Z7", "The payload is the archive itself.", FRAME, Change::Frame(<[u8]>::to_vec)),
        bundle("frame-nested", "Z7", "The frame holds a frame.", FRAME, Change::Frame(|tar| compress(&compress(tar)))),
        bundle(
            "frame-without-magic",
            "Z7",
            "The frame lacks its magic.",
            FRAME,
            Change::Frame(|tar| compress(tar)[MAGIC.len()..].to_vec()),
        ),
        bundle("frame-empty", "Z4", "The payload is empty.", FRAME, Change::Frame(|_| Vec::new())),
    ]
}

fn headers() -> Vec<Vector> {
    vec![
        bundle(
            "frame-no-checksum",
            "Z4",
            "The frame has no checksum, and says so.",
            FRAME,
            Change::Frame(|tar| {
                let mut frame = headed(&header(WINDOW, tar.len() as u64), tar);
                frame[MAGIC.len()] &= !0b100;
                frame.truncate(frame.len() - 4);
                frame
            }),
        ),
        bundle(
            "frame-no-content-size",
            "Z4",
            "The frame does not state its content size.",
            FRAME,
            Change::Frame(|tar| headed(&[DESCRIPTOR & 0b0011_1111, WINDOW], tar)),
        ),
        bundle(
            "frame-content-size-short",
            "Z4",
            "The frame states one byte less than it holds.",
            FRAME,
            Change::Frame(|tar| headed(&header(WINDOW, tar.len() as u64 - 1), tar)),
        ),
        bundle(
            "frame-content-size-long",
            "Z4",
            "The frame states one byte more than it holds.",
            FRAME,
            Change::Frame(|tar| headed(&header(WINDOW, tar.len() as u64 + 1), tar)),
        ),
        bundle(
            "frame-content-short",
            "Z6",
            "Frame and statement both state one byte less than the frame holds.",
            FRAME,
            Change::Sized(|tar| (headed(&header(WINDOW, tar.len() as u64 - 1), tar), tar.len() as u64 - 1)),
        ),
        bundle(
            "frame-content-long",
            "Z6",
            "Frame and statement both state one byte more than the frame holds.",
            FRAME,
            Change::Sized(|tar| (headed(&header(WINDOW, tar.len() as u64 + 1), tar), tar.len() as u64 + 1)),
        ),
        bundle(
            "frame-content-huge",
            "Z6",
            "Frame and statement both state 2^40 bytes.",
            FRAME,
            Change::Sized(|tar| (headed(&header(WINDOW, 1 << 40), tar), 1 << 40)),
        ),
        bundle(
            "frame-window-8-mib-and-an-eighth",
            "Z5",
            "The frame asks for a window just above 8 MiB.",
            FRAME,
            Change::Frame(|tar| headed(&header((23 - 10) << 3 | 1, tar.len() as u64), tar)),
        ),
        bundle(
            "frame-window-16-mib",
            "Z5",
            "The frame asks for a window of 16 MiB.",
            FRAME,
            Change::Frame(|tar| headed(&header((24 - 10) << 3, tar.len() as u64), tar)),
        ),
        bundle(
            "frame-window-2-gib",
            "Z5",
            "The frame asks for a window of 2 GiB.",
            FRAME,
            Change::Frame(|tar| headed(&header((31 - 10) << 3, tar.len() as u64), tar)),
        ),
        bundle(
            "frame-dictionary",
            "Z7",
            "The frame names a dictionary.",
            FRAME,
            Change::Frame(|tar| {
                let size = (tar.len() as u64).to_le_bytes();
                headed(&[&[DESCRIPTOR | 1, WINDOW, 42], &size[..]].concat(), tar)
            }),
        ),
        bundle(
            "frame-reserved-bit",
            "Z7",
            "The reserved bit of the frame's descriptor is set.",
            FRAME,
            Change::Frame(|tar| {
                let mut frame = headed(&header(WINDOW, tar.len() as u64), tar);
                frame[MAGIC.len()] |= 0b1000;
                frame
            }),
        ),
        bundle(
            "frame-unused-bit",
            "Z7",
            "The unused bit of the frame's descriptor is set.",
            FRAME,
            Change::Frame(|tar| {
                let mut frame = headed(&header(WINDOW, tar.len() as u64), tar);
                frame[MAGIC.len()] |= 0b1_0000;
                frame
            }),
        ),
    ]
}
