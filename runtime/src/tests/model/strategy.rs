// SPDX-License-Identifier: Apache-2.0

//! What is tried next: every call, by whoever may make it and by others, and runs of every shape.

use std::collections::BTreeMap;

use hashchain::{DeviceId, KeyProof, LinkHash, Native, StudyId};
use pallet_client_hashchain::{
    Call as Hashchain, LastTrusted, Run, RunEntry, Runs, SuspensionReason,
};
use pallet_consortium::{Call as Consortium, UrgentDecision};
use pallet_studies::{Allowance, Amounts, Call as Studies, StudyPolicy};
use sp_core::{ed25519, Pair, H256};
use sp_keyring::Sr25519Keyring::{
    Alice, Bob, Charlie, Dave, Eve, EveStash, Ferdie, FerdieStash, One, Two,
};

use super::{
    runs::claims,
    steps::{Act, By},
    world::{Device, World},
};
use crate::{limits::URGENT, AccountId, BlockNumber, RuntimeCall};

/// A key for which anybody can sign, and to which nobody can seal.
pub(super) const WEAK_KEY: [u8; 32] = [0; 32];

/// Most studies and devices of a chain, so that they meet each other often.
const STUDIES: usize = 4;
const DEVICES: usize = 24;

/// What happens next.
pub(super) enum Step {
    Call(Act),
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
                return Step::Blocks(if self.dice.percent(3) { URGENT } else { some });
            }
            4..58 => self.bring_runs(world),
            58..66 => self.enrol(world),
            66..80 => self.change_a_device(world),
            80..91 => self.change_a_study(world),
            _ => self.change_the_consortium(world),
        };
        Step::Call(act)
    }

    fn anybody(&mut self) -> AccountId {
        self.dice.one_of(&self.accounts)
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

    fn bring_runs(&mut self, world: &mut World) -> Act {
        if world.devices.is_empty() {
            return self.enrol(world);
        }
        let count = if self.dice.percent(50) {
            1
        } else {
            self.dice.below(6) + 1
        };
        let first = self.device(world);
        let runs: Vec<Run> = (0..count)
            .map(|place| {
                let id = match place {
                    0 => first,
                    _ => self.device_beside(world, first),
                };
                self.run(world, id)
            })
            .collect();
        let of = world.devices.get(runs[0].device as usize);
        let who = match of {
            Some(device) if self.dice.percent(12) => AccountId::new(device.key),
            Some(device) => {
                let relays = &world.studies[device.study as usize].relays;
                self.mostly(relays.iter().cloned().collect())
            }
            None => self.anybody(),
        };
        let call = if count == 1 && self.dice.percent(50) {
            Hashchain::submit {
                run: runs[0].clone(),
            }
        } else {
            Hashchain::submit_batch {
                runs: Runs::try_from(runs).expect("they are few"),
            }
        };
        Act {
            at_top: !self.dice.percent(1),
            ..signed(who, call)
        }
    }

    /// Mostly a device of the same study.
    fn device_beside(&mut self, world: &World, first: u32) -> u32 {
        let study = |id: u32| world.devices.get(id as usize).map(|device| device.study);
        let of_it: Vec<_> = (0..world.devices.len() as u32)
            .filter(|id| study(*id) == study(first))
            .collect();
        if of_it.is_empty() || self.dice.percent(10) {
            return self.device(world);
        }
        self.dice.one_of(&of_it)
    }

    fn run(&mut self, world: &mut World, id: u32) -> Run {
        let Some(device) = world.devices.get(id as usize).cloned() else {
            return Run {
                device: id,
                ..self.following(&world.devices[0], id, 0)
            };
        };
        let length = device.length();
        let mut run = match self.dice.below(100) {
            // Some of what is registered, and perhaps more; an honest retry, or one that overlaps.
            0..20 if length > 0 => {
                let first = 1 + self.dice.below(length);
                let new = self.dice.below(3);
                self.recorded(&device, id, first, new)
            }
            // The same with another entry among them.
            20..30 if length > 0 => {
                let first = 1 + self.dice.below(length);
                let new = self.dice.below(2);
                let mut run = self.recorded(&device, id, first, new);
                let place = self.dice.below(run.entries.len() as u64) as usize;
                // Of few kinds, so that some rivals come twice.
                run.entries[place].digest = H256::repeat_byte(self.dice.below(8) as u8);
                run
            }
            // Another entry before it than there is.
            30..35 => {
                let mut run = self.following(&device, id, length);
                run.previous = H256::repeat_byte(self.dice.below(8) as u8);
                run
            }
            35..39 => {
                let far = length + 1 + self.dice.below(3);
                Run {
                    sequence: far + 1,
                    ..self.following(&device, id, length)
                }
            }
            39 => Run {
                sequence: self.dice.one_of(&[0, u64::MAX - 1, u64::MAX]),
                ..self.following(&device, id, length)
            },
            40 => Run {
                entries: Default::default(),
                ..self.following(&device, id, length)
            },
            // As if it began anew.
            41 => Run {
                sequence: 1,
                ..self.following(&device, id, length)
            },
            _ => self.following(&device, id, length),
        };
        run.signature = self.signature(world, &device, &run);
        run
    }

    /// New entries after the entry with this sequence.
    fn following(&mut self, device: &Device, id: u32, after: u64) -> Run {
        let count = 1 + self.dice.below(3);
        let entries: Vec<_> = (0..count).map(|_| self.entry()).collect();
        Run {
            device: id,
            sequence: after + 1,
            previous: device.link(after),
            entries: entries.try_into().expect("they are few"),
            signature: None,
        }
    }

    /// Entries that are registered from this sequence on, up to five, and so many new ones after the last of all.
    fn recorded(&mut self, device: &Device, id: u32, first: u64, new: u64) -> Run {
        let known = device.entries[first as usize - 1..].iter();
        let mut entries: Vec<_> = known
            .map(|entry| RunEntry {
                digest: entry.digest,
                tag: entry.tag,
            })
            .take(5)
            .collect();
        if first + entries.len() as u64 > device.length() {
            entries.extend((0..new).map(|_| self.entry()));
        }
        Run {
            device: id,
            sequence: first,
            previous: device.link(first - 1),
            entries: entries.try_into().expect("they are few"),
            signature: None,
        }
    }

    fn entry(&mut self) -> RunEntry {
        RunEntry {
            digest: self.dice.hash(),
            tag: self.dice.hash(),
        }
    }

    /// The device's signature, none, or one that is not over this.
    fn signature(&mut self, world: &mut World, device: &Device, run: &Run) -> Option<[u8; 64]> {
        let (valid, foreign) = if world.studies[device.study as usize].device_signed {
            (84, 8)
        } else {
            (8, 3)
        };
        let choice = self.dice.below(100);
        if choice < valid {
            let claims = claims(run);
            let link = claims[claims.len() - 1];
            let message = hashchain::head_message(&LinkHash(link.0));
            Some(self.sign(world, &device.key, &message))
        } else if choice < valid + foreign {
            let made = self.dice.below(world.signed.len() as u64) as usize;
            world.signed.keys().nth(made).copied()
        } else {
            None
        }
    }

    fn sign(&self, world: &mut World, key: &[u8; 32], message: &[u8]) -> [u8; 64] {
        let signature = self.phones[key].sign(message).0;
        world.signed.insert(signature, (*key, message.to_vec()));
        signature
    }

    fn enrol(&mut self, world: &mut World) -> Act {
        let study = self.study(world);
        let servers = world.studies.get(study as usize);
        let servers = servers.map(|study| study.servers.iter().cloned().collect());
        let who = self.mostly(servers.unwrap_or_default());
        let is_full = world.devices.len() >= DEVICES;
        let key = if !world.devices.is_empty() && (is_full || self.dice.percent(5)) {
            self.dice.one_of(&world.devices).key
        } else {
            let pair = ed25519::Pair::from_seed(&self.dice.hash().0);
            let key = pair.public().0;
            self.phones.insert(key, pair);
            key
        };
        let predecessor = if !world.devices.is_empty() && self.dice.percent(45) {
            Some(self.device(world))
        } else {
            None
        };
        let secret_commitment = self.dice.hash();
        let escrow = vec![7; if self.dice.percent(2) { 0 } else { 81 }];
        let escrow_commitment = hashchain::escrow_commitment::<Native>(&escrow);
        let agreed_server = if self.dice.percent(4) {
            self.anybody()
        } else {
            who.clone()
        };
        let agreed = hashchain::key_proof_message(&KeyProof {
            chain: &world.chain,
            study: StudyId(study),
            server: agreed_server.as_ref(),
            device_key: &key,
            predecessor: predecessor.map(DeviceId),
            secret_commitment: &secret_commitment.0,
            escrow_commitment: &escrow_commitment,
        });
        let key_proof = self.sign(world, &key, &agreed);
        let is_weak = self.dice.percent(2);
        signed(
            who,
            Hashchain::enrol {
                study,
                key: if is_weak { WEAK_KEY } else { key },
                secret_commitment,
                escrow: escrow.try_into().expect("it is short"),
                predecessor,
                key_proof,
            },
        )
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
            58..80 => Hashchain::veto_retirement { device },
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
                return self.rotate(world, study, account);
            }
            50..69 => Studies::add_relay { study, account },
            69..74 => Studies::remove_relay { study, account },
            74..92 => Studies::set_allowance {
                study,
                allowance: self.allowance(world),
            },
            92..98 => Studies::replace_sponsor {
                study,
                sponsor: account,
            },
            _ => {
                let is_full = world.studies.len() >= STUDIES;
                Studies::create_study {
                    sponsor: account,
                    policy: self
                        .dice
                        .one_of(&[StudyPolicy::HashchainOnly, StudyPolicy::DeviceSigned]),
                    auditor_key: if is_full { WEAK_KEY } else { [7; 32] },
                    title: b"A study".to_vec().try_into().expect("it is short"),
                }
            }
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

    /// Somebody with a role in the study gives up its account for this one.
    fn rotate(&mut self, world: &World, study: u32, successor: AccountId) -> Act {
        let holders = world.studies.get(study as usize).map(|study| {
            let offices = study.servers.iter().chain(&study.relays);
            offices.chain([&study.sponsor]).cloned().collect()
        });
        let who = self.mostly(holders.unwrap_or_default());
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
        let members: Vec<_> = world.members.iter().cloned().collect();
        let (account, other) = (self.anybody(), self.anybody());
        let member = self.dice.one_of(&members);
        match self.dice.below(100) {
            0..14 => self.decided(world, Consortium::add_validator { validator: account }),
            14..24 => self.decided(world, Consortium::remove_validator { validator: account }),
            24..38 => {
                let members = vec![account, other];
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
                signed(who, Consortium::change_key { successor: account })
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
                motion: H256::zero(),
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
