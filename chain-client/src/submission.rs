// SPDX-License-Identifier: Apache-2.0

//! A transaction on its way, and what became of it.

use subxt::utils::H256;
use tokio::sync::oneshot;

use crate::block::{FinalisedBlock, FinalisedExtrinsic};
use crate::error::{DispatchRefusal, Error};
use crate::event::ChainEvent;
use crate::signing::SignedTransaction;

/// A signed transaction that was handed to the node.
///
/// It goes its way whether or not anybody waits for it: it is sent again, byte for byte, until it is finalised or has
/// expired.
#[derive(Debug)]
pub struct Submission {
    hash: H256,
    nonce: u64,
    birth: u64,
    death: u64,
    answer: oneshot::Receiver<Result<Inclusion, Error>>,
}

impl Submission {
    pub(crate) fn new(
        signed: &SignedTransaction,
        nonce: u64,
        answer: oneshot::Receiver<Result<Inclusion, Error>>,
    ) -> Self {
        Submission {
            hash: signed.hash,
            nonce,
            birth: signed.birth,
            death: signed.death,
            answer,
        }
    }

    /// Hash of the transaction, by which every node and explorer knows it.
    pub fn hash(&self) -> H256 {
        self.hash
    }

    /// The nonce that the account spent on it.
    pub fn nonce(&self) -> u64 {
        self.nonce
    }

    /// Number of the block from which it counts its era. It can be in no block up to this one.
    pub fn birth(&self) -> u64 {
        self.birth
    }

    /// Number of the first block in which it is not valid any more.
    pub fn death(&self) -> u64 {
        self.death
    }

    /// Waits until a finalised block includes the transaction.
    ///
    /// The call itself may have been refused there: see [`Inclusion::result`]. Errors mean that there is no such block:
    /// [`Error::Expired`], [`Error::Superseded`] and [`Error::Refused`] when there never will be one,
    /// [`Error::Unreachable`] when the node stayed away and nobody knows, [`Error::StatePruned`] when the block was
    /// found too late to tell what the transaction did in it.
    pub async fn finalised(self) -> Result<Inclusion, Error> {
        self.answer.await.unwrap_or(Err(Error::Closed))
    }
}

/// What a finalised transaction did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inclusion {
    /// Number of the block that includes it.
    pub block_number: u64,
    /// Hash of that block.
    pub block_hash: H256,
    /// Its place in the block, from 0.
    pub extrinsic_index: u32,
    /// Its own hash.
    pub extrinsic_hash: H256,
    /// Events of our pallets, in order. None when the call was refused: a refused call leaves no trace.
    pub events: Vec<ChainEvent>,
    /// Whether the call succeeded, or why the chain refused it.
    pub result: Result<(), DispatchRefusal>,
}

impl Inclusion {
    /// The outcome of a call that succeeded; [`Error::Dispatch`] for one that was refused.
    pub fn succeeded(self) -> Result<Self, Error> {
        match self.result {
            Ok(()) => Ok(self),
            Err(refusal) => Err(Error::Dispatch(refusal)),
        }
    }

    pub(crate) fn of(
        block: &FinalisedBlock,
        extrinsic: &FinalisedExtrinsic,
    ) -> Result<Self, Error> {
        let Some(effect) = extrinsic.effect.clone() else {
            return Err(Error::StatePruned {
                block: block.number.to_string(),
            });
        };
        Ok(Inclusion {
            block_number: block.number,
            block_hash: block.hash,
            extrinsic_index: extrinsic.index,
            extrinsic_hash: extrinsic.hash,
            events: effect.events,
            result: effect.result,
        })
    }
}
