// SPDX-License-Identifier: Apache-2.0

//! Back-ups of a key folder, encrypted by the program `age`.
//!
//! What is inside is one JSON object with all keys and records. It goes to `age` through a pipe and is never on a disk. A
//! passphrase is asked for by `age` itself, on the terminal: it does not pass through this program.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use hashchain::{OpeningKey, StudyId};
use mhealth_api::{Hash, Key};
use mhealth_chain_client::{new_private, sync_folder};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::records::Records;
use super::{files, KeyFolder, Lock, Whose};
use crate::error::DataError;

/// The name and version of what a copy has inside.
const SCHEMA: &str = "mhealth-key-copy/2";
/// Most bytes of a back-up: about a million participants.
const LARGEST: u64 = 256 << 20;

/// To whom a back-up is encrypted.
#[derive(Clone, Debug)]
pub enum To {
    /// Whoever knows a passphrase, which `age` asks for.
    Passphrase,
    /// The holders of these keys, as `age` writes them (`age1…`).
    Recipients(Vec<String>),
}

/// All keys of a folder and its records, in one object.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bundle {
    schema: String,
    chain: Hash,
    study: StudyId,
    holder: Option<SecretDigits>,
    participants: Vec<(String, SecretDigits)>,
    records: Records,
}

/// A key in hexadecimal digits. Erased from memory when dropped.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(transparent)]
struct SecretDigits(String);

/// A line of `copies.ndjson`: a copy that was made, and which keys are in it that no copy before it had. A key is in every copy
/// from its first one on, until it is destroyed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CopyLine {
    copy: String,
    made_at: String,
    keys: Vec<Key>,
}

impl KeyFolder {
    /// Writes a back-up into a new file. `copy` names it in the folder's record.
    pub fn back_up(&self, to: &To, out: &Path, copy: &str, at: &str) -> Result<(), DataError> {
        if out.exists() {
            return Err(DataError::OutputExists(out.display().to_string()));
        }
        // Remembered before it is there: a copy that nobody remembers would keep a destroyed key.
        self.remember_copy(copy, at)?;
        let bundle = self.bundle();
        let made = bundle.and_then(|bundle| encrypt(&bundle, to, out));
        if made.is_err() && !out.exists() {
            // Nobody is to look for a copy that never was. If this fails, too, somebody does.
            let _ = files::drop_last(&self.file("copies.ndjson"));
        }
        made
    }

    /// Takes the keys and records of a back-up into a folder, which is made if there is none. A key file of `age` opens it;
    /// without one, `age` asks for the passphrase.
    pub fn restore(
        folder: &Path,
        backup: &Path,
        identity: Option<&Path>,
    ) -> Result<(Self, usize), DataError> {
        let mut arguments: Vec<&OsStr> = vec![OsStr::new("--decrypt")];
        if let Some(identity) = identity {
            arguments.extend([OsStr::new("--identity"), identity.as_os_str()]);
        }
        arguments.push(backup.as_os_str());
        let mut age = Command::new("age")
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(DataError::NoAge)?;
        let mut text = Zeroizing::new(Vec::new());
        let pipe = age.stdout.take().expect("it was asked for; qed");
        let read = pipe.take(LARGEST).read_to_end(&mut text);
        let succeeded = age.wait().is_ok_and(|status| status.success());
        if read.is_err() || !succeeded {
            return Err(DataError::AgeFailed);
        }
        Self::unbundle(folder, &text)
    }

    /// All keys and records as text.
    pub(super) fn bundle(&self) -> Result<Zeroizing<String>, DataError> {
        let digits = |bytes: &[u8; 32]| SecretDigits(hex::encode(bytes));
        let holder = match self.holder() {
            Ok(holder) => Some(digits(&Zeroizing::new(holder.to_bytes()))),
            Err(DataError::NoHolderKey) => None,
            Err(error) => return Err(error),
        };
        let keys = self.participants.iter();
        let records = Records::of(self)?;
        let room = 512 + 160 * keys.len() + records.room();
        let bundle = Bundle {
            schema: SCHEMA.into(),
            chain: self.whose.chain,
            study: self.whose.study,
            holder,
            participants: keys
                .map(|(participant, key)| (participant.clone(), digits(key.expose())))
                .collect(),
            records,
        };
        // Room for all of it, so that no copy is left behind by a growing buffer.
        let mut text = Vec::with_capacity(room);
        serde_json::to_writer(&mut text, &bundle).expect("string keys; qed");
        Ok(Zeroizing::new(
            String::from_utf8(text).expect("JSON is text; qed"),
        ))
    }

    /// Takes all of a bundle, or nothing: what is on record first, so that no key comes back that was destroyed. The folder is
    /// locked meanwhile.
    pub(super) fn unbundle(folder: &Path, text: &[u8]) -> Result<(Self, usize), DataError> {
        let bundle: Bundle = serde_json::from_slice(text).map_err(|_| DataError::NotABackUp)?;
        if bundle.schema != SCHEMA {
            return Err(DataError::NotABackUp);
        }
        let decode = |digits: &SecretDigits| {
            let mut bytes = Zeroizing::new([0; 32]);
            let decoded = hex::decode_to_slice(&digits.0, &mut *bytes);
            decoded.map_err(|_| DataError::NotABackUp).map(|()| bytes)
        };
        let mut keys = BTreeMap::new();
        for (participant, digits) in &bundle.participants {
            let key = OpeningKey::from_bytes(&*decode(digits)?);
            if keys.insert(participant.clone(), key).is_some() {
                return Err(DataError::NotABackUp);
            }
        }
        let holder = bundle.holder.as_ref().map(decode).transpose()?;
        let whose = Whose {
            chain: bundle.chain,
            study: bundle.study,
        };
        let _lock = Lock::alone_in_new(folder, whose)?;
        let mut opened = Self::create_bare(folder, whose)?;
        let new = opened.learn(&bundle.records)?;
        opened.check_all(&keys)?;
        opened.write_records(&new)?;
        // A copy may be older than that.
        opened.forget_withdrawn()?;
        if let (Some(holder), false) = (holder, opened.holder_file().exists()) {
            opened.write_holder(&holder)?;
        }
        let count = opened.take_all(keys)?;
        Ok((opened, count))
    }

    /// Writes down that a copy of all present keys is made.
    pub(super) fn remember_copy(&self, copy: &str, at: &str) -> Result<(), DataError> {
        let file = self.file("copies.ndjson");
        let copies = files::lines::<CopyLine>(&file)?;
        let known: HashSet<&Key> = copies.iter().flat_map(|line| &line.keys).collect();
        let keys = self.public_keys().map(|(_, key)| key);
        let line = CopyLine {
            copy: copy.into(),
            made_at: at.into(),
            keys: keys.filter(|key| !known.contains(key)).collect(),
        };
        files::append(&file, &line)
    }

    /// The copies that have a key.
    pub(super) fn copies_with(&self, key: &Key) -> Result<Vec<String>, DataError> {
        let copies = files::lines::<CopyLine>(&self.file("copies.ndjson"))?.into_iter();
        let with = copies.skip_while(|line| !line.keys.contains(key));
        Ok(with
            .map(|line| format!("{} of {}", line.copy, line.made_at))
            .collect())
    }
}

/// Has `age` write a text into a new file, for its owner only, durable with its name; or there is no such file.
fn encrypt(text: &str, to: &To, out: &Path) -> Result<(), DataError> {
    let file = new_private(out).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => DataError::OutputExists(out.display().to_string()),
        _ => DataError::file(out)(error),
    })?;
    let durable = || file.sync_all().and_then(|()| sync_folder(out));
    let made = file.try_clone().map_err(DataError::file(out));
    let made = made.and_then(|file| run_age(text, to, file));
    let made = made.and_then(|()| durable().map_err(DataError::file(out)));
    if made.is_err() {
        // Nobody but this program made it.
        let _ = fs::remove_file(out);
    }
    made
}

fn run_age(text: &str, to: &To, out: File) -> Result<(), DataError> {
    let mut command = Command::new("age");
    match to {
        To::Passphrase => {
            command.arg("--passphrase");
        }
        To::Recipients(recipients) => {
            for recipient in recipients {
                command.args(["--recipient", recipient]);
            }
        }
    }
    command.stdin(Stdio::piped()).stdout(out);
    let mut age = command.spawn().map_err(DataError::NoAge)?;
    let mut pipe = age.stdin.take().expect("it was asked for; qed");
    // If `age` goes away early, its status says so.
    let _ = pipe.write_all(text.as_bytes());
    drop(pipe);
    match age.wait() {
        Ok(status) if status.success() => Ok(()),
        _ => Err(DataError::AgeFailed),
    }
}
