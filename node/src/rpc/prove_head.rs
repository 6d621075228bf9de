// SPDX-License-Identifier: Apache-2.0

//! `hashchain_proveHead`: the head of a device, provable to somebody who trusts no node.
//!
//! The answer holds three proofs that fit together. The storage proof shows the values under `keys` in the state whose
//! root the header names. The header's hash is the block. The finality proof shows that more than two thirds of
//! GRANDPA's voters have finalised that block or a descendant, whose ancestry it carries. Who knows the chain's authorities can check
//! all of it offline, and years later.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use codec::Encode;
use jsonrpsee::{
    core::RpcResult,
    proc_macros::rpc,
    types::{ErrorObject, ErrorObjectOwned},
};
use mhealth_runtime::{opaque::Block, BlockNumber, Hash, Header};
use pallet_client_hashchain_runtime_api::HashchainApi as _;
use sc_client_api::{Backend, HeaderBackend, ProofProvider};
use sc_consensus_grandpa::{best_justification, FinalityProof, GRANDPA_ENGINE_ID};
use serde::{Deserialize, Serialize};
use sp_api::ProvideRuntimeApi;
use sp_blockchain::Backend as _;
use sp_core::Bytes;

use crate::service::{FullBackend, FullClient};

/// How many headers a finality proof may carry, about a megabyte.
///
/// A proof of finality is kept every 16 blocks, so this is reached only when finality itself stood still that long.
const MOST_HEADERS: BlockNumber = 4_096;

/// Proofs about hashchains.
#[rpc(server)]
pub(crate) trait HashchainProofs {
    /// Proves the head of a device.
    ///
    /// `at` names the block to prove it in; without it, the latest block whose finality is proved is taken.
    #[method(name = "hashchain_proveHead", blocking)]
    fn prove_head(&self, device: u32, at: Option<Hash>) -> RpcResult<HeadProof>;
}

/// The head of a device, with everything that is needed to check it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HeadProof {
    /// The device.
    device: u32,
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

/// Why a head cannot be proved.
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

    /// The storage keys that prove a device's head; none if there is no such device.
    fn keys(&self, block: Hash, device: u32) -> Result<Option<Vec<Vec<u8>>>, sp_blockchain::Error>;

    /// The trie nodes that lead to the values under `keys`.
    fn storage_proof(
        &self,
        block: Hash,
        keys: &[Vec<u8>],
    ) -> Result<Vec<Vec<u8>>, sp_blockchain::Error>;
}

/// Answers `hashchain_proveHead`.
pub(crate) struct HeadProver<S> {
    source: S,
}

impl<S> HeadProver<S> {
    pub(crate) fn new(source: S) -> Self {
        Self { source }
    }
}

impl<S: ProofSource> HashchainProofsServer for HeadProver<S> {
    fn prove_head(&self, device: u32, at: Option<Hash>) -> RpcResult<HeadProof> {
        Ok(prove_head(&self.source, device, at)?)
    }
}

fn prove_head(
    source: &impl ProofSource,
    device: u32,
    at: Option<Hash>,
) -> Result<HeadProof, ProveHeadError> {
    let latest = source.latest_justified()?;
    let block = match (at, &latest) {
        (Some(block), _) => block,
        (None, Some((block, _))) => *block,
        (None, None) => return Err(ProveHeadError::NoFinalityProof),
    };
    let header = source
        .header(block)?
        .ok_or(ProveHeadError::UnknownBlock(block))?;
    if header.number > source.finalised() || source.canonical(header.number)? != Some(block) {
        return Err(ProveHeadError::NotFinalised(block));
    }
    if !source.has_state(block, header.number) {
        return Err(ProveHeadError::StatePruned(block));
    }
    let keys = source
        .keys(block, device)?
        .ok_or(ProveHeadError::UnknownDevice(device))?;
    let finality_proof =
        finality_proof(source, header.number, latest)?.ok_or(ProveHeadError::NoFinalityProof)?;
    let proof = source.storage_proof(block, &keys)?;
    Ok(HeadProof {
        device,
        block_number: header.number,
        block_hash: block,
        header: header.encode().into(),
        keys: keys.into_iter().map(Bytes).collect(),
        proof: proof.into_iter().map(Bytes).collect(),
        finality_proof: finality_proof.encode().into(),
    })
}

/// The earliest justification that covers a finalised block, with the headers in between.
///
/// GRANDPA's own `grandpa_proveFinality` goes to the end of the authority set instead, which on a chain whose validators
/// never change is *now*: its proofs about old blocks would hold every header since.
fn finality_proof(
    source: &impl ProofSource,
    number: BlockNumber,
    latest: Option<(Hash, Vec<u8>)>,
) -> Result<Option<FinalityProof<Header>>, ProveHeadError> {
    let (latest_block, latest_justification) = latest.unzip();
    let last = source.finalised().min(number.saturating_add(MOST_HEADERS));
    let mut unknown_headers = Vec::new();
    for candidate in number..=last {
        let Some(block) = source.canonical(candidate)? else {
            break;
        };
        if candidate > number {
            let header = source
                .header(block)?
                .ok_or(ProveHeadError::UnknownBlock(block))?;
            unknown_headers.push(header);
        }
        let justification = match source.kept_justification(block)? {
            Some(justification) => Some(justification),
            None if latest_block == Some(block) => latest_justification.clone(),
            None => None,
        };
        if let Some(justification) = justification {
            return Ok(Some(FinalityProof {
                block,
                justification,
                unknown_headers,
            }));
        }
    }
    Ok(None)
}

/// The database and the runtime of this node.
pub(crate) struct NodeSource {
    pub(crate) client: Arc<FullClient>,
    pub(crate) backend: Arc<FullBackend>,
}

impl ProofSource for NodeSource {
    fn finalised(&self) -> BlockNumber {
        self.client.info().finalized_number
    }

    fn latest_justified(&self) -> Result<Option<(Hash, Vec<u8>)>, sp_blockchain::Error> {
        let justification = best_justification::<_, Block>(&*self.backend)?;
        Ok(justification.map(|justification| (justification.target().1, justification.encode())))
    }

    fn kept_justification(&self, block: Hash) -> Result<Option<Vec<u8>>, sp_blockchain::Error> {
        let justifications = self.backend.blockchain().justifications(block)?;
        Ok(justifications.and_then(|kept| kept.into_justification(GRANDPA_ENGINE_ID)))
    }

    fn header(&self, block: Hash) -> Result<Option<Header>, sp_blockchain::Error> {
        self.client.header(block)
    }

    fn canonical(&self, number: BlockNumber) -> Result<Option<Hash>, sp_blockchain::Error> {
        self.client.hash(number)
    }

    fn has_state(&self, block: Hash, number: BlockNumber) -> bool {
        self.backend.have_state_at(block, number)
    }

    fn keys(&self, block: Hash, device: u32) -> Result<Option<Vec<Vec<u8>>>, sp_blockchain::Error> {
        let keys = (|| {
            let api = self.client.runtime_api();
            if api.head(block, device)?.is_none() {
                return Ok(None);
            }
            api.head_proof_keys(block, device).map(Some)
        })();
        keys.map_err(|error: sp_api::ApiError| sp_blockchain::Error::RuntimeApiError(error))
    }

    fn storage_proof(
        &self,
        block: Hash,
        keys: &[Vec<u8>],
    ) -> Result<Vec<Vec<u8>>, sp_blockchain::Error> {
        let proof = self
            .client
            .read_proof(block, &mut keys.iter().map(Vec::as_slice))?;
        Ok(proof.into_iter_nodes().collect())
    }
}
