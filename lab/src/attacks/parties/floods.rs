// SPDX-License-Identifier: Apache-2.0

//! Each role floods the chain, one after the other, while a phone writes through an honest relay and somebody of another role has
//! something to do: `docs/explained/threat-model.md` says how long these wait.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::try_join;
use hashchain::{DataDigest, DeviceId, LinkHash, Run, StudyId, Tag};
use mhealth_api::{RunState, RunUpload};
use mhealth_chain_client::calls::{self, NewDevice};
use mhealth_chain_client::{Account, AccountId32, Call, Proposal, Submitter, H256};
use mhealth_testing::handset::{self, Handset};
use mhealth_testing::phone::enrolment;
use mhealth_testing::played_relay::PlayedRelay;
use mhealth_testing::topology::SPONSOR;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinHandle;

use super::arena::SharedArena;
use super::rights::tried;
use crate::attack::Attack;
use crate::play::Tried;

/// The rows of this file. They are played when all others are over, because whoever floods disturbs everybody; the sponsor's
/// last, because it appoints those of the others, and has to wait when it has flooded.
pub(crate) const ROWS: [Attack; 6] = [
    Attack::Floods,
    Attack::Walks,
    Attack::ServerFloods,
    Attack::MemberFloods,
    Attack::PhonesFlood,
    Attack::SponsorFloods,
];

/// Blocks within which an honest relay's batch is in one.
const SOON: u64 = 5;
/// Blocks within which another role's transaction is, and one more that was being made when it came.
const SOON_FOR_OFFICES: u64 = 3 + 1;
/// Entries of a run of junk, and runs of a transaction.
const JUNK: usize = 256;
const RUNS: usize = 3;
/// Entries of a page of the journal. With one of them of its own on each, a device costs the most steps to walk.
const PAGE: usize = 64;
/// Entries of such a device, and how many are brought in a transaction.
const HISTORY: usize = 120;
const AT_A_TIME: usize = 12;
/// Runs of a transaction that are behind all of it: together they are within what a call may walk (`walkBudget`).
const BEHIND: usize = 4;
/// Bytes of the longest escrow.
const ESCROW: usize = 128;
/// Transactions of a flood that are on their way at a time.
const FLOOD: usize = 64;
/// Between two attempts of who is told to wait.
const PAUSE: Duration = Duration::from_millis(50);

/// Plays a row: as many attempts of honest parties to get something done while the flood goes on.
pub(crate) async fn play(
    arena: &SharedArena,
    row: Attack,
    attempts: u32,
    mut random: StdRng,
) -> Result<Vec<Tried>> {
    let eve = &arena.honest[1];
    let mut victim = arena.victim(eve, &mut random).await?;
    let other = Other::than(arena, row).await?;
    let _flood = Flood::begin(arena, row, victim.phone.device(), &mut random).await?;
    let (url, mut all) = (eve.url(), Vec::new());
    for number in 0..attempts {
        let run = victim.phone.record(1);
        let began = Instant::now();
        let sent = arena.chain.best_block().await?.number;
        let (status, office) = try_join!(
            handset::deliver(&url, &victim.token, &run),
            other.waits(arena, row, number)
        )?;
        let waited = began.elapsed();
        let block = status.block.context("it is settled")?.number;
        let held = status.state == RunState::Finalised
            && block <= sent + SOON
            && office <= SOON_FOR_OFFICES;
        let about =
            format!("sent at block {sent}, in block {block}; another role waited {office} blocks");
        all.push(tried(row, held, Some(waited), about));
    }
    Ok(all)
}

/// Somebody of another role than the one that floods.
enum Other {
    Sponsor(Submitter),
    Server(Submitter),
}

impl Other {
    async fn than(arena: &SharedArena, row: Attack) -> Result<Self> {
        if row != Attack::SponsorFloods {
            return Ok(Other::Sponsor(arena.sponsor.clone()));
        }
        let server = Account::from_secret_uri("//Charlie//floods")?;
        Ok(Other::Server(appointed(arena, server).await?))
    }

    /// How many blocks it waits until something of its is in one.
    async fn waits(&self, arena: &SharedArena, row: Attack, number: u32) -> Result<u64> {
        let study = arena.column.study();
        let (submitter, call) = match self {
            Other::Sponsor(sponsor) => {
                let newcomer = nobody((row as u64) << 32 | u64::from(number));
                (sponsor, calls::add_relay(study, newcomer))
            }
            Other::Server(server) => (server, enrolment(server, study, 200 + number as u8)),
        };
        let sent = arena.chain.best_block().await?.number;
        let done = submitter.submit_and_wait(call).await?;
        Ok(done.block_number.saturating_sub(sent))
    }
}

/// An authentication server of the column's study.
async fn appointed(arena: &SharedArena, account: Account) -> Result<Submitter> {
    let appointment = calls::add_authentication_server(arena.column.study(), account.id());
    let done = arena.sponsor.submit_and_wait(appointment).await?;
    done.succeeded()?;
    Ok(arena.chain.submitter(account))
}

/// A flood, until it is dropped.
struct Flood(Vec<JoinHandle<()>>);

impl Flood {
    async fn begin(
        arena: &SharedArena,
        row: Attack,
        device: DeviceId,
        random: &mut StdRng,
    ) -> Result<Self> {
        let (chain, study) = (&arena.chain, arena.column.study());
        Ok(Flood(match row {
            Attack::SponsorFloods => {
                let call = move |number: u64| calls::remove_relay(study, nobody(number));
                vec![flood(arena.sponsor.clone(), call)]
            }
            Attack::ServerFloods => {
                let server = Account::from_secret_uri("//Mallet//floods")?;
                let server = appointed(arena, server).await?;
                vec![flood(server, move |number| {
                    nobodys_enrolment(study, number)
                })]
            }
            Attack::MemberFloods => {
                let member = Account::from_secret_uri("//Alice")?;
                let call = |number: u64| {
                    let last_final = number as u32;
                    calls::propose(1, &Proposal::NoteStalled { last_final })
                };
                vec![flood(chain.submitter(member), call)]
            }
            Attack::PhonesFlood => {
                let mut floods = Vec::new();
                for _ in 0..2 {
                    let phone = StdRng::from_rng(&mut *random);
                    let phone = Handset::enrol(&arena.door, phone).await?;
                    let submitter = chain.submitter(phone.account());
                    floods.push(flood(submitter, junk_of(phone.device(), random)));
                }
                floods
            }
            Attack::Walks => {
                let account = "//Mallory//walks";
                let relay = PlayedRelay::appoint(chain, study, SPONSOR, account).await?;
                let first = far_behind(arena, &relay.submitter, random).await?;
                let call = move |_: u64| calls::submit_batch(vec![first.clone(); BEHIND]);
                vec![flood(relay.submitter.clone(), call)]
            }
            _ => {
                let account = "//Mallory//floods";
                let relay = PlayedRelay::appoint(chain, study, SPONSOR, account).await?;
                vec![flood(relay.submitter.clone(), junk_of(device, random))]
            }
        }))
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// Sends one call after the other, as fast as they are taken.
fn flood(submitter: Submitter, call: impl Fn(u64) -> Call + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut under_way = Vec::new();
        for number in 0.. {
            match submitter.submit(call(number)).await {
                Ok(sent) => under_way.push(sent),
                // It is told to wait, and does not.
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
            if under_way.len() > FLOOD {
                under_way.remove(0);
            }
        }
    })
}

/// An account that nobody has.
fn nobody(number: u64) -> AccountId32 {
    let mut account = [0xee; 32];
    account[..8].copy_from_slice(&number.to_le_bytes());
    AccountId32(account)
}

/// An enrolment that no device has signed, as long as one can be.
fn nobodys_enrolment(study: StudyId, number: u64) -> Call {
    let device = NewDevice {
        key: nobody(number).0,
        secret_commitment: H256([1; 32]),
        escrow: vec![2; ESCROW],
        auditor_epoch: 0,
        participant: H256([3; 32]),
        predecessor: None,
    };
    calls::enrol(study, device, [4; 64])
}

/// The first run of a device whose every entry is on another page of the journal, because another device writes beside it.
async fn far_behind(arena: &SharedArena, relay: &Submitter, random: &mut StdRng) -> Result<Run> {
    let mut lone = Handset::enrol(&arena.door, StdRng::from_rng(&mut *random)).await?;
    let mut beside = Handset::enrol(&arena.door, StdRng::from_rng(&mut *random)).await?;
    let first = lone.record(1).run();
    let mut runs = vec![first.clone()];
    for _ in 0..HISTORY / AT_A_TIME {
        for _ in 0..AT_A_TIME {
            runs.push(beside.record(PAGE - 1).run());
            runs.push(lone.record(1).run());
        }
        let brought = calls::submit_batch(std::mem::take(&mut runs));
        relay.submit_and_wait(brought).await?.succeeded()?;
    }
    Ok(first)
}

/// Batches of runs of this device that begin too late.
fn junk_of(device: DeviceId, random: &mut StdRng) -> impl Fn(u64) -> Call + Send + 'static {
    let previous = LinkHash(random.random());
    move |number| {
        let entry = mhealth_api::RunEntry {
            digest: DataDigest([1; 32]),
            tag: Tag([2; 32]),
            envelope: mhealth_api::Base64(Vec::new()),
        };
        let run = RunUpload {
            device,
            sequence: 1_000 + number,
            previous,
            entries: vec![entry; JUNK],
            signature: None,
        };
        calls::submit_batch(vec![run.run(); RUNS])
    }
}
