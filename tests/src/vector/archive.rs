//! Rows T and J7: the outer archive, which nobody signs, and the inner one, which a release signer below the threshold of
//! reviewers may have made.

use sealift_spec::archive::{self, BLOCK};

use super::{Vector, bundle};
use crate::forge::{Change, tar};

const OUTER: (&str, &str) = ("VerifyError::Container", "ArchiveError::Header");
const INNER: (&str, &str) = ("OpenError::Archive", "ArchiveError::Header");

/// The header of the second outer member, the payload.
fn payload(file: &[u8]) -> usize {
    tar::header_of(file, 1)
}

/// The header of the first script in the inner archive.
fn script(archive: &[u8]) -> usize {
    tar::header_of(archive, 1)
}

/// Puts blocks in front of a member.
fn insert(archive: &mut Vec<u8>, offset: usize, blocks: Vec<u8>) {
    archive.splice(offset..offset, blocks);
}

pub(super) fn vectors() -> Vec<Vector> {
    let mut vectors = names();
    vectors.extend(types());
    vectors.extend(members());
    vectors.extend(sizes());
    vectors.extend(spellings());
    vectors
}

fn names() -> Vec<Vector> {
    vec![
        bundle(
            "outer-name-parent",
            "T1",
            "The payload member is called `../payload.tar.zst`.",
            OUTER,
            Change::File(|file| {
                let at = payload(file);
                tar::edit(file, at, |header| tar::name(header, b"../payload.tar.zst"));
            }),
        ),
        bundle(
            "outer-prefix",
            "T1",
            "The payload member has the ustar prefix `../..`.",
            OUTER,
            Change::File(|file| {
                let at = payload(file);
                tar::edit(file, at, |header| header[345..350].copy_from_slice(b"../.."));
            }),
        ),
        bundle(
            "inner-name-absolute",
            "T1",
            "A script's name is absolute.",
            INNER,
            Change::Archive(|archive| {
                let at = script(archive);
                tar::edit(archive, at, |header| tar::name(header, b"/etc/cron.d/x"));
            }),
        ),
        bundle(
            "inner-name-nul",
            "T12",
            "A script's name goes on after a NUL.",
            INNER,
            Change::Archive(|archive| {
                let at = script(archive);
                tar::edit(archive, at, |header| tar::name(header, b"000000.up.sql\0.bak"));
            }),
        ),
        bundle(
            "inner-name-upper-case",
            "T12",
            "A script's name differs from the one expected in case.",
            INNER,
            Change::Archive(|archive| {
                let at = script(archive);
                tar::edit(archive, at, |header| tar::name(header, b"000000.up.SQL"));
            }),
        ),
    ]
}

fn types() -> Vec<Vector> {
    vec![
        bundle(
            "outer-symbolic-link",
            "T2",
            "The payload member is a symbolic link.",
            OUTER,
            Change::File(|file| {
                let at = payload(file);
                tar::edit(file, at, |header| {
                    header[156] = b'2';
                    header[157..168].copy_from_slice(b"/etc/shadow");
                });
            }),
        ),
        bundle(
            "inner-hard-link",
            "T2",
            "A script is a hard link to the manifest.",
            INNER,
            Change::Archive(|archive| {
                let at = script(archive);
                tar::edit(archive, at, |header| {
                    header[156] = b'1';
                    header[157..170].copy_from_slice(b"manifest.json");
                });
            }),
        ),
        bundle(
            "inner-folder",
            "T2",
            "A folder stands before the scripts.",
            INNER,
            Change::Archive(|archive| {
                let at = script(archive);
                insert(archive, at, tar::member("folder", b'5', b""));
            }),
        ),
        bundle(
            "inner-type-nul",
            "T2",
            "A script is of type NUL, which old tars read as a file.",
            INNER,
            Change::Archive(|archive| {
                let at = script(archive);
                tar::edit(archive, at, |header| header[156] = 0);
            }),
        ),
        bundle(
            "outer-pax-path",
            "T5",
            "A pax header renames the payload member to what it is called already.",
            OUTER,
            Change::File(|file| {
                let at = payload(file);
                insert(file, at, tar::member("pax", b'x', b"24 path=payload.tar.zst\n"));
            }),
        ),
        bundle(
            "inner-pax-size",
            "T4",
            "A pax header gives a script another size than its ustar header.",
            INNER,
            Change::Archive(|archive| {
                let at = script(archive);
                insert(archive, at, tar::member("pax", b'x', b"9 size=1\n"));
            }),
        ),
        bundle(
            "inner-pax-global",
            "T5",
            "A global pax header stands first.",
            INNER,
            Change::Archive(|archive| insert(archive, 0, tar::member("pax", b'g', b"11 path=a.b\n"))),
        ),
        bundle(
            "inner-gnu-long-name",
            "T6",
            "A GNU long name stands before a script.",
            INNER,
            Change::Archive(|archive| {
                let at = script(archive);
                insert(archive, at, tar::member("longlink", b'L', b"000000.up.sql\0"));
            }),
        ),
    ]
}

fn members() -> Vec<Vector> {
    vec![
        bundle(
            "outer-member-repeated",
            "T3",
            "The payload member stands twice.",
            ("VerifyError::Container", "ArchiveError::TooManyMembers"),
            Change::File(|file| {
                let (start, end) = (payload(file), file.len() - 2 * BLOCK);
                let member = file[start..end].to_vec();
                insert(file, end, member);
            }),
        ),
        bundle(
            "outer-members-swapped",
            "T3",
            "The payload stands before the attestations.",
            ("VerifyError::Container", "ContainerError::Members"),
            Change::File(|file| {
                let (start, end) = (payload(file), file.len() - 2 * BLOCK);
                file[..end].rotate_left(start);
            }),
        ),
        bundle(
            "outer-member-missing",
            "D1",
            "There are attestations and no payload.",
            ("VerifyError::Container", "ContainerError::Members"),
            Change::File(|file| {
                let (start, end) = (payload(file), file.len() - 2 * BLOCK);
                file.drain(start..end);
            }),
        ),
        bundle(
            "inner-second-manifest",
            "T3",
            "A second manifest stands at the end.",
            ("OpenError::Member", ""),
            Change::Members(|members| {
                let manifest = members[0].clone();
                members.push(manifest);
            }),
        ),
        bundle(
            "inner-manifest-last",
            "T3",
            "The manifest does not stand first.",
            ("OpenError::ManifestDigest", ""),
            Change::Members(|members| members.rotate_left(1)),
        ),
        bundle(
            "inner-member-missing",
            "J7",
            "A script that the manifest lists is missing.",
            ("OpenError::Member", ""),
            Change::Members(|members| {
                members.pop();
            }),
        ),
        bundle(
            "inner-member-extra",
            "J7",
            "A script that the manifest does not list stands at the end.",
            ("OpenError::Member", ""),
            Change::Members(|members| members.push(("000002.up.sql".to_owned(), b"DROP TABLE customer;\n".to_vec()))),
        ),
        bundle(
            "inner-member-repeated",
            "T3",
            "A script stands twice.",
            ("OpenError::Member", ""),
            Change::Members(|members| {
                let script = members[1].clone();
                members.insert(1, script);
            }),
        ),
        bundle(
            "inner-scripts-swapped",
            "J7",
            "The up and the down script of a unit have each other's bytes.",
            ("OpenError::Member", ""),
            Change::Members(|members| {
                let up = std::mem::take(&mut members[1].1);
                members[1].1 = std::mem::replace(&mut members[2].1, up);
            }),
        ),
        bundle(
            "inner-member-renamed",
            "J7",
            "A script stands in its place under another name of the profile.",
            ("OpenError::Member", ""),
            Change::Members(|members| members[1].0 = "000009.up.sql".to_owned()),
        ),
        bundle(
            "inner-members-reordered",
            "J7",
            "Two scripts stand in each other's place.",
            ("OpenError::Member", ""),
            Change::Members(|members| members.swap(1, 2)),
        ),
        bundle(
            "inner-script-changed",
            "J7",
            "One byte of a script is another one; the release is signed over it.",
            ("OpenError::Member", ""),
            Change::Members(|members| members[1].1[0] ^= 0x20),
        ),
        bundle(
            "inner-script-longer",
            "J7",
            "A script has a line more than the manifest says.",
            ("OpenError::Member", ""),
            Change::Members(|members| members[1].1.extend_from_slice(b"DROP TABLE customer;\n")),
        ),
        bundle(
            "inner-manifest-changed",
            "J7",
            "The manifest is not the one whose digest was signed.",
            ("OpenError::ManifestDigest", ""),
            Change::Members(|members| {
                let manifest = std::mem::take(&mut members[0].1);
                members[0].1 = crate::forge::replaced(manifest, "orders-42", "orders-43");
            }),
        ),
    ]
}

fn sizes() -> Vec<Vector> {
    vec![
        bundle(
            "outer-size-base-256",
            "T8",
            "The payload member's size is written in base 256.",
            OUTER,
            Change::File(|file| {
                let at = payload(file);
                let size = file.len() - 2 * BLOCK - at - BLOCK;
                tar::edit(file, at, |header| {
                    header[124..136].fill(0);
                    header[124] = 0x80;
                    header[132..136].copy_from_slice(&(size as u32).to_be_bytes());
                });
            }),
        ),
        bundle(
            "outer-size-beyond-end",
            "T8",
            "The payload member claims to be larger than the file.",
            ("VerifyError::Container", "ArchiveError::Truncated"),
            Change::File(|file| {
                let at = payload(file);
                tar::edit(file, at, |header| header[124..135].copy_from_slice(b"77777777777"));
            }),
        ),
        bundle(
            "inner-body-truncated",
            "T9",
            "The last script claims 5,000 bytes, of which the archive holds fewer.",
            ("OpenError::Archive", "ArchiveError::Truncated"),
            Change::Archive(|archive| {
                let at = tar::header_of(archive, 3);
                tar::edit(archive, at, |header| header[124..135].copy_from_slice(b"00000011610"));
            }),
        ),
        bundle(
            "outer-no-end",
            "T10",
            "The two final blocks are missing.",
            ("VerifyError::Container", "ArchiveError::Truncated"),
            Change::File(|file| file.truncate(file.len() - 2 * BLOCK)),
        ),
        bundle(
            "outer-one-final-block",
            "T10",
            "There is one final block.",
            ("VerifyError::Container", "ArchiveError::Truncated"),
            Change::File(|file| file.truncate(file.len() - BLOCK)),
        ),
        bundle(
            "outer-trailing-block",
            "T10",
            "A third zero block follows the two final ones.",
            ("VerifyError::Container", "ArchiveError::Trailing"),
            Change::File(|file| file.extend_from_slice(&[0; BLOCK])),
        ),
        bundle(
            "inner-trailing-archive",
            "T10",
            "A whole second archive follows the final blocks.",
            ("OpenError::Archive", "ArchiveError::Trailing"),
            Change::Archive(|archive| archive.extend(archive::write([("000000.up.sql", b"DROP".as_slice())]))),
        ),
        bundle(
            "inner-lone-zero-block",
            "T10",
            "A zero block stands before a script.",
            ("OpenError::Archive", "ArchiveError::Padding"),
            Change::Archive(|archive| {
                let at = script(archive);
                insert(archive, at, vec![0; BLOCK]);
            }),
        ),
        bundle(
            "outer-padding",
            "T10",
            "The padding after the attestations is not zero.",
            ("VerifyError::Container", "ArchiveError::Padding"),
            Change::File(|file| {
                let at = tar::end_of(file, 0);
                file[at] = b'x';
            }),
        ),
        bundle(
            "inner-padding",
            "T10",
            "The padding after a script is not zero.",
            ("OpenError::Archive", "ArchiveError::Padding"),
            Change::Archive(|archive| {
                let at = tar::end_of(archive, 1);
                archive[at] = b'x';
            }),
        ),
    ]
}

fn spellings() -> Vec<Vector> {
    vec![
        bundle(
            "outer-header-tail",
            "T10",
            "The last twelve bytes of a header, which no field claims, are not zero.",
            OUTER,
            Change::File(|file| tar::edit(file, 0, |header| header[500..512].fill(b'x'))),
        ),
        bundle(
            "outer-time",
            "T10",
            "A member has a modification time.",
            OUTER,
            Change::File(|file| tar::edit(file, 0, |header| header[136..147].copy_from_slice(b"16000000000"))),
        ),
        bundle(
            "inner-mode",
            "T10",
            "A script is set-user-id.",
            INNER,
            Change::Archive(|archive| {
                let at = script(archive);
                tar::edit(archive, at, |header| header[100..107].copy_from_slice(b"0004755"));
            }),
        ),
        bundle(
            "inner-owner",
            "T10",
            "A script has an owner's name.",
            INNER,
            Change::Archive(|archive| {
                let at = script(archive);
                tar::edit(archive, at, |header| header[265..269].copy_from_slice(b"root"));
            }),
        ),
        bundle(
            "outer-checksum",
            "T11",
            "A header's checksum is one too high.",
            OUTER,
            Change::File(|file| file[153] = if file[153] == b'7' { b'6' } else { file[153] + 1 }),
        ),
        bundle(
            "outer-checksum-spelling",
            "T11",
            "A header's checksum is right, and ends with a blank and a NUL instead of a NUL and a blank.",
            OUTER,
            Change::File(|file| file[154..156].copy_from_slice(b" \0")),
        ),
        bundle(
            "inner-v7",
            "T11",
            "A script has a header of the time before ustar.",
            INNER,
            Change::Archive(|archive| {
                let at = script(archive);
                tar::edit(archive, at, |header| header[257..265].fill(0));
            }),
        ),
        bundle(
            "inner-gnu-magic",
            "T11",
            "A script has GNU tar's magic.",
            INNER,
            Change::Archive(|archive| {
                let at = script(archive);
                tar::edit(archive, at, |header| header[257..265].copy_from_slice(b"ustar  \0"));
            }),
        ),
        bundle(
            "inner-size-spelling",
            "T14",
            "A script's size is right, and ends with a blank instead of a NUL.",
            INNER,
            Change::Archive(|archive| {
                let at = script(archive);
                tar::edit(archive, at, |header| header[135] = b' ');
            }),
        ),
    ]
}
