// SPDX-License-Identifier: Apache-2.0

//! Signed extrinsics, made with the runtime's own types: cheap enough for a generator that shares two cores with the node.

use anyhow::{bail, Result};
use codec::{Compact, Encode};
use hashchain::StudyId;
use mhealth_chain_client::{ChainClient, PoolAnswer};
use mhealth_runtime::{RuntimeCall, Signature, TxExtension, VERSION};
use sp_core::{crypto::Pair, sr25519, H256};
use sp_keyring::Sr25519Keyring;
use sp_runtime::generic::Era;
use sp_runtime::traits::{BlakeTwo256, Hash};
use sp_runtime::MultiAddress;

use crate::workload::{Phones, ESCROW, PARTICIPANT};

/// An account, and how many transactions it has signed.
pub(crate) struct Signer {
    pair: sr25519::Pair,
    account: mhealth_runtime::AccountId,
    genesis: H256,
    /// The nonce of its next transaction.
    pub(crate) nonce: u32,
}

impl Signer {
    /// A well-known account on the chain with this genesis hash.
    pub(crate) fn new(who: Sr25519Keyring, genesis: [u8; 32]) -> Self {
        Signer {
            pair: who.pair(),
            account: who.to_account_id(),
            genesis: H256(genesis),
            nonce: 0,
        }
    }

    /// Hash of the first block of the chain that it signs for.
    pub(crate) fn genesis(&self) -> [u8; 32] {
        self.genesis.0
    }

    /// The account.
    pub(crate) fn account(&self) -> &mhealth_runtime::AccountId {
        &self.account
    }

    /// The bytes of a transaction that makes this call.
    pub(crate) fn call(&mut self, call: &RuntimeCall) -> Vec<u8> {
        self.encoded(&call.encode())
    }

    /// The bytes of a transaction that submits a batch of runs, given in their encoding.
    pub(crate) fn batch(&mut self, runs: &[u8]) -> Vec<u8> {
        let empty = pallet_client_hashchain::Call::submit_batch {
            runs: Default::default(),
        };
        let mut call = RuntimeCall::ClientHashchain(empty).encode();
        call.pop(); // The length of the empty list.
        call.extend_from_slice(runs);
        self.encoded(&call)
    }

    fn encoded(&mut self, call: &[u8]) -> Vec<u8> {
        let extension: TxExtension = (
            frame_system::CheckNonZeroSender::new(),
            frame_system::CheckSpecVersion::new(),
            frame_system::CheckTxVersion::new(),
            frame_system::CheckGenesis::new(),
            frame_system::CheckMortality::from(Era::Immortal),
            pallet_admission::Admit::with_nonce(self.nonce),
            frame_system::CheckWeight::new(),
            frame_metadata_hash_extension::CheckMetadataHash::new(false),
        );
        self.nonce += 1;
        let extension = extension.encode();
        let mut payload = call.to_vec();
        payload.extend_from_slice(&extension);
        (
            VERSION.spec_version,
            VERSION.transaction_version,
            self.genesis,
            self.genesis,
            None::<[u8; 32]>,
        )
            .encode_to(&mut payload);
        let signature = match payload.len() > 256 {
            true => self.pair.sign(BlakeTwo256::hash(&payload).as_ref()),
            false => self.pair.sign(&payload),
        };
        let address: mhealth_runtime::Address = MultiAddress::Id(self.account.clone());
        // Version 4, signed.
        let mut body = vec![0x84];
        address.encode_to(&mut body);
        Signature::Sr25519(signature).encode_to(&mut body);
        body.extend_from_slice(&extension);
        body.extend_from_slice(call);
        let mut bytes = Compact(body.len() as u32).encode();
        bytes.append(&mut body);
        bytes
    }
}

/// Calls that enrol the devices of a study, in order.
pub(crate) fn enrolments<'a>(
    study: StudyId,
    office: &Signer,
    phones: &'a Phones,
) -> impl Iterator<Item = RuntimeCall> + 'a {
    let server = office.account().clone().into();
    let proved = phones.enrolments(study, office.genesis(), server);
    proved.map(move |(key, secret_commitment, key_proof)| {
        RuntimeCall::ClientHashchain(pallet_client_hashchain::Call::enrol {
            study: study.0,
            key,
            secret_commitment,
            escrow: ESCROW.to_vec().try_into().expect("it is short; qed"),
            auditor_epoch: 0,
            participant: sp_core::H256(PARTICIPANT),
            predecessor: None,
            key_proof,
        })
    })
}

/// Hands a transaction to the node, which has to take it.
pub(crate) async fn send(client: &ChainClient, transaction: &[u8]) -> Result<()> {
    match client.send(transaction).await? {
        PoolAnswer::Taken => Ok(()),
        other => bail!("the node did not take a transaction: {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use codec::Decode;
    use mhealth_runtime::UncheckedExtrinsic;

    use super::*;

    #[test]
    fn a_transaction_reads_as_the_runtime_reads_it() {
        let mut signer = Signer::new(Sr25519Keyring::Dave, [7; 32]);
        let runs = Vec::<pallet_client_hashchain::Run>::new().encode();
        let bytes = signer.batch(&runs);
        let extrinsic = UncheckedExtrinsic::decode(&mut &bytes[..]).expect("it is one");
        assert_eq!(extrinsic.encode(), bytes);
        let empty = pallet_client_hashchain::Call::submit_batch {
            runs: Default::default(),
        };
        assert_eq!(extrinsic.function, RuntimeCall::ClientHashchain(empty));
        assert_eq!(signer.nonce, 1);
    }
}
