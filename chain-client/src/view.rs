// SPDX-License-Identifier: Apache-2.0

//! The chain as it stood at one block.

use hashchain::{DeviceId, StudyId};
use mhealth_api::Policy;
use subxt::runtime_apis::Payload;
use subxt::storage::{Address, PrefixOf};
use subxt::utils::{AccountId32, H256};

use crate::error::Error;
use crate::native;
use crate::rpc::Rpc;
use crate::runtime::api::runtime_types::pallet_client_hashchain_runtime_api as wire;
use crate::runtime::{api, Runtime};
use crate::types::{
    ConflictView, ConflictsView, DeviceView, EntriesPage, EntryView, ErasureReceipt, HeadView,
    StudyView,
};
use crate::wire::Read;

/// Most changed accounts in a part of an answer: the runtime reads no more for one.
const MOST_A_PART: usize = 1_024;
/// Most parts of one answer that are asked for: 65,536 changed accounts in a study.
pub(crate) const MOST_PARTS: usize = 64;

/// Reads the chain at one block, so that several answers fit together.
#[derive(Clone)]
pub struct ChainView {
    rpc: Rpc,
    runtime: Runtime,
    block: H256,
}

impl ChainView {
    pub(crate) fn new(rpc: Rpc, runtime: Runtime, block: H256) -> Self {
        ChainView {
            rpc,
            runtime,
            block,
        }
    }

    /// Hash of the block.
    pub fn block(&self) -> H256 {
        self.block
    }

    /// All that the chain has about a device; none if the number was never given out.
    pub async fn device(&self, device: DeviceId) -> Result<Option<DeviceView>, Error> {
        let answer = self.ask(hashchain().device(device.0)).await?;
        Ok(answer.map(DeviceView::from))
    }

    /// The device that enrolled with this Ed25519 key.
    pub async fn device_by_key(&self, key: [u8; 32]) -> Result<Option<DeviceId>, Error> {
        Ok(self.ask(hashchain().device_by_key(key)).await?.read())
    }

    /// The head that the device's next run must follow.
    pub async fn head(&self, device: DeviceId) -> Result<Option<HeadView>, Error> {
        let answer = self.ask(hashchain().head(device.0)).await?;
        Ok(answer.map(HeadView::from))
    }

    /// Up to `count` entries of a device from sequence `from` on, oldest first. The chain can only walk back from the head, and
    /// only so far in one call, so this takes one call for every 1,024 entries, and for every 1,024 pages of the journal
    /// between them and the head.
    pub async fn entries(
        &self,
        device: DeviceId,
        from: u64,
        count: u32,
    ) -> Result<Vec<EntryView>, Error> {
        let mut entries = Vec::new();
        let mut at = None;
        loop {
            let page = self.entries_page(device, from, count, at).await?;
            entries.extend(page.entries);
            match (at, page.next) {
                (_, None) => break,
                (Some(at), Some(next)) if next >= at => {
                    return Err(Error::protocol("entries", "the answer does not lead back"));
                }
                (_, next) => at = next,
            }
        }
        entries.reverse();
        Ok(entries)
    }

    /// One part of what [`ChainView::entries`] gives, newest first: without `at` from the head back, with it from the device's
    /// entry at this place of the journal.
    pub async fn entries_page(
        &self,
        device: DeviceId,
        from: u64,
        count: u32,
        at: Option<u64>,
    ) -> Result<EntriesPage, Error> {
        let payload = hashchain().entries(device.0, from, count, at);
        let (function, arguments) = self.runtime.encode_call(&payload)?;
        let answer = self.rpc.call(&function, &arguments, self.block).await?;
        if self.runtime.reads_natively() {
            let page = native::entries_page(&answer);
            return page.ok_or_else(|| Error::protocol("entries", "the answer has another form"));
        }
        let answer = self.runtime.decode_answer(&payload, &answer)?;
        Ok(EntriesPage {
            entries: answer.entries.into_iter().map(EntryView::from).collect(),
            next: answer.next,
        })
    }

    /// Up to `count` entries of the whole chain from journal index `from` on, at most 1,024 at a time.
    pub async fn journal(&self, from: u64, count: u32) -> Result<Vec<EntryView>, Error> {
        let answer = self.ask(hashchain().journal(from, count)).await?;
        Ok(answer.into_iter().map(EntryView::from).collect())
    }

    /// Number of entries ever registered on this chain.
    pub async fn journal_length(&self) -> Result<u64, Error> {
        self.ask(hashchain().journal_length()).await
    }

    /// The rival histories that were brought for a device.
    pub async fn conflicts(&self, device: DeviceId) -> Result<ConflictsView, Error> {
        let answer = self.ask(hashchain().conflicts(device.0)).await?;
        Ok(ConflictsView {
            stored: answer.stored.into_iter().map(ConflictView::from).collect(),
            not_stored: answer.not_stored,
        })
    }

    /// The receipt of the erasure of a device's data; none if there is none.
    pub async fn erasure(&self, device: DeviceId) -> Result<Option<ErasureReceipt>, Error> {
        let erasures = api::storage().client_hashchain().erasures();
        let receipt = self.value(erasures, (device.0,)).await?;
        Ok(receipt.map(|of| ErasureReceipt {
            receipt: of.receipt.0,
            submitter: of.submitter,
            block: of.block,
        }))
    }

    /// How many blocks pass until a retirement holds that an authentication server asks for.
    pub async fn retirement_delay(&self) -> Result<u32, Error> {
        self.ask(hashchain().retirement_delay()).await
    }

    /// A study and its rules.
    pub async fn study(&self, study: StudyId) -> Result<Option<StudyView>, Error> {
        let answer = self.ask(hashchain().study(study.0)).await?;
        Ok(answer.map(StudyView::from))
    }

    /// The accounts of a study that their holders gave up, each with the one that took its place then. A node that shows more than
    /// 65,536 is not believed.
    pub async fn rotations(
        &self,
        study: StudyId,
    ) -> Result<Vec<(AccountId32, AccountId32)>, Error> {
        let wrong = |what: &str| Err(Error::protocol("rotations", what));
        let pair = |rotation: wire::RotationView<_>| (rotation.former, rotation.successor);
        let (mut rotations, mut after) = (Vec::new(), None);
        for _ in 0..MOST_PARTS {
            let part = self.ask(hashchain().rotations(study.0, after)).await?;
            if part.rotations.len() > MOST_A_PART {
                return wrong("a part is too long");
            }
            rotations.extend(part.rotations.into_iter().map(pair));
            if part.next.is_none() {
                return Ok(rotations);
            }
            if part.next == after {
                return wrong("the answer does not lead on");
            }
            after = part.next;
        }
        wrong("the answers do not end")
    }

    /// Whether the account may send transactions to this chain at all.
    pub async fn has_role(&self, account: &AccountId32) -> Result<bool, Error> {
        self.ask(hashchain().has_role(*account)).await
    }

    /// The nonce of the account's next transaction: how many of its transactions are in this block and those before.
    pub async fn nonce(&self, account: &AccountId32) -> Result<u64, Error> {
        let payload = api::runtime_apis()
            .account_nonce_api()
            .account_nonce(*account);
        Ok(self.ask(payload).await?.into())
    }

    /// The storage keys whose values prove the head of a device against the state root of this block.
    pub async fn head_proof_keys(&self, device: DeviceId) -> Result<Vec<Vec<u8>>, Error> {
        self.ask(hashchain().head_proof_keys(device.0)).await
    }

    /// A value of the chain's state; none if there is none.
    pub(crate) async fn value<A: Address>(
        &self,
        address: A,
        parts: A::KeyParts,
    ) -> Result<Option<A::Value>, Error> {
        let key = self.runtime.storage_key(&address, parts)?;
        let value = self.rpc.storage(&key, self.block).await?;
        value
            .map(|value| self.runtime.decode_value(&address, &value))
            .transpose()
    }

    /// The same as it is stored.
    pub(crate) async fn bytes<A: Address>(
        &self,
        address: &A,
        parts: A::KeyParts,
    ) -> Result<Option<Vec<u8>>, Error> {
        let key = self.runtime.storage_key(address, parts)?;
        self.rpc.storage(&key, self.block).await
    }

    /// The keys of a map's values, or of those under the first parts of its keys.
    pub(crate) async fn keys<A: Address, P: PrefixOf<A::KeyParts>>(
        &self,
        address: &A,
        parts: P,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let prefix = self.runtime.storage_prefix(address, parts)?;
        self.rpc.keys_under(&prefix, self.block).await
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    async fn ask<P: Payload>(&self, payload: P) -> Result<P::ReturnType, Error> {
        let (function, arguments) = self.runtime.encode_call(&payload)?;
        let answer = self.rpc.call(&function, &arguments, self.block).await?;
        self.runtime.decode_answer(&payload, &answer)
    }
}

fn hashchain() -> api::runtime_apis::hashchain_api::HashchainApi {
    api::runtime_apis().hashchain_api()
}

impl From<wire::DeviceView> for DeviceView {
    fn from(view: wire::DeviceView) -> Self {
        DeviceView {
            device: view.device.read(),
            study: view.study.read(),
            key: view.key,
            secret_commitment: view.secret_commitment,
            escrow: view.escrow,
            auditor_epoch: view.auditor_epoch,
            participant: view.participant,
            genesis: view.genesis.read(),
            status: view.state.read(),
            length: view.length,
            head: view.head.read(),
            predecessor: view.predecessor.read(),
            successor: view.successor.read(),
            trusted_length: view.trusted_length,
            enrolled_at: view.enrolled_at,
            retires_at: view.retires_at,
        }
    }
}

impl From<wire::HeadView> for HeadView {
    fn from(view: wire::HeadView) -> Self {
        HeadView {
            hash: view.hash.read(),
            length: view.length,
            latest: view.latest,
        }
    }
}

impl From<wire::EntryView> for EntryView {
    fn from(view: wire::EntryView) -> Self {
        EntryView {
            index: view.index,
            device: view.device.read(),
            sequence: view.sequence,
            digest: view.digest.read(),
            hash: view.hash.read(),
            previous: view.previous,
        }
    }
}

impl From<wire::ConflictView<AccountId32>> for ConflictView {
    fn from(view: wire::ConflictView<AccountId32>) -> Self {
        ConflictView {
            sequence: view.sequence,
            recorded: view.recorded.read(),
            rival: view.rival.read(),
            rival_digest: view.rival_digest.read(),
            signed: view.signed,
            submitter: view.submitter,
            block: view.block,
        }
    }
}

impl From<wire::StudyView<AccountId32>> for StudyView {
    fn from(view: wire::StudyView<AccountId32>) -> Self {
        StudyView {
            sponsor: view.sponsor,
            policy: if view.device_signed {
                Policy::DeviceSigned
            } else {
                Policy::HashchainOnly
            },
            open: view.open,
            auditor_key: view.auditor_key,
            title: String::from_utf8_lossy(&view.title).into_owned(),
            former_auditor_keys: view.former_auditor_keys,
        }
    }
}
