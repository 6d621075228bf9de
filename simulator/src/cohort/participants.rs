// SPDX-License-Identifier: Apache-2.0

//! The participants' private keys, in a file of their own.
//!
//! Envelopes are sealed to participants, and whoever plays the trial has to play the holder of their private keys, too.
//! A phone never has them, so they do not belong in its state file. Deleting a participant's line erases what that
//! person ever sent.
//!
//! One line a participant: the pseudonym, a space, the X25519 private key in hexadecimal.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions, TryLockError},
    io::{Error, ErrorKind, Read, Write},
    path::Path,
};

use hashchain::{OpeningKey, SealingKey};
use mhealth_device_host::payload::Participant;
use rand::{CryptoRng, RngCore};
use zeroize::Zeroizing;

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ParticipantsError {
    /// It cannot be opened, read or written.
    #[error("the file of the participants' keys cannot be used: {0}")]
    Unusable(#[from] std::io::Error),
    /// Another program seals to these participants.
    #[error("another program is using the file of the participants' keys")]
    InUse,
    /// A line is not a pseudonym and a key.
    #[error(
        "the file of the participants' keys is damaged: line {0} is not a pseudonym and a key"
    )]
    BadLine(usize),
    /// A participant has two keys.
    #[error("the file of the participants' keys is damaged: line {0} repeats a pseudonym")]
    Repeated(usize),
}

impl ParticipantsError {
    /// Stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unusable(_) => "participants_unusable",
            Self::InUse => "participants_in_use",
            Self::BadLine(_) | Self::Repeated(_) => "participants_corrupt",
        }
    }
}

/// An open key file. `Debug` shows no key.
pub struct ParticipantKeys {
    /// Locked until it is closed. None where keys are only read.
    file: Option<File>,
    keys: HashMap<Participant, OpeningKey>,
    unsaved: Zeroizing<String>,
}

impl std::fmt::Debug for ParticipantKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ParticipantKeys({} keys, redacted)", self.keys.len())
    }
}

impl ParticipantKeys {
    /// Opens the file or makes it, readable for its owner only, for one program at a time. A last line without an end was being
    /// written when the program was killed; its key sealed nothing yet, so the line is dropped.
    pub fn open(path: &Path) -> Result<Self, ParticipantsError> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ParticipantsError::InUse),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let mut text = Zeroizing::new(String::new());
        file.read_to_string(&mut text)?;
        file.set_len(whole(&text).len() as u64)?;
        Self::of(&text, Some(file))
    }

    /// Reads the keys that are saved, and changes nothing: another program may be writing more of them.
    pub fn read(path: &Path) -> Result<Self, ParticipantsError> {
        let mut text = Zeroizing::new(String::new());
        File::open(path)?.read_to_string(&mut text)?;
        Self::of(&text, None)
    }

    fn of(text: &str, file: Option<File>) -> Result<Self, ParticipantsError> {
        let mut keys = HashMap::new();
        for (number, line) in (1..).zip(whole(text).lines()) {
            let (participant, key) = parse(line).ok_or(ParticipantsError::BadLine(number))?;
            if keys.insert(participant, key).is_some() {
                return Err(ParticipantsError::Repeated(number));
            }
        }
        Ok(Self {
            file,
            keys,
            unsaved: Zeroizing::new(String::new()),
        })
    }

    /// The participant's public key; the pair is made now if there is none. Call [`save`](Self::save) before anything
    /// that was sealed to it becomes durable.
    pub fn sealing_key<R: CryptoRng + RngCore>(
        &mut self,
        participant: &Participant,
        rng: &mut R,
    ) -> SealingKey {
        if let Some(key) = self.keys.get(participant) {
            return key.sealing_key();
        }
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *bytes);
        let key = OpeningKey::from_bytes(&bytes);
        let digits = Zeroizing::new(hex::encode(*bytes));
        self.unsaved.push_str(&participant.0);
        self.unsaved.push(' ');
        self.unsaved.push_str(&digits);
        self.unsaved.push('\n');
        let public = key.sealing_key();
        self.keys.insert(participant.clone(), key);
        public
    }

    /// The participant's private key.
    pub fn opening_key(&self, participant: &Participant) -> Option<&OpeningKey> {
        self.keys.get(participant)
    }

    /// The participants and their public keys, in order of their pseudonyms.
    pub fn public(&self) -> Vec<(&Participant, SealingKey)> {
        let keys = self.keys.iter();
        let mut keys: Vec<_> = keys.map(|(name, key)| (name, key.sealing_key())).collect();
        keys.sort_by(|(one, _), (other, _)| one.0.cmp(&other.0));
        keys
    }

    /// Makes new keys durable. Fails if the file was opened to be read.
    pub fn save(&mut self) -> Result<(), ParticipantsError> {
        if !self.unsaved.is_empty() {
            let Some(file) = &mut self.file else {
                return Err(Error::from(ErrorKind::ReadOnlyFilesystem).into());
            };
            file.write_all(self.unsaved.as_bytes())?;
            file.sync_all()?;
            self.unsaved = Zeroizing::new(String::new());
        }
        Ok(())
    }
}

/// The lines that have an end.
fn whole(text: &str) -> &str {
    let end = text.rfind('\n').map_or(0, |end| end + 1);
    &text[..end]
}

fn parse(line: &str) -> Option<(Participant, OpeningKey)> {
    let (participant, digits) = line.split_once(' ')?;
    let mut bytes = Zeroizing::new([0; 32]);
    hex::decode_to_slice(digits, &mut *bytes).ok()?;
    (!participant.is_empty()).then(|| {
        (
            Participant(participant.to_owned()),
            OpeningKey::from_bytes(&bytes),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{rngs::StdRng, SeedableRng};

    #[test]
    fn a_saved_key_comes_back_and_debug_shows_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys");
        let ada = Participant("P-ada".into());
        let mut rng = StdRng::seed_from_u64(1);
        let mut keys = ParticipantKeys::open(&path).expect("made");
        let public = keys.sealing_key(&ada, &mut rng);
        keys.save().expect("written");
        drop(keys);

        let mut again = ParticipantKeys::open(&path).expect("opened");
        assert_eq!(again.sealing_key(&ada, &mut rng), public);
        assert_eq!(again.public(), [(&ada, public)]);
        let private = hex::encode(again.opening_key(&ada).expect("it was saved").expose());
        assert!(!format!("{again:?} {:?}", again.opening_key(&ada)).contains(&private));
    }

    #[test]
    fn a_line_that_was_being_written_is_dropped() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys");
        let whole = format!("P-a {}\n", "11".repeat(32));
        std::fs::write(&path, format!("{whole}P-b 22")).expect("written");
        let keys = ParticipantKeys::open(&path).expect("opened");
        assert_eq!(keys.keys.len(), 1);
        assert_eq!(std::fs::read_to_string(&path).expect("read"), whole);
    }

    #[test]
    fn two_programs_do_not_write_one_file_and_who_reads_takes_nothing_away() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys");
        let mut rng = StdRng::seed_from_u64(2);
        let mut first = ParticipantKeys::open(&path).expect("made");
        first.sealing_key(&Participant("P-a".into()), &mut rng);
        // The other one is a program of its own, as far as the system is concerned.
        let second = std::thread::scope(|scope| {
            let opened = scope.spawn(|| ParticipantKeys::open(&path).map(drop));
            opened.join().expect("it ends")
        });
        let error = second.expect_err("the first one has it");
        assert_eq!(error.code(), "participants_in_use");
        first.save().expect("written");
        // A line that the first one is in the middle of.
        let half = format!("P-b {}", "22".repeat(16));
        let mut file = OpenOptions::new().append(true).open(&path).expect("there");
        file.write_all(half.as_bytes()).expect("written");
        let text = std::fs::read_to_string(&path).expect("read");
        let mut seen = ParticipantKeys::read(&path).expect("read");
        assert_eq!(seen.public().len(), 1);
        assert_eq!(std::fs::read_to_string(&path).expect("read"), text);
        seen.sealing_key(&Participant("P-c".into()), &mut rng);
        assert!(seen.save().is_err());
        // Once the first one is gone, another has the file, and every line that was saved.
        drop(first);
        let mut second = ParticipantKeys::open(&path).expect("nobody has it");
        second.sealing_key(&Participant("P-d".into()), &mut rng);
        second.save().expect("written");
        let saved = ParticipantKeys::read(&path).expect("read");
        let saved = saved.public().into_iter();
        let names: Vec<_> = saved.map(|(name, _)| name.0.clone()).collect();
        assert_eq!(names, ["P-a", "P-d"]);
    }

    #[test]
    fn a_damaged_line_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys");
        let line = format!("P-a {}\n", "11".repeat(32));
        std::fs::write(&path, format!("{line}nonsense\n")).expect("written");
        assert!(matches!(
            ParticipantKeys::open(&path),
            Err(ParticipantsError::BadLine(2))
        ));
        std::fs::write(&path, line.repeat(2)).expect("written");
        assert!(matches!(
            ParticipantKeys::open(&path),
            Err(ParticipantsError::Repeated(2))
        ));
    }
}
