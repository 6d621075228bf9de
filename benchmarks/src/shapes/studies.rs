// SPDX-License-Identifier: Apache-2.0

//! Studies beside the two of the preset: many small ones, and one of others.

use anyhow::Result;
use hashchain::StudyId;
use mhealth_runtime::genesis::DEVELOPMENT_AUDITOR_KEY;
use mhealth_runtime::{Runtime, RuntimeCall};
use pallet_studies::{Call, StudyPolicy};
use sp_keyring::Sr25519Keyring::{Bob, Charlie, Dave};

use super::{Stage, DEVICES, TIMES};
use crate::direct::Direct;
use crate::workload::Phones;

/// Small studies, each with as many devices as there are measurements.
pub(super) const SMALL: usize = 256;
/// Devices of the study of others.
const FOREIGN: u32 = 16;
/// Transactions of a block, so that each lane takes them.
const AT_ONCE: usize = 64;

/// The small study of this place. The preset has two studies before them.
pub(super) fn small(place: usize) -> StudyId {
    StudyId(2 + place as u32)
}

impl Stage {
    /// Makes all of them, with their offices and devices.
    pub(super) fn make_studies(&mut self, direct: &mut Direct) -> Result<()> {
        let others = small(SMALL);
        let create = create_study();
        let creations = (0..=SMALL).map(|_| self.member.call(&create)).collect();
        in_blocks(direct, creations)?;

        let mut appointments = Vec::new();
        for study in (0..=SMALL).map(small) {
            let account = Charlie.to_account_id();
            let server = Call::add_authentication_server {
                study: study.0,
                account,
            };
            appointments.push(self.sponsor.call(&RuntimeCall::Studies(server)));
            if study != others {
                let account = Dave.to_account_id();
                let relay = Call::add_relay {
                    study: study.0,
                    account,
                };
                appointments.push(self.sponsor.call(&RuntimeCall::Studies(relay)));
            }
        }
        in_blocks(direct, appointments)?;

        let mut enrolments = Vec::new();
        let mut first = 2 * DEVICES;
        for study in (0..=SMALL).map(small) {
            let count = match study == others {
                true => FOREIGN,
                false => TIMES as u32,
            };
            let phones = Phones::new(direct.genesis(), study, first, count);
            enrolments.extend(direct.enrolments(study, &phones));
            let phones = phones.each().collect();
            match study == others {
                true => self.foreign = phones,
                false => self.scattered.push(phones),
            }
            first += count;
        }
        in_blocks(direct, enrolments)
    }
}

/// The only member creates a study by itself.
fn create_study() -> RuntimeCall {
    let create = Call::<Runtime>::create_study {
        sponsor: Bob.to_account_id(),
        policy: StudyPolicy::HashchainOnly,
        auditor_key: DEVELOPMENT_AUDITOR_KEY,
        title: b"A small one"
            .to_vec()
            .try_into()
            .expect("it is short; qed"),
    };
    RuntimeCall::Council(pallet_collective::Call::propose {
        threshold: 1,
        proposal: Box::new(RuntimeCall::Studies(create)),
        length_bound: 1_000,
    })
}

fn in_blocks(direct: &mut Direct, transactions: Vec<Vec<u8>>) -> Result<()> {
    for some in transactions.chunks(AT_ONCE) {
        direct.alone(some.to_vec())?;
    }
    Ok(())
}
