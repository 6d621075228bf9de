// SPDX-License-Identifier: Apache-2.0

//! `hashchain_runs`: what a block brought of one device.
//!
//! Whoever makes evidence of a device needs its tags, which stand in extrinsics alone, and finds the blocks by what their headers
//! say of the journal. A full block has thirteen megabytes, of which one device's runs are a few hundred bytes. Extrinsics stay as long as
//! the block does, so a node that prunes can answer, too. Nobody has to believe the answer: tags are what links were
//! computed from.
//!
//! A question is a hundred bytes, and an answer costs the reading of a full block. So only a few are worked on at a time: the rest of
//! the machine is a validator's, whatever it is asked.

mod turns;

use std::sync::Arc;

use codec::{DecodeLimit, Encode};
use jsonrpsee::{
    core::RpcResult,
    proc_macros::rpc,
    types::{ErrorObject, ErrorObjectOwned},
};
use mhealth_runtime::{opaque::Block, AccountId, Hash, RuntimeCall, UncheckedExtrinsic};
use pallet_client_hashchain::{Call, Run};
use sc_client_api::BlockBackend;
use serde::{Deserialize, Serialize};
use sp_core::Bytes;
use sp_runtime::{generic::Preamble, MultiAddress, OpaqueExtrinsic};

use self::turns::Turns;

/// How deep an extrinsic is read: as deep as the chain reads one, `frame_support::MAX_EXTRINSIC_DEPTH`.
const MAX_DEPTH: u32 = 256;

/// The runs in blocks.
#[rpc(server)]
pub(crate) trait HashchainRuns {
    /// The runs of a device that extrinsics of a block brought, in order, whatever the chain made of them. Without those in
    /// calls within calls, and in extrinsics that another version of the runtime encoded in another way.
    #[method(name = "hashchain_runs", blocking)]
    fn runs(&self, device: u32, block: Hash) -> RpcResult<Vec<BroughtRun>>;
}

/// A run in an extrinsic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BroughtRun {
    /// Place of the extrinsic in the block, from 0.
    extrinsic: u32,
    /// Who signed it.
    submitter: AccountId,
    /// Place of the run in its batch, from 0.
    position: u32,
    /// The run, SCALE encoded.
    run: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunsError {
    /// This node does not have the block, or has dropped its extrinsics.
    #[error("this node does not have the extrinsics of the block {0}")]
    NoBlock(Hash),
    /// As many as may are asking already.
    #[error("this node reads blocks for too many others at present; ask again, or read the block yourself")]
    Busy,
    /// The node itself failed.
    #[error("the node could not read its database")]
    Internal(#[from] sp_blockchain::Error),
}

impl RunsError {
    /// The JSON-RPC error code, which never changes.
    fn code(&self) -> i32 {
        match self {
            Self::NoBlock(_) => 9_102,
            Self::Busy => 9_198,
            Self::Internal(_) => 9_199,
        }
    }
}

impl From<RunsError> for ErrorObjectOwned {
    fn from(error: RunsError) -> Self {
        ErrorObject::owned(error.code(), error.to_string(), None::<()>)
    }
}

/// Answers `hashchain_runs`.
pub(crate) struct RunReader<C> {
    client: Arc<C>,
    turns: Turns,
}

impl<C> RunReader<C> {
    pub(crate) fn new(client: Arc<C>) -> Self {
        let turns = Turns::default();
        Self { client, turns }
    }
}

impl<C: BlockBackend<Block> + Send + Sync + 'static> HashchainRunsServer for RunReader<C> {
    fn runs(&self, device: u32, block: Hash) -> RpcResult<Vec<BroughtRun>> {
        let _turn = self.turns.take().ok_or(RunsError::Busy)?;
        let body = self.client.block_body(block).map_err(RunsError::from)?;
        let body = body.ok_or(RunsError::NoBlock(block))?;
        let extrinsics = body.iter().zip(0..);
        Ok(extrinsics
            .flat_map(|(extrinsic, place)| runs_in(extrinsic, place, device))
            .collect())
    }
}

/// The runs of a device in the extrinsic at this place.
fn runs_in(extrinsic: &OpaqueExtrinsic, place: u32, device: u32) -> Vec<BroughtRun> {
    let bytes = extrinsic.encode();
    let decoded = UncheckedExtrinsic::decode_all_with_depth_limit(MAX_DEPTH, &mut &bytes[..]);
    let Ok(UncheckedExtrinsic {
        preamble: Preamble::Signed(MultiAddress::Id(submitter), ..),
        function: RuntimeCall::ClientHashchain(call),
        ..
    }) = decoded
    else {
        return Vec::new();
    };
    let runs: Vec<(u32, Vec<u8>)> = match call {
        Call::submit { run } if run.device == device => vec![(0, run.encode())],
        Call::submit_batch { runs } => (0..)
            .zip(runs.iter())
            .filter(|(_, run)| run.device == device)
            .map(|(position, run)| (position, Run::from(run).encode()))
            .collect(),
        _ => Vec::new(),
    };
    let brought = runs.into_iter().map(|(position, run)| BroughtRun {
        extrinsic: place,
        submitter: submitter.clone(),
        position,
        run: run.into(),
    });
    brought.collect()
}

#[cfg(test)]
mod tests {
    use mhealth_runtime::{Signature, TxExtension};
    use pallet_client_hashchain::RunEntry;
    use sp_core::H256;
    use sp_keyring::Sr25519Keyring::Dave;

    use super::*;

    fn run(device: u32, sequence: u64) -> Run {
        let entry = RunEntry {
            digest: H256([1; 32]),
            tag: H256([2; 32]),
        };
        Run {
            device,
            sequence,
            previous: H256([3; 32]),
            entries: vec![entry; 2].try_into().expect("two are not too many"),
            signature: (sequence > 1).then_some([4; 64]),
        }
    }

    fn opaque(extrinsic: &UncheckedExtrinsic) -> OpaqueExtrinsic {
        OpaqueExtrinsic::try_from_encoded_extrinsic(&extrinsic.encode()).expect("it is encoded")
    }

    fn signed(call: RuntimeCall) -> OpaqueExtrinsic {
        let extension: TxExtension = (
            frame_system::CheckNonZeroSender::new(),
            frame_system::CheckSpecVersion::new(),
            frame_system::CheckTxVersion::new(),
            frame_system::CheckGenesis::new(),
            frame_system::CheckMortality::from(sp_runtime::generic::Era::Immortal),
            pallet_admission::Admit::with_nonce(0),
            frame_system::CheckWeight::new(),
            frame_metadata_hash_extension::CheckMetadataHash::new(false),
        );
        opaque(&UncheckedExtrinsic::new_signed(
            call,
            MultiAddress::Id(Dave.to_account_id()),
            Signature::Sr25519([0; 64].into()),
            extension,
        ))
    }

    fn submit() -> RuntimeCall {
        RuntimeCall::ClientHashchain(Call::submit { run: run(7, 1) })
    }

    fn batch(runs: Vec<Run>) -> OpaqueExtrinsic {
        let runs = runs.try_into().expect("a few are not too many");
        signed(RuntimeCall::ClientHashchain(Call::submit_batch { runs }))
    }

    #[test]
    fn the_runs_of_one_device_are_found_with_their_places() {
        let both = batch(vec![run(7, 1), run(8, 1), run(7, 3)]);
        let places = |device| -> Vec<(u32, Run)> {
            let brought = runs_in(&both, 5, device).into_iter();
            let read = |it: BroughtRun| {
                assert_eq!((it.extrinsic, &it.submitter), (5, &Dave.to_account_id()));
                let run = codec::DecodeAll::decode_all(&mut &it.run[..]);
                (it.position, run.expect("it is a run"))
            };
            brought.map(read).collect()
        };
        assert_eq!(places(7), [(0, run(7, 1)), (2, run(7, 3))]);
        assert_eq!(places(8), [(1, run(8, 1))]);
        assert_eq!(places(9), []);
        let alone = signed(submit());
        assert_eq!(runs_in(&alone, 0, 7).len(), 1);
        assert_eq!(runs_in(&alone, 0, 8), []);
    }

    #[test]
    fn what_is_no_signed_call_that_brings_runs_brings_none() {
        let bare = UncheckedExtrinsic::new_bare(submit());
        assert_eq!(runs_in(&opaque(&bare), 0, 7), []);
        let other = signed(RuntimeCall::System(frame_system::Call::remark {
            remark: vec![7; 99],
        }));
        assert_eq!(runs_in(&other, 0, 7), []);
        let noise = OpaqueExtrinsic::try_from_encoded_extrinsic(&[16, 0x84, 0, 1, 2]);
        assert_eq!(runs_in(&noise.expect("its length is right"), 0, 7), []);
    }
}
