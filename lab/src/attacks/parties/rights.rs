// SPDX-License-Identifier: Apache-2.0

//! What accounts with a role can do on the chain itself: a relay, an authentication server, a member of the consortium.
//!
//! What they do by sending much is in [`floods`](super::floods), and what a member does on chains of its own in
//! [`members`].

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use futures::future::try_join_all;
use hashchain::{DeviceId, StudyId, Tag};
use mhealth_api::{DeviceStatus, Policy, Refusal, RunState, RunUpload};
use mhealth_chain_client::{
    calls, Account, Allowance, ChainEvent, Error, LastTrusted, Proposal, Submitter,
    SuspensionReason,
};
use mhealth_testing::enrolment::SealedTo;
use mhealth_testing::handset::{self, links, Handset, Pass};
use mhealth_testing::played_relay::{alter, PlayedRelay};
use mhealth_testing::topology::SPONSOR;
use rand::rngs::StdRng;
use rand::Rng;

use super::arena::SharedArena;
use super::members;
use crate::attack::{Attack, Column};
use crate::judge::{Fate, Verdict};
use crate::play::Tried;

/// The rows of this file that are played while others are.
pub(crate) const ROWS: [Attack; 6] = [
    Attack::FillsConflicts,
    Attack::ForksSuspended,
    Attack::RetiresDevices,
    Attack::FillsMotions,
    Attack::StallsFinality,
    Attack::DevicesShare,
];

/// Rivals that a relay makes up for a device: as many as there are places for conflicts.
const RIVALS: usize = 16;
/// Entries that each device of a study may have.
const SHARE: u64 = 3;

/// Whether it held, the device that is left in some state, and what happened.
pub(super) type Outcome = (bool, Option<DeviceId>, String);

/// Attempts of a row at most: some are slow, and a server may change the status of only so many devices an hour.
pub(crate) fn most(row: Attack) -> u32 {
    match row {
        Attack::FillsConflicts => 1_000,
        Attack::ForksSuspended | Attack::RetiresDevices => 48,
        _ => 3,
    }
}

/// Accounts that have a role in the column's study, and misuse it.
pub(crate) struct Offices {
    relay: PlayedRelay,
    server: Submitter,
    member: Submitter,
}

impl Offices {
    pub(crate) async fn appoint(arena: &SharedArena) -> Result<Self> {
        let (chain, study) = (&arena.chain, arena.column.study());
        let server = Account::from_secret_uri("//Mallet//rights")?;
        let appointment = calls::add_authentication_server(study, server.id());
        arena
            .sponsor
            .submit_and_wait(appointment)
            .await?
            .succeeded()?;
        Ok(Offices {
            relay: PlayedRelay::appoint(chain, study, SPONSOR, "//Mallory//rights").await?,
            server: chain.submitter(server),
            member: chain.submitter(Account::from_secret_uri("//Alice")?),
        })
    }

    /// Writes what the hostile relay shows an auditor: nothing, signed.
    pub(crate) async fn export(&self, file: &Path) -> Result<()> {
        self.relay.export(file).await
    }

    /// Makes one attempt of a row of this file.
    pub(crate) async fn attempt(
        &self,
        arena: &SharedArena,
        row: Attack,
        number: u32,
        mut random: StdRng,
    ) -> Result<(Tried, Option<DeviceId>)> {
        let began = Instant::now();
        let (held, device, about) = match row {
            Attack::FillsConflicts => self.fill_conflicts(arena, &mut random).await?,
            Attack::ForksSuspended => self.fork_suspended(arena, &mut random).await?,
            Attack::RetiresDevices => self.retire(arena, &mut random).await?,
            Attack::FillsMotions => members::fill_motions().await?,
            Attack::DevicesShare => self.go_beyond(arena, number).await?,
            _ => members::stall(number).await?,
        };
        let waited = match row {
            Attack::RetiresDevices => Some(began.elapsed()),
            _ => None,
        };
        Ok((tried(row, held, waited, about), device))
    }

    /// A relay forges an entry, where the chain lets it, and brings rivals that it made up, so that the phone's own has no place
    /// among the device's conflicts.
    async fn fill_conflicts(&self, arena: &SharedArena, random: &mut StdRng) -> Result<Outcome> {
        let eve = &arena.honest[1];
        let mut victim = arena.victim(eve, random).await?;
        let genuine = victim.phone.record(1);
        let rivals = (0..=RIVALS).map(|_| {
            let mut forged = genuine.clone();
            alter(&mut forged, 0, handset::envelope(random));
            forged.entries[0].tag = Tag(random.random());
            forged
        });
        let rivals: Vec<RunUpload> = rivals.collect();
        try_join_all(rivals.iter().map(|rival| self.relay.bring(rival))).await?;
        victim.send(&eve.url(), &genuine).await?;
        let (_, link) = links(&genuine)[0];
        let device = victim.phone.device();
        let registered = arena.chain.entries(device, genuine.sequence, 1).await?;
        let conflicts = arena.chain.conflicts(device).await?;
        let is_kept = conflicts
            .stored
            .iter()
            .any(|it| it.signed && it.rival == link);
        let is_registered = registered.iter().any(|entry| entry.hash == link);
        Ok((
            is_kept || is_registered,
            Some(device),
            format!("{conflicts:?}"),
        ))
    }

    /// The office suspends a device, a relay brings a fork that the device's key signed, and the office resumes the device.
    async fn fork_suspended(&self, arena: &SharedArena, random: &mut StdRng) -> Result<Outcome> {
        let eve = &arena.honest[1];
        let mut victim = arena.victim(eve, random).await?;
        let device = victim.phone.device();
        let mut thief = victim.phone.stolen_copy();
        let genuine = victim.phone.record(1);
        victim.send(&eve.url(), &genuine).await?;
        let suspension = calls::suspend(device, SuspensionReason::Administrative);
        let done = self.server.submit_and_wait(suspension).await?;
        done.succeeded()?;
        let fork = thief.record(1);
        self.relay.bring(&fork).await?;
        let resumed = self.server.submit_and_wait(calls::resume(device)).await;
        let resumed = resumed.is_ok_and(|done| done.succeeded().is_ok());
        let (_, link) = links(&fork)[0];
        let conflicts = arena.chain.conflicts(device).await?;
        let is_kept = conflicts
            .stored
            .iter()
            .any(|it| it.signed && it.rival == link);
        let held = is_kept && !(resumed && arena.column == Column::DeviceSigned);
        Ok((
            held,
            Some(device),
            format!("resumed {resumed}, {conflicts:?}"),
        ))
    }

    /// An authentication server retires a device for good, and its entries with it. The sponsor looks the same day.
    async fn retire(&self, arena: &SharedArena, random: &mut StdRng) -> Result<Outcome> {
        let eve = &arena.honest[1];
        let mut victim = arena.victim(eve, random).await?;
        let device = victim.phone.device();
        let distrust = calls::retire(device, LastTrusted::Nothing);
        let distrusted = self.server.submit_and_wait(distrust).await.is_ok();
        self.server
            .submit_and_wait(calls::retire(device, LastTrusted::Latest))
            .await?;
        arena
            .sponsor
            .submit_and_wait(calls::veto_retirement(device))
            .await?;
        let resumed = arena.sponsor.submit_and_wait(calls::resume(device)).await;
        let run = victim.phone.record(1);
        let state = match &resumed {
            Ok(_) => Some(goes_on(&victim.token, &eve.url(), &run).await?),
            Err(Error::Dispatch(_)) => None,
            Err(error) => return Err(error.clone().into()),
        };
        let view = arena
            .chain
            .device(device)
            .await?
            .context("it is enrolled")?;
        let held = !distrusted
            && view.status == DeviceStatus::Active
            && state == Some(RunState::Finalised);
        let about = format!("distrusted {distrusted}, {:?}, {state:?}", view.status);
        Ok((held, Some(device), about))
    }

    /// The consortium grants the devices of a study so many entries each. A phone goes beyond it, by a relay and by itself; another
    /// phone of the study writes what is its own.
    async fn go_beyond(&self, arena: &SharedArena, number: u32) -> Result<Outcome> {
        let chain = &arena.chain;
        let (member, server, sponsor) = (&self.member, &self.server, &arena.sponsor);
        let title = format!("Shares {number}");
        let policy = match arena.column {
            Column::DeviceSigned => Policy::DeviceSigned,
            _ => Policy::HashchainOnly,
        };
        let auditor = SealedTo::development().auditor.0;
        let creation = calls::create_study(1, sponsor.account(), policy, auditor, &title);
        let created = member.submit_and_wait(creation).await?;
        let study = created.events.iter().find_map(|event| match event {
            ChainEvent::StudyCreated { study, .. } => Some(*study),
            _ => None,
        });
        let study: StudyId = study.context("no study was created")?;
        let allowance = Allowance {
            devices: 2,
            entries: 1_000,
            bytes: 1 << 20,
            admissions: 4,
            device_entries: SHARE,
        };
        let grant = calls::propose(1, &Proposal::SetAllowance { study, allowance });
        member.submit_and_wait(grant).await?.succeeded()?;
        let appointment = calls::add_authentication_server(study, server.account());
        sponsor.submit_and_wait(appointment).await?.succeeded()?;
        let account = format!("//Mallory//share//{number}");
        let relay = PlayedRelay::appoint(chain, study, SPONSOR, &account).await?;
        let mut phones = Vec::new();
        for phone in 0..2 {
            let seed = (1 << 34) | u64::from(2 * number + phone);
            phones.push(Handset::enrol_by_hand(server, study, seed).await?);
        }
        let (mut modest, mut greedy) = (phones.remove(0), phones.remove(0));
        let all_its_own = relay.bring(&greedy.record(SHARE as usize)).await?.refused;
        let beyond = greedy.record(1);
        let refused = relay.bring(&beyond).await?.refused;
        let by_itself = chain.submitter(greedy.account());
        let by_itself = by_itself.submit_and_wait(calls::submit(beyond.run()));
        let by_itself = by_itself.await.is_ok_and(|done| done.succeeded().is_ok());
        let others = relay.bring(&modest.record(2)).await?.refused;
        let length = |device| async move {
            let head = chain.entries(device, 1, SHARE as u32 + 1).await?;
            anyhow::Ok(head.len() as u64)
        };
        let (greedy, modest) = (
            length(greedy.device()).await?,
            length(modest.device()).await?,
        );
        let held = greedy == SHARE
            && modest == 2
            && refused == Some(Refusal::DeviceAllowanceUsed)
            && !by_itself;
        let about = format!(
            "its share {all_its_own:?}, beyond {refused:?}, by itself {by_itself}, {greedy} entries; another phone {others:?}, {modest} entries"
        );
        Ok((held, None, about))
    }
}

pub(super) fn tried(attack: Attack, held: bool, waited: Option<Duration>, about: String) -> Tried {
    let fate = match held {
        true => Fate::Prevented,
        false => Fate::Unseen,
    };
    Tried {
        attack,
        verdict: Verdict { fate, named: None },
        after: None,
        waited,
        about,
    }
}

/// A phone that was shut out for a while sends until the relay has heard that it no longer is.
async fn goes_on(token: &Pass, relay: &str, run: &RunUpload) -> Result<RunState> {
    let began = Instant::now();
    loop {
        let answer = handset::upload(relay, token, run).await?;
        if (200..300).contains(&answer.status) {
            return Ok(handset::settled(relay, handset::name(run)).await?.state);
        }
        ensure!(began.elapsed() < Duration::from_secs(60), "{answer:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
