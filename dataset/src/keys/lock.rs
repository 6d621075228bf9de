// SPDX-License-Identifier: Apache-2.0

//! Who changes a key folder has it alone.
//!
//! What a program has read of a folder has to be so still when it writes. Otherwise a split, or a back-up, could have a key that is
//! destroyed meanwhile, and its record would not name that copy; two orders could be made to erase one device, of which the chain
//! takes one; and a key could be put back into the folder after it was destroyed.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::Path;

use super::{KeyFolder, Whose};
use crate::error::DataError;

/// The lock of a key folder, until this is dropped or its program dies. It lies on `study.json`, which never changes. Take it before
/// the folder is opened.
#[derive(Debug)]
#[must_use]
pub struct Lock {
    study: File,
}

impl Lock {
    /// For who changes the folder. Fails where another uses it.
    pub fn alone(folder: &Path) -> Result<Self, DataError> {
        Self::take(folder, OpenOptions::new().write(true), File::try_lock)
    }

    /// The same of a folder that is made if there is none.
    pub fn alone_in_new(folder: &Path, whose: Whose) -> Result<Self, DataError> {
        KeyFolder::make(folder, whose)?;
        Self::alone(folder)
    }

    /// For who only reads keys, or adds to what is known of devices. Fails where another changes the folder.
    pub fn shared(folder: &Path) -> Result<Self, DataError> {
        Self::take(folder, OpenOptions::new().read(true), File::try_lock_shared)
    }

    fn take(
        folder: &Path,
        options: &OpenOptions,
        lock: fn(&File) -> Result<(), TryLockError>,
    ) -> Result<Self, DataError> {
        let path = folder.join("study.json");
        let study = options.open(&path).map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => {
                DataError::NoKeyFolder(folder.display().to_string())
            }
            _ => DataError::file(&path)(error),
        })?;
        match lock(&study) {
            Ok(()) => Ok(Lock { study }),
            Err(TryLockError::WouldBlock) => {
                Err(DataError::KeyFolderInUse(folder.display().to_string()))
            }
            Err(TryLockError::Error(error)) => Err(DataError::file(&path)(error)),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A program that is being started may have the file open for a moment more. If this fails, that ends it.
        let _ = self.study.unlock();
    }
}
