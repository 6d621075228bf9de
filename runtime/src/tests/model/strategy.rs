// SPDX-License-Identifier: Apache-2.0

//! What is tried next: each call that the model knows, by whoever may make it and by others, and runs of every shape.

mod decisions;
mod motions;
mod phones;

use std::collections::BTreeMap;

use pallet_client_hashchain::{Call as Hashchain, LastTrusted, SuspensionReason};
use pallet_consortium::{Call as Consortium, UrgentDecision};
use pallet_studies::{Allowance, Amounts, Call as Studies, StudyPolicy};
use sp_core::{ed25519, H256};
use sp_keyring::Sr25519Keyring::{
    Alice, Bob, Charlie, Dave, Eve, EveStash, Ferdie, FerdieStash, One, Two,
};

use super::{
    steps::{Act, By},
    world::World,
};
use crate::{
    limits::{MOTION, URGENT},
    AccountId, BlockNumber, Runtime, RuntimeCall,
};

/// A key for which anybody can sign, and to which nobody can seal.
pub(super) const WEAK_KEY: [u8; 32] = [0; 32];

/// Most studies of a chain, so that they meet each other often.
const STUDIES: usize = 4;

/// What happens next.
pub(super) enum Step {
    Call(Box<Act>),
    /// So many blocks pass.
    Blocks(BlockNumber),
}

/// Chooses, always the same for the same seed.
pub(super) struct Strategy {
    dice: Dice,
    accounts: Vec<AccountId>,
    /// The keys of phones, enrolled or not, by their public halves.
    phones: BTreeMap<[u8; 32], ed25519::Pair>,
}

/// Random numbers by SplitMix64 (Steele et al., OOPSLA 2014).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0, below this.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// Whether something happens that does in so many of a hundred cases.
    fn percent(&mut self, share: u64) -> bool {
        self.below(100) < share
    }

    fn one_of<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize].clone()
    }

    fn hash(&mut self) -> H256 {
        H256::from_low_u64_be(self.next())
    }
}

impl Strategy {
    pub(super) fn new(seed: u64) -> Self {
        let accounts = [
            Alice,
            Bob,
            Charlie,
            Dave,
            Eve,
            Ferdie,
            One,
            Two,
            EveStash,
            FerdieStash,
        ];
        Self {
            dice: Dice(seed),
            accounts: accounts.iter().map(|key| key.to_account_id()).collect(),
            phones: BTreeMap::new(),
        }
    }

    /// The accounts of offices, and some that have none.
    pub(super) fn accounts(&self) -> &[AccountId] {
        &self.accounts
    }

    pub(super) fn next(&mut self, world: &mut World) -> Step {
        let act = match self.dice.below(100) {
            0..4 => {
                let some = 1 + self.dice.below(40) as BlockNumber;
                return Step::Blocks(match self.dice.below(100) {
                    0..3 => URGENT,
                    3 => MOTION,
                    _ => some,
                });
            }
            4..46 => self.bring_runs(world),
            46..54 => self.enrol(world),
            54..66 => self.change_a_device(world),
            66..76 => self.change_a_study(world),
            _ => self.change_the_consortium(world),
        };
        Step::Call(Box::new(act))
    }

    fn anybody(&mut self) -> AccountId {
        self.dice.one_of(&self.accounts)
    }

    /// Mostly an account that the chain has never known; at times anybody's, or a phone's.
    fn somebody_new(&mut self, world: &World) -> AccountId {
        let phones = world.devices.len();
        match self.dice.below(10) {
            0 => self.anybody(),
            1 if phones > 0 => {
                let phone = self.dice.below(phones as u64) as usize;
                AccountId::new(world.devices[phone].key)
            }
            _ => {
                let new = AccountId::new(self.dice.hash().0);
                self.accounts.push(new.clone());
                new
            }
        }
    }

    /// One of these mostly, and anybody at times.
    fn mostly(&mut self, these: Vec<AccountId>) -> AccountId {
        if these.is_empty() || self.dice.percent(8) {
            return self.anybody();
        }
        self.dice.one_of(&these)
    }

    /// A study, or one that is not there.
    fn study(&mut self, world: &World) -> u32 {
        if self.dice.percent(2) {
            return 99;
        }
        self.dice.below(world.studies.len() as u64) as u32
    }

    /// A device, or one that is not there; the later ones more often.
    fn device(&mut self, world: &World) -> u32 {
        if self.dice.percent(2) {
            return 999;
        }
        let count = world.devices.len() as u64;
        let (one, other) = (self.dice.below(count), self.dice.below(count));
        one.max(other) as u32
    }

    fn change_a_device(&mut self, world: &mut World) -> Act {
        if world.devices.is_empty() {
            return self.enrol(world);
        }
        let device = self.device(world);
        let offices = world.devices.get(device as usize).map(|device| {
            let study = &world.studies[device.study as usize];
            let mut offices: Vec<_> = study.servers.iter().cloned().collect();
            offices.push(study.sponsor.clone());
            offices
        });
        let who = self.mostly(offices.unwrap_or_default());
        let call = match self.dice.below(100) {
            0..14 => Hashchain::suspend {
                device,
                reason: self.dice.one_of(&[
                    SuspensionReason::Lost,
                    SuspensionReason::Compromised,
                    SuspensionReason::Withdrawn,
                    SuspensionReason::Administrative,
                    SuspensionReason::Fork,
                ]),
            },
            14..58 => Hashchain::resume { device },
            58..78 => Hashchain::veto_retirement { device },
            78..80 => Hashchain::erase {
                device,
                receipt: self.dice.hash(),
            },
            _ => {
                let entry = self.dice.below(world.journal.len() as u64 + 2);
                let own = self.an_entry_of(world, device);
                let last_trusted = self.dice.one_of(&[
                    LastTrusted::Latest,
                    LastTrusted::Latest,
                    LastTrusted::Latest,
                    LastTrusted::Nothing,
                    LastTrusted::Entry(entry),
                    LastTrusted::Entry(own),
                ]);
                Hashchain::retire {
                    device,
                    last_trusted,
                }
            }
        };
        signed(who, call)
    }

    /// Where in the journal an entry of this device is, if it has one.
    fn an_entry_of(&mut self, world: &World, device: u32) -> u64 {
        let entries = world.devices.get(device as usize);
        match entries.map(|device| device.entries.as_slice()) {
            None | Some([]) => 0,
            Some(entries) => self.dice.one_of(entries).index,
        }
    }

    fn change_a_study(&mut self, world: &World) -> Act {
        let study = self.study(world);
        let account = self.anybody();
        let sponsor = world.studies.get(study as usize);
        let sponsor = sponsor.map(|study| study.sponsor.clone());
        let who = self.mostly(sponsor.into_iter().collect());
        let call = match self.dice.below(100) {
            0..4 => Studies::close_study { study },
            4..24 => Studies::reopen_study { study },
            24..42 => Studies::add_authentication_server { study, account },
            42..47 => Studies::remove_authentication_server { study, account },
            47..50 => {
                return self.rotate(world, study);
            }
            50..69 => Studies::add_relay { study, account },
            69..74 => Studies::remove_relay { study, account },
            74..79 => Studies::set_auditor_key {
                study,
                auditor_key: match self.dice.below(10) {
                    0 => WEAK_KEY,
                    // Of few kinds, so that some come twice.
                    1..4 => [7 + self.dice.below(3) as u8; 32],
                    _ => self.dice.hash().0,
                },
            },
            79..92 => Studies::set_allowance {
                study,
                allowance: self.allowance(world),
            },
            92..98 => Studies::replace_sponsor {
                study,
                sponsor: account,
            },
            _ => self.another_study(world, account),
        };
        let is_sponsors = !matches!(
            call,
            Studies::set_allowance { .. }
                | Studies::replace_sponsor { .. }
                | Studies::create_study { .. }
        );
        if is_sponsors {
            signed(who, call)
        } else {
            self.decided(world, call)
        }
    }

    /// One more study, which is refused when there are enough.
    fn another_study(&mut self, world: &World, sponsor: AccountId) -> Studies<Runtime> {
        let is_full = world.studies.len() >= STUDIES;
        Studies::create_study {
            sponsor,
            policy: self
                .dice
                .one_of(&[StudyPolicy::HashchainOnly, StudyPolicy::DeviceSigned]),
            auditor_key: if is_full { WEAK_KEY } else { [7; 32] },
            title: b"A study".to_vec().try_into().expect("it is short"),
        }
    }

    /// Somebody with a role in the study gives up its account for another one.
    fn rotate(&mut self, world: &World, study: u32) -> Act {
        let successor = self.somebody_new(world);
        let holders = world.studies.get(study as usize).map(|study| {
            let offices = study.servers.iter().chain(&study.relays);
            offices.chain([&study.sponsor]).cloned().collect()
        });
        let who = self.mostly(holders.unwrap_or_default());
        let before = world.successors.get(&who).cloned();
        let successor = before.unwrap_or(successor);
        signed(who, Studies::rotate { study, successor })
    }

    /// Mostly what studies have by default, and otherwise little.
    fn allowance(&mut self, world: &World) -> Allowance {
        if self.dice.percent(75) {
            return world.default_allowance.expect("it is set");
        }
        Allowance {
            study: Amounts {
                devices: self.dice.below(8) as u32,
                entries: self.dice.below(120),
                bytes: self.dice.below(20_000),
                admissions: self.dice.below(4) as u32,
            },
            device_entries: self.dice.below(16),
        }
    }

    /// As a decision of the consortium, by enough members or too few, or as an account alone.
    fn decided(&mut self, world: &World, call: impl Into<RuntimeCall>) -> Act {
        let by = match self.dice.below(10) {
            0 => By::Account(self.anybody()),
            1..4 => By::Root,
            _ => {
                let members = world.members.len() as u64;
                By::Members(1 + self.dice.below(members).max(self.dice.below(members)) as u32)
            }
        };
        Act {
            by,
            call: call.into(),
            at_top: true,
        }
    }

    fn change_the_consortium(&mut self, world: &World) -> Act {
        match self.dice.below(100) {
            0..72 => self.a_motion(world),
            72..77 => {
                let call = Box::new(self.a_decision(world));
                self.decided(world, Consortium::dispatch_as_root { call })
            }
            _ => self.an_office_of_the_consortium(world),
        }
    }

    /// Members and validators come and go, by decisions, urgent ones, and by themselves.
    fn an_office_of_the_consortium(&mut self, world: &World) -> Act {
        let members: Vec<_> = world.members.iter().cloned().collect();
        let (account, other) = (self.anybody(), self.anybody());
        let member = self.dice.one_of(&members);
        match self.dice.below(100) {
            0..14 => self.decided(world, Consortium::add_validator { validator: account }),
            14..24 => self.decided(world, Consortium::remove_validator { validator: account }),
            24..38 => {
                let members = [account, other];
                let one = self.dice.percent(70);
                let members = members[usize::from(one)..].to_vec();
                let members = members.try_into().expect("they are few");
                self.decided(world, Consortium::add_members { members })
            }
            38..46 => self.decided(world, Consortium::remove_member { member: account }),
            46..54 => self.decided(
                world,
                pallet_membership::Call::swap_member {
                    remove: account.into(),
                    add: other.into(),
                },
            ),
            54..60 => {
                let who = self.mostly(vec![member]);
                let before = world.successors.get(&who).cloned();
                let successor = before.unwrap_or_else(|| self.somebody_new(world));
                signed(who, Consortium::change_key { successor })
            }
            60..70 => {
                let (who, decision) = self.a_vote(world, member);
                signed(who, Consortium::withdraw_urgent_vote { decision })
            }
            _ => {
                let (who, decision) = self.a_vote(world, member);
                signed(who, Consortium::vote_urgent { decision })
            }
        }
    }

    /// Who votes for what; often what somebody else votes for.
    fn a_vote(
        &mut self,
        world: &World,
        member: AccountId,
    ) -> (AccountId, UrgentDecision<AccountId, H256>) {
        let who = self.mostly(vec![member]);
        let wanted: Vec<_> = world.votes.values().flatten().collect();
        if !wanted.is_empty() && self.dice.percent(75) {
            let (decision, _) = self.dice.one_of(&wanted);
            return (who, decision.clone());
        }
        let (one, other) = (self.anybody(), self.anybody());
        let decision = match self.dice.below(10) {
            0..4 => UrgentDecision::RemoveMember { member: one },
            4..6 => UrgentDecision::ReplaceMember {
                member: one,
                successor: other,
            },
            6..8 => UrgentDecision::RemoveValidator { validator: one },
            8 => UrgentDecision::CancelMotion {
                motion: self.an_open_motion(world).0,
            },
            _ => UrgentDecision::AuthorizeUpgrade {
                code_hash: H256::repeat_byte(1),
            },
        };
        (who, decision)
    }
}

/// As a transaction of this account.
fn signed(who: AccountId, call: impl Into<RuntimeCall>) -> Act {
    Act {
        by: By::Account(who),
        call: call.into(),
        at_top: true,
    }
}
