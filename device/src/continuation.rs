// SPDX-License-Identifier: Apache-2.0

//! Whether what the chain has beyond a device's own entries was made with the device's own keys.
//!
//! A head that is proved and not the device's own stops the device, whoever keeps quiet about it. How the chain goes on only tells the
//! reason. Nobody has to show that, so whoever shows nothing, or something else, is passed over; a later answer may still tell it.

use hashchain::{LinkHash, Sealer};
use mhealth_api::{Head, RegisteredEntry};

use crate::{
    book::{Book, DeviceRecord, LocalId},
    chain::{before, Chain, FinalHead},
    error::Error,
    freeze::FreezeReason,
    sync::question,
};

/// Entries that are read at a time.
const PAGE: u32 = 1_024;

/// Most sources that are asked.
const MOST_SOURCES: usize = 64;

/// Whether somebody shows, in half of the time that is left, that the chain's entries after the device's head follow it and were made
/// with its ratchet key.
pub(crate) async fn is_continued<B: Book, C: Chain>(
    book: &B,
    chain: &C,
    device: &DeviceRecord,
    known: &FinalHead,
) -> Result<bool, Error> {
    let showing = is_shown(book, chain, device, known);
    let shown = before(chain.half_time(), showing).await.transpose()?;
    Ok(shown.unwrap_or(false))
}

/// Why a device is stopped, asked once more if that is only that the chain's head is not its own. Whoever cannot be asked, or shows
/// nothing, changes nothing. None if it is not stopped.
pub(crate) async fn reconsider<B: Book, C: Chain>(
    book: &B,
    chain: &C,
    id: LocalId,
) -> Result<Option<FreezeReason>, Error> {
    let device = book.device(id)?;
    let is_open = device.frozen == Some(FreezeReason::ForeignHead) && device.proved;
    let Some(question) = question(&device).filter(|_| is_open) else {
        return Ok(device.frozen);
    };
    let questions = [question];
    let checker = book.checker(chain.policy().trusts_words);
    let asking = chain.heads(&checker, &questions);
    let heads = before(chain.half_time(), asking).await.unwrap_or_default();
    let Some(Ok(known)) = heads.into_iter().next() else {
        return Ok(device.frozen);
    };
    if !is_continued(book, chain, &device, &known).await? {
        return Ok(device.frozen);
    }
    let reason = FreezeReason::RestoredBackup;
    book.together_with_proofs(|| {
        book.keep_anchor()?;
        book.freeze(id, reason, &known)
    })?;
    tracing::info!(device = %device.key, reason = reason.code(), "why the device was stopped is known by now");
    Ok(Some(reason))
}

/// Entries that do not lead to the head are a lie of whoever shows them, or the truth; others are asked.
async fn is_shown<B: Book, C: Chain>(
    book: &B,
    chain: &C,
    device: &DeviceRecord,
    known: &FinalHead,
) -> Result<bool, Error> {
    if known.head().length <= device.length {
        return Ok(false);
    }
    for source in 0..MOST_SOURCES {
        match follow(book, chain, device, known, source).await? {
            Some(true) => return Ok(true),
            Some(false) => {}
            None => break,
        }
    }
    Ok(false)
}

/// The same by what one source shows; `None` if there is no such source. All that is wanted of it comes in pages that are as long as was
/// asked for: of one that brings less, or something else, nothing more is asked.
async fn follow<B: Book, C: Chain>(
    book: &B,
    chain: &C,
    device: &DeviceRecord,
    known: &FinalHead,
    source: usize,
) -> Result<Option<bool>, Error> {
    let Head { length, hash } = known.head();
    let mut continuation = Continuation::of(book, device.id)?;
    while continuation.length() < length {
        let from = continuation.length() + 1;
        let page = match chain.entries(known.device(), from, PAGE, source).await {
            Ok(Some(page)) => page,
            Ok(None) => return Ok(None),
            Err(fault) => {
                tracing::warn!(%fault, "how the chain goes on is not shown");
                return Ok(Some(false));
            }
        };
        let wanted = (length - continuation.length()).min(PAGE.into()) as usize;
        if page.len() < wanted {
            return Ok(Some(false));
        }
        for entry in page.iter().take(wanted) {
            if !continuation.follow(entry) {
                return Ok(Some(false));
            }
        }
    }
    Ok(Some(continuation.head() == hash))
}

/// Goes on from a device's state with what the chain holds, and says whether it is the device's own.
struct Continuation(Sealer);

impl Continuation {
    fn of<B: Book>(book: &B, id: LocalId) -> Result<Self, Error> {
        book.sealer(id).map(Self)
    }

    fn length(&self) -> u64 {
        self.0.sequence()
    }

    fn head(&self) -> LinkHash {
        self.0.head()
    }

    /// Makes the entry anew from its digest. The hash covers the tag, so equal hashes mean equal tags.
    fn follow(&mut self, entry: &RegisteredEntry) -> bool {
        let (made, after) = self.0.draft(&entry.digest);
        let own = made.sequence == entry.sequence && made.hash == entry.hash;
        self.0 = after;
        own
    }
}
