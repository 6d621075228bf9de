// SPDX-License-Identifier: Apache-2.0

//! Comparing the device's own hashchain with the finalised head that the blockchain has of it.
//!
//! | the blockchain has | and | so the device is | and |
//! |---|---|---|---|
//! | fewer entries | its head is one of the device's | **ahead** of it | the rest is still queued |
//! | as many | the same head | **level** with it | |
//! | any number | another head than the device's at that place | faced with a **foreign head** | stops |
//! | more entries | they follow the device's head, made with its own ratchet key | a **restored backup** | stops |
//! | fewer entries than it had finalised before, or no such device any more | | | the chain **went back**: a fault |
//! | | the key enrolled under other terms | of **another enrolment** | stops |
//!
//! The fourth row is told from the third by making the tags anew: the device's ratchet key makes every later one,
//! and who has none of the device's keys cannot make a single one. So entries that pass were made by this device
//! after the backup was taken, or by a thief of its secret; the device cannot tell these two apart. A restored device
//! that has *sealed again* before it compared has spent that key, and must take its own entries for foreign ones; the
//! auditor, who has the escrow, can still tell.
//!
//! Where a relay chains on the devices' behalf (Figures 2a and 2b) only the numbers of entries can be compared, and no
//! foreign entry shows. That is what those topologies lack.

use hashchain::{DeviceId, LinkHash, Sealer};
use mhealth_api::{Head, RegisteredEntry};

use crate::{
    chain::{Chain, ChainDevice, ChainFault, ChainRefusal},
    error::Error,
    freeze::FreezeReason,
    key::PublicKey,
    store::{DeviceRecord, LocalId, Store},
};

/// Entries that are read at a time.
const PAGE: u32 = 1_024;

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

/// Compares devices with the chain, enrolled ones or not, and marks what is confirmed. A head that is not the device's
/// stops it. The standings are in the order of the devices.
pub(crate) async fn sync<C: Chain>(
    store: &Store,
    chain: &C,
    devices: &[LocalId],
) -> Result<Vec<Standing>, SyncError> {
    let mut standings = Vec::with_capacity(devices.len());
    for page in devices.chunks(DEVICES_AT_A_TIME) {
        let devices = page
            .iter()
            .map(|id| store.device(*id))
            .collect::<Result<Vec<_>, _>>()?;
        let keys: Vec<PublicKey> = devices.iter().map(|device| device.key).collect();
        let found = chain.devices(&keys).await?;
        let known = store.together(|| {
            let pairs = devices.iter().zip(found);
            pairs
                .map(|(device, found)| match identify(store, device, found)? {
                    Identity::Known(found) => {
                        let settled = settle(store, chain, device, found.head)?;
                        Ok(settled.map_or_else(|| Err(found), Ok))
                    }
                    Identity::Unknown => Ok(Ok(Standing::Unenrolled)),
                    Identity::Frozen(reason) => Ok(Ok(Standing::Frozen(reason))),
                })
                .collect::<Result<Vec<_>, SyncError>>()
        })?;
        for (device, known) in devices.iter().zip(known) {
            standings.push(match known {
                Ok(standing) => standing,
                Err(found) => compare(store, chain, device, found.number, found.head).await?,
            });
        }
    }
    Ok(standings)
}

/// Compares all devices of a file with the chain, enrolled ones or not, and marks what is confirmed. A head that is not a
/// device's own stops it.
pub async fn sync_all<C: Chain>(
    store: &Store,
    chain: &C,
) -> Result<Vec<(DeviceRecord, Standing)>, SyncError> {
    store.expect_chain(&chain.genesis())?;
    let ids: Vec<LocalId> = store.devices()?.iter().map(|device| device.id).collect();
    let standings = sync(store, chain, &ids).await?;
    let devices = store.devices()?;
    Ok(devices.into_iter().zip(standings).collect())
}

/// Whether the chain knows a device.
pub(crate) enum Identity {
    /// It does, under the terms of this file.
    Known(ChainDevice),
    /// It does not, and never did.
    Unknown,
    /// The device was stopped, now or before.
    Frozen(FreezeReason),
}

/// Compares what the chain has under a device's key with the device, and remembers its number.
pub(crate) fn identify(
    store: &Store,
    device: &DeviceRecord,
    found: Option<ChainDevice>,
) -> Result<Identity, SyncError> {
    if let Some(reason) = device.frozen {
        return Ok(Identity::Frozen(reason));
    }
    match (device.number, found) {
        (None, None) => Ok(Identity::Unknown),
        (Some(_), None) => Err(went_back()),
        (Some(known), Some(found)) if known != found.number => Err(went_back()),
        (_, Some(found)) if found.genesis != device.genesis => {
            stop(store, device, FreezeReason::OtherEnrolment).map(Identity::Frozen)
        }
        (None, Some(found)) => {
            store.set_number(device.id, found.number)?;
            Ok(Identity::Known(found))
        }
        (Some(_), Some(found)) => Ok(Identity::Known(found)),
    }
}

/// Compares a device's entries with the head that the chain has of it, as far as that goes without asking the chain
/// anything more. `None`: the head is not the device's own.
pub(crate) fn settle<C: Chain>(
    store: &Store,
    chain: &C,
    device: &DeviceRecord,
    head: Head,
) -> Result<Option<Standing>, SyncError> {
    if let Some(reason) = device.frozen {
        return Ok(Some(Standing::Frozen(reason)));
    }
    let policy = chain.policy();
    let length = match policy.keeps_hashchain {
        true => head.length,
        false => head.length.min(device.length),
    };
    let own = match length > device.length {
        true => None,
        false => store.hash_at(device.id, length)?,
    };
    if own != Some(head.hash) && policy.keeps_hashchain {
        return Ok(None);
    }
    if length < device.confirmed {
        return Err(went_back());
    }
    store.confirm(device.id, length, policy.copies)?;
    Ok(Some(match device.length - length {
        0 => Standing::Level,
        queued => Standing::Queued(queued),
    }))
}

/// Compares a device's entries with the head that the chain has of it. A head that is not the device's stops it.
pub(crate) async fn compare<C: Chain>(
    store: &Store,
    chain: &C,
    device: &DeviceRecord,
    number: DeviceId,
    head: Head,
) -> Result<Standing, SyncError> {
    if let Some(standing) = settle(store, chain, device, head)? {
        return Ok(standing);
    }
    let ahead = head.length > device.length;
    let reason = if ahead && is_continued(store, chain, device, number, head).await? {
        FreezeReason::RestoredBackup
    } else {
        FreezeReason::ForeignHead
    };
    stop(store, device, reason).map(Standing::Frozen)
}

fn stop(
    store: &Store,
    device: &DeviceRecord,
    reason: FreezeReason,
) -> Result<FreezeReason, SyncError> {
    store.freeze(device.id, reason)?;
    tracing::error!(device = %device.key, reason = reason.code(), "the device was stopped");
    Ok(reason)
}

/// What was finalised is gone: a development chain that was started afresh has the same genesis block as before.
pub(crate) fn went_back() -> SyncError {
    SyncError::Chain(ChainFault {
        code: "chain_went_back".into(),
        message: "The chain lacks what it had finalised before: it was reset, or its database was restored from an \
                  old copy. On a chain that was reset, begin with a new state file."
            .into(),
        passing: false,
    })
}

/// Whether the chain's entries after the device's head follow it and were made with its ratchet key.
async fn is_continued<C: Chain>(
    store: &Store,
    chain: &C,
    device: &DeviceRecord,
    number: DeviceId,
    head: Head,
) -> Result<bool, SyncError> {
    let mut continuation = Continuation::of(store, device.id)?;
    while continuation.length() < head.length {
        let page = chain
            .entries(number, continuation.length() + 1, PAGE)
            .await?;
        if page.is_empty() {
            // The chain promised more. It is its own witness that something is wrong.
            return Ok(false);
        }
        for entry in page
            .iter()
            .take_while(|entry| entry.sequence <= head.length)
        {
            if !continuation.follow(entry) {
                return Ok(false);
            }
        }
    }
    Ok(continuation.head() == head.hash)
}

/// Goes on from a device's state with what the chain holds, and says whether it is the device's own.
struct Continuation(Sealer);

impl Continuation {
    fn of(store: &Store, id: LocalId) -> Result<Self, Error> {
        store.sealer(id).map(Self)
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
