// SPDX-License-Identifier: Apache-2.0

//! What UniFFI hands to Kotlin, Python and Swift.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mhealth_device::host::Host;

use crate::checks::{self, ChainedEntry, Hashed, Origin, ProvedHead, Reader};
use crate::host::{
    Keys, KeystoreHost, Store, StoreHost, SystemEntropy, SystemTime, TransportHost, Way,
};
use crate::phone::{lines, seal, PhoneOptions, PhoneStanding, PhoneStatus, SealedEntry};
use crate::wait::{until_ready, until_ready_or, Ending};
use crate::words::Sentences;
use crate::{Language, SdkError};

/// Ends a call that is under way, from any thread: for an app whose own task was cancelled. One for each call.
#[derive(uniffi::Object)]
pub struct Cancellation {
    ending: Ending,
}

#[uniffi::export]
impl Cancellation {
    /// For a call that is to be made.
    #[uniffi::constructor]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            ending: Ending::default(),
        })
    }

    /// Ends the call, which fails with `cancelled`. Nothing is lost: what was sealed is kept, and a later call goes on. What the app's
    /// transport does meanwhile goes on to its end, and nobody hears of it.
    pub fn cancel(&self) {
        self.ending.end();
    }
}

/// Waits for a future, unless somebody ends that.
fn waited<T, E: Into<SdkError>>(
    cancellation: Option<&Cancellation>,
    future: impl Future<Output = Result<T, E>>,
) -> Result<T, SdkError> {
    let done = match cancellation {
        None => until_ready(future),
        Some(it) => until_ready_or(&it.ending, future).ok_or_else(|| SdkError::Failed {
            code: "cancelled".into(),
            reason: None,
            advice: "wait".into(),
            detail: "the app ended the call".into(),
        })?,
    };
    done.map_err(Into::into)
}

/// A phone. Its calls wait for what they do: make those that ask servers on a thread of their own. All of them may be made at the
/// same time.
#[derive(uniffi::Object)]
pub struct PhoneCore {
    phone: mhealth_device::Phone<Store, Way>,
}

#[uniffi::export]
impl PhoneCore {
    /// Opens the phone that is in the store, or makes the store ready for one. Nobody is asked but the key store. Errors:
    /// `wrong_keystore` where the store was copied from another phone or the key store was reset, `keystore_locked`,
    /// `state_corrupt`, `state_in_use`, `not_a_checkpoint`, `not_a_chain` and others.
    #[uniffi::constructor]
    pub fn open(
        store: Arc<dyn StoreHost>,
        keystore: Arc<dyn KeystoreHost>,
        transport: Arc<dyn TransportHost>,
        options: PhoneOptions,
    ) -> Result<Arc<Self>, SdkError> {
        let host = Host {
            store: Store(store),
            transport: Way(transport),
            clock: Arc::new(SystemTime(Instant::now())),
            entropy: Arc::new(SystemEntropy),
        };
        let keys = Keys(keystore);
        let opened = mhealth_device::Phone::open(host, &keys, options.to_core()?);
        let phone = until_ready(opened)?;
        Ok(Arc::new(Self { phone }))
    }

    /// Enrols the phone with a code that the study's staff handed out, at the authentication server of this address, and gives its
    /// number on the chain, once that is proved. After a failure the same call goes on where it was, and so does `sync`. Error
    /// `deadline` after so many milliseconds; `already_enrolled` when the phone is enrolled with another code, and not retired;
    /// `cancelled`.
    #[uniffi::method(default(cancellation = None))]
    pub fn enrol(
        &self,
        authentication: String,
        code: String,
        deadline: u64,
        cancellation: Option<Arc<Cancellation>>,
    ) -> Result<u32, SdkError> {
        let deadline = Duration::from_millis(deadline);
        let enrolled = self.phone.enrol(&authentication, &code, deadline);
        Ok(waited(cancellation.as_deref(), enrolled)?.0)
    }

    /// Seals a record. It is durable when this returns, and needs no connection. `source` names what was recorded, such as the
    /// night; the same source with the same content is sealed once. With other content it is sealed as a correction if `correct`.
    /// `content` is what the source said, where payloads that are made of it twice differ in identifiers and times.
    pub fn seal(
        &self,
        source: String,
        media_type: String,
        payload: Vec<u8>,
        content: Option<Vec<u8>>,
        correct: bool,
    ) -> Result<SealedEntry, SdkError> {
        let sealed = seal(&self.phone, source, media_type, payload, content, correct);
        Ok(sealed?.into())
    }

    /// Sends what the chain lacks and has it proved. Back when that is done, when it fails, or with the error `deadline` after so
    /// many milliseconds, or with `cancelled`; a later call goes on.
    #[uniffi::method(default(cancellation = None))]
    pub fn sync(
        &self,
        deadline: u64,
        cancellation: Option<Arc<Cancellation>>,
    ) -> Result<PhoneStanding, SdkError> {
        let deadline = Duration::from_millis(deadline);
        let synced = waited(cancellation.as_deref(), self.phone.sync(deadline));
        Ok(synced?.into())
    }

    /// How the phone stands. Asks nobody.
    pub fn status(&self) -> Result<PhoneStatus, SdkError> {
        Ok(self.phone.status()?.into())
    }

    /// What is left on a stopped phone, for the auditor: one JSON object a line.
    pub fn export_queue(&self) -> Result<String, SdkError> {
        Ok(lines(&self.phone.export_queue()?))
    }

    /// What was sealed with devices that could not be enrolled, for whoever holds the participants' keys: one JSON object a line.
    pub fn export_unenrolled(&self) -> Result<String, SdkError> {
        Ok(lines(&self.phone.export_unenrolled()?))
    }
}

/// What a participant is told about an error.
#[uniffi::export]
pub fn error_sentence(error: SdkError, language: Language) -> String {
    error.sentence(language)
}

/// What a participant is told about a status: what to do. `code` is that of the last fault, for the study's staff.
#[uniffi::export]
pub fn advice_sentence(advice: String, code: String, language: Language) -> String {
    Sentences::of(language).for_advice(&advice, &code)
}

/// The language of a BCP 47 tag, as systems name their users' (`de-AT`, `ja`); English for all others.
#[uniffi::export]
pub fn language_of_tag(tag: String) -> Language {
    Language::of_tag(&tag)
}

/// `enc` and `H` of `docs/protocol/hashchain.md`, section 2.
#[uniffi::export]
pub fn hash_parts(label: String, parts: Vec<Vec<u8>>) -> Hashed {
    checks::hash_parts(&label, &parts)
}

/// Checks a chain from its first entry to its head, with the secret and every envelope, and that the signature is the device's.
/// Gives how many entries there are. Errors: `wrong_link`, `wrong_digest`, `wrong_tag`, `wrong_signature`, `wrong_length`.
#[uniffi::export]
pub fn check_chain(
    origin: Origin,
    entries: Vec<ChainedEntry>,
    head: Vec<u8>,
    signature: Vec<u8>,
) -> Result<u64, SdkError> {
    checks::check_chain(&origin, &entries, &head, &signature)
}

/// Reads proofs of one device's head, one after the other; believes nobody but the chain's authorities.
#[derive(uniffi::Object)]
pub struct ProofReader {
    reader: Mutex<Reader>,
}

#[uniffi::export]
impl ProofReader {
    /// For a device of the chain that begins with a block of this hash (32 bytes). `checkpoints` are blocks that its user trusts,
    /// as in the options of a phone. Errors: `wrong_length`, `not_a_checkpoint`.
    #[uniffi::constructor(default(checkpoints = []))]
    pub fn new(
        genesis: Vec<u8>,
        device: u32,
        checkpoints: Vec<String>,
    ) -> Result<Arc<Self>, SdkError> {
        let reader = Reader::new(&genesis, device)?.trusting(&checkpoints)?;
        Ok(Arc::new(Self {
            reader: Mutex::new(reader),
        }))
    }

    /// What a proof shows. What is refused changes nothing of what the reader knows. Errors: those of proofs, such as
    /// `proof_malformed`, `another_chain`, `block_not_final`. With `proof_on_the_way` nothing is wrong: ask for another proof, from
    /// the present `set` on.
    pub fn check(&self, proof: Vec<u8>) -> Result<ProvedHead, SdkError> {
        self.reader().check(&proof)
    }

    /// The number of the set of authorities that the next proof is to lead on from; none before the first proof.
    pub fn set(&self) -> Option<u64> {
        self.reader().set()
    }
}

impl ProofReader {
    /// A reader is changed only after a proof was found right.
    fn reader(&self) -> MutexGuard<'_, Reader> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
