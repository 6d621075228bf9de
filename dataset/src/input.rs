// SPDX-License-Identifier: Apache-2.0

//! Files that are read: within a bound, or hashed.

use std::fs::{self, File};
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;

use mhealth_api::Hash;
use sha2::{Digest, Sha256};

use crate::error::DataError;

/// Fails for what is no file but, for example, a pipe: that gives what it has once, and who reads it again waits for ever. It is not
/// opened, which may wait, too.
pub(crate) fn must_be_file(path: &Path) -> Result<(), DataError> {
    let found = fs::metadata(path).map_err(DataError::file(path))?;
    match found.is_file() {
        true => Ok(()),
        false => {
            let why = "it is read more than once, so it has to be a file, and no pipe or folder";
            Err(DataError::file(path)(io::Error::new(
                ErrorKind::InvalidInput,
                why,
            )))
        }
    }
}

/// All of a file, and one byte more than `most` of a longer one: whoever reads it finds that it is too long.
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>, DataError> {
    let file = File::open(path).map_err(DataError::file(path))?;
    let length = file.metadata().map_err(DataError::file(path))?.len();
    // Room for all of it at once: a vector that grows takes up to twice as much.
    let mut bytes = Vec::with_capacity(length.min(most) as usize + 1);
    let taken = file.take(most + 1).read_to_end(&mut bytes);
    taken.map_err(DataError::file(path))?;
    Ok(bytes)
}

/// How long a file is, and its SHA-256.
pub(crate) fn digest(path: &Path) -> Result<(u64, Hash), DataError> {
    let hashed = || {
        let mut file = BufReader::with_capacity(1 << 16, Hashing::new(File::open(path)?));
        let bytes = io::copy(&mut file, &mut io::sink())?;
        Ok((bytes, file.into_inner().finish()))
    };
    hashed().map_err(DataError::file(path))
}

/// Hashes what is read through it.
pub(crate) struct Hashing<R> {
    inner: R,
    hash: Sha256,
}

impl<R> Hashing<R> {
    pub(crate) fn new(inner: R) -> Self {
        let hash = Sha256::new();
        Hashing { inner, hash }
    }

    pub(crate) fn finish(self) -> Hash {
        Hash(self.hash.finalize().into())
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}
