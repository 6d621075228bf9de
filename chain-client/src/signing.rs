// SPDX-License-Identifier: Apache-2.0

//! Signed transactions, and the block from which they count their era.

use std::sync::Arc;

use subxt::config::substrate::SubstrateExtrinsicParamsBuilder;
use subxt::utils::H256;

use crate::account::Account;
use crate::block::extrinsic_hash;
use crate::call::Call;
use crate::connection::Connection;
use crate::error::Error;
use crate::rpc::Config;
use crate::runtime::Runtime;
use crate::types::BlockId;

/// For how many blocks a transaction is valid, if nothing else is asked for.
pub(crate) const ERA: u64 = 64;

/// How far before the best block an era begins that counts from there. A block with so many after it is seldom undone, and an
/// undone one would void the transaction.
const BACK: u64 = 8;

/// From which block transactions count their era. The node checks the hash of that block with the signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Birth {
    /// The last final one, which is never undone. When nothing has become final for as long as the era, no node takes the
    /// transaction any more.
    #[default]
    LastFinal,
    /// One a few blocks before the node's best, for when nothing becomes final.
    Best,
}

/// A transaction that is ready to be sent.
#[derive(Clone, Debug)]
pub struct SignedTransaction {
    /// Its bytes, which are all that ever goes to a node.
    pub bytes: Arc<[u8]>,
    /// Its hash, by which it is known again in a block.
    pub hash: H256,
    /// Number of the block from which it counts its era. It can be in no block up to this one.
    pub birth: u64,
    /// Number of the first block in which it is not valid any more. Once this block is finalised without it, it never
    /// will be included.
    pub death: u64,
}

/// From where transactions count their era, and the runtime that they are signed for.
#[derive(Clone)]
pub(crate) struct Checkpoint {
    pub(crate) block: BlockId,
    pub(crate) runtime: Runtime,
}

impl Checkpoint {
    pub(crate) async fn fetch(connection: &Connection) -> Result<Self, Error> {
        let block = connection.finalised().await?;
        // The pool checks the version at the best block, which may be past an upgrade that is not finalised yet.
        let best = connection.rpc().best_hash().await?;
        let runtime = connection.runtime(best).await?;
        Ok(Checkpoint { block, runtime })
    }

    /// The same from a few blocks before the best one.
    pub(crate) async fn fetch_best(connection: &Connection) -> Result<Self, Error> {
        let best = connection.best().await?;
        let number = best.number.saturating_sub(BACK);
        let hash = connection.rpc().block_hash(number).await?;
        let hash = hash.ok_or_else(|| Error::UnknownBlock {
            block: number.to_string(),
        })?;
        Ok(Checkpoint {
            block: BlockId { number, hash },
            runtime: connection.runtime(best.hash).await?,
        })
    }

    /// Signs a call for a nonce, with an era that counts from here.
    pub(crate) fn sign(
        &self,
        account: &Account,
        call: &Call,
        nonce: u64,
        era: u64,
    ) -> Result<SignedTransaction, Error> {
        let era = era.clamp(4, 4096).next_power_of_two();
        let birth = self.block.number;
        let params = SubstrateExtrinsicParamsBuilder::<Config>::new()
            .nonce(nonce)
            .mortal_from_unchecked(era, birth, self.block.hash)
            .build();
        let bytes = call.sign(&self.runtime, account, params)?;
        Ok(SignedTransaction {
            hash: extrinsic_hash(&bytes),
            bytes: bytes.into(),
            birth,
            death: birth + era,
        })
    }
}
