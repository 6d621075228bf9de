// SPDX-License-Identifier: Apache-2.0

//! Files that are put in their places when they are whole.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use mhealth_chain_client::{open_private, sync_folder};

use crate::error::AuditError;

/// Where a file is written until it is whole: beside what stands there, under its name and `.part`. What does not become whole is taken
/// away.
#[derive(Debug)]
pub struct Part {
    path: PathBuf,
    target: PathBuf,
}

impl Part {
    /// Begins it, empty. Fails where somebody else writes it, for as long as that file is open.
    pub fn begin(target: &Path) -> Result<(Self, File), AuditError> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        Self::begin_with(target, |path| options.open(path))
    }

    /// The same of a file that nobody but its owner can read.
    pub fn begin_private(target: &Path) -> Result<(Self, File), AuditError> {
        Self::begin_with(target, open_private)
    }

    fn begin_with(
        target: &Path,
        open: impl Fn(&Path) -> io::Result<File>,
    ) -> Result<(Self, File), AuditError> {
        let path = place(target);
        // What there is may be another's, so it is not cut before it is locked, and not taken away.
        let file = alone(&path, open)?;
        let target = target.to_owned();
        Ok((Self { path, target }, file))
    }

    /// One of a file that nobody else writes, whose bytes the caller puts [there](Self::path).
    pub(crate) fn of(target: PathBuf) -> Self {
        Self {
            path: beside(&target),
            target,
        }
    }

    /// Where its bytes are until it is whole.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its place.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// It is whole.
    pub fn put_in_place(mut self) -> io::Result<()> {
        if self.path != self.target {
            std::fs::rename(&self.path, &self.target)?;
            self.path.clone_from(&self.target);
            sync_folder(&self.target)?;
        }
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.path != self.target {
            // If it cannot be taken away, its name says what it is.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Has a file's bytes outlive the machine's next moment.
pub fn make_durable(file: &File) -> io::Result<()> {
    // A pipe keeps nothing.
    match file.metadata()?.is_file() {
        true => file.sync_all(),
        false => Ok(()),
    }
}

/// Where it is written. What may be no file that another can replace, but a pipe or a link, is written as it comes.
fn place(target: &Path) -> PathBuf {
    match std::fs::symlink_metadata(target) {
        Ok(found) if !found.is_file() => target.to_owned(),
        _ => beside(target),
    }
}

fn beside(target: &Path) -> PathBuf {
    let mut path = target.as_os_str().to_owned();
    path.push(".part");
    path.into()
}

/// A file that is locked until it is closed, and empty. What a dead program left is written over. A pipe is as it is.
fn alone(path: &Path, open: impl Fn(&Path) -> io::Result<File>) -> Result<File, AuditError> {
    let file = open(path)?;
    let opened = file.metadata()?;
    if !opened.is_file() {
        return Ok(file);
    }
    let in_use = || AuditError::Input {
        file: path.display().to_string(),
        why: "another process is writing it".into(),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(in_use()),
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    // The other one may have put it in its place since it was opened here.
    let now = std::fs::metadata(path).map(|found| found.ino());
    if now.ok() != Some(opened.ino()) {
        return Err(in_use());
    }
    file.set_len(0)?;
    Ok(file)
}
