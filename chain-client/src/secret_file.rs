// SPDX-License-Identifier: Apache-2.0

//! Files that hold secrets: nobody but their owner may read them.
//!
//! One reader and one writer for all programs. The reader opens first, and then looks at what it has open: a name can be another
//! file's by the time that it is opened. What it takes:
//!
//! * **a file** that its owner alone can read;
//! * **a file in systemd's `$CREDENTIALS_DIRECTORY`** (`LoadCredential`): there the group may read, because systemd lets the service
//!   in by an access control list, which shows as the group's right;
//! * **a pipe, a socket or a terminal** (`/dev/stdin`, `<(pass show key)`): whoever has it open can read it, and its mode says nothing.
//!   Opening a named pipe waits for whoever writes into it.
//!
//! Folders and disks are no secrets, and nothing longer than 64 MiB is.

use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// The mode of a file that its owner alone can read.
const PRIVATE: u32 = 0o600;
/// Where systemd puts what `LoadCredential` names.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Why a secret was not read from its file, or not written into one. Its message ends with the code.
#[derive(Debug)]
pub enum SecretFileError {
    /// Others than its owner can read it, so it may be known already.
    ReadableByOthers {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// There is none.
    NotFound(PathBuf),
    /// It cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// There is a file of that name, and no secret is ever overwritten.
    Exists(PathBuf),
    /// It cannot be written.
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
}

impl SecretFileError {
    /// The error as one word. Stable.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ReadableByOthers { .. } => "file_readable_by_others",
            Self::NotFound(_) => "file_not_found",
            Self::Unreadable { .. } => "file_unreadable",
            Self::Exists(_) => "file_exists",
            Self::Unwritable { error, .. } if error.kind() == ErrorKind::StorageFull => "disk_full",
            Self::Unwritable { .. } => "file_unwritable",
        }
    }

    /// The error in words, without its code, its first letter small unless a name begins it.
    pub fn sentence(&self) -> String {
        match self {
            Self::ReadableByOthers { path, mode } => {
                let path = path.display();
                format!(
                    "{path} holds a secret and can be read by others (mode {mode:03o}): run `chmod 600 {path}`, and think of \
                     whether it is still a secret"
                )
            }
            Self::NotFound(path) => format!("there is no file {}", path.display()),
            Self::Unreadable { path, why } => {
                format!("the secret in {} cannot be read: {why}", path.display())
            }
            Self::Exists(path) => {
                let path = path.display();
                format!("{path} is there already and was left as it is: take another name")
            }
            Self::Unwritable { path, error } => {
                format!("{} cannot be written: {error}", path.display())
            }
        }
    }

    fn unreadable(path: &Path, why: impl fmt::Display) -> Self {
        Self::Unreadable {
            path: path.to_owned(),
            why: why.to_string(),
        }
    }

    fn not_read(path: &Path, error: &std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::NotFound(path.to_owned()),
            _ => Self::unreadable(path, error),
        }
    }
}

impl fmt::Display for SecretFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.sentence(), self.code())
    }
}

impl std::error::Error for SecretFileError {}

/// Bytes of the largest secret: the keys of a large study's participants.
const LARGEST: u64 = 64 << 20;

/// Reads a secret, unless others than its owner can read the file, too.
pub fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretFileError> {
    let unreadable = |error: std::io::Error| SecretFileError::not_read(path, &error);
    let file = File::open(path).map_err(unreadable)?;
    // Of the file that is open: its name may be another's by now.
    let metadata = file.metadata().map_err(unreadable)?;
    check_kind(path, &metadata)?;
    check_mode(path, &metadata)?;
    let mut secret = Zeroizing::new(Vec::with_capacity(metadata.len().min(1 << 20) as usize));
    let mut file = file.take(LARGEST + 1);
    file.read_to_end(&mut secret).map_err(unreadable)?;
    match secret.len() as u64 > LARGEST {
        true => Err(SecretFileError::unreadable(
            path,
            format!("it has more than {LARGEST} bytes"),
        )),
        false => Ok(secret),
    }
}

/// Reads a secret that is text. White space at the end does not count.
pub fn read_secret_text(path: &Path) -> Result<Zeroizing<String>, SecretFileError> {
    let bytes = read_secret(path)?;
    let text = std::str::from_utf8(&bytes);
    let text = text.map_err(|_| SecretFileError::unreadable(path, "it is not text"))?;
    Ok(Zeroizing::new(text.trim_end().to_owned()))
}

/// Fails when others than its owner can read the file. Pipes and terminals are read by whoever has them.
pub fn check_private(path: &Path) -> Result<(), SecretFileError> {
    let metadata = std::fs::metadata(path);
    check_mode(
        path,
        &metadata.map_err(|error| SecretFileError::not_read(path, &error))?,
    )
}

/// Writes a secret into a new file, which is durable with its name when this returns. What stands under that name is never
/// overwritten, and a file that could not be written whole is taken away.
pub fn write_new_secret(path: &Path, secret: &[u8]) -> Result<(), SecretFileError> {
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::AlreadyExists => SecretFileError::Exists(path.to_owned()),
        _ => SecretFileError::Unwritable {
            path: path.to_owned(),
            error,
        },
    };
    write_new(path, secret, PRIVATE).map_err(failed)
}

/// Writes a new file with this mode, which is durable with its name when this returns. What stands under that name is never
/// overwritten, and a file that could not be written whole is taken away.
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    let mut file = new_file(path, mode)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| sync_folder(path));
    if written.is_err() {
        // Nobody but this program made it. If it stays, the next attempt says that it is there.
        let _ = std::fs::remove_file(path);
    }
    written
}

fn new_file(path: &Path, mode: u32) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode).open(path)
}

/// Makes a new file to write to which nobody but its owner can read.
pub fn new_private(path: &Path) -> std::io::Result<File> {
    new_file(path, PRIVATE)
}

/// Makes the names in a file's folder durable.
pub fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Opens a file to write to which nobody but its owner can read, whatever the umask; makes it if it is not there. What stands
/// in it stays until it is overwritten.
pub fn open_private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    // It was there before, or the umask takes rights from its owner.
    if metadata.is_file() && metadata.permissions().mode() & 0o777 != 0o600 {
        file.set_permissions(PermissionsExt::from_mode(0o600))?;
    }
    Ok(file)
}

/// The same, and empties it.
pub fn create_private(path: &Path) -> std::io::Result<File> {
    let file = open_private(path)?;
    // A pipe has nothing to empty.
    if file.metadata()?.is_file() {
        file.set_len(0)?;
    }
    Ok(file)
}

fn check_kind(path: &Path, metadata: &Metadata) -> Result<(), SecretFileError> {
    let kind = metadata.file_type();
    if kind.is_dir() {
        return Err(SecretFileError::unreadable(path, "it is a folder"));
    }
    if kind.is_block_device() {
        return Err(SecretFileError::unreadable(path, "it is a disk"));
    }
    Ok(())
}

fn check_mode(path: &Path, metadata: &Metadata) -> Result<(), SecretFileError> {
    let mode = metadata.permissions().mode() & 0o777;
    let others = if is_credential(path) { 0o007 } else { 0o077 };
    match metadata.is_file() && mode & others != 0 {
        true => Err(SecretFileError::ReadableByOthers {
            path: path.to_owned(),
            mode,
        }),
        false => Ok(()),
    }
}

fn is_credential(path: &Path) -> bool {
    let Some(folder) = std::env::var_os(CREDENTIALS) else {
        return false;
    };
    let whole = |path: &Path| path.canonicalize().ok();
    whole(path)
        .zip(whole(Path::new(&folder)))
        .is_some_and(|(path, folder)| path.starts_with(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_file_is_private_whether_or_not_it_was_there() {
        let directory = tempfile::tempdir().unwrap();
        let (new, old) = (directory.path().join("new"), directory.path().join("old"));
        std::fs::write(&old, "what was there").unwrap();
        std::fs::set_permissions(&old, PermissionsExt::from_mode(0o666)).unwrap();
        for path in [&new, &old] {
            open_private(path).unwrap();
            let mode = std::fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert_eq!(std::fs::read(&old).unwrap(), b"what was there");
    }

    #[test]
    fn a_new_secret_is_its_owners_alone_and_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        write_new_secret(&path, b"//Charlie\n").unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = write_new_secret(&path, b"//Dave").unwrap_err();
        assert_eq!(again.code(), "file_exists");
        assert_eq!(*read_secret_text(&path).unwrap(), "//Charlie");
        let nowhere = write_new_secret(&directory.path().join("none/secret"), b"x").unwrap_err();
        assert_eq!(nowhere.code(), "file_unwritable");
    }

    #[test]
    fn a_full_disk_has_a_word_of_its_own() {
        let mut full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let error = full.write_all(b"x").unwrap_err();
        let error = SecretFileError::Unwritable {
            path: "secret".into(),
            error,
        };
        assert_eq!(error.code(), "disk_full");
    }

    #[test]
    fn a_pipe_is_read_whatever_its_mode_and_a_folder_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        std::fs::set_permissions(&pipe, PermissionsExt::from_mode(0o666)).unwrap();
        let writer = {
            let pipe = pipe.clone();
            std::thread::spawn(move || std::fs::write(pipe, "//Charlie\n").unwrap())
        };
        assert_eq!(*read_secret_text(&pipe).unwrap(), "//Charlie");
        writer.join().unwrap();
        let folder = read_secret(directory.path()).unwrap_err();
        assert_eq!(folder.code(), "file_unreadable");
        assert!(folder.sentence().ends_with("it is a folder"), "{folder}");
    }

    #[test]
    fn what_is_longer_than_any_secret_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        new_private(&path).unwrap().set_len(LARGEST + 1).unwrap();
        assert_eq!(read_secret(&path).unwrap_err().code(), "file_unreadable");
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_with_the_command_that_mends_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, "//Charlie\n").unwrap();
        for mode in [0o644, 0o640, 0o604, 0o660, 0o777] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            let error = read_secret_text(&path).unwrap_err();
            assert_eq!(error.code(), "file_readable_by_others");
            let command = format!("chmod 600 {}", path.display());
            assert!(error.to_string().contains(&command), "{error}");
        }
        for mode in [0o600, 0o400, 0o700] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            assert_eq!(*read_secret_text(&path).unwrap(), "//Charlie");
        }
        let none = read_secret(&directory.path().join("none")).unwrap_err();
        assert_eq!(none.code(), "file_not_found");
    }
}
