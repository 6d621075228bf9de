// SPDX-License-Identifier: Apache-2.0

//! The runtime of mHealth Chain: what a block may change, and who may change it.
//!
//! | pallets | what they answer |
//! |---|---|
//! | Studies | who may write: studies, their sponsors, authentication servers and relays |
//! | ClientHashchain | what is written: devices, the head of each device's hashchain, the journal of entries, conflicts |
//! | Council, Members, Consortium | who runs the chain: the member organisations, their decisions, the validators |
//! | Session, Aura, Grandpa, Timestamp | how blocks are made and become final |
//! | Accountability | what validators answer for: double blocks, double votes, missed slots |
//! | Finality | what the chain knows of that: the last final block, help over a stall, proofs that contradict each other |
//! | Admission | which transactions are taken, and in which order |
//! | System | accounts, runtime upgrades |
//!
//! There is no currency, there are no fees, and nobody has sudo rights. What a currency does elsewhere, keeping
//! strangers and floods from filling the chain, [`pallet_admission`] does here, by a table of who may make which call. What sudo does elsewhere, two thirds of the consortium do by `Consortium::dispatch_as_root`.

#![cfg_attr(not(feature = "std"), no_std)]
#![allow(
    missing_docs,
    reason = "the macros that make the runtime and its APIs generate public items without a word; \
              modules written by hand ask for documentation again"
)]

extern crate alloc;

mod admission;
mod apis;
#[cfg(feature = "runtime-benchmarks")]
mod benchmarks;
mod configs;
pub mod genesis;
pub mod limits;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use alloc::{borrow::Cow, vec::Vec};
use sp_runtime::{
    generic, impl_opaque_keys,
    traits::{BlakeTwo256, IdentifyAccount, Verify},
    MultiAddress, MultiSignature,
};
use sp_version::RuntimeVersion;

pub use admission::{
    ACCOUNT_HAS_NO_ROLE, DEVICE_MAY_NOT_WRITE, DEVICE_MAY_ONLY_SUBMIT, LAST_SESSION_KEYS,
    MOTION_NEEDS_ANOTHER_THRESHOLD, ROLE_MAY_NOT_CALL, SESSION_KEYS_CHANGED_TODAY,
};
pub use apis::{RuntimeApi, RUNTIME_API_VERSIONS};

// The Wasm form of this crate: `WASM_BINARY` and `WASM_BINARY_BLOATY`.
#[cfg(feature = "std")]
include!(concat!(env!("OUT_DIR"), "/wasm_binary.rs"));

/// Number of a block: one every two seconds lasts 272 years.
pub type BlockNumber = u32;

/// A signature under an extrinsic: sr25519, Ed25519 (the devices' own) or ECDSA.
pub type Signature = MultiSignature;

/// An account: for Ed25519 and sr25519 the public key itself.
pub type AccountId = <<Signature as Verify>::Signer as IdentifyAccount>::AccountId;

/// How an extrinsic names an account.
pub type Address = MultiAddress<AccountId, ()>;

/// How many extrinsics an account has signed.
pub type Nonce = u32;

/// A hash of the chain's own: BLAKE2b-256.
pub type Hash = sp_core::H256;

/// A block's header.
pub type Header = generic::Header<BlockNumber, BlakeTwo256>;

/// A block.
pub type Block = generic::Block<Header, UncheckedExtrinsic>;

/// What a node needs to know of a block, so that a new runtime with other calls needs no new node.
pub mod opaque {
    /// A block whose extrinsics are bytes; JSON-RPC shows them in hexadecimal.
    pub type Block = sp_runtime::generic::Block<super::Header, sp_runtime::OpaqueExtrinsic>;
}

/// An extrinsic as it comes over the network.
pub type UncheckedExtrinsic =
    generic::UncheckedExtrinsic<Address, RuntimeCall, Signature, TxExtension>;

/// What is checked of every transaction beside its signature, in this order.
///
/// To clients [`Admit`](pallet_admission::Admit) is `CheckNonce`, so this is what they know of other chains.
pub type TxExtension = (
    frame_system::CheckNonZeroSender<Runtime>,
    frame_system::CheckSpecVersion<Runtime>,
    frame_system::CheckTxVersion<Runtime>,
    frame_system::CheckGenesis<Runtime>,
    frame_system::CheckMortality<Runtime>,
    pallet_admission::Admit<Runtime>,
    frame_system::CheckWeight<Runtime>,
    frame_metadata_hash_extension::CheckMetadataHash<Runtime>,
);

/// What the runtime asks of the node that executes it. A node without one of these cannot run it, so nodes have to be newer
/// than the first runtime that uses it.
#[cfg(feature = "std")]
pub type HostFunctions = (
    sp_io::SubstrateHostFunctions,
    pallet_client_hashchain::run_checks::HostFunctions,
);

/// Executes blocks.
pub type Executive = frame_executive::Executive<
    Runtime,
    Block,
    frame_system::ChainContext<Runtime>,
    admission::Unsigned,
    AllPalletsWithSystem,
>;

impl_opaque_keys! {
    /// The keys with which a validator makes blocks and votes on them.
    pub struct SessionKeys {
        /// Makes blocks: sr25519.
        pub aura: Aura,
        /// Votes for their finality: Ed25519.
        pub grandpa: Grandpa,
    }
}

/// The version of this runtime.
///
/// `spec_version` rises with every change of behaviour, `transaction_version` with every change of how a transaction is
/// encoded.
#[sp_version::runtime_version]
pub const VERSION: RuntimeVersion = RuntimeVersion {
    spec_name: Cow::Borrowed("mhealth"),
    impl_name: Cow::Borrowed("mhealth"),
    authoring_version: 1,
    spec_version: 100,
    impl_version: 1,
    apis: RUNTIME_API_VERSIONS,
    transaction_version: 1,
    // Values stand in the leaves of the trie, not in nodes of their own: pages of heads are long and change all the time, and
    // each node that changes is hashed, stored and pruned by itself.
    system_version: 0,
};

#[frame_support::runtime]
mod runtime {
    #[runtime::runtime]
    #[runtime::derive(
        RuntimeCall,
        RuntimeEvent,
        RuntimeError,
        RuntimeOrigin,
        RuntimeFreezeReason,
        RuntimeHoldReason,
        RuntimeSlashReason,
        RuntimeLockId,
        RuntimeTask,
        RuntimeViewFunction
    )]
    pub struct Runtime;

    #[runtime::pallet_index(0)]
    pub type System = frame_system;
    #[runtime::pallet_index(1)]
    pub type Timestamp = pallet_timestamp;
    #[runtime::pallet_index(2)]
    pub type Aura = pallet_aura;
    #[runtime::pallet_index(3)]
    pub type Grandpa = pallet_grandpa;
    #[runtime::pallet_index(4)]
    pub type Session = pallet_session;
    #[runtime::pallet_index(5)]
    pub type Council = pallet_collective<Instance1>;
    #[runtime::pallet_index(6)]
    pub type Members = pallet_membership<Instance1>;
    #[runtime::pallet_index(7)]
    pub type Consortium = pallet_consortium;
    #[runtime::pallet_index(8)]
    pub type Admission = pallet_admission;
    #[runtime::pallet_index(9)]
    pub type Studies = pallet_studies;
    #[runtime::pallet_index(10)]
    pub type ClientHashchain = pallet_client_hashchain;
    #[runtime::pallet_index(11)]
    pub type Accountability = pallet_accountability;
    // After Session and Grandpa: it looks at what they did in the same block.
    #[runtime::pallet_index(12)]
    pub type Finality = pallet_finality;
}
