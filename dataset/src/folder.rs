// SPDX-License-Identifier: Apache-2.0

//! The folder of a dataset: written beside its place, and moved there when all of it is durable. Half a dataset has another
//! name, and no signed manifest.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::error::DataError;

/// Ends the name of a folder that is being written.
const UNFINISHED: &str = ".unfinished";
/// Is in such a folder until its end, so that nothing else is ever taken for one.
const MARK: &str = ".being-written-by-mhealth-data";

/// The folders that this process is writing. Whoever makes a file in one, ends one or takes them all away holds this.
static OPEN: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn open() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes away every dataset that this process has not finished, before it ends without any more ado: they have what people's phones
/// sealed, opened. Nothing is written into them, and none is finished, as long as what this gives is kept.
pub fn take_away_unfinished() -> impl Sized {
    let open = open();
    for path in open.iter() {
        // If it cannot be taken away, its name says what it is.
        let _ = fs::remove_dir_all(path);
    }
    open
}

/// A folder that is being written. Dropped before its end, it takes away what it wrote.
pub(crate) struct Unfinished {
    place: PathBuf,
    path: PathBuf,
    /// Locked as long as this lives: who finds the folder knows by it whether its program does.
    _mark: File,
    done: bool,
}

impl Unfinished {
    /// Begins a folder that will be at this place. What a program that was killed left behind is replaced; what another is
    /// writing is left alone.
    pub(crate) fn begin(place: &Path) -> Result<Self, DataError> {
        let exists = || DataError::OutputExists(place.display().to_string());
        if place.symlink_metadata().is_ok() {
            return Err(exists());
        }
        let name = place.file_name().ok_or_else(exists)?;
        let mut unfinished = name.to_owned();
        unfinished.push(UNFINISHED);
        let path = place.with_file_name(unfinished);
        let mut open = open();
        // Held until there is a new one, so that of two programs one goes on.
        let _left = match path.symlink_metadata() {
            Ok(_) => {
                let mark = left_behind(&path)?;
                fs::remove_dir_all(&path).map_err(DataError::file(&path))?;
                Some(mark)
            }
            Err(_) => None,
        };
        make(&path)?;
        let mark = path.join(MARK);
        let begun = OpenOptions::new().write(true).create_new(true).open(&mark);
        let begun = begun.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => DataError::OutputExists(path.display().to_string()),
            _ => DataError::file(&mark)(error),
        })?;
        if begun.try_lock().is_err() {
            return Err(DataError::OutputExists(path.display().to_string()));
        }
        open.insert(path.clone());
        Ok(Unfinished {
            place: place.to_owned(),
            path,
            _mark: begun,
            done: false,
        })
    }

    /// Where it is now.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A new file in it.
    pub(crate) fn file(&self, name: &str) -> Result<Out, DataError> {
        let _nobody_takes_it_away = open();
        let path = self.path.join(name);
        if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
            make(folder)?;
        }
        let mut options = OpenOptions::new();
        let options = options.write(true).create_new(true).mode(0o600);
        let file = options.open(&path).map_err(DataError::file(&path))?;
        Ok(Out {
            inner: BufWriter::with_capacity(1 << 16, file),
            path,
        })
    }

    /// Makes everything durable, and moves it to its place.
    pub(crate) fn finish(mut self) -> Result<(), DataError> {
        let mut open = open();
        let mark = self.path.join(MARK);
        fs::remove_file(&mark).map_err(DataError::file(&mark))?;
        for folder in folders(&self.path)? {
            sync(&folder)?;
        }
        fs::rename(&self.path, &self.place).map_err(DataError::file(&self.place))?;
        self.done = true;
        open.remove(&self.path);
        drop(open);
        let parent = self.place.parent().filter(|it| !it.as_os_str().is_empty());
        sync(parent.unwrap_or(Path::new(".")))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.done {
            let mut open = open();
            // If it cannot be taken away, its name says what it is.
            let _ = fs::remove_dir_all(&self.path);
            open.remove(&self.path);
        }
    }
}

/// The locked mark of a folder whose program is dead. Fails if it is another folder, or its program lives.
fn left_behind(path: &Path) -> Result<File, DataError> {
    let mark = path.join(MARK);
    let left = OpenOptions::new().write(true).open(&mark).ok();
    let left = left.filter(|left| {
        // Another may have replaced it since it was opened.
        let number = |of: io::Result<Metadata>| of.map(|of| of.ino()).ok();
        left.try_lock().is_ok() && number(left.metadata()) == number(fs::metadata(&mark))
    });
    left.ok_or_else(|| DataError::OutputExists(path.display().to_string()))
}

/// All folders below one, and itself.
fn folders(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut found = vec![path.to_owned()];
    for entry in fs::read_dir(path).map_err(DataError::file(path))? {
        let entry = entry.map_err(DataError::file(path))?.path();
        if entry.is_dir() {
            found.extend(folders(&entry)?);
        }
    }
    Ok(found)
}

fn make(path: &Path) -> Result<(), DataError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(path).map_err(DataError::file(path))
}

fn sync(path: &Path) -> Result<(), DataError> {
    let synced = File::open(path).and_then(|folder| folder.sync_all());
    synced.map_err(DataError::file(path))
}

/// A file that is being written. Its errors name it.
pub(crate) struct Out {
    inner: BufWriter<File>,
    path: PathBuf,
}

impl Out {
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        self.inner
            .write_all(bytes)
            .map_err(DataError::file(&self.path))
    }

    /// A JSON document and a line feed.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), DataError> {
        // Not by way of a text in memory, which may be large.
        let written = serde_json::to_writer(&mut self.inner, value).map_err(io::Error::from);
        let written = written.and_then(|()| self.inner.write_all(b"\n"));
        written.map_err(DataError::file(&self.path))
    }

    /// Writes over what stands at a place.
    pub(crate) fn patch(&mut self, at: u64, bytes: &[u8]) -> Result<(), DataError> {
        let mut patch = || {
            self.inner.seek(SeekFrom::Start(at))?;
            self.inner.write_all(bytes)?;
            self.inner.seek(SeekFrom::End(0))
        };
        patch().map(drop).map_err(DataError::file(&self.path))
    }

    /// Makes it durable.
    pub(crate) fn end(mut self) -> Result<(), DataError> {
        self.inner.flush().map_err(DataError::file(&self.path))?;
        self.sync()
    }

    /// Makes durable what was handed to the system.
    pub(crate) fn sync(&self) -> Result<(), DataError> {
        let synced = self.inner.get_ref().sync_all();
        synced.map_err(DataError::file(&self.path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_programs_with_one_place_one_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("out");
        let first = Unfinished::begin(&place).unwrap();
        let mut file = first.file("nights.csv").unwrap();
        file.bytes(b"a night").unwrap();
        file.end().unwrap();
        let second = Unfinished::begin(&place).map(drop).unwrap_err();
        assert_eq!(second.code(), "output_exists");
        // The first one's files are as they were.
        first.finish().unwrap();
        let written = fs::read_to_string(place.join("nights.csv")).unwrap();
        assert_eq!(written, "a night");
        assert!(!place.join(MARK).exists());
    }

    #[test]
    fn what_a_dead_program_left_is_replaced_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("out");
        let left = folder.path().join("out.unfinished");
        fs::create_dir(&left).unwrap();
        fs::write(left.join("nights.csv"), "half a night").unwrap();
        let refused = Unfinished::begin(&place).map(drop).unwrap_err();
        assert_eq!(refused.code(), "output_exists");
        fs::write(left.join(MARK), "").unwrap();
        let begun = Unfinished::begin(&place).unwrap();
        assert!(!left.join("nights.csv").exists() && left.join(MARK).exists());
        drop(begun);
        assert!(!left.exists());
    }
}
