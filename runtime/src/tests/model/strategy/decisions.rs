// SPDX-License-Identifier: Apache-2.0

//! What motions are for: mostly what members may decide and what can be done as things are.

use frame_system::Call as System;
use pallet_collective::Call as Council;
use pallet_consortium::{Call as Consortium, Collective};
use pallet_finality::Call as Finality;
use pallet_membership::Call as Members;
use pallet_studies::Call as Studies;
use sp_core::H256;

use super::{Strategy, STUDIES};
use crate::{
    limits::LEAST_LAG,
    tests::model::{rules::LAST_FINAL, world::World},
    AccountId, Runtime, RuntimeCall,
};

/// With fewer members than so many, motions for more are proposed.
const MEMBERS: usize = 6;

impl Strategy {
    /// What somebody wants the members to do, at times as Root; at times nothing that is theirs to decide.
    pub(super) fn a_decision(&mut self, world: &World) -> RuntimeCall {
        let call = match self.dice.below(100) {
            0..90 => self.a_members_decision(world),
            90..95 => self.an_office_of_the_consortium(world).call,
            _ => self.change_a_study(world).call,
        };
        // Nobody else authorises code.
        let as_root = match call {
            RuntimeCall::System(_) => 90,
            _ => 20,
        };
        match self.dice.percent(as_root) {
            true => Consortium::dispatch_as_root {
                call: Box::new(call),
            }
            .into(),
            false => call,
        }
    }

    fn a_members_decision(&mut self, world: &World) -> RuntimeCall {
        let members: Vec<AccountId> = world.members.iter().cloned().collect();
        match self.dice.below(26) {
            0..2 if world.studies.len() < STUDIES => {
                let sponsor = self.anybody();
                self.another_study(world, sponsor).into()
            }
            2..4 => self.another_allowance(world).into(),
            4..6 => Studies::<Runtime>::replace_sponsor {
                study: self.study(world),
                sponsor: self.anybody(),
            }
            .into(),
            6..8 if members.len() < MEMBERS => self.more_members(world).into(),
            8..10 if members.len() > 3 => Consortium::<Runtime>::remove_member {
                member: self.mostly(members),
            }
            .into(),
            10..12 => {
                let (remove, add) = (self.mostly(members), self.somebody_else(world));
                Members::<Runtime, Collective>::swap_member {
                    remove: remove.into(),
                    add: add.into(),
                }
                .into()
            }
            12..20 if !world.motions.is_empty() => self.an_end(world).into(),
            20..24 if world.stalled.is_none() && world.block >= LAST_FINAL + LEAST_LAG => {
                let is_right = self.dice.percent(95);
                Finality::<Runtime>::note_stalled {
                    last_final: LAST_FINAL + u32::from(!is_right),
                }
                .into()
            }
            20..25 => System::<Runtime>::authorize_upgrade {
                code_hash: H256::repeat_byte(1 + self.dice.below(4) as u8),
            }
            .into(),
            _ => self.another_validator(world).into(),
        }
    }

    /// Mostly another than the study has.
    fn another_allowance(&mut self, world: &World) -> Studies<Runtime> {
        let study = self.study(world);
        let present = world.studies.get(study as usize);
        let present = present.map(|study| study.allowance);
        let mut allowance = self.allowance(world);
        if present == Some(allowance) {
            allowance = self.allowance(world);
        }
        Studies::set_allowance { study, allowance }
    }

    /// That of a motion.
    fn an_end(&mut self, world: &World) -> Council<Runtime, Collective> {
        let (proposal_hash, _) = self.an_open_motion(world);
        match self.dice.percent(50) {
            true => Council::kill { proposal_hash },
            false => Council::disapprove_proposal { proposal_hash },
        }
    }

    /// One or two; never one beside a member that is alone.
    fn more_members(&mut self, world: &World) -> Consortium<Runtime> {
        let mut members = vec![self.somebody_else(world)];
        if world.members.len() == 1 || self.dice.percent(30) {
            members.push(self.somebody_else(world));
        }
        Consortium::add_members {
            members: members.try_into().expect("they are few"),
        }
    }

    /// Mostly an account that is no member.
    fn somebody_else(&mut self, world: &World) -> AccountId {
        let others = self.accounts.iter();
        let others = others.filter(|who| !world.members.contains(*who));
        let others = others.cloned().collect();
        self.mostly(others)
    }

    /// One with keys that is none; or one less, if there is none such.
    fn another_validator(&mut self, world: &World) -> Consortium<Runtime> {
        let validators = world.validators.clone();
        let others = world.keyed.iter();
        let others: Vec<AccountId> = others
            .filter(|who| !validators.contains(who))
            .cloned()
            .collect();
        match others.is_empty() {
            true => Consortium::remove_validator {
                validator: self.mostly(validators),
            },
            false => Consortium::add_validator {
                validator: self.mostly(others),
            },
        }
    }
}
