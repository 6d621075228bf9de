// SPDX-License-Identifier: Apache-2.0

//! The files of a key folder: for their owner only, durable before anything rests on them.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use mhealth_chain_client::{read_secret, sync_folder, write_new_secret, SecretFileError};
use serde::de::DeserializeOwned;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::error::DataError;

pub(super) fn damaged(file: &Path, why: &'static str) -> DataError {
    DataError::KeyFolderDamaged {
        file: file.display().to_string(),
        why,
    }
}

/// Fails when others than its owner may look into a folder: its files are named after participants.
pub(super) fn check_folder(path: &Path) -> Result<(), DataError> {
    let metadata = fs::metadata(path).map_err(DataError::file(path))?;
    let mode = metadata.permissions().mode() & 0o777;
    match mode & 0o077 {
        0 => Ok(()),
        _ => Err(DataError::FolderOpenToOthers {
            folder: path.display().to_string(),
            mode,
        }),
    }
}

/// A folder for its owner only. One that is there is left as it is.
pub(super) fn make_folder(path: &Path) -> Result<(), DataError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(path).map_err(DataError::file(path))
}

/// A new file with a key. Half a key would make the whole folder useless.
pub(super) fn write_key(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    match path.exists() {
        true => Err(SecretFileError::Exists(path.to_owned()).into()),
        false => write_whole(path, bytes),
    }
}

/// A file that is there, durable with its name, when all of it is; another of that name is until then. For who has the folder alone.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let half = path.with_extension("half");
    // Left by a program that was killed.
    if half.exists() {
        shred(&half)?;
    }
    write_new(&half, bytes)?;
    let named = fs::rename(&half, path).and_then(|()| sync_folder(path));
    named.map_err(DataError::file(path))
}

/// A new file, durable with its name.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    Ok(write_new_secret(path, bytes)?)
}

/// Adds a line.
pub(super) fn append(path: &Path, line: &impl Serialize) -> Result<(), DataError> {
    append_all(path, std::slice::from_ref(line))
}

/// Adds lines, and makes them durable together. What cannot be written whole is taken back.
pub(super) fn append_all(path: &Path, lines: &[impl Serialize]) -> Result<(), DataError> {
    append_text(path, &json_lines(lines))
}

pub(super) fn json_lines(lines: &[impl Serialize]) -> String {
    let mut text = String::new();
    for line in lines {
        text.push_str(&serde_json::to_string(line).expect("string keys; qed"));
        text.push('\n');
    }
    text
}

/// Adds lines as they are.
pub(super) fn append_text(path: &Path, text: &str) -> Result<(), DataError> {
    if text.is_empty() {
        return Ok(());
    }
    let write = || {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600);
        let mut file = options.open(path)?;
        // Exports may add what they found out beside each other.
        file.lock()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let before = whole(&bytes);
        if before < bytes.len() {
            file.set_len(before as u64)?;
        }
        let written = file.write_all(text.as_bytes());
        let written = written.and_then(|()| file.sync_all());
        if written.is_err() {
            // If this fails, too, whoever comes next passes over what is not whole.
            let _ = file.set_len(before as u64);
        }
        written?;
        sync_folder(path)
    };
    write().map_err(DataError::file(path))
}

/// Takes the last line away again.
pub(super) fn drop_last(path: &Path) -> Result<(), DataError> {
    let text = text(path)?;
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let kept = lines[..lines.len().saturating_sub(1)].concat();
    write_whole(path, kept.as_bytes())
}

/// How many bytes whole lines take. The rest was being written when a disk was full or a program was killed: nothing rests on it,
/// because whoever adds a line goes on when it is durable.
fn whole(bytes: &[u8]) -> usize {
    let end = bytes.iter().rposition(|byte| *byte == b'\n');
    end.map_or(0, |end| end + 1)
}

/// The whole lines of a file; none if it is not there.
pub(super) fn text(path: &Path) -> Result<String, DataError> {
    let mut bytes = match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
        read => read.map_err(DataError::file(path))?,
    };
    bytes.truncate(whole(&bytes));
    String::from_utf8(bytes).map_err(|_| damaged(path, "it is not text"))
}

/// The records in a file; none if it is not there.
pub(super) fn lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, DataError> {
    let text = text(path)?;
    let lines = text.lines().map(|line| {
        serde_json::from_str(line).map_err(|_| damaged(path, "a line of it is no record"))
    });
    lines.collect()
}

pub(super) fn read(path: &Path) -> Result<Zeroizing<String>, DataError> {
    let text = fs::read_to_string(path).map_err(DataError::file(path))?;
    Ok(Zeroizing::new(text))
}

/// A file with a key: refused when others may read it.
pub(super) fn read_private(path: &Path) -> Result<Zeroizing<String>, DataError> {
    let bytes = read_secret(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| damaged(path, "it is not text"))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Overwrites a file, and takes it away. File systems may keep older copies of a block all the same: the folder belongs on
/// an encrypted disk.
pub(super) fn shred(path: &Path) -> Result<(), DataError> {
    let shred = || {
        let mut file = OpenOptions::new().write(true).open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&vec![0; length as usize])?;
        file.sync_all()?;
        fs::remove_file(path)?;
        sync_folder(path)
    };
    shred().map_err(DataError::file(path))
}
