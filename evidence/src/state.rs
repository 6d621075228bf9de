// SPDX-License-Identifier: Apache-2.0

//! What the chain keeps: under which keys, and what the values are.

use alloc::vec::Vec;

use codec::{Decode, Encode, Error, Input};
use hashchain::{DataDigest, DeviceId, LinkHash, StudyId};

use crate::bytes::{bounded_bytes, bounded_list};
use crate::finality::AuthoritySet;
use crate::hash::{twox_128, twox_64};
use crate::trie::{NotProved, State};

/// `twox128("Grandpa") ‖ twox128("Authorities")`: those who vote on what is final.
pub const AUTHORITIES_KEY: [u8; 32] = [
    0x5f, 0x9c, 0xc4, 0x5b, 0x7a, 0x00, 0xc5, 0x89, 0x93, 0x61, 0xe1, 0xc6, 0x09, 0x96, 0x78, 0xdc,
    0x5e, 0x06, 0x21, 0xc4, 0x86, 0x9a, 0xa6, 0x0c, 0x02, 0xbe, 0x9a, 0xdc, 0xc9, 0x8a, 0x0d, 0x1d,
];
/// Heads in one storage value.
pub const HEADS_PER_PAGE: u32 = 32;

fn item(pallet: &str, item: &str) -> Vec<u8> {
    [twox_128(pallet.as_bytes()), twox_128(item.as_bytes())].concat()
}

fn hashchain_item(name: &str) -> Vec<u8> {
    item("ClientHashchain", name)
}

fn under(item: Vec<u8>, number: u32) -> Vec<u8> {
    let number = number.to_le_bytes();
    [&item[..], &twox_64(&number), &number].concat()
}

/// Where the record of a device stands: [`DeviceRecord`].
pub fn device_key(device: DeviceId) -> Vec<u8> {
    under(hashchain_item("Devices"), device.0)
}

/// Where the head of a device stands, among those of its neighbours: [`DeviceHead`].
pub fn head_page_key(device: DeviceId) -> Vec<u8> {
    let page = device.0 / HEADS_PER_PAGE;
    [&hashchain_item("HeadPages")[..], &page.to_le_bytes()].concat()
}

/// Where the conflicts of a device stand: [`DeviceConflicts`].
pub fn conflicts_key(device: DeviceId) -> Vec<u8> {
    under(hashchain_item("Conflicts"), device.0)
}

/// Where the number stands that the next device will get, a `u32`.
pub fn next_device_key() -> Vec<u8> {
    hashchain_item("NextDeviceId")
}

/// Where the number of the present set of authorities stands, a `u64`.
pub fn set_key() -> Vec<u8> {
    item("Grandpa", "CurrentSetId")
}

/// Where the hash of the chain's first block stands, which stays when those of later blocks go.
pub fn genesis_hash_key() -> Vec<u8> {
    under(item("System", "BlockHash"), 0)
}

/// What a checkpoint's state must say: the authorities that vote on the blocks after it, the number of their set, and the
/// chain's first block.
pub fn checkpoint_keys() -> [Vec<u8>; 3] {
    [AUTHORITIES_KEY.to_vec(), set_key(), genesis_hash_key()]
}

/// What the chain keeps of a device from its enrolment on.
#[derive(Clone, Debug, PartialEq, Eq, Encode)]
pub struct DeviceRecord {
    /// The device's Ed25519 key.
    pub key: [u8; 32],
    /// Commitment to its secret.
    pub secret_commitment: [u8; 32],
    /// The secret, sealed to the study's auditor.
    pub escrow: Vec<u8>,
    /// Link 0.
    pub genesis: LinkHash,
    /// The device that it goes on from.
    pub predecessor: Option<DeviceId>,
    /// The device that goes on from it.
    pub successor: Option<DeviceId>,
    /// The last entry that is trusted, when it is retired.
    pub trusted: Option<TrustedHead>,
    /// The block of its enrolment.
    pub enrolled_at: u32,
    /// Block from which on it is retired, unless the sponsor vetoes it.
    pub retires_at: Option<u32>,
}

impl DeviceRecord {
    /// Bytes that every record takes in a state.
    pub const LEAST_BYTES: usize = 32 + 32 + 1 + 32 + 1 + 1 + 1 + 4 + 1;

    /// Whether the device is retired in this block because that was asked for before, without a word in the state.
    pub fn is_retired_at(&self, block: u32) -> bool {
        self.retires_at.is_some_and(|from| from <= block)
    }
}

/// Up to where the entries of a retired device are trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TrustedHead {
    /// How many entries.
    pub length: u64,
    /// The link of the last.
    pub hash: LinkHash,
}

/// Whether a device may register entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum DeviceStatus {
    /// It may.
    Active,
    /// It may not at present.
    Suspended(SuspensionReason),
    /// Its hashchain has ended.
    Retired,
}

/// Why a device may not register entries at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum SuspensionReason {
    /// The device was lost.
    Lost,
    /// Key or secret may be in other hands.
    Compromised,
    /// The participant has left the study or paused.
    Withdrawn,
    /// Another reason, which the study keeps on file.
    Administrative,
    /// The device's key signed two histories.
    Fork,
}

/// The last registered entry of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct DeviceHead {
    /// The study that the device belongs to.
    pub study: StudyId,
    /// Whether it may register entries.
    pub status: DeviceStatus,
    /// How many entries are registered.
    pub length: u64,
    /// The last entry's place in the journal of the whole chain.
    pub latest: Option<u64>,
    /// Its link, or link 0.
    pub hash: LinkHash,
    /// The key that has to sign runs, where the study asks for it.
    pub signer: Option<[u8; 32]>,
}

impl DeviceHead {
    const LEAST_BYTES: usize = 4 + 1 + 8 + 1 + 32 + 1;
}

/// A history beside the registered one, which somebody brought.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Conflict {
    /// First sequence at which it was seen to differ.
    pub sequence: u64,
    /// The registered link.
    pub recorded: LinkHash,
    /// The rival's.
    pub rival: LinkHash,
    /// The rival's digest, where it was shown.
    pub rival_digest: Option<DataDigest>,
    /// Whether the device's key signed the rival.
    pub signed: bool,
    /// Who brought it.
    pub submitter: [u8; 32],
    /// In which block.
    pub block: u32,
}

impl Conflict {
    const LEAST_BYTES: usize = 8 + 32 + 32 + 1 + 1 + 32 + 4;
}

/// All that the chain keeps of a device's conflicts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode)]
pub struct DeviceConflicts {
    /// Those that had a place.
    pub stored: Vec<Conflict>,
    /// How many had none.
    pub not_stored: u32,
}

impl Decode for DeviceRecord {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        Ok(DeviceRecord {
            key: Decode::decode(input)?,
            secret_commitment: Decode::decode(input)?,
            escrow: bounded_bytes(input)?,
            genesis: Decode::decode(input)?,
            predecessor: Decode::decode(input)?,
            successor: Decode::decode(input)?,
            trusted: Decode::decode(input)?,
            enrolled_at: Decode::decode(input)?,
            retires_at: Decode::decode(input)?,
        })
    }
}

impl Decode for DeviceConflicts {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        Ok(DeviceConflicts {
            stored: bounded_list(input, Conflict::LEAST_BYTES, usize::MAX)?,
            not_stored: Decode::decode(input)?,
        })
    }
}

/// The heads of a page.
struct Page(Vec<DeviceHead>);

impl Decode for Page {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        bounded_list(input, DeviceHead::LEAST_BYTES, HEADS_PER_PAGE as usize).map(Page)
    }
}

impl State<'_> {
    /// What the chain keeps of a device; none when there is no such device.
    pub fn device(&self, device: DeviceId) -> Result<Option<DeviceRecord>, NotProved> {
        self.value(&device_key(device))
    }

    /// The head of a device; none when there is no such device.
    pub fn head(&self, device: DeviceId) -> Result<Option<DeviceHead>, NotProved> {
        let place = (device.0 % HEADS_PER_PAGE) as usize;
        Ok(self.heads(device)?.get(place).copied())
    }

    /// The heads of a device and its neighbours, of which the first has a number that [`HEADS_PER_PAGE`] divides.
    pub fn heads(&self, device: DeviceId) -> Result<Vec<DeviceHead>, NotProved> {
        let page: Option<Page> = self.value(&head_page_key(device))?;
        Ok(page.map_or_else(Vec::new, |page| page.0))
    }

    /// The conflicts of a device.
    pub fn conflicts(&self, device: DeviceId) -> Result<DeviceConflicts, NotProved> {
        Ok(self.value(&conflicts_key(device))?.unwrap_or_default())
    }

    /// How many devices there are on the chain; the first has the number 0.
    pub fn devices(&self) -> Result<u32, NotProved> {
        Ok(self.value(&next_device_key())?.unwrap_or(0))
    }

    /// The first authorities, in the state of the chain's first block.
    pub(crate) fn first_authorities(&self) -> Result<AuthoritySet, NotProved> {
        self.authorities(0)
    }

    /// The authorities that vote on the blocks after this state, if it is of the chain with this first block.
    pub(crate) fn authorities_after(&self, genesis: [u8; 32]) -> Result<AuthoritySet, NotProved> {
        let first: Option<[u8; 32]> = self.value(&genesis_hash_key())?;
        if first != Some(genesis) {
            return Err(NotProved);
        }
        let id = self.value(&set_key())?.ok_or(NotProved)?;
        self.authorities(id)
    }

    fn authorities(&self, id: u64) -> Result<AuthoritySet, NotProved> {
        let list: Listed = self.value(&AUTHORITIES_KEY)?.ok_or(NotProved)?;
        AuthoritySet::new(id, list.0).ok_or(NotProved)
    }
}

/// Authorities as the state lists them.
struct Listed(Vec<crate::finality::Authority>);

impl Decode for Listed {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        AuthoritySet::decode_list(input).map(Listed)
    }
}
