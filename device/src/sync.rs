// SPDX-License-Identifier: Apache-2.0

//! Comparing the device's own hashchain with the finalised head that the blockchain has of it.
//!
//! | the blockchain has | and | so the device is | and |
//! |---|---|---|---|
//! | fewer entries | its head is one of the device's | **ahead** of it | the rest is still queued |
//! | as many | the same head | **level** with it | |
//! | any number | another head than the device's at that place | faced with a **foreign head** | stops |
//! | more entries | they follow the device's head, made with its own ratchet key | a **restored backup** | stops |
//! | | the key enrolled under other terms | of **another enrolment** | stops |
//! | | another participant's key on record | sealing to **another participant's key** | stops |
//! | | the device on record as retired | **retired** | stops; what it has not sent, nobody takes any more |
//!
//! All of this is about a head that is **proved** ([`FinalHead`]). Whoever says something without a proof stops nobody: a
//! relay that knows no such device, or fewer entries than were proved before, may be behind, and another one is asked.
//!
//! The fourth row is told from the third by making the tags anew: the device's ratchet key makes every later one,
//! and who has none of the device's keys cannot make a single one. So entries that pass were made by this device
//! after the backup was taken, or by a thief of its secret; the device cannot tell these two apart. A restored device
//! that has *sealed again* before it compared has spent that key, and must take its own entries for foreign ones; the
//! auditor, who has the escrow, can still tell. Nobody proves these entries, and nobody can be made to show them: the device stops when
//! the head is proved, and is told the reason by whoever tells it first, then or later.
//!
//! Where a relay chains on the devices' behalf (Figures 2a and 2b) only the numbers of entries can be compared, and no
//! foreign entry shows. That is what those topologies lack.

use crate::{
    book::{Book, DeviceRecord, LocalId},
    chain::{Chain, ChainFault, ChainRefusal, FinalHead, HeadChecker, Question, UploadPolicy},
    continuation::is_continued,
    error::Error,
    freeze::FreezeReason,
    key::PublicKey,
    proof::NOBODY,
};
use alloc::vec::Vec;

/// Devices that are looked up at a time.
const DEVICES_AT_A_TIME: usize = 128;

/// How a device compares with the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The chain has all that the device sealed.
    Level,
    /// So many entries are still to be sent.
    Queued(u64),
    /// The chain does not know the device.
    Unenrolled,
    /// The device was stopped, now or before.
    Frozen(FreezeReason),
}

/// As far as the device's file tells: how it stood when it was compared last.
impl From<&DeviceRecord> for Standing {
    fn from(device: &DeviceRecord) -> Self {
        match (device.frozen, device.number, device.queued()) {
            (Some(reason), ..) => Self::Frozen(reason),
            (None, None, _) => Self::Unenrolled,
            (None, Some(_), 0) => Self::Level,
            (None, Some(_), queued) => Self::Queued(queued),
        }
    }
}

/// Why a device did not get what it wanted of the chain. Nothing is lost by it: the same call can be made again.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The device's own state.
    #[error(transparent)]
    Device(#[from] Error),
    /// The chain, or the way to it.
    #[error(transparent)]
    Chain(#[from] ChainFault),
    /// The chain or a server refused what was asked for this device.
    #[error(transparent)]
    Refused(#[from] ChainRefusal),
}

impl SyncError {
    /// Stable name.
    pub fn code(&self) -> &str {
        match self {
            Self::Device(error) => error.code(),
            Self::Chain(fault) => &fault.code,
            Self::Refused(refusal) => &refusal.code,
        }
    }
}

/// How a device compares, or why it could not be compared.
pub type Compared = Result<Standing, ChainFault>;

/// Compares devices with the chain, enrolled ones or not, and marks what is confirmed. A head that is not the device's
/// stops it. What is found is in the order of the devices.
pub async fn sync<B: Book, C: Chain>(
    book: &B,
    chain: &C,
    devices: &[LocalId],
) -> Result<Vec<Compared>, SyncError> {
    let policy = chain.policy();
    if policy.trusts_words {
        tracing::warn!("relays' words are taken for proofs: whoever is asked can make entries vanish and stop devices");
    }
    let checker = book.checker(policy.trusts_words);
    let mut compared = Vec::with_capacity(devices.len());
    for page in devices.chunks(DEVICES_AT_A_TIME) {
        compared.extend(sync_page(book, chain, &checker, page).await?);
        book.keep_anchor()?;
    }
    Ok(compared)
}

async fn sync_page<B: Book, C: Chain>(
    book: &B,
    chain: &C,
    checker: &HeadChecker,
    page: &[LocalId],
) -> Result<Vec<Compared>, SyncError> {
    let mut found: Vec<(DeviceRecord, Option<Compared>)> = Vec::with_capacity(page.len());
    for id in page {
        let device = book.device(*id)?;
        let frozen = device.frozen.map(|reason| Ok(Standing::Frozen(reason)));
        found.push((device, frozen));
    }
    find_numbers(chain, checker, &mut found).await;
    let open = || {
        found
            .iter()
            .enumerate()
            .filter(|(_, (_, known))| known.is_none())
    };
    let places: Vec<usize> = open().map(|(place, _)| place).collect();
    let questions: Vec<Question> = open()
        .filter_map(|(_, (device, _))| question(device))
        .collect();
    let heads = match questions.is_empty() {
        true => Vec::new(),
        false => look_closer(chain, checker, &questions).await,
    };
    let policy = chain.policy();
    let foreign = book.together_with_proofs(|| {
        let mut foreign = Vec::new();
        for (place, head) in places.into_iter().zip(heads) {
            let (device, known) = &mut found[place];
            *known = match head {
                Err(fault) => {
                    // The number was a server's word, and is nobody's.
                    if fault.code == NOBODY && !device.proved {
                        book.set_said(device.id, None)?;
                    }
                    Some(Err(fault))
                }
                Ok(head) => match take(book, &policy, device, &head)? {
                    Taken::Compared(compared) => Some(compared),
                    Taken::Foreign => {
                        foreign.push((place, head));
                        None
                    }
                },
            };
        }
        Ok::<_, SyncError>(foreign)
    })?;
    for (place, head) in foreign {
        let (device, known) = &mut found[place];
        *known = Some(Ok(compare(book, chain, device, &head).await?));
    }
    let compared = found.into_iter().map(|(_, known)| known);
    Ok(compared
        .map(|known| known.unwrap_or(Ok(Standing::Unenrolled)))
        .collect())
}

/// The heads of devices, with the records of those that are suspended: a retirement that came due shows there alone.
async fn look_closer<C: Chain>(
    chain: &C,
    checker: &HeadChecker,
    questions: &[Question],
) -> Vec<Result<FinalHead, ChainFault>> {
    let mut heads = chain.heads(checker, questions).await;
    let unsure =
        |head: &Result<FinalHead, ChainFault>| head.as_ref().is_ok_and(FinalHead::may_be_retired);
    let places: Vec<usize> = (0..heads.len())
        .filter(|place| unsure(&heads[*place]))
        .collect();
    if places.is_empty() {
        return heads;
    }
    let closer: Vec<Question> = places
        .iter()
        .map(|place| Question {
            record: true,
            ..questions[*place]
        })
        .collect();
    let records = chain.heads(checker, &closer).await;
    for (place, head) in places.into_iter().zip(records) {
        // Whoever does not show it takes nothing from what was shown.
        if head.is_ok() {
            heads[place] = head;
        }
    }
    heads
}

/// Asks for the numbers of devices that have none. Nobody's word for one is kept before the chain's record was proved under it.
async fn find_numbers<C: Chain>(
    chain: &C,
    checker: &HeadChecker,
    found: &mut [(DeviceRecord, Option<Compared>)],
) {
    let strangers: Vec<&mut (DeviceRecord, Option<Compared>)> = found
        .iter_mut()
        .filter(|(device, known)| known.is_none() && device.number.is_none())
        .collect();
    if strangers.is_empty() {
        return;
    }
    let keys: Vec<PublicKey> = strangers.iter().map(|(device, _)| device.key).collect();
    let numbers = chain.find(checker, &keys).await;
    for (place, (device, known)) in strangers.into_iter().enumerate() {
        match &numbers {
            Err(fault) => *known = Some(Err(fault.clone())),
            Ok(numbers) => match numbers.get(place).copied().flatten() {
                Some(number) => device.number = Some(number),
                None => *known = Some(Ok(Standing::Unenrolled)),
            },
        }
    }
}

/// What is asked about a device that has a number.
pub(crate) fn question(device: &DeviceRecord) -> Option<Question> {
    Some(Question {
        device: device.number?,
        key: device.key,
        record: !device.proved,
    })
}

/// Compares all devices of a file with the chain, enrolled ones or not, and marks what is confirmed. A head that is not a
/// device's own stops it.
pub async fn sync_all<B: Book, C: Chain>(
    book: &B,
    chain: &C,
) -> Result<Vec<(DeviceRecord, Standing)>, SyncError> {
    book.expect_chain(&chain.genesis())?;
    let ids: Vec<LocalId> = book.devices()?.iter().map(|device| device.id).collect();
    let standings = sync(book, chain, &ids).await?;
    let standings = standings.into_iter().collect::<Result<Vec<_>, _>>()?;
    let devices = book.devices()?;
    Ok(devices.into_iter().zip(standings).collect())
}

/// What a final head means for a device.
pub(crate) enum Taken {
    /// All that there is to know.
    Compared(Compared),
    /// The head is not the device's own.
    Foreign,
}

/// Takes a final head for what it means for a device, as far as that goes without asking anything more.
pub(crate) fn take<B: Book>(
    book: &B,
    policy: &UploadPolicy,
    device: &DeviceRecord,
    known: &FinalHead,
) -> Result<Taken, SyncError> {
    if let Some(reason) = device.frozen {
        return Ok(Taken::Compared(Ok(Standing::Frozen(reason))));
    }
    if let Some(enrolled) = known.enrolment() {
        if enrolled.key.is_some_and(|key| key != device.key.0) {
            book.set_said(device.id, None)?;
            return Ok(Taken::Compared(Err(another_device(device, known))));
        }
        if enrolled.genesis != device.genesis {
            let stopped = stop(book, device, FreezeReason::OtherEnrolment, known)?;
            return Ok(Taken::Compared(Ok(stopped)));
        }
        let participant = device.participant_digest();
        if enrolled.participant.is_some_and(|it| it != participant) {
            let stopped = stop(book, device, FreezeReason::AnotherParticipantKey, known)?;
            return Ok(Taken::Compared(Ok(stopped)));
        }
        if !device.proved {
            book.set_number(device.id, known)?;
        }
    } else if !device.proved {
        // Whose head this is, is not known.
        return Ok(Taken::Compared(Err(another_device(device, known))));
    }
    let Some(compared) = settle(book, policy, device, known)? else {
        return Ok(Taken::Foreign);
    };
    if known.is_retired() && compared.is_ok() {
        let stopped = stop(book, device, FreezeReason::Retired, known)?;
        return Ok(Taken::Compared(Ok(stopped)));
    }
    Ok(Taken::Compared(compared))
}

/// Compares a device's entries with a final head of it, as far as that goes without asking the chain anything more. `None`:
/// the head is not the device's own.
fn settle<B: Book>(
    book: &B,
    policy: &UploadPolicy,
    device: &DeviceRecord,
    known: &FinalHead,
) -> Result<Option<Compared>, SyncError> {
    let head = known.head();
    let length = match policy.keeps_hashchain {
        true => head.length,
        false => head.length.min(device.length),
    };
    let own = match length > device.length {
        true => None,
        false => book.hash_at(device.id, length)?,
    };
    if own != Some(head.hash) && policy.keeps_hashchain {
        return Ok(None);
    }
    if length < device.confirmed {
        return Ok(Some(Err(shorter(known))));
    }
    book.confirm(device.id, length, policy.copies, known)?;
    Ok(Some(Ok(match device.length - length {
        0 => Standing::Level,
        queued => Standing::Queued(queued),
    })))
}

/// Stops a device whose final head is not its own, at once: the head is proved. Whoever shows how the chain goes on tells the reason.
pub(crate) async fn compare<B: Book, C: Chain>(
    book: &B,
    chain: &C,
    device: &DeviceRecord,
    known: &FinalHead,
) -> Result<Standing, Error> {
    let stopped = stop(book, device, FreezeReason::ForeignHead, known)?;
    match is_continued(book, chain, device, known).await? {
        true => stop(book, device, FreezeReason::RestoredBackup, known),
        false => Ok(stopped),
    }
}

fn stop<B: Book>(
    book: &B,
    device: &DeviceRecord,
    reason: FreezeReason,
    known: &FinalHead,
) -> Result<Standing, Error> {
    book.freeze(device.id, reason, known)?;
    tracing::error!(device = %device.key, reason = reason.code(), block = known.block(), "the device was stopped");
    Ok(Standing::Frozen(reason))
}

/// Fewer entries than were finalised before.
fn shorter(known: &FinalHead) -> ChainFault {
    match known.block() {
        // More than a third of the authorities signed two histories.
        Some(block) => ChainFault {
            code: "chain_went_back".into(),
            message: format!(
                "Block {block} is proved to be final and lacks what an earlier block had. Report this to the study."
            ),
            passing: false,
        },
        None => ChainFault {
            code: "relay_behind".into(),
            message: "What is shown lacks what the chain had finalised before. Ask again later. On a development chain \
                      that was begun anew, begin with a new state file."
                .into(),
            passing: true,
        },
    }
}

/// The number that a server named is not the device's.
fn another_device(device: &DeviceRecord, known: &FinalHead) -> ChainFault {
    ChainFault {
        code: "number_of_another_device".into(),
        message: format!(
            "The device {} was said to be number {}, and the chain has another device there.",
            device.key,
            known.device()
        ),
        passing: true,
    }
}
