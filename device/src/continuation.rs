// SPDX-License-Identifier: Apache-2.0

//! Whether what the chain has beyond a device's own entries was made with the device's own keys.

use hashchain::{LinkHash, Sealer};
use mhealth_api::{Head, RegisteredEntry};

use crate::{
    book::{Book, DeviceRecord, LocalId},
    chain::{Chain, FinalHead},
    error::Error,
    sync::SyncError,
};

/// Entries that are read at a time.
const PAGE: u32 = 1_024;

/// Whether the chain's entries after the device's head follow it and were made with its ratchet key. Entries that do not
/// lead to the head are a lie of whoever shows them, or the truth; others are asked.
pub(crate) async fn is_continued<B: Book, C: Chain>(
    book: &B,
    chain: &C,
    device: &DeviceRecord,
    known: &FinalHead,
) -> Result<bool, SyncError> {
    let (mut answered, mut fault) = (false, None);
    for source in 0.. {
        match follow(book, chain, device, known, source).await {
            Ok(Some(true)) => return Ok(true),
            Ok(Some(false)) => answered = true,
            Ok(None) => break,
            Err(SyncError::Chain(found)) => fault = Some(found),
            Err(error) => return Err(error),
        }
    }
    match fault {
        Some(fault) if !answered => Err(fault.into()),
        _ => Ok(false),
    }
}

/// [`is_continued`], by what one source shows; `None` if there is no such source.
async fn follow<B: Book, C: Chain>(
    book: &B,
    chain: &C,
    device: &DeviceRecord,
    known: &FinalHead,
    source: usize,
) -> Result<Option<bool>, SyncError> {
    let Head { length, hash } = known.head();
    let mut continuation = Continuation::of(book, device.id)?;
    while continuation.length() < length {
        let from = continuation.length() + 1;
        let Some(page) = chain.entries(known.device(), from, PAGE, source).await? else {
            return Ok(None);
        };
        if page.is_empty() {
            return Ok(Some(false));
        }
        for entry in page.iter().take_while(|entry| entry.sequence <= length) {
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
