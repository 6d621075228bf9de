// SPDX-License-Identifier: Apache-2.0

//! Calls of offices and members, many of a kind in a block.

use std::collections::BTreeMap;

use anyhow::Result;
use codec::Encode;
use mhealth_runtime::{Runtime, RuntimeCall};
use pallet_client_hashchain::{Call, LastTrusted, SuspensionReason};
use pallet_consortium::UrgentDecision;
use pallet_studies::{Allowance, Amounts};
use rand::Rng;
use sp_core::H256;
use sp_keyring::Sr25519Keyring::{
    self, AliceStash, BobStash, CharlieStash, DaveStash, Eve, Ferdie, One, Two,
};

use super::{alone, middle, on_chain, studies::small, Row, Stage, TIMES};
use crate::direct::Direct;
use crate::extrinsic::Signer;
use crate::workload::PARTICIPANT;
use crate::PAPER;

/// Calls of one kind in a block. An authentication server may change the status of 256 devices an hour. Even, so that what is done
/// and undone by turns is as it was.
const CALLS: usize = 24;
/// What the chain stores of a device's escrow at most.
const LONGEST_ESCROW: usize = 128;
/// Bytes of the longest code that a transaction holds beside its frame.
const LONGEST_CODE: usize = 2 * 1024 * 1024 - 1024;

/// What the member grants: more than is used here.
const ALLOWANCE: Allowance = Allowance {
    study: Amounts {
        devices: 10_000_000,
        entries: 1_000_000_000_000,
        bytes: 1_000_000_000_000_000,
        admissions: 4_096,
    },
    device_entries: 1_000_000_000,
};

/// Calls of a kind: its name, and who makes them.
type Kind = (&'static str, By, Vec<RuntimeCall>);

/// Who makes a call.
#[derive(Clone, Copy)]
enum By {
    Server,
    Sponsor,
    Relay,
    Member,
}

impl Stage {
    /// Each kind with its name and what it takes, the middle of its measurements.
    pub(super) fn offices(&mut self, direct: &mut Direct) -> Result<Vec<(&'static str, Row)>> {
        let mut rows: BTreeMap<&'static str, Vec<Row>> = BTreeMap::new();
        for time in 0..TIMES {
            let kinds = [
                self.calls_for_devices(direct),
                self.calls_of_a_sponsor(time),
                calls_of_a_member(),
            ];
            for (name, by, calls) in kinds.into_iter().flatten() {
                let bytes = calls.iter().map(Encode::encoded_size).sum();
                let row = alone(direct, bytes, |direct| {
                    let sign = |call: &RuntimeCall| match by {
                        By::Server => direct.office_call(call),
                        By::Relay => direct.relay_call(call),
                        By::Sponsor => self.sponsor.call(call),
                        By::Member => self.member.call(call),
                    };
                    calls.iter().map(sign).collect()
                })?;
                rows.entry(name).or_default().push(row);
            }
        }
        let mut rows: Vec<_> = rows
            .into_iter()
            .map(|(name, rows)| (name, middle(rows)))
            .collect();
        rows.push(("rotate, again and again", rotations(direct)?));
        Ok(rows)
    }

    fn calls_for_devices(&mut self, direct: &Direct) -> Vec<Kind> {
        let mut devices = || -> Vec<u32> {
            let phones = self.take(false, CALLS, true);
            phones.iter().map(|phone| phone.device().0).collect()
        };
        let (devices, others) = (devices(), devices());
        let (reason, last_trusted) = (SuspensionReason::Lost, LastTrusted::Latest);
        let of_each = |devices: &[u32], call: &dyn Fn(u32) -> Call<Runtime>| -> Vec<_> {
            let calls = devices.iter().map(|device| call(*device));
            calls.map(RuntimeCall::ClientHashchain).collect()
        };
        let suspend = of_each(&devices, &|device| Call::suspend { device, reason });
        let resume = of_each(&devices, &|device| Call::resume { device });
        let retire = |device| Call::retire {
            device,
            last_trusted,
        };
        let veto = of_each(&devices, &|device| Call::veto_retirement { device });
        let receipt = H256([1; 32]);
        let erase = of_each(&others, &|device| Call::erase { device, receipt });
        let enrol = (0..CALLS).map(|_| enrolment(direct, &self.rng.random()));
        let enrol: Vec<_> = enrol.map(RuntimeCall::ClientHashchain).collect();
        let mut phones = self.take(true, CALLS, true);
        let submit = phones.iter_mut().map(|phone| Call::submit {
            run: on_chain(&phone.run(1)),
        });
        let submit: Vec<_> = submit.map(RuntimeCall::ClientHashchain).collect();
        let (by_server, by_sponsor) = (of_each(&devices, &retire), of_each(&others, &retire));
        vec![
            ("submit, one signed run", By::Relay, submit),
            ("enrol with the longest escrow", By::Server, enrol),
            ("suspend", By::Server, suspend),
            ("resume", By::Server, resume),
            ("retire, by a server", By::Server, by_server),
            ("veto a retirement", By::Sponsor, veto),
            ("retire, by the sponsor", By::Sponsor, by_sponsor),
            ("write an erasure down", By::Sponsor, erase),
        ]
    }

    /// Of small studies, each time of another one.
    fn calls_of_a_sponsor(&mut self, time: usize) -> Vec<Kind> {
        use pallet_studies::Call;
        let study = small(time).0;
        let account = || mhealth_runtime::AccountId::new([9; 32]);
        let by_turns = |one: Call<Runtime>, other: Call<Runtime>| -> Vec<RuntimeCall> {
            let calls = [one, other].into_iter().cycle().take(CALLS);
            calls.map(RuntimeCall::Studies).collect()
        };
        let keys = (0..CALLS).map(|_| Call::set_auditor_key {
            study,
            auditor_key: self.rng.random(),
        });
        let keys = keys.map(RuntimeCall::Studies).collect();
        let relays = by_turns(
            Call::add_relay {
                study,
                account: account(),
            },
            Call::remove_relay {
                study,
                account: account(),
            },
        );
        let servers = by_turns(
            Call::add_authentication_server {
                study,
                account: account(),
            },
            Call::remove_authentication_server {
                study,
                account: account(),
            },
        );
        let open = by_turns(Call::close_study { study }, Call::reopen_study { study });
        vec![
            ("name an auditor's key", By::Sponsor, keys),
            ("add and remove a relay", By::Sponsor, relays),
            ("add and remove a server", By::Sponsor, servers),
            ("close and reopen a study", By::Sponsor, open),
        ]
    }
}

/// Of the only member, whose word is a decision.
fn calls_of_a_member() -> Vec<Kind> {
    let grant = pallet_studies::Call::set_allowance {
        study: PAPER.0,
        allowance: ALLOWANCE,
    };
    let motion = RuntimeCall::Council(pallet_collective::Call::propose {
        threshold: 1,
        proposal: Box::new(RuntimeCall::Studies(grant)),
        length_bound: 1_000,
    });
    let urgent = RuntimeCall::Consortium(pallet_consortium::Call::vote_urgent {
        decision: UrgentDecision::AuthorizeUpgrade {
            code_hash: H256([1; 32]),
        },
    });
    let code = vec![0; LONGEST_CODE];
    let upgrade = RuntimeCall::System(frame_system::Call::apply_authorized_upgrade { code });
    vec![
        ("a motion, done at once", By::Member, vec![motion; CALLS]),
        (
            "an urgent vote, done at once",
            By::Member,
            vec![urgent; CALLS],
        ),
        (
            "a runtime that nobody authorised",
            By::Member,
            vec![upgrade],
        ),
    ]
}

/// An account that gives its roles to another, which does the same, and so on.
fn rotations(direct: &mut Direct) -> Result<Row> {
    let accounts = [
        Eve,
        Ferdie,
        One,
        Two,
        AliceStash,
        BobStash,
        CharlieStash,
        DaveStash,
    ];
    let rotate = |pair: &[Sr25519Keyring], direct: &Direct| {
        let call = RuntimeCall::Studies(pallet_studies::Call::rotate {
            study: PAPER.0,
            successor: pair[1].to_account_id(),
        });
        Signer::new(pair[0], direct.genesis()).call(&call)
    };
    alone(direct, 0, |direct| {
        accounts
            .windows(2)
            .map(|pair| rotate(pair, direct))
            .collect()
    })
}

fn enrolment(direct: &Direct, seed: &[u8; 32]) -> Call<Runtime> {
    let (key, secret) = hashchain::testing::keys(seed);
    let escrow = vec![9; LONGEST_ESCROW];
    let commitment = hashchain::secret_commitment::<hashchain::Native>(&secret);
    let device_key = key.verifying_key().to_bytes();
    let message = hashchain::key_proof_message(&hashchain::KeyProof {
        chain: &direct.genesis(),
        study: PAPER,
        server: direct.office().as_ref(),
        device_key: &device_key,
        predecessor: None,
        secret_commitment: &commitment,
        escrow_commitment: &hashchain::escrow_commitment::<hashchain::Native>(&escrow),
        auditor_epoch: 0,
        auditor_key: &mhealth_runtime::genesis::DEVELOPMENT_AUDITOR_KEY,
        participant: &PARTICIPANT,
    });
    Call::enrol {
        study: PAPER.0,
        key: device_key,
        secret_commitment: H256(commitment),
        escrow: escrow.try_into().expect("as long as may be; qed"),
        auditor_epoch: 0,
        participant: H256(PARTICIPANT),
        predecessor: None,
        key_proof: ed25519_dalek::Signer::sign(&key, &message).to_bytes(),
    }
}
