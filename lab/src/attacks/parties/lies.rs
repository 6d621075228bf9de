// SPDX-License-Identifier: Apache-2.0

//! What a relay says to phones: real phones of `mhealth-device`, a real relay, and between them a front that lies.
//!
//! A phone goes one of three ways: it knows no other relay (Figure 1b, until it is told of one), it knows another one, or it
//! brings each run to both (Figure 1c). It measures for two nights through an honest relay, then the relay turns.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use futures::future::{try_join_all, BoxFuture};
use hashchain::{DeviceId, LinkHash};
use mhealth_api::{
    BlockRef, ChainHead, DeviceHeads, DeviceOnChain, Hash, Head, RunState, RunStatus, RunUpload,
};
use mhealth_testing::front::{conduct, Asked, Behind, Conduct, Told};
use mhealth_testing::phone;

use super::arena::{Relay, SharedArena};
use super::phones::{Cohort, Phone, Session};
use crate::attack::Attack;
use crate::judge::{Fate, Verdict};
use crate::play::Tried;

/// Nights before the relay turns.
const HONEST_NIGHTS: u32 = 2;
/// Nights when all is over.
const NIGHTS: u32 = 4;
/// So often phones try again, as on other days, if they are not done.
const DAYS: u32 = 5;

/// The rows of this file.
pub(crate) const ROWS: [Attack; 5] = [
    Attack::SaysFinalised,
    Attack::ForeignHead,
    Attack::OldHead,
    Attack::KeepsBack,
    Attack::LagsBehind,
];

/// How a phone knows relays.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// The hostile one alone, until it is told of another.
    Alone,
    /// Both; one of them is to hold each run.
    Either,
    /// Both; both are to hold each run.
    Both,
}

impl Way {
    const ALL: [Way; 3] = [Way::Alone, Way::Either, Way::Both];

    fn name(self) -> &'static str {
        match self {
            Way::Alone => "alone",
            Way::Either => "either",
            Way::Both => "both",
        }
    }

    fn copies(self) -> u32 {
        match self {
            Way::Both => 2,
            _ => 1,
        }
    }
}

/// Plays a row in a study: as many attempts as there are phones that meet the relay when it has turned.
pub(crate) async fn play(arena: SharedArena, row: Attack, attempts: u32) -> Result<Vec<Tried>> {
    let relay = arena.hostile(row)?;
    let liar = Arc::new(Liar::of(row));
    if row != Attack::LagsBehind {
        relay.front.play(liar.clone().conduct());
    }
    let mut cohorts = Vec::new();
    for (way, place) in Way::ALL.into_iter().zip(0..) {
        // Of those that know both and choose one, half begin with the honest one.
        let share = (attempts + 2 - place) / 3;
        let phones = match way {
            Way::Either => 2 * share.max(1),
            _ => share.max(1),
        };
        let name = format!("{}-{}", row.name(), way.name());
        cohorts.push((way, Cohort::of(&arena, &name, phones)));
    }
    let spare = arena.honest[1].url();
    let relays = |way: Way| match way {
        Way::Alone => vec![relay.url()],
        _ => vec![relay.url(), spare.clone()],
    };
    match row {
        Attack::LagsBehind => fall_behind(&arena, relay, &cohorts).await?,
        _ => {
            let first = |way: Way| Some((HONEST_NIGHTS, relays(way), way.copies()));
            all_at_once(&cohorts, first).await?;
        }
    }
    liar.turn();
    let turned = |way: Way| Some((NIGHTS, relays(way), way.copies()));
    let mut waited: BTreeMap<&str, Duration> = BTreeMap::new();
    let mut said: BTreeMap<&str, String> = BTreeMap::new();
    for (way, session) in all_at_once(&cohorts, turned).await? {
        // Whoever knows no other relay can only wait until it is told of one.
        let took = match way {
            Way::Alone => Duration::ZERO,
            _ => session.took,
        };
        waited.insert(way.name(), took);
        said.insert(way.name(), session.said);
    }
    for _ in 0..DAYS {
        let mut left = Vec::new();
        for (way, cohort) in &cohorts {
            if !everything_arrived(&arena, cohort).await? {
                left.push(way.name());
            }
        }
        if left.is_empty() {
            break;
        }
        let again = |way: Way| {
            let both = vec![relay.url(), spare.clone()];
            left.contains(&way.name())
                .then(|| (NIGHTS, both, way.copies()))
        };
        for (way, session) in all_at_once(&cohorts, again).await? {
            *waited.entry(way.name()).or_default() += session.took;
            said.insert(way.name(), session.said);
        }
    }
    let mut tried = Vec::new();
    for (way, cohort) in &cohorts {
        for phone in cohort.standing().await? {
            let meets = match row {
                Attack::LagsBehind => !matches!(way, Way::Either) || phone.device.0 % 2 == 0,
                _ => liar.met(phone.device),
            };
            if !meets {
                continue;
            }
            let fate = fate(&arena, &phone).await?;
            tried.push(Tried {
                attack: row,
                verdict: Verdict { fate, named: None },
                after: None,
                waited: waited.get(way.name()).copied(),
                about: format!("{way:?} {phone:?}: {}", last_lines(&said[way.name()])),
            });
        }
    }
    Ok(tried)
}

/// The relay's node stays where it is, and the phones go on. Those that know no other relay are enrolled only afterwards, and
/// are strangers to it.
async fn fall_behind(arena: &SharedArena, relay: &Relay, cohorts: &[(Way, Cohort)]) -> Result<()> {
    let until = |nights: u32| {
        let elsewhere = vec![arena.honest[1].url()];
        move |way: Way| match way {
            Way::Alone => None,
            _ => Some((nights, elsewhere.clone(), 1)),
        }
    };
    all_at_once(cohorts, until(HONEST_NIGHTS)).await?;
    arena.let_lag(relay).await?;
    all_at_once(cohorts, until(HONEST_NIGHTS + 1)).await?;
    Ok(())
}

/// Has the cohorts measure and send at the same time: until which night, through which relays, to how many of them.
async fn all_at_once(
    cohorts: &[(Way, Cohort)],
    plan: impl Fn(Way) -> Option<(u32, Vec<String>, u32)>,
) -> Result<Vec<(Way, Session)>> {
    let mut sessions: Vec<BoxFuture<'_, Result<(Way, Session)>>> = Vec::new();
    for (way, cohort) in cohorts {
        if let Some((nights, relays, copies)) = plan(*way) {
            sessions.push(Box::pin(async move {
                Ok((*way, cohort.session(nights, &relays, copies).await?))
            }));
        }
    }
    try_join_all(sessions).await
}

async fn everything_arrived(arena: &SharedArena, cohort: &Cohort) -> Result<bool> {
    for phone in cohort.standing().await? {
        if fate(arena, &phone).await? != Fate::Prevented {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Prevented: the chain has all that the phone made, and the phone goes on. Anything else is what the relay wanted: entries that
/// the phone has forgotten and the chain never got, or a phone that stands still.
async fn fate(arena: &SharedArena, phone: &Phone) -> Result<Fate> {
    let head = arena.chain.head(phone.device).await?;
    let arrived =
        head.is_some_and(|head| head.length == phone.length && head.hash.to_string() == phone.head);
    Ok(
        match arrived && phone.stopped.is_none() && phone.confirmed <= phone.length {
            true => Fate::Prevented,
            false => Fate::Unseen,
        },
    )
}

fn last_lines(said: &str) -> String {
    let lines: Vec<&str> = said.trim_end().lines().rev().take(2).collect();
    lines.join(" / ")
}

/// A relay's front that turns.
struct Liar {
    row: Attack,
    eyes: Mutex<Eyes>,
}

/// What it has seen and said.
#[derive(Default)]
struct Eyes {
    turned: bool,
    /// Devices that it lied to.
    met: BTreeSet<DeviceId>,
    /// Runs that it took and did not pass on, as it talks of them.
    kept: HashMap<Hash, RunStatus>,
    /// The head that it pretends.
    heads: HashMap<DeviceId, Head>,
    /// The first answer to each question of before it turned, genuine, and by now old.
    old: HashMap<String, Told>,
}

impl Liar {
    fn of(row: Attack) -> Self {
        Liar {
            row,
            eyes: Mutex::default(),
        }
    }

    fn eyes(&self) -> MutexGuard<'_, Eyes> {
        self.eyes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self) {
        self.eyes().turned = true;
    }

    fn met(&self, device: DeviceId) -> bool {
        self.eyes().met.contains(&device)
    }

    fn conduct(self: Arc<Self>) -> Conduct {
        conduct(move |asked, behind| self.clone().answer(asked, behind))
    }

    async fn answer(self: Arc<Self>, asked: Asked, behind: Behind) -> Result<Response> {
        if !self.eyes().turned {
            let told = behind.pass(&asked).await?;
            if asked.method == Method::GET && told.status.is_success() {
                let question = question(&asked).to_owned();
                self.eyes()
                    .old
                    .entry(question)
                    .or_insert_with(|| told.clone());
            }
            return Ok(told.into_response());
        }
        let told = match self.row {
            Attack::SaysFinalised | Attack::KeepsBack => self.keep(&asked, &behind).await?,
            Attack::OldHead => self.old(&asked, &behind).await?,
            _ => self.foreign(&asked, &behind).await?,
        };
        Ok(told.into_response())
    }

    /// Takes runs, says of them what it likes, and brings none.
    async fn keep(&self, asked: &Asked, behind: &Behind) -> Result<Told> {
        if asked.is(Method::POST, "/v1/runs") {
            let run: RunUpload = asked.message()?;
            let status = self.status(&run, behind).await?;
            let mut eyes = self.eyes();
            eyes.met.insert(run.device);
            eyes.kept.insert(status.run, status.clone());
            let head = Head {
                length: run.sequence + run.entries.len() as u64 - 1,
                hash: status.head,
            };
            eyes.heads.insert(run.device, head);
            let code = match self.row {
                Attack::SaysFinalised => 200,
                _ => 202,
            };
            return Told::message_of(code, &status);
        }
        if let Some(run) = asked.after("/v1/runs/") {
            let kept = run
                .parse()
                .ok()
                .and_then(|run| self.eyes().kept.get(&run).cloned());
            if let Some(status) = kept {
                return Told::message_of(200, &status);
            }
        }
        if self.row == Attack::KeepsBack {
            return behind.pass(asked).await;
        }
        let is_proof = question(asked).ends_with("/proof");
        if is_proof {
            return self.anything_but_a_new_proof(asked, behind).await;
        }
        let told = behind.pass(asked).await?;
        self.with_head(asked, told, |device, _| {
            self.eyes().heads.get(&device).copied()
        })
    }

    async fn status(&self, run: &RunUpload, behind: &Behind) -> Result<RunStatus> {
        let (state, block) = match self.row {
            Attack::KeepsBack => (RunState::Pending, None),
            _ => (RunState::Finalised, block_of(run.device, behind).await.ok()),
        };
        Ok(RunStatus {
            extrinsic_index: block.map(|_| 2),
            block,
            ..phone::status(run, state)
        })
    }

    /// Brings runs as an honest relay does, and afterwards shows what the chain had before.
    async fn old(&self, asked: &Asked, behind: &Behind) -> Result<Told> {
        self.meets(asked);
        let of_a_device =
            asked.is(Method::GET, "/v1/devices/") || asked.is(Method::GET, "/v1/keys/");
        let old = self.eyes().old.get(question(asked)).cloned();
        match old {
            Some(old) if of_a_device => {
                let told: Option<serde_json::Value> = serde_json::from_slice(&old.body).ok();
                let told = told.and_then(|told| told["device"].as_u64());
                let asked = asked.after("/v1/devices/").and_then(|it| it.parse().ok());
                let device = told.or(asked).and_then(|device| device.try_into().ok());
                self.eyes().met.extend(device.map(DeviceId));
                Ok(old)
            }
            _ => behind.pass(asked).await,
        }
    }

    /// Brings runs as an honest relay does, and says of every head that it is another one.
    async fn foreign(&self, asked: &Asked, behind: &Behind) -> Result<Told> {
        self.meets(asked);
        if question(asked).ends_with("/proof") {
            return self.anything_but_a_new_proof(asked, behind).await;
        }
        let told = behind.pass(asked).await?;
        self.with_head(asked, told, |device, head| {
            let mut hash = LinkHash([0xab; 32]);
            hash.0[0] = device.0 as u8;
            Some(match device.0 % 2 {
                0 => Head {
                    length: head.length + 1,
                    hash,
                },
                _ => Head { hash, ..head },
            })
        })
    }

    fn meets(&self, asked: &Asked) {
        if asked.is(Method::POST, "/v1/runs") {
            if let Ok(run) = asked.message::<RunUpload>() {
                self.eyes().met.insert(run.device);
            }
        }
    }

    /// Puts another head into an answer about a device.
    fn with_head(
        &self,
        asked: &Asked,
        told: Told,
        head: impl Fn(DeviceId, Head) -> Option<Head>,
    ) -> Result<Told> {
        let put = |chain: &mut ChainHead, device| {
            if let Some(head) = head(device, chain.head) {
                chain.head = head;
            }
        };
        if asked.path.ends_with("/head") {
            if let Ok(mut heads) = told.message::<DeviceHeads>() {
                put(&mut heads.chain, heads.device);
                self.eyes().met.insert(heads.device);
                return Told::message_of(200, &heads);
            }
        }
        if asked.is(Method::GET, "/v1/keys/") || asked.is(Method::GET, "/v1/devices/") {
            if let Ok(mut device) = told.message::<DeviceOnChain>() {
                put(&mut device.chain, device.device);
                self.eyes().met.insert(device.device);
                return Told::message_of(200, &device);
            }
        }
        Ok(told)
    }

    /// The relay has no proof of what it says. It may have an old one, one of another device, pieces, or nothing.
    async fn anything_but_a_new_proof(&self, asked: &Asked, behind: &Behind) -> Result<Told> {
        let device = asked
            .after("/v1/devices/")
            .and_then(|device| device.parse().ok());
        let device: u32 = device.unwrap_or_default();
        let old = self.eyes().old.get(question(asked)).cloned();
        let genuine = behind.pass(asked).await?;
        match (device / 2 % 5, old) {
            (0, Some(old)) => Ok(old),
            (1, _) => {
                let other = if device == 0 { 1 } else { device - 1 };
                let query = asked.path.split_once('?').map_or("", |(_, query)| query);
                behind
                    .get(&format!("/v1/devices/{other}/proof?{query}"))
                    .await
            }
            (2, _) => {
                let mut broken = genuine.body.to_vec();
                let place = broken.len() / 2;
                if let Some(byte) = broken.get_mut(place) {
                    *byte ^= 1;
                }
                Told::bytes(200, "application/octet-stream", broken)
            }
            (3, _) => Told::problem(404, "not_found"),
            _ => {
                let half = genuine.body.len() / 2;
                Told::bytes(200, "application/octet-stream", genuine.body.slice(..half))
            }
        }
    }
}

/// The path without its query.
fn question(asked: &Asked) -> &str {
    asked.path.split('?').next().unwrap_or_default()
}

/// A block that is really final.
async fn block_of(device: DeviceId, behind: &Behind) -> Result<BlockRef> {
    let told = behind.get(&format!("/v1/devices/{device}/head")).await?;
    let heads: DeviceHeads = told.message()?;
    Ok(heads.chain.block)
}
