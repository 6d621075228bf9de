// SPDX-License-Identifier: Apache-2.0

//! Motions: proposed, voted on, closed and cancelled, by members and by others.

use pallet_collective::Call as Council;
use pallet_consortium::Call as Consortium;
use sp_core::H256;

use super::{signed, Act, Strategy};
use crate::{limits::MaxProposalWeight, tests::model::world::World, AccountId, RuntimeCall};

/// As long as any motion here is.
const LENGTH: u32 = 1_000;

impl Strategy {
    /// Somebody proposes, votes or closes; or the members cancel what is open.
    pub(super) fn a_motion(&mut self, world: &World) -> Act {
        let members: Vec<AccountId> = world.members.iter().cloned().collect();
        let who = self.mostly(members);
        let (motion, index) = self.an_open_motion(world);
        let length_bound = if self.dice.percent(3) { 1 } else { LENGTH };
        match self.dice.below(100) {
            0..26 => {
                let proposal = self.a_decision(world);
                let threshold = match self.dice.percent(85) {
                    true => world.ayes_for(&proposal),
                    false => self.dice.below(7) as u32,
                };
                let call = Council::propose {
                    threshold,
                    proposal: Box::new(proposal),
                    length_bound,
                };
                signed(who, call)
            }
            26..74 => {
                let approve = self.dice.percent(80);
                let call = Council::vote {
                    proposal: motion,
                    index,
                    approve,
                };
                signed(who, call)
            }
            74..94 => {
                let call = Council::close {
                    proposal_hash: motion,
                    index,
                    proposal_weight_bound: MaxProposalWeight::get(),
                    length_bound,
                };
                signed(who, call)
            }
            94..97 => {
                let proposal_hash = motion;
                self.decided(world, Council::kill { proposal_hash })
            }
            _ => {
                let proposal_hash = motion;
                self.decided(world, Council::disapprove_proposal { proposal_hash })
            }
        }
    }

    /// What members want, at times as Root; at times nothing that is theirs to decide.
    pub(super) fn a_decision(&mut self, world: &World) -> RuntimeCall {
        let act = match self.dice.below(10) {
            0..6 => self.an_office_of_the_consortium(world),
            6..9 => self.change_a_study(world),
            _ => {
                let (proposal_hash, _) = self.an_open_motion(world);
                self.decided(world, Council::kill { proposal_hash })
            }
        };
        match self.dice.percent(25) {
            true => Consortium::dispatch_as_root {
                call: Box::new(act.call),
            }
            .into(),
            false => act.call,
        }
    }

    /// An open motion and its number; at times another number, or a motion that is not open.
    pub(super) fn an_open_motion(&mut self, world: &World) -> (H256, u32) {
        if world.motions.is_empty() || self.dice.percent(4) {
            return (self.dice.hash(), 0);
        }
        let open: Vec<_> = world
            .motions
            .iter()
            .map(|it| (it.hash, it.number))
            .collect();
        let (hash, number) = self.dice.one_of(&open);
        match self.dice.percent(3) {
            true => (hash, number + 1),
            false => (hash, number),
        }
    }
}
