// SPDX-License-Identifier: Apache-2.0

//! This node, as proofs are put together from it.

use std::sync::Arc;

use codec::{Decode, Encode};
use mhealth_runtime::{opaque::Block, BlockNumber, Hash, Header};
use pallet_client_hashchain_runtime_api::HashchainApi as _;
use sc_client_api::{Backend, HeaderBackend, ProofProvider};
use sc_consensus_grandpa::{best_justification, SharedAuthoritySet, GRANDPA_ENGINE_ID};
use sp_api::ProvideRuntimeApi;
use sp_blockchain::Backend as _;

use super::{FirstAuthorities, ProofSource};
use crate::service::{FullBackend, FullClient};

/// The database and the runtime of this node.
pub(crate) struct NodeSource {
    pub(crate) client: Arc<FullClient>,
    pub(crate) backend: Arc<FullBackend>,
    pub(crate) authority_set: SharedAuthoritySet<Hash, BlockNumber>,
    pub(crate) first_authorities: Option<FirstAuthorities>,
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

    fn sets(&self) -> (Vec<(u64, BlockNumber)>, u64) {
        // The present one first: when it changes in between, one set more has ended than is asked for.
        let present = self.authority_set.set_id();
        // The list's own iterator gives nothing at all on a node that began at a later set.
        let ended = self.authority_set.authority_set_changes().encode();
        let ended = Vec::decode(&mut &ended[..]).expect("it is a list of these pairs; qed");
        (ended, present)
    }

    fn first_authorities(&self) -> Option<FirstAuthorities> {
        self.first_authorities.clone()
    }
}
