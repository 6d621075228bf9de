// SPDX-License-Identifier: Apache-2.0

//! What a node answers to whoever makes proofs: which runs of a device a block has, and how its authorities changed. None of it has
//! to be believed.

use hashchain::DeviceId;
use serde::Deserialize;
use serde_json::json;
use subxt::rpcs::client::rpc_params;
use subxt::rpcs::methods::legacy::Bytes;
use subxt::rpcs::Error as RpcError;
use subxt::utils::{AccountId32, H256};

use crate::brought::BroughtRun;
use crate::client::ChainClient;
use crate::error::Error;
use crate::native;
use crate::rpc::PROVE_FINALITY;

const RUNS: &str = "hashchain_runs";
/// What every JSON-RPC server answers to a method that it does not have.
const NO_SUCH_METHOD: i32 = -32_601;
/// The node reads blocks for too many others.
const BUSY: i32 = 9_198;

/// How the authorities of a chain changed, as far as one answer of a node says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityChanges {
    /// The first block's header, SCALE encoded, and the nodes of its state trie that lead to the first authorities. None when a set
    /// was named to begin with.
    pub first: Option<(Vec<u8>, Vec<Vec<u8>>)>,
    /// The blocks in which one set handed over to the next, oldest first: header and justification, SCALE encoded.
    pub handovers: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether these are all of them. Otherwise the next answer begins at the set that they lead to.
    pub complete: bool,
}

impl ChainClient {
    /// The runs of a device that extrinsics of a block brought, in order, whatever the chain made of them. Without those in calls
    /// within calls. None if the node does not have this method, reads blocks for too many others, or sends what is no run.
    pub async fn runs_of(
        &self,
        device: DeviceId,
        block: H256,
    ) -> Result<Option<Vec<BroughtRun>>, Error> {
        #[derive(Deserialize)]
        struct Brought {
            extrinsic: u32,
            submitter: AccountId32,
            position: u32,
            run: Bytes,
        }
        let rpc = self.connection().rpc();
        let answer: Result<Vec<Brought>, _> = rpc.ask(RUNS, rpc_params![device.0, block]).await;
        let brought = match answer {
            Ok(brought) => brought,
            Err(RpcError::User(answer)) if [NO_SUCH_METHOD, BUSY].contains(&answer.code) => {
                return Ok(None);
            }
            Err(error) => return Err(rpc.error(RUNS, &block, error)),
        };
        let read = |it: Brought| {
            let mut bytes = &it.run.0[..];
            let run = native::run(&mut bytes).filter(|run| run.device == device)?;
            bytes.is_empty().then_some(BroughtRun {
                submitter: it.submitter,
                extrinsic_index: it.extrinsic,
                position: it.position,
                wrapped: false,
                run,
            })
        };
        Ok(brought.into_iter().map(read).collect())
    }

    /// How the authorities changed up to a final block: since the set of this number, or from the first authorities on. The node may
    /// have dropped the block's state.
    pub async fn authority_changes(
        &self,
        block: H256,
        set: Option<u64>,
    ) -> Result<AuthorityChanges, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            first: Option<First>,
            handovers: Vec<Handover>,
            block_hash: H256,
        }
        #[derive(Deserialize)]
        struct First {
            header: Bytes,
            proof: Vec<Bytes>,
        }
        #[derive(Deserialize)]
        struct Handover {
            header: Bytes,
            justification: Bytes,
        }
        let rpc = self.connection().rpc();
        let asker = json!({ "set": set });
        let answer = rpc.ask(PROVE_FINALITY, rpc_params![block, asker]).await;
        let answer: Answer = answer.map_err(|error| rpc.error(PROVE_FINALITY, &block, error))?;
        let nodes = |proof: Vec<Bytes>| proof.into_iter().map(|node| node.0).collect();
        let handovers = answer.handovers.into_iter();
        Ok(AuthorityChanges {
            first: answer
                .first
                .map(|first| (first.header.0, nodes(first.proof))),
            handovers: handovers
                .map(|it| (it.header.0, it.justification.0))
                .collect(),
            complete: answer.block_hash == block,
        })
    }
}
