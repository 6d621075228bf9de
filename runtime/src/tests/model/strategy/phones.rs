// SPDX-License-Identifier: Apache-2.0

//! What phones and relays bring, and phones that are enrolled.

use hashchain::{DeviceId, KeyProof, LinkHash, Native, StudyId};
use pallet_client_hashchain::{Call as Hashchain, Run, RunEntry, Runs};
use sp_core::{ed25519, Pair, H256};

use super::{signed, Strategy, WEAK_KEY};
use crate::{
    tests::model::{
        runs::claims,
        steps::Act,
        world::{Device, World},
    },
    AccountId,
};

/// Most devices of a chain, so that they meet each other often.
const DEVICES: usize = 24;

impl Strategy {
    pub(super) fn bring_runs(&mut self, world: &mut World) -> Act {
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

    pub(super) fn enrol(&mut self, world: &mut World) -> Act {
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
        let participant = self.dice.hash();
        let epochs = world.studies.get(study as usize);
        let epochs = epochs.map_or(1, |study| study.auditor_keys.len() as u32);
        let auditor_epoch = match self.dice.below(100) {
            0..85 => epochs - 1,
            85..97 => epochs.saturating_sub(2),
            _ => self.dice.one_of(&[0, epochs, u32::MAX]),
        };
        let keys = world.studies.get(study as usize);
        let of_epoch = keys.and_then(|study| study.auditor_keys.get(auditor_epoch as usize));
        let auditor_key = of_epoch.copied().filter(|_| !self.dice.percent(2));
        let auditor_key = auditor_key.unwrap_or([77; 32]);
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
            auditor_epoch,
            auditor_key: &auditor_key,
            participant: &participant.0,
        });
        let key_proof = self.sign(world, &key, &agreed);
        let participant = match self.dice.percent(2) {
            true => self.dice.hash(),
            false => participant,
        };
        let is_weak = self.dice.percent(2);
        signed(
            who,
            Hashchain::enrol {
                study,
                key: if is_weak { WEAK_KEY } else { key },
                secret_commitment,
                escrow: escrow.try_into().expect("it is short"),
                auditor_epoch,
                participant,
                predecessor,
                key_proof,
            },
        )
    }
}
