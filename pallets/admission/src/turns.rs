// SPDX-License-Identifier: Apache-2.0

//! Whose turn it is: what an account has had, and what it owes.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use sp_runtime::{traits::AtLeast32BitUnsigned, transaction_validity::TransactionPriority};

use crate::{Lane, Limits};

/// By how much a refused run counts more than one that is registered.
pub(crate) const REFUSED: u64 = 8;

/// What an account has had of a lane.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    Debug,
)]
pub struct Use<BlockNumber> {
    /// What its transactions have cost, in microseconds of a block; each block halves it.
    pub spent: u32,
    /// Bytes of refused work that it has not paid off.
    pub debt: u32,
    /// The block of both.
    pub block: BlockNumber,
}

/// What became of the runs that a transaction brought, in bytes of the runs.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    Debug,
)]
pub struct Outcome {
    /// Registered now.
    pub recorded: u32,
    /// Registered before. A second relay that brings what the first one brought is no fault.
    pub known: u32,
    /// Registered before, and beyond the account's part of what a study's relays bring again. Blocks keep it all the same.
    pub replayed: u32,
    /// Refused.
    pub refused: u32,
}

impl Outcome {
    /// What a transaction of this cost counts as: its refused runs eightfold.
    fn cost(self, cost: u32) -> u32 {
        let all = [self.recorded, self.known, self.replayed, self.refused];
        let all: u64 = all.into_iter().map(u64::from).sum();
        if all == 0 {
            return cost;
        }
        let more = u64::from(cost) * (REFUSED - 1) * u64::from(self.refused) / all;
        cost.saturating_add(u32::try_from(more).unwrap_or(u32::MAX))
    }
}

impl<BlockNumber: AtLeast32BitUnsigned + Copy> Use<BlockNumber> {
    /// What is left of it in a later block.
    pub(crate) fn at(self, now: BlockNumber, limits: &Limits) -> Self {
        let blocks: u32 = now.saturating_sub(self.block).unique_saturated_into();
        Self {
            spent: self.spent.checked_shr(blocks).unwrap_or(0),
            debt: self
                .debt
                .saturating_sub(limits.forgiven.saturating_mul(blocks)),
            block: now,
        }
    }

    /// Whether the account may not send for now, with so many bytes of it waiting before.
    pub(crate) fn is_in_debt(&self, waiting: u32, limits: &Limits) -> bool {
        let owed = match limits.all_owed {
            true => self.debt.saturating_add(waiting),
            false => self.debt,
        };
        owed > limits.debt
    }

    /// Adds a transaction: its cost in microseconds, its length, whether the call failed, and what became of its runs.
    pub(crate) fn add(
        &mut self,
        cost: u32,
        length: u32,
        failed: bool,
        runs: Option<Outcome>,
        limits: &Limits,
    ) {
        self.spent = self
            .spent
            .saturating_add(runs.map_or(cost, |runs| runs.cost(cost)));
        self.debt = match runs {
            _ if limits.all_owed || failed => self.debt.saturating_add(length),
            Some(runs) => self
                .debt
                .saturating_add(runs.refused)
                .saturating_add(runs.replayed)
                .saturating_sub(runs.recorded),
            None => self.debt,
        };
    }
}

/// The place of a transaction in the pool: first its lane, then how little its account has had, counting those of its
/// transactions that come before. Equal places are first in first out.
pub(crate) fn priority(lane: Lane, spent: u32, cost: u32, before: u32) -> TransactionPriority {
    let turn = spent.saturating_add(cost.saturating_mul(before));
    ((lane as TransactionPriority) << 32) | TransactionPriority::from(u32::MAX - turn)
}
