// SPDX-License-Identifier: Apache-2.0

//! The chain's state, as far as evidence speaks of it: keys, values, and how a proof of them is read.

use codec::{Decode, DecodeAll};
use hashchain::{DataDigest, DeviceId, LinkHash, StudyId};
use sp_core::{Blake2Hasher, H256};
use sp_crypto_hashing::{twox_128, twox_64};
use sp_trie::{read_trie_value, LayoutV1, StorageProof};

/// `twox128("Grandpa") ‖ twox128("Authorities")`.
pub const AUTHORITIES_KEY: [u8; 32] = [
    0x5f, 0x9c, 0xc4, 0x5b, 0x7a, 0x00, 0xc5, 0x89, 0x93, 0x61, 0xe1, 0xc6, 0x09, 0x96, 0x78, 0xdc,
    0x5e, 0x06, 0x21, 0xc4, 0x86, 0x9a, 0xa6, 0x0c, 0x02, 0xbe, 0x9a, 0xdc, 0xc9, 0x8a, 0x0d, 0x1d,
];
/// Heads in one storage value.
pub const HEADS_PER_PAGE: u32 = 32;

fn prefix(item: &str) -> Vec<u8> {
    let pallet = twox_128(b"ClientHashchain");
    [pallet, twox_128(item.as_bytes())].concat()
}

fn twox_64_concat(prefix: Vec<u8>, device: DeviceId) -> Vec<u8> {
    let key = device.0.to_le_bytes();
    [&prefix[..], &twox_64(&key), &key].concat()
}

/// Where the record of a device stands.
pub fn device_key(device: DeviceId) -> Vec<u8> {
    twox_64_concat(prefix("Devices"), device)
}

/// Where the head of a device stands, among those of its neighbours.
pub fn head_page_key(device: DeviceId) -> Vec<u8> {
    [
        prefix("HeadPages"),
        (device.0 / HEADS_PER_PAGE).to_le_bytes().to_vec(),
    ]
    .concat()
}

/// Where the conflicts of a device stand.
pub fn conflicts_key(device: DeviceId) -> Vec<u8> {
    twox_64_concat(prefix("Conflicts"), device)
}

/// Where the number stands that the next device will get.
pub fn next_device_key() -> Vec<u8> {
    prefix("NextDeviceId")
}

/// Where the number of the present set of GRANDPA authorities stands.
pub(super) fn set_key() -> Vec<u8> {
    [twox_128(b"Grandpa"), twox_128(b"CurrentSetId")].concat()
}

/// Where the hash of the chain's first block stands, which stays when those of later blocks go.
pub(super) fn genesis_hash_key() -> Vec<u8> {
    let number = 0u32.to_le_bytes();
    let item = [twox_128(b"System"), twox_128(b"BlockHash")].concat();
    [&item[..], &twox_64(&number), &number].concat()
}

/// What a checkpoint's state must say: the authorities that vote on the blocks after it, the number of their set, and the
/// chain's first block.
pub fn checkpoint_keys() -> [Vec<u8>; 3] {
    [AUTHORITIES_KEY.to_vec(), set_key(), genesis_hash_key()]
}

/// Where a device's head stands within its page.
pub(super) fn place_in_page(device: DeviceId) -> usize {
    (device.0 % HEADS_PER_PAGE) as usize
}

#[derive(Clone, Debug, Decode)]
pub(super) enum Status {
    Active,
    Suspended(#[allow(dead_code)] u8),
    Retired,
}

#[derive(Clone, Debug, Decode)]
pub(super) struct DeviceHead {
    pub(super) study: StudyId,
    pub(super) status: Status,
    pub(super) length: u64,
    #[expect(dead_code, reason = "what comes after it is read by its length")]
    pub(super) latest: Option<u64>,
    pub(super) hash: LinkHash,
    #[expect(dead_code, reason = "the next head of the page is read by its length")]
    pub(super) signer: Option<[u8; 32]>,
}

#[derive(Clone, Debug, Decode)]
pub(super) struct TrustedHead {
    pub(super) length: u64,
    pub(super) hash: LinkHash,
}

#[derive(Clone, Debug, Decode)]
pub(super) struct DeviceRecord {
    pub(super) key: [u8; 32],
    pub(super) secret_commitment: [u8; 32],
    pub(super) escrow: Vec<u8>,
    pub(super) genesis: LinkHash,
    pub(super) predecessor: Option<DeviceId>,
    pub(super) successor: Option<DeviceId>,
    pub(super) trusted: Option<TrustedHead>,
    pub(super) enrolled_at: u32,
    pub(super) retires_at: Option<u32>,
}

#[derive(Clone, Debug, Decode)]
pub(super) struct Conflict {
    pub(super) sequence: u64,
    pub(super) recorded: LinkHash,
    pub(super) rival: LinkHash,
    #[allow(dead_code)]
    pub(super) rival_digest: Option<DataDigest>,
    pub(super) signed: bool,
    pub(super) submitter: [u8; 32],
    pub(super) block: u32,
}

#[derive(Clone, Debug, Default, Decode)]
pub(super) struct DeviceConflicts {
    pub(super) stored: Vec<Conflict>,
    pub(super) not_stored: u32,
}

/// A part of a state, proved against its root.
pub(super) struct ProvedState {
    root: H256,
    nodes: sp_trie::MemoryDB<Blake2Hasher>,
}

/// The proof does not lead to a value, or the value is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotProved;

impl ProvedState {
    pub(super) fn new(root: H256, nodes: &[Vec<u8>]) -> Self {
        ProvedState {
            root,
            nodes: StorageProof::new(nodes.iter().cloned()).into_memory_db(),
        }
    }

    /// The value under a key; none if it is proved that there is none.
    ///
    /// It may stand in the node of its key, as on our chain (state version 0), or in a node of its own (1): the layout given here
    /// reads both.
    pub(super) fn read<T: Decode>(&self, key: Vec<u8>) -> Result<Option<T>, NotProved> {
        let value =
            read_trie_value::<LayoutV1<Blake2Hasher>, _>(&self.nodes, &self.root, &key, None, None)
                .map_err(|_| NotProved)?;
        value
            .map(|value| T::decode_all(&mut &value[..]).map_err(|_| NotProved))
            .transpose()
    }
}
