// SPDX-License-Identifier: Apache-2.0

//! Which runs a finalised block brought, and by whom: what relays are held to.
//!
//! Events say what became of a run and not what it was, and a node that prunes drops them. The extrinsics themselves stay
//! as long as the block does.

use hashchain::Run;
use subxt::utils::{AccountId32, H256};

use crate::connection::Connection;
use crate::error::Error;
use crate::runtime::api::runtime_types::mhealth_runtime::RuntimeCall;
use crate::runtime::api::runtime_types::pallet_client_hashchain::pallet::Call as HashchainCall;
use crate::runtime::Runtime;
use crate::wire::Read;

/// A run in an extrinsic of a block, whatever the chain made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BroughtRun {
    /// The account that signed the extrinsic.
    pub submitter: AccountId32,
    /// Place of the extrinsic in the block, from 0.
    pub extrinsic_index: u32,
    /// Place of the run in the batch, from 0; also 0 for a run that came alone.
    pub position: u32,
    /// The run.
    pub run: Run,
}

/// The runs that signed extrinsics of this block brought, in order.
pub(crate) async fn runs_brought(
    connection: &Connection,
    block: H256,
) -> Result<Vec<BroughtRun>, Error> {
    let raw = connection.rpc().block(block).await?;
    if raw.number == 0 {
        return Ok(Vec::new());
    }
    let runtime = connection.runtime(raw.parent_hash).await?;
    read(&runtime, raw.extrinsics).await
}

async fn read(runtime: &Runtime, extrinsics: Vec<Vec<u8>>) -> Result<Vec<BroughtRun>, Error> {
    let extrinsics = runtime.at().extrinsics().from_bytes(extrinsics).await;
    let mut brought = Vec::new();
    for (extrinsic, index) in extrinsics.iter().zip(0u32..) {
        let extrinsic = extrinsic.map_err(|error| Error::protocol("an extrinsic", error))?;
        if extrinsic.pallet_name() != "ClientHashchain" {
            continue;
        }
        // An address of this chain's accounts: a byte 0, then the account.
        let Some([0, account @ ..]) = extrinsic.address_bytes() else {
            continue;
        };
        let Ok(account) = <[u8; 32]>::try_from(account) else {
            continue;
        };
        let call = extrinsic
            .decode_call_data_as::<RuntimeCall>()
            .map_err(|error| Error::protocol("an extrinsic", error))?;
        let runs = match call {
            RuntimeCall::ClientHashchain(HashchainCall::submit { run }) => vec![run],
            RuntimeCall::ClientHashchain(HashchainCall::submit_batch { runs }) => runs.0,
            _ => continue,
        };
        brought.extend(
            runs.into_iter()
                .zip(0u32..)
                .map(|(run, position)| BroughtRun {
                    submitter: AccountId32(account),
                    extrinsic_index: index,
                    position,
                    run: run.read(),
                }),
        );
    }
    Ok(brought)
}

#[cfg(test)]
mod tests {
    use hashchain::{DataDigest, DeviceId, LinkHash, RunEntry, Tag};

    use super::*;
    use crate::account::Account;
    use crate::calls;
    use crate::fake::FakeNode;
    use crate::types::SuspensionReason;

    #[tokio::test]
    async fn the_runs_of_a_block_are_read_with_their_submitter_and_place() {
        let node = FakeNode::new();
        let client = node.client().await;
        let entry = |digest, tag| RunEntry {
            digest: DataDigest([digest; 32]),
            tag: Tag([tag; 32]),
        };
        let run = |device| Run {
            device: DeviceId(device),
            first_sequence: 7,
            previous: LinkHash([device as u8; 32]),
            entries: vec![entry(1, 2), entry(3, 4)],
            signature: (device % 2 == 0).then_some([9; 64]),
        };
        let relay = Account::from_secret_uri("//Dave").unwrap();
        let office = Account::from_secret_uri("//Charlie").unwrap();
        let transactions = [
            (&relay, calls::submit_batch(vec![run(1), run(2)]), 0),
            (&relay, calls::submit(run(3)), 1),
            (
                &office,
                calls::suspend(DeviceId(4), SuspensionReason::Lost),
                0,
            ),
        ];
        let mut extrinsics = Vec::new();
        for (account, call, nonce) in transactions {
            let signed = client.sign(account, &call, nonce, 64).await.unwrap();
            extrinsics.push(signed.bytes.to_vec());
        }
        let runtime = client
            .connection()
            .runtime(client.genesis_hash())
            .await
            .unwrap();
        let brought = read(&runtime, extrinsics).await.unwrap();
        let places: Vec<_> = brought
            .iter()
            .map(|run| (run.extrinsic_index, run.position))
            .collect();
        assert_eq!(places, [(0, 0), (0, 1), (1, 0)]);
        for (brought, device) in brought.iter().zip(1..) {
            assert_eq!(brought.submitter, relay.id());
            assert_eq!(brought.run, run(device));
        }
    }
}
