// SPDX-License-Identifier: Apache-2.0

//! The envelopes in relays' exports, found by their digests.
//!
//! Exports are larger than the memory, so a first reading notes where the wanted envelopes stand (56 bytes for each), and a second one
//! takes them from there. Nothing in an export is believed: an envelope is what its digest says, and what nobody asks for takes no
//! memory, however much of it a relay shows.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use hashchain::{data_digest, DataDigest, Native};
use mhealth_api::{ExportedRun, Hash, CLOSING_PREFIX, LONGEST_EXPORT_LINE};
use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::input::{self, Hashing};

/// A relay's export, as somebody named it.
#[derive(Clone, Debug)]
pub struct NamedFile {
    /// Its name.
    pub name: String,
    /// The file.
    pub path: PathBuf,
}

impl NamedFile {
    /// Exports as a command line names them. Fails where two have one name, or are one file.
    pub fn from_arguments(arguments: &[String]) -> Result<Vec<Self>, DataError> {
        let mut files: Vec<NamedFile> = Vec::new();
        for (argument, number) in arguments.iter().zip(1..) {
            let file = NamedFile::parse(argument, number);
            if files.iter().any(|other| other.name == file.name) {
                let why = format!("{argument}: two exports have the same name");
                return Err(DataError::Usage(why));
            }
            if let Some(other) = files.iter().find(|other| other.path == file.path) {
                let name = &other.name;
                let why = format!("{argument}: this is {name} once more, under another name");
                return Err(DataError::Usage(why));
            }
            files.push(file);
        }
        Ok(files)
    }

    /// `NAME=FILE`, or a file, which is named by its number.
    fn parse(argument: &str, number: usize) -> Self {
        let (name, path) = match argument.split_once('=') {
            Some((name, path)) if !name.is_empty() && !name.contains('/') => (name.into(), path),
            _ => (format!("export-{number}"), argument),
        };
        NamedFile {
            name,
            path: path.into(),
        }
    }
}

/// What was read of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportRead {
    /// Its name.
    pub name: String,
    /// SHA-256 of the file.
    pub sha256: Hash,
    /// Runs in it.
    pub runs: u64,
    /// Lines that are neither a run nor a closing line.
    pub bad_lines: u64,
}

/// Where an envelope stands.
#[derive(Clone, Copy)]
struct Place {
    file: u16,
    /// Where its line begins.
    offset: u64,
    /// How long the line is. None that is read is much longer than [`LONGEST_EXPORT_LINE`].
    length: u32,
    /// Which entry of the line's run.
    entry: u16,
}

/// The envelopes of some exports.
pub(crate) struct Envelopes {
    files: Vec<(NamedFile, File)>,
    /// What was read of each.
    pub(crate) read: Vec<ExportRead>,
    /// The digests that are wanted, in order, each once; and where the first envelope with it stands.
    places: Vec<(DataDigest, Option<Place>)>,
    /// The run that was taken out last: its entries are asked for one after the other.
    last: Option<(u16, u64, ExportedRun)>,
}

impl Envelopes {
    /// Notes where the envelopes with these digests are.
    pub(crate) fn index(
        files: &[NamedFile],
        mut digests: Vec<DataDigest>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self, DataError> {
        digests.sort_unstable();
        digests.dedup();
        let mut envelopes = Envelopes {
            files: Vec::new(),
            read: Vec::new(),
            places: digests.into_iter().map(|digest| (digest, None)).collect(),
            last: None,
        };
        let mut runs = 0;
        for (file, number) in files.iter().zip(0..) {
            envelopes.add(file, number, &mut || {
                runs += 1;
                progress(runs);
            })?;
        }
        Ok(envelopes)
    }

    fn add(
        &mut self,
        named: &NamedFile,
        number: u16,
        progress: &mut dyn FnMut(),
    ) -> Result<(), DataError> {
        let failed = |why| DataError::file(&named.path)(why);
        input::must_be_file(&named.path)?;
        let file = File::open(&named.path).map_err(failed)?;
        let mut reader = BufReader::with_capacity(1 << 16, Hashing::new(&file));
        let (mut runs, mut bad_lines, mut closed, mut offset) = (0, 0, false, 0);
        let mut text = Vec::new();
        loop {
            let length = line(&mut reader, &mut text).map_err(failed)?;
            if length == 0 {
                break;
            }
            if text.starts_with(CLOSING_PREFIX.as_bytes()) {
                closed = true;
            } else if let Ok(run) = serde_json::from_slice::<ExportedRun>(&text) {
                runs += 1;
                progress();
                for (entry, place) in run.entries.iter().zip(0..=u16::MAX) {
                    let digest = data_digest::<Native>(&entry.envelope.0);
                    if let Some(wanted) = self.find(&digest) {
                        self.places[wanted].1.get_or_insert(Place {
                            file: number,
                            offset,
                            length: length as u32,
                            entry: place,
                        });
                    }
                }
            } else {
                bad_lines += 1;
            }
            offset += length;
        }
        if runs == 0 && !closed {
            return Err(DataError::BadExport {
                file: named.path.display().to_string(),
                why: "there is no run and no signed end in it",
            });
        }
        let sha256 = reader.into_inner().finish();
        self.read.push(ExportRead {
            name: named.name.clone(),
            sha256,
            runs,
            bad_lines,
        });
        self.files.push((named.clone(), file));
        Ok(())
    }

    fn find(&self, digest: &DataDigest) -> Option<usize> {
        let found = self.places.binary_search_by_key(digest, |(it, _)| *it);
        found.ok()
    }

    /// The envelope with a digest that is wanted, if some export has it.
    pub(crate) fn get(&mut self, digest: &DataDigest) -> Result<Option<Vec<u8>>, DataError> {
        let Some(place) = self.find(digest).and_then(|found| self.places[found].1) else {
            return Ok(None);
        };
        let known =
            (self.last.as_ref()).is_some_and(|it| (it.0, it.1) == (place.file, place.offset));
        if !known {
            let (named, file) = &self.files[usize::from(place.file)];
            let mut text = vec![0; place.length as usize];
            file.read_exact_at(&mut text, place.offset)
                .map_err(DataError::file(&named.path))?;
            let run = serde_json::from_slice(&text).map_err(|_| DataError::BadExport {
                file: named.path.display().to_string(),
                why: "it was changed while it was read",
            })?;
            self.last = Some((place.file, place.offset, run));
        }
        let run = self.last.as_ref().map(|(_, _, run)| run);
        let entry = run.and_then(|run| run.entries.get(usize::from(place.entry)));
        let envelope = entry.map(|entry| entry.envelope.0.as_slice());
        // The file may have been changed since.
        let genuine = envelope.filter(|bytes| data_digest::<Native>(bytes) == *digest);
        Ok(genuine.map(<[u8]>::to_vec))
    }
}

/// Reads a line without its line feed, and says how many bytes were taken; 0 at the end. Of a line that is too long to be one,
/// nothing is kept.
fn line(reader: &mut impl BufRead, text: &mut Vec<u8>) -> io::Result<u64> {
    text.clear();
    let most = LONGEST_EXPORT_LINE as u64 + 1;
    let mut taken = reader.by_ref().take(most).read_until(b'\n', text)? as u64;
    if text.last() == Some(&b'\n') {
        text.pop();
    } else if taken == most {
        text.clear();
        taken += skip_line(reader)?;
    }
    Ok(taken)
}

fn skip_line(reader: &mut impl BufRead) -> io::Result<u64> {
    let mut skipped = 0;
    loop {
        let buffer = reader.fill_buf()?;
        let (length, ended) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(end) => (end + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        reader.consume(length);
        skipped += length as u64;
        if ended {
            return Ok(skipped);
        }
    }
}

#[cfg(test)]
mod tests {
    use mhealth_api::Base64;
    use serde_json::json;

    use super::*;

    /// A relay's line with an envelope.
    fn line(number: u64, envelope: &[u8]) -> String {
        let some = format!("0x{}", "07".repeat(32));
        let run = json!({
            "cursor": number, "study": 0, "previous": some, "signature": null, "received_at": 1,
            "status": {
                "run": some, "device": 1, "sequence": number, "entries": 1, "head": some, "state": "finalised",
            },
            "entries": [{ "digest": some, "tag": some, "envelope": Base64(envelope.into()) }],
        });
        format!("{run}\n")
    }

    #[test]
    fn what_nobody_asks_for_takes_no_memory() {
        let folder = tempfile::tempdir().unwrap();
        let lines = |from: u64| -> String {
            let numbers = from..from + 1_000;
            numbers.map(|it| line(it, &it.to_be_bytes())).collect()
        };
        let files: Vec<NamedFile> = [("dave", 1), ("eve", 500)]
            .map(|(name, from)| {
                let path = folder.path().join(name);
                std::fs::write(&path, lines(from)).unwrap();
                let name = name.into();
                NamedFile { name, path }
            })
            .into();
        let digest = |number: u64| data_digest::<Native>(&number.to_be_bytes());
        let wanted = vec![digest(1_200), digest(700), digest(700), digest(9_999)];
        let mut envelopes = Envelopes::index(&files, wanted, &mut |_| ()).unwrap();
        assert_eq!(envelopes.places.len(), 3);
        assert_eq!(envelopes.read[1].runs, 1_000);
        for (number, is_there) in [(700, true), (1_200, true), (9_999, false), (1, false)] {
            let found = envelopes.get(&digest(number)).unwrap();
            let expected = is_there.then(|| number.to_be_bytes().to_vec());
            assert_eq!(found, expected, "{number}");
        }
    }
}
