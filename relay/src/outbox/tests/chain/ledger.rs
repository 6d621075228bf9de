// SPDX-License-Identifier: Apache-2.0

//! The chain as the relay sees it.

use futures::stream::{self, BoxStream, StreamExt};
use hashchain::{DataDigest, DeviceId, LinkHash, Run, StudyId};
use mhealth_api::{BlockRef, DeviceStatus, Hash, Policy};
use mhealth_chain_client::{
    AccountId32, DeviceView, EntryView, Error, FinalisedBlock, PoolAnswer, PoolRefusal,
    SignedTransaction, StudyView, H256,
};

use super::{hash_of, FakeChain};
use crate::ledger::{Answer, Known, Ledger, LedgerError};

const ERA: u64 = 64;

impl Ledger for FakeChain {
    fn genesis(&self) -> Hash {
        Hash(self.state().blocks[0].hash.0)
    }

    fn account(&self) -> [u8; 32] {
        self.account
    }

    fn device(&self, device: DeviceId) -> Answer<'_, Option<(DeviceView, BlockRef)>> {
        Box::pin(async move {
            drop(self.present()?);
            if !self.state().devices.contains_key(&device) {
                return Ok(None);
            }
            let head = self.head(device);
            let view = DeviceView {
                device,
                study: StudyId(0),
                key: [0; 32],
                secret_commitment: H256::zero(),
                escrow: Vec::new(),
                auditor_epoch: 0,
                participant: H256::zero(),
                genesis: LinkHash([0; 32]),
                status: DeviceStatus::Active,
                length: head.length,
                head: head.hash,
                predecessor: None,
                successor: None,
                trusted_length: None,
                enrolled_at: 0,
                retires_at: None,
            };
            let block = self.finalised().await?;
            // Meanwhile the world goes on.
            tokio::task::yield_now().await;
            Ok(Some((view, block)))
        })
    }

    fn device_by_key(&self, _: [u8; 32]) -> Answer<'_, Option<DeviceId>> {
        Box::pin(async { Ok(None) })
    }

    fn entries(&self, device: DeviceId, from: u64, _: u32) -> Answer<'_, Vec<EntryView>> {
        Box::pin(async move {
            let state = self.present()?;
            let link = state.devices[&device].links.get(from as usize - 1);
            let entry = link.map(|link| EntryView {
                index: 0,
                device,
                sequence: from,
                digest: DataDigest([0; 32]),
                hash: *link,
                previous: None,
            });
            Ok(entry.into_iter().collect())
        })
    }

    fn proof(&self, device: DeviceId, known: Known, record: bool) -> Answer<'_, Option<Vec<u8>>> {
        Box::pin(async move {
            let mut state = self.present()?;
            state.proofs_asked += 1;
            let is_known = state.devices.contains_key(&device);
            Ok(is_known.then(|| format!("{known:?} {record}").into_bytes()))
        })
    }

    fn study(&self, _: StudyId) -> Answer<'_, Option<StudyView>> {
        Box::pin(async {
            Ok(Some(StudyView {
                sponsor: AccountId32([1; 32]),
                policy: Policy::DeviceSigned,
                open: true,
                auditor_key: [0; 32],
                title: "A study".into(),
                former_auditor_keys: Vec::new(),
            }))
        })
    }

    fn rotations(&self, _: StudyId) -> Answer<'_, Vec<([u8; 32], [u8; 32])>> {
        Box::pin(async move { Ok(self.present()?.rotations.clone()) })
    }

    fn finalised(&self) -> Answer<'_, BlockRef> {
        Box::pin(async move {
            let state = self.present()?;
            let block = state.latest();
            Ok(BlockRef {
                number: block.number,
                hash: Hash(block.hash.0),
            })
        })
    }

    fn finalised_time(&self) -> Answer<'_, Option<u64>> {
        Box::pin(async move { Ok(self.present()?.time) })
    }

    fn block_hash(&self, number: u64) -> Answer<'_, Option<Hash>> {
        Box::pin(async move {
            let mut state = self.present()?;
            let has = number <= state.latest().number;
            let block = state.blocks.get(number as usize).filter(|_| has);
            let hash = block.map(|block| Hash(block.hash.0));
            let loses_all = std::mem::take(&mut state.loses_all_next);
            drop(state);
            if loses_all {
                self.lose_blocks_after(0);
                (0..=number).for_each(|_| self.make_block());
            }
            Ok(hash)
        })
    }

    fn nonce_after(&self, hash: Hash) -> Answer<'_, u64> {
        Box::pin(async move {
            let state = self.present()?;
            let number = state.blocks.iter().position(|block| block.hash.0 == hash.0);
            let number = number.ok_or_else(|| Error::UnknownBlock {
                block: hash.to_string(),
            })?;
            // What stands before the next block stands after this one.
            if self.account != state.account {
                return Ok(0);
            }
            Ok(state
                .before
                .get(number + 1)
                .map_or(state.nonce, |before| before.0))
        })
    }

    fn best_nonce(&self) -> Answer<'_, u64> {
        Box::pin(async move {
            let state = self.present()?;
            let is_present = self.account == state.account;
            Ok(if is_present { state.nonce } else { 0 })
        })
    }

    fn sign_statement(&self, _: &[u8; 32]) -> [u8; 64] {
        [0; 64]
    }

    fn sign(&self, runs: Vec<Run>, nonce: u64) -> Answer<'_, SignedTransaction> {
        Box::pin(async move {
            let mut state = self.present()?;
            let birth = state.blocks.len() as u64 - 1;
            let bytes = rand::random::<[u8; 16]>().to_vec();
            state
                .signed
                .insert(bytes.clone(), (nonce, birth + ERA, runs));
            let hash = H256(hash_of(&bytes));
            Ok(SignedTransaction {
                bytes: bytes.into(),
                hash,
                birth,
                death: birth + ERA,
            })
        })
    }

    fn send<'a>(&'a self, transaction: &'a [u8]) -> Answer<'a, PoolAnswer> {
        Box::pin(async move {
            let mut state = self.present()?;
            state.handed.push(transaction.to_vec());
            state.forget_expired();
            if self.account != state.account {
                return Ok(PoolAnswer::Refused(PoolRefusal::Stale));
            }
            let (nonce, death, _) = state.signed[transaction].clone();
            if nonce < state.nonce {
                return Ok(PoolAnswer::Refused(PoolRefusal::Stale));
            }
            // A relay that is slow to store a batch may well send it when it has expired. The node says that its signature
            // is bad: it takes another block for the one that the era counts from.
            if state.blocks.len() as u64 >= death {
                return Ok(PoolAnswer::Refused(PoolRefusal::BadSignature));
            }
            if !state.swallow {
                let before = state.pool.insert(nonce, transaction.to_vec());
                assert!(
                    before.is_none_or(|before| before == transaction),
                    "two for one nonce"
                );
            }
            Ok(PoolAnswer::Taken)
        })
    }

    fn follow(&self, from: u64) -> BoxStream<'static, Result<FinalisedBlock, LedgerError>> {
        let following = (self.clone(), self.finalised.subscribe(), from);
        stream::unfold(following, |(chain, mut finalised, next)| async move {
            let reached = finalised.wait_for(|number| *number >= next).await.map(drop);
            reached.ok()?;
            let block = match chain.present() {
                Ok(state) => state.blocks.get(next as usize).cloned(),
                Err(error) => return Some((Err(error), (chain.clone(), finalised, next))),
            };
            let block = block.ok_or(LedgerError::NoBlock(next));
            let after = if block.is_ok() { next + 1 } else { next };
            Some((block, (chain, finalised, after)))
        })
        .boxed()
    }
}
