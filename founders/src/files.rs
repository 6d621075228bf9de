// SPDX-License-Identifier: Apache-2.0

//! Files of secrets, which only their owner can read, and files for everybody. Neither is ever overwritten.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use mhealth_chain_client::{read_secret_text, write_new, write_new_secret};
use zeroize::Zeroizing;

use crate::failure::Failure;

/// Makes a new folder that only its owner can enter.
pub(crate) fn make_private_folder(path: &Path) -> Result<(), Failure> {
    let mut builder = DirBuilder::new();
    builder
        .mode(0o700)
        .create(path)
        .map_err(|error| Failure::file(path, &error))
}

/// Writes a new file that only its owner can read.
pub(crate) fn write_secret(path: &Path, text: &str) -> Result<(), Failure> {
    Ok(write_new_secret(path, text.as_bytes())?)
}

/// Writes a new file that everybody may read.
pub(crate) fn write_public(path: &Path, text: &str) -> Result<(), Failure> {
    let written = write_new(path, text.as_bytes(), 0o644);
    written.map_err(|error| Failure::file(path, &error))
}

/// Writes a new file that everybody may read, and then what belongs to it: both, or neither. For a secret it is the other one, so
/// that there is never a secret without its public half.
pub(crate) fn write_public_with(
    path: &Path,
    text: &str,
    other: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    write_public(path, text)?;
    other().inspect_err(|_| {
        // This program has made it just now. If it stays, the next attempt says that it is there.
        let _ = fs::remove_file(path);
    })
}

/// Reads a file that everybody may read.
pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| Failure::file(path, &error))
}

/// Reads a secret, without the end of its line. Refuses a file that others on the machine can read.
pub(crate) fn read_secret(path: &Path) -> Result<Zeroizing<String>, Failure> {
    Ok(read_secret_text(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_for_its_owner_alone_and_never_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        write_secret(&path, "phrase\n").expect("written");
        assert_eq!(*read_secret(&path).expect("read"), "phrase");
        let again = write_secret(&path, "other").expect_err("it is there");
        assert_eq!(again.code(), "file_exists");
        assert_eq!(*read_secret(&path).expect("read"), "phrase");
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        write_public(&path, "phrase").expect("written");
        let refused = read_secret(&path).expect_err("everybody can read it");
        assert_eq!(refused.code(), "file_readable_by_others");
    }

    #[test]
    fn of_a_pair_that_cannot_be_written_nothing_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let (public, secret) = (folder.path().join("half"), folder.path().join("secret"));
        let pair = || write_public_with(&public, "known", || write_secret(&secret, "phrase\n"));
        for there in [&public, &secret] {
            fs::write(there, "it was there").expect("written");
            let refused = pair().expect_err("one is there");
            assert_eq!(refused.code(), "file_exists");
            let left = fs::read_dir(folder.path()).expect("read").count();
            assert_eq!(left, 1, "{}", there.display());
            fs::remove_file(there).expect("it is there");
        }
        pair().expect("both are new");
        assert_eq!(*read_secret(&secret).expect("read"), "phrase");
        assert_eq!(read(&public).expect("read"), "known");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let missing = read_secret(Path::new("nowhere/secret")).expect_err("there is none");
        assert_eq!(missing.code(), "file_not_found");
        assert!(missing.to_string().contains("nowhere/secret"), "{missing}");
    }
}
