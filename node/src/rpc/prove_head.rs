// SPDX-License-Identifier: Apache-2.0

//! `hashchain_proveHead`: the head of a device, provable to somebody who trusts no node. `hashchain_proveFinality`: the same
//! without a head, for whoever reads other values of the state, or none, and on a chain without devices.
//!
//! The answer holds three proofs that fit together. The storage proof shows the values under `keys` in the state whose
//! root the header names. The header's hash is the block. The finality proof shows that more than two thirds of
//! GRANDPA's voters have finalised that block or a descendant, whose ancestry it carries. Who knows the chain's authorities can check
//! all of it offline, and years later.
//!
//! Somebody who knows an older set of authorities, or only the first block's hash, says so, and gets the handovers from
//! that set on, and the first authorities. Then nobody has to be asked who the present authorities are.

mod finality;
mod first;
mod handovers;
mod source;
#[cfg(test)]
mod tests;

use codec::Encode;
use jsonrpsee::{
    core::RpcResult,
    proc_macros::rpc,
    types::{ErrorObject, ErrorObjectOwned},
};
use mhealth_evidence::genesis_hash_key;
use mhealth_runtime::{BlockNumber, Hash, Header};
use serde::{Deserialize, Serialize};
use sp_core::Bytes;

use self::finality::{prove_finality, Shown};
pub(crate) use self::{
    first::{first_authorities, FirstAuthorities},
    source::NodeSource,
};

/// Proofs about hashchains.
#[rpc(server)]
pub(crate) trait HashchainProofs {
    /// Proves the head of a device.
    ///
    /// `at` names the block to prove it in; without it, the latest block whose finality is proved is taken. `asker` says
    /// which authorities the asker knows; without it, the answer leads to none.
    #[method(name = "hashchain_proveHead", blocking)]
    fn prove_head(
        &self,
        device: u32,
        at: Option<Hash>,
        asker: Option<Asker>,
    ) -> RpcResult<HeadProof>;

    /// Proves that a block is final, and no value of its state. No device is needed.
    ///
    /// `at` and `asker` are those of `hashchain_proveHead`; `record` means nothing here.
    #[method(name = "hashchain_proveFinality", blocking)]
    fn prove_finality(&self, at: Option<Hash>, asker: Option<Asker>) -> RpcResult<BlockProof>;
}

/// Who asks for a proof, and what for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Asker {
    /// The number of the set of authorities that the asker knows; none if it knows the first block's hash only.
    #[serde(default)]
    set: Option<u64>,
    /// Whether the device's record is to be proved beside its head, too.
    #[serde(default)]
    record: bool,
    /// Hashes of blocks that the asker trusts to be of the chain. Where one of them changes the authorities by force, the answer
    /// leads over it, with its header and no justification.
    #[serde(default)]
    checkpoints: Vec<Hash>,
}

/// The head of a device, with everything that is needed to check it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HeadProof {
    /// The device.
    device: u32,
    /// The chain's first authorities, for an asker that knows no set.
    first: Option<First>,
    /// The blocks in which one set handed over to the next, from the asker's set on, oldest first. When these are the most
    /// that an answer has, the block is one of the last set that they lead to, and no value is proved: the asker asks again.
    handovers: Vec<Handover>,
    /// The block in whose state the head is proved.
    block_number: BlockNumber,
    /// That block's hash.
    block_hash: Hash,
    /// That block's header, SCALE encoded; its BLAKE2b-256 is the block hash.
    header: Bytes,
    /// The storage keys whose values say what the head is.
    keys: Vec<Bytes>,
    /// The nodes of the state trie that lead from the header's state root to those values.
    proof: Vec<Bytes>,
    /// GRANDPA's `FinalityProof`, SCALE encoded: hash of a finalised block, its justification, and the headers after this
    /// block up to it.
    finality_proof: Bytes,
}

/// That a block is final, with everything that is needed to check it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BlockProof {
    /// As in [`HeadProof`].
    first: Option<First>,
    /// As in [`HeadProof`]: when these are the most that an answer has, the block is one of the last set that they lead to.
    handovers: Vec<Handover>,
    /// The block that is final.
    block_number: BlockNumber,
    /// That block's hash.
    block_hash: Hash,
    /// That block's header, SCALE encoded; its BLAKE2b-256 is the block hash.
    header: Bytes,
    /// GRANDPA's `FinalityProof`, SCALE encoded, as in [`HeadProof`].
    finality_proof: Bytes,
}

/// The first authorities, proved against the first block's hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct First {
    /// The first block's header, SCALE encoded.
    header: Bytes,
    /// The nodes of its state trie that lead to GRANDPA's authorities.
    proof: Vec<Bytes>,
}

impl From<FirstAuthorities> for First {
    fn from(first: FirstAuthorities) -> Self {
        Self {
            header: first.header.encode().into(),
            proof: first.proof.into_iter().map(Bytes).collect(),
        }
    }
}

/// The last block of a set of authorities, which names the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Handover {
    /// Its header, SCALE encoded.
    header: Bytes,
    /// Its justification by the set that hands over; empty when it changes the authorities by force.
    justification: Bytes,
}

/// Why a head, or that a block is final, cannot be proved.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProveHeadError {
    /// No device has this number, in the state of that block.
    #[error("no device has the number {0} at this block")]
    UnknownDevice(u32),
    /// This node does not know the block.
    #[error("this node does not know the block {0}")]
    UnknownBlock(Hash),
    /// The block is not final, or on an abandoned fork.
    #[error("the block {0} is not finalised")]
    NotFinalised(Hash),
    /// There is no proof of finality that covers the block.
    #[error(
        "this node has no proof of finality for the block yet; with --sealing it never has one"
    )]
    NoFinalityProof,
    /// This node has dropped the state of the block.
    #[error("this node has dropped the state of the block {0}; ask one that runs with --state-pruning archive")]
    StatePruned(Hash),
    /// The set that the asker knows did not hand over to the next, or this node does not have its proof.
    #[error(
        "no proof leads from authority set {0} to the next: the authorities were changed by force after it, or this node \
         began later; the block of that change as a checkpoint leads further"
    )]
    SetNotBridged(u64),
    /// The asker knows a later set than this node does.
    #[error("this node does not know authority set {0} yet")]
    SetAhead(u64),
    /// The node itself failed.
    #[error("the node could not read its database")]
    Internal(#[from] sp_blockchain::Error),
}

impl ProveHeadError {
    /// The JSON-RPC error code, which never changes.
    fn code(&self) -> i32 {
        match self {
            Self::UnknownDevice(_) => 9_101,
            Self::UnknownBlock(_) => 9_102,
            Self::NotFinalised(_) => 9_103,
            Self::NoFinalityProof => 9_104,
            Self::StatePruned(_) => 9_105,
            Self::SetNotBridged(_) => 9_106,
            Self::SetAhead(_) => 9_107,
            Self::Internal(_) => 9_199,
        }
    }
}

impl From<ProveHeadError> for ErrorObjectOwned {
    fn from(error: ProveHeadError) -> Self {
        ErrorObject::owned(error.code(), error.to_string(), None::<()>)
    }
}

/// What a proof is put together from.
pub(crate) trait ProofSource: Send + Sync + 'static {
    /// Number of the last finalised block.
    fn finalised(&self) -> BlockNumber;

    /// The latest block that has a justification, and the justification.
    fn latest_justified(&self) -> Result<Option<(Hash, Vec<u8>)>, sp_blockchain::Error>;

    /// The justification that is kept for a block, if one is.
    fn kept_justification(&self, block: Hash) -> Result<Option<Vec<u8>>, sp_blockchain::Error>;

    /// The header of a block.
    fn header(&self, block: Hash) -> Result<Option<Header>, sp_blockchain::Error>;

    /// The block of this number on the best chain.
    fn canonical(&self, number: BlockNumber) -> Result<Option<Hash>, sp_blockchain::Error>;

    /// Whether the state after a block is still there.
    fn has_state(&self, block: Hash, number: BlockNumber) -> bool;

    /// The storage keys that prove a device's head, that of its page before that of its record; none if there is no such
    /// device.
    fn keys(&self, block: Hash, device: u32) -> Result<Option<Vec<Vec<u8>>>, sp_blockchain::Error>;

    /// The trie nodes that lead to the values under `keys`.
    fn storage_proof(
        &self,
        block: Hash,
        keys: &[Vec<u8>],
    ) -> Result<Vec<Vec<u8>>, sp_blockchain::Error>;

    /// The sets of authorities that have ended, each with its last block, oldest first; and the present one.
    fn sets(&self) -> (Vec<(u64, BlockNumber)>, u64);

    /// The first authorities; none if this node cannot prove them.
    fn first_authorities(&self) -> Option<FirstAuthorities>;
}

/// Answers `hashchain_proveHead` and `hashchain_proveFinality`.
pub(crate) struct HeadProver<S> {
    source: S,
}

impl<S> HeadProver<S> {
    pub(crate) fn new(source: S) -> Self {
        Self { source }
    }
}

impl<S: ProofSource> HashchainProofsServer for HeadProver<S> {
    fn prove_head(
        &self,
        device: u32,
        at: Option<Hash>,
        asker: Option<Asker>,
    ) -> RpcResult<HeadProof> {
        Ok(prove_head(&self.source, device, at, asker)?)
    }

    fn prove_finality(&self, at: Option<Hash>, asker: Option<Asker>) -> RpcResult<BlockProof> {
        Ok(prove_finality(&self.source, at, asker.as_ref())?.block)
    }
}

fn prove_head(
    source: &impl ProofSource,
    device: u32,
    at: Option<Hash>,
    asker: Option<Asker>,
) -> Result<HeadProof, ProveHeadError> {
    let Shown { block, on_the_way } = prove_finality(source, at, asker.as_ref())?;
    if on_the_way {
        return Ok(block.with_values(device, Vec::new(), Vec::new()));
    }
    let hash = block.block_hash;
    if !source.has_state(hash, block.block_number) {
        return Err(ProveHeadError::StatePruned(hash));
    }
    let mut keys = source
        .keys(hash, device)?
        .ok_or(ProveHeadError::UnknownDevice(device))?;
    if let Some(asker) = asker {
        if !asker.record {
            keys.truncate(1);
        }
        // Whose state it is: there may be other chains with the same authorities.
        keys.push(genesis_hash_key());
    }
    let proof = source.storage_proof(hash, &keys)?;
    Ok(block.with_values(device, keys, proof))
}

impl BlockProof {
    /// The same, with nodes of the block's state that lead to what is under these keys.
    fn with_values(self, device: u32, keys: Vec<Vec<u8>>, proof: Vec<Vec<u8>>) -> HeadProof {
        HeadProof {
            device,
            first: self.first,
            handovers: self.handovers,
            block_number: self.block_number,
            block_hash: self.block_hash,
            header: self.header,
            keys: keys.into_iter().map(Bytes).collect(),
            proof: proof.into_iter().map(Bytes).collect(),
            finality_proof: self.finality_proof,
        }
    }
}
