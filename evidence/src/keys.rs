// SPDX-License-Identifier: Apache-2.0

//! Under which keys the chain's state keeps what is read here.

use alloc::vec::Vec;

use hashchain::{DeviceId, StudyId, HEADS_PER_PAGE};

use crate::hash::{twox_128, twox_64};

/// `twox128("Grandpa") ‖ twox128("Authorities")`: those who vote on what is final.
pub const AUTHORITIES_KEY: [u8; 32] = [
    0x5f, 0x9c, 0xc4, 0x5b, 0x7a, 0x00, 0xc5, 0x89, 0x93, 0x61, 0xe1, 0xc6, 0x09, 0x96, 0x78, 0xdc,
    0x5e, 0x06, 0x21, 0xc4, 0x86, 0x9a, 0xa6, 0x0c, 0x02, 0xbe, 0x9a, 0xdc, 0xc9, 0x8a, 0x0d, 0x1d,
];
/// Where the code of the runtime stands that makes the blocks after this state.
pub const CODE_KEY: &[u8] = b":code";
/// Where code stands that is to become that of the runtime; where it stands it makes the blocks already.
pub const PENDING_CODE_KEY: &[u8] = b":pending_code";
/// Entries of the journal in one storage value.
pub const ENTRIES_PER_PAGE: u64 = 64;

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

/// Where the record of a device stands: [`DeviceRecord`](crate::DeviceRecord).
pub fn device_key(device: DeviceId) -> Vec<u8> {
    under(hashchain_item("Devices"), device.0)
}

/// Where the head of a device stands, among those of its neighbours: [`DeviceHead`](crate::DeviceHead).
pub fn head_page_key(device: DeviceId) -> Vec<u8> {
    let page = device.0 / HEADS_PER_PAGE;
    [&hashchain_item("HeadPages")[..], &page.to_le_bytes()].concat()
}

/// Where the conflicts of a device stand: [`DeviceConflicts`](crate::DeviceConflicts).
pub fn conflicts_key(device: DeviceId) -> Vec<u8> {
    under(hashchain_item("Conflicts"), device.0)
}

/// Where it stands that a device's data were erased: [`ErasureReceipt`](crate::ErasureReceipt).
pub fn erasure_receipt_key(device: DeviceId) -> Vec<u8> {
    under(hashchain_item("Erasures"), device.0)
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

/// Where the entries of the journal from `64 page` on stand: [`JournalEntry`](crate::JournalEntry).
pub fn journal_page_key(page: u64) -> Vec<u8> {
    [&hashchain_item("JournalPages")[..], &page.to_le_bytes()].concat()
}

/// Where the number of entries ever registered stands, a `u64`.
pub fn journal_length_key() -> Vec<u8> {
    hashchain_item("JournalLength")
}

/// Where a study stands: [`StudyRecord`](crate::StudyRecord).
pub fn study_key(study: StudyId) -> Vec<u8> {
    under(item("Studies", "Studies"), study.0)
}

/// What the keys begin with under which a study's relays stand; each ends with the relay's account.
pub fn relays_prefix(study: StudyId) -> Vec<u8> {
    under(item("Studies", "Relays"), study.0)
}

/// What the keys begin with under which it stands what became of accounts that a study's servers gave up; each ends with the
/// account.
pub fn rotations_prefix(study: StudyId) -> Vec<u8> {
    under(item("Studies", "Rotations"), study.0)
}

/// Where the events of the block stand whose state this is.
pub fn events_key() -> Vec<u8> {
    item("System", "Events")
}

/// Where the time of the block stands, in milliseconds since 1970, a `u64`.
pub fn now_key() -> Vec<u8> {
    item("Timestamp", "Now")
}

/// Where it stands which version of the runtime worked last.
pub fn last_runtime_upgrade_key() -> Vec<u8> {
    item("System", "LastRuntimeUpgrade")
}
