// SPDX-License-Identifier: Apache-2.0

//! Motions: proposed, voted on, closed and cancelled, by members and by others.

use pallet_collective::Call as Council;
use sp_core::H256;

use super::{signed, Act, Strategy};
use crate::{
    limits::MaxProposalWeight,
    tests::model::{motions::Motion, world::World},
};

/// As long as any motion here is.
const LENGTH: u32 = 1_000;

/// So many open motions are few: another is proposed more often.
const FEW: usize = 3;

impl Strategy {
    /// Somebody proposes, votes or closes; or the members cancel what is open.
    pub(super) fn a_motion(&mut self, world: &World) -> Act {
        let open = world.motions.len();
        let carried = world.motions.iter().filter(|open| open.lacks() == 0);
        let carried: Vec<_> = carried.map(|open| (open.hash, open.number)).collect();
        match self.dice.below(100) {
            0..50 if !carried.is_empty() => {
                let motion = self.dice.one_of(&carried);
                self.close(world, motion)
            }
            0..8 => self.propose(world),
            8..28 if open < FEW => self.propose(world),
            28..88 if open == 0 => self.propose(world),
            8..88 => self.vote(world),
            88..96 => {
                let motion = self.an_open_motion(world);
                self.close(world, motion)
            }
            96..98 => {
                let (proposal_hash, _) = self.an_open_motion(world);
                self.decided(world, Council::kill { proposal_hash })
            }
            _ => {
                let (proposal_hash, _) = self.an_open_motion(world);
                self.decided(world, Council::disapprove_proposal { proposal_hash })
            }
        }
    }

    fn propose(&mut self, world: &World) -> Act {
        let who = self.mostly(world.members.iter().cloned().collect());
        let proposal = self.a_decision(world);
        let threshold = match self.dice.percent(97) {
            true => world.ayes_for(&proposal),
            false => self.dice.below(7) as u32,
        };
        let call = Council::propose {
            threshold,
            proposal: Box::new(proposal),
            length_bound: self.length_bound(),
        };
        signed(who, call)
    }

    /// Mostly on what lacks fewest ayes, the latest first, and by who has not said aye.
    fn vote(&mut self, world: &World) -> Act {
        let lacking = world.motions.iter().rev().filter(|open| open.lacks() > 0);
        let lacking: Vec<&Motion> = lacking.collect();
        let nearest = lacking.iter().min_by_key(|open| open.lacks());
        let chosen = match nearest {
            Some(nearest) if self.dice.percent(72) => Some(*nearest),
            Some(_) if self.dice.percent(64) => Some(self.dice.one_of(&lacking)),
            _ => None,
        };
        let (who, (proposal, index)) = match chosen {
            Some(open) => {
                let silent = world.members.difference(&open.ayes).cloned().collect();
                (self.mostly(silent), (open.hash, open.number))
            }
            None => {
                let members = world.members.iter().cloned().collect();
                (self.mostly(members), self.an_open_motion(world))
            }
        };
        let approve = self.dice.percent(90);
        let call = Council::vote {
            proposal,
            index,
            approve,
        };
        signed(who, call)
    }

    fn close(&mut self, world: &World, (proposal_hash, index): (H256, u32)) -> Act {
        let who = self.mostly(world.members.iter().cloned().collect());
        let call = Council::close {
            proposal_hash,
            index,
            proposal_weight_bound: MaxProposalWeight::get(),
            length_bound: self.length_bound(),
        };
        signed(who, call)
    }

    /// Enough for any motion, and too little at times.
    fn length_bound(&mut self) -> u32 {
        if self.dice.percent(3) {
            1
        } else {
            LENGTH
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
