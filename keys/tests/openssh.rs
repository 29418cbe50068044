//! Key files: what OpenSSH writes is read, what we write OpenSSH reads, and everything else is refused with the reason.
#![expect(clippy::unwrap_used, reason = "in a test, a surprise is a failure")]

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use sealift_keys::file;
use sealift_keys::openssh::{self, ReadError, WriteError};
use sealift_keys::signer::Signer;
use sealift_spec::key::PublicKey;
use sealift_spec::secret::Secret;
use sealift_verifier::file::FileError;
use ssh_key::private::{Ed25519Keypair, Ed25519PrivateKey, KeypairData, SkEd25519};
use ssh_key::public::Ed25519PublicKey;
use ssh_key::{LineEnding, PrivateKey};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[track_caller]
fn ssh_keygen(arguments: &[&str]) -> String {
    let output = Command::new("ssh-keygen").args(arguments).output().expect("ssh-keygen (package openssh-client)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn nobody(_: &Path) -> io::Result<Secret> {
    panic!("a passphrase was asked for")
}

fn read(path: &Path) -> Result<Signer, ReadError> {
    openssh::read(path, &mut nobody)
}

fn read_with(path: &Path, passphrase: &str) -> Result<Signer, ReadError> {
    openssh::read(path, &mut |_| Ok(Secret::new(passphrase.to_owned())))
}

#[track_caller]
fn refusal(result: Result<Signer, ReadError>) -> ReadError {
    match result {
        Ok(_) => panic!("not refused"),
        Err(error) => error,
    }
}

fn write(path: &Path, content: impl AsRef<[u8]>, mode: u32) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn public_key(path: &Path) -> PublicKey {
    fs::read_to_string(path).unwrap().parse().unwrap()
}

#[test]
fn keys_of_ssh_keygen_sign() {
    let folder = folder();
    for passphrase in ["", "correct horse"] {
        let path = folder.path().join(format!("key{}", passphrase.len()));
        ssh_keygen(&["-q", "-t", "ed25519", "-C", "a@example.com", "-N", passphrase, "-f", text(&path)]);
        let signer = if passphrase.is_empty() { read(&path) } else { read_with(&path, passphrase) }.ok().unwrap();
        assert_eq!(signer.public_key(), public_key(&openssh::public_path(&path)));
    }
    let encrypted = folder.path().join("key13");
    assert!(matches!(refusal(read_with(&encrypted, "wrong")), ReadError::WrongPassphrase { .. }));
    let no_terminal = openssh::read(&encrypted, &mut |_| Err(io::Error::other("no terminal")));
    assert!(matches!(refusal(no_terminal), ReadError::Passphrase { .. }));
}

#[test]
fn keys_we_write_are_read_by_ssh_keygen() {
    let folder = folder();
    for passphrase in [None, Some("a passphrase")] {
        let path = folder.path().join(format!("key-{}", passphrase.is_some()));
        let signer = Signer::generate().unwrap();
        let secret = passphrase.map(|text| Secret::new(text.to_owned()));
        openssh::write(&signer, &"ann@example.com".parse().unwrap(), secret.as_ref(), &path).unwrap();
        let line = ssh_keygen(&["-y", "-P", passphrase.unwrap_or(""), "-f", text(&path)]);
        assert_eq!(line.parse(), Ok(signer.public_key()));
        assert_eq!(line.trim(), format!("{} ann@example.com", signer.public_key()));
        let public = openssh::public_path(&path);
        assert_eq!(fs::read_to_string(&public).unwrap().trim(), line.trim());
        let id = signer.public_key().id();
        assert_eq!(ssh_keygen(&["-lf", text(&public)]).trim(), format!("256 {id} ann@example.com (ED25519)"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&public).unwrap().permissions().mode() & 0o777, 0o644);
        let again = if let Some(text) = passphrase { read_with(&path, text) } else { read(&path) }.ok().unwrap();
        assert_eq!(again.public_key(), signer.public_key());
    }
    // A file that `ssh-keygen` cannot open without its passphrase.
    let path = folder.path().join("key-true");
    let wrong = Command::new("ssh-keygen").args(["-y", "-P", "other", "-f", text(&path)]).output().unwrap();
    assert!(!wrong.status.success());
}

#[test]
fn nothing_is_overwritten_and_nothing_is_left_behind() {
    let folder = folder();
    let (signer, holder) = (Signer::generate().unwrap(), "ann@example.com".parse().unwrap());
    let path = folder.path().join("key");
    for taken in ["key", "key.pub"] {
        write(&folder.path().join(taken), "mine", 0o600);
        let error = openssh::write(&signer, &holder, None, &path).unwrap_err();
        assert!(
            matches!(&error, WriteError::File(file::WriteError::Exists { path }) if path.ends_with(taken)),
            "{error}"
        );
        assert_eq!(fs::read_to_string(folder.path().join(taken)).unwrap(), "mine");
        fs::remove_file(folder.path().join(taken)).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{taken}");
    }
    // A link to nowhere is a name that is taken too.
    symlink(folder.path().join("elsewhere"), &path).unwrap();
    assert!(matches!(
        openssh::write(&signer, &holder, None, &path),
        Err(WriteError::File(file::WriteError::Exists { .. }))
    ));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let nowhere = folder.path().join("no/key");
    assert!(matches!(
        openssh::write(&signer, &holder, None, &nowhere),
        Err(WriteError::File(file::WriteError::Io { .. }))
    ));
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let folder = folder();
    let path = folder.path().join("key");
    ssh_keygen(&["-q", "-t", "ed25519", "-N", "", "-f", text(&path)]);
    for mode in [0o640, 0o604, 0o620, 0o602, 0o660, 0o644] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = refusal(read(&path));
        assert!(matches!(error, ReadError::File(FileError::Readable { .. })), "{mode:o}: {error}");
        assert_eq!(error.hint(), Some(format!("chmod 600 '{}'", path.display())));
    }
    for mode in [0o600, 0o400] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert!(read(&path).is_ok(), "{mode:o}");
    }
}

#[test]
fn links_folders_pipes_and_huge_files_are_refused() {
    let folder = folder();
    let path = folder.path().join("key");
    ssh_keygen(&["-q", "-t", "ed25519", "-N", "", "-f", text(&path)]);
    let link = folder.path().join("link");
    symlink(&path, &link).unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [link, pipe, folder.path().to_owned()] {
        let error = refusal(read(&path));
        assert!(matches!(error, ReadError::File(FileError::NotRegular { .. })), "{}: {error}", path.display());
    }
    let huge = folder.path().join("huge");
    write(&huge, [b'-'; 16 * 1024 + 1], 0o600);
    assert!(matches!(refusal(read(&huge)), ReadError::File(FileError::TooLarge { .. })));
    let absent = folder.path().join("absent");
    assert!(matches!(refusal(read(&absent)), ReadError::File(FileError::Io { .. })));
}

#[test]
fn public_keys_are_refused_with_the_private_name() {
    let folder = folder();
    let path = folder.path().join("key");
    ssh_keygen(&["-q", "-t", "ed25519", "-N", "", "-f", text(&path)]);
    let error = refusal(read(&openssh::public_path(&path)));
    assert!(matches!(error, ReadError::Public { .. }));
    assert_eq!(error.hint(), Some(format!("give the private half: {}", path.display())));
    // Under another name, private or not.
    let line = fs::read_to_string(openssh::public_path(&path)).unwrap();
    for mode in [0o644, 0o600] {
        let other = folder.path().join("other");
        write(&other, &line, mode);
        assert!(matches!(refusal(read(&other)), ReadError::Public { .. }), "{mode:o}");
    }
}

#[test]
fn other_algorithms_and_formats_are_refused() {
    let folder = folder();
    for (index, arguments) in
        [&["-t", "rsa", "-b", "1024"][..], &["-t", "ecdsa"], &["-t", "rsa", "-b", "1024", "-N", "secret"]]
            .iter()
            .enumerate()
    {
        let path = folder.path().join(format!("other{index}"));
        let mut all = vec!["-q", "-f", text(&path)];
        all.extend(*arguments);
        if !arguments.contains(&"-N") {
            all.extend(["-N", ""]);
        }
        ssh_keygen(&all);
        let error = refusal(read(&path));
        assert!(matches!(error, ReadError::Algorithm { .. }), "{arguments:?}: {error}");
    }
    let pem = folder.path().join("pem");
    ssh_keygen(&["-q", "-t", "rsa", "-b", "1024", "-m", "PEM", "-N", "", "-f", text(&pem)]);
    assert!(matches!(refusal(read(&pem)), ReadError::Format { .. }));
    let path = folder.path().join("text");
    for content in ["", "hello", "-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n"] {
        write(&path, content, 0o600);
        assert!(matches!(refusal(read(&path)), ReadError::Format { .. }), "{content}");
    }
    let public = ssh_key::public::SkEd25519::from(Ed25519PublicKey([7; 32]));
    let token = PrivateKey::from(SkEd25519::new(public, 1, vec![1, 2, 3]).unwrap());
    write(&path, token.to_openssh(LineEnding::LF).unwrap().as_bytes(), 0o600);
    assert!(matches!(refusal(read(&path)), ReadError::SecurityKey { .. }));
}

#[test]
fn damaged_keys_and_swapped_halves_are_refused() {
    let folder = folder();
    let path = folder.path().join("key");
    let seed = Ed25519PrivateKey::from_bytes(&[1; 32]);
    let pair = Ed25519Keypair { public: Ed25519PublicKey([2; 32]), private: seed };
    let key = PrivateKey::new(KeypairData::Ed25519(pair), "x").unwrap();
    write(&path, key.to_openssh(LineEnding::LF).unwrap().as_bytes(), 0o600);
    assert!(matches!(refusal(read(&path)), ReadError::Mismatch { .. }));

    let good = folder.path().join("good");
    ssh_keygen(&["-q", "-t", "ed25519", "-N", "", "-f", text(&good)]);
    let whole = fs::read_to_string(&good).unwrap();
    let cut = whole.lines().enumerate().filter(|(i, _)| *i != 2).map(|(_, l)| format!("{l}\n")).collect::<String>();
    write(&path, cut, 0o600);
    assert!(matches!(refusal(read(&path)), ReadError::Damaged { .. } | ReadError::Algorithm { .. }));
    // Every single changed character of the body is noticed, or changes nothing that matters.
    let key = public_key(&openssh::public_path(&good));
    let body: Vec<usize> =
        whole.char_indices().map(|(i, _)| i).filter(|i| (40..whole.len() - 40).contains(i)).collect();
    for at in body {
        let mut bytes = whole.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        write(&path, &bytes, 0o600);
        if let Ok(signer) = openssh::read(&path, &mut |_| Err(io::Error::other("none"))) {
            assert_eq!(signer.public_key(), key, "byte {at}");
        }
    }
}
