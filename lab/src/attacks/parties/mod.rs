// SPDX-License-Identifier: Apache-2.0

//! The second act: each party with all of its rights. Its own store, its words, its account and its sockets.
//!
//! The chain has real consensus and real finality here, so that there is something to prove. What must come of each row stands
//! in [`Attack::must`]; what came of it is judged by what the laboratory knows: what the phones made, what the chain has, who did
//! it.

mod arena;
mod exports;
mod files;
mod lies;
mod nodes;
mod office;
mod phones;
mod rights;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::Arc;

use anyhow::{Context, Result};
use hashchain::DeviceId;
use mhealth_testing::audit::{self, Report};
use rand::rngs::StdRng;
use rand::SeedableRng;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::attack::{Attack, Column};
use crate::judge::Judge;
use crate::play::{Act, Tried};
use crate::truth::Planted;
use arena::{Arena, Relay, SharedArena, ON_ITS_WAY};

/// Attempts at a time. Each mostly waits for blocks.
const AT_ONCE: usize = 192;
/// Rows of which each attempt is a whole audit are tried so often at most.
const MOST_AUDITS: u32 = 6;
/// Rows of which each attempt runs whole programs are tried so often at most.
const MOST_PROGRAMS: u32 = 24;

/// Plays these rows in a column.
pub(crate) async fn play(
    column: Column,
    seed: u64,
    attempts: u32,
    rows: &[Attack],
    folder: &Path,
) -> Result<Act> {
    let arena: SharedArena = Arc::new(Arena::set(column, rows, &folder.join("parties")).await?);
    let mut playing = Playing {
        arena: arena.clone(),
        seed,
        attempts,
        places: Arc::new(Semaphore::new(AT_ONCE)),
        planting: JoinSet::new(),
        trying: JoinSet::new(),
        shown: exports::Shown::default(),
    };
    for row in rows {
        playing.begin(*row);
    }
    playing.begin_about_nodes(rows);
    playing.begin_on_chain(rows).await?;
    let (mut tried, mut aside, mut planted) = (Vec::new(), BTreeSet::new(), Vec::new());
    while let Some(ended) = playing.trying.join_next().await {
        let (of_row, devices) = ended??;
        tried.extend(of_row);
        aside.extend(devices);
    }
    let mut borrowing: BTreeMap<u32, BTreeSet<DeviceId>> = BTreeMap::new();
    while let Some(ended) = playing.planting.join_next().await {
        let (number, one) = ended??;
        if one.attack == Attack::BorrowsExport {
            let way = number % exports::WAYS_TO_BORROW;
            borrowing.entry(way).or_default().insert(one.device);
        }
        planted.push(one);
    }

    let earlier = match arena.hostile.get(&Attack::WritesTime) {
        Some(relay) => Some(yesterday(&arena, relay).await?),
        None => None,
    };
    let everybody: Vec<&Relay> = arena.honest.iter().chain(arena.hostile.values()).collect();
    let report = audited(&arena, &everybody, earlier.as_deref(), "audit").await?;
    let judge = Judge::new(column, &report, &planted).setting_aside(&aside);
    let (honest, mut alarms) = judge.false_alarms();
    let mut audits = 1;
    for (way, devices) in &borrowing {
        playing.shown.way.store(*way, Ordering::Relaxed);
        let name = format!("audit-borrowed-{way}");
        let report = audited(&arena, &everybody, earlier.as_deref(), &name).await?;
        let judge = Judge::new(column, &report, &planted).setting_aside(&aside);
        alarms.extend(judge.false_alarms().1);
        let of_way = planted
            .iter()
            .filter(|planted| devices.contains(&planted.device));
        tried.extend(of_way.map(|planted| Tried::judged(planted, &judge)));
        audits += 1;
    }
    // An audit that is not given Dave's export, as when nobody asked Dave.
    let others: Vec<&Relay> = everybody
        .into_iter()
        .filter(|relay| relay.name != "dave")
        .collect();
    let without_dave = match rows.contains(&Attack::NotAsked) {
        true => Some(audited(&arena, &others, earlier.as_deref(), "audit-without-dave").await?),
        false => None,
    };
    let without_dave = without_dave.as_ref();
    let without_dave = without_dave.map(|report| Judge::new(column, report, &planted));
    let others = |planted: &&Planted| planted.attack != Attack::BorrowsExport;
    for planted in planted.iter().filter(others) {
        let judge = match (planted.attack, &without_dave) {
            (Attack::NotAsked, Some(judge)) => judge,
            _ => &judge,
        };
        tried.push(Tried::judged(planted, judge));
    }
    // Whoever floods disturbs all others.
    if rows.contains(&Attack::Floods) {
        let attempts = attempts.min(MOST_AUDITS);
        tried.extend(rights::floods(&arena, attempts, playing.random(Attack::Floods, 0)).await?);
    }
    Ok(Act {
        tried,
        honest,
        alarms,
        audits: audits + usize::from(without_dave.is_some()),
    })
}

/// Rows that are being played.
struct Playing {
    arena: SharedArena,
    seed: u64,
    attempts: u32,
    places: Arc<Semaphore>,
    /// Attempts that an audit judges.
    planting: JoinSet<Result<(u32, Planted)>>,
    /// Attempts that are judged without one, and devices that are left in such a state that an audit has something to say of them.
    trying: JoinSet<Result<(Vec<Tried>, Vec<DeviceId>)>>,
    /// What the relay shows that borrows another's export.
    shown: exports::Shown,
}

impl Playing {
    fn random(&self, row: Attack, number: u32) -> StdRng {
        StdRng::seed_from_u64((self.seed << 24) ^ ((row as u64) << 16) ^ u64::from(number))
    }

    fn begin(&mut self, row: Attack) {
        let (arena, attempts) = (self.arena.clone(), self.attempts);
        if lies::ROWS.contains(&row) {
            self.try_all(row, lies::play(arena, row, attempts));
        } else if files::ROWS.contains(&row) {
            self.try_all(row, async move {
                let mut tried = Vec::new();
                for number in 0..attempts.min(MOST_AUDITS) {
                    tried.push(files::attempt(&arena, row, number).await?);
                }
                Ok(tried)
            });
        } else if exports::ROWS.contains(&row) {
            let shown = exports::Shown::default();
            if row == Attack::BorrowsExport {
                self.shown = shown.clone();
            }
            exports::turn(&arena, row, &shown);
            for number in 0..attempts {
                let (arena, shown) = (arena.clone(), shown.clone());
                let random = self.random(row, number);
                self.plant(row, number, async move {
                    exports::attempt(&arena, row, &shown, random).await
                });
            }
        } else if row == Attack::ReplaysTokens {
            tokens::takes(&arena);
            for number in 0..attempts {
                let (arena, random) = (arena.clone(), self.random(row, number));
                self.plant(row, number, async move {
                    tokens::replayed(&arena, random).await
                });
            }
        } else if row == Attack::OtherParticipantKey {
            let changed = office::Changed::default();
            office::turn(&arena, &changed);
            for number in 0..attempts.min(MOST_PROGRAMS) {
                let (arena, changed) = (arena.clone(), changed.clone());
                let random = self.random(row, number);
                self.try_all(row, async move {
                    Ok(vec![
                        office::attempt(&arena, &changed, number, random).await?,
                    ])
                });
            }
        }
    }

    fn plant(
        &mut self,
        row: Attack,
        number: u32,
        attempt: impl Future<Output = Result<Planted>> + Send + 'static,
    ) {
        let places = self.places.clone();
        self.planting.spawn(async move {
            let _place = places.acquire().await?;
            let planted = attempt.await.with_context(|| format!("{row:?}"))?;
            Ok((number, planted))
        });
    }

    fn try_all(
        &mut self,
        row: Attack,
        attempts: impl Future<Output = Result<Vec<Tried>>> + Send + 'static,
    ) {
        self.trying.spawn(async move {
            let tried = attempts.await.with_context(|| format!("{row:?}"))?;
            Ok((tried, Vec::new()))
        });
    }

    /// Audits of a study of their own, one after the other.
    fn begin_about_nodes(&mut self, rows: &[Attack]) {
        let (arena, attempts) = (self.arena.clone(), self.attempts.min(MOST_AUDITS));
        let rows: Vec<Attack> = rows
            .iter()
            .copied()
            .filter(|row| nodes::ROWS.contains(row))
            .collect();
        let Some(first) = rows.first() else { return };
        self.try_all(*first, async move {
            let scene = nodes::Scene::set(&arena).await?;
            let mut tried = Vec::new();
            for row in rows {
                for number in 0..attempts {
                    tried.push(scene.attempt(row, number, &arena.folder).await?);
                }
            }
            Ok(tried)
        });
    }

    async fn begin_on_chain(&mut self, rows: &[Attack]) -> Result<()> {
        let rows: Vec<Attack> = rows
            .iter()
            .copied()
            .filter(|row| rights::ROWS.contains(row))
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        let offices = Arc::new(rights::Offices::appoint(&self.arena).await?);
        for row in rows {
            for number in 0..self.attempts.min(rights::most(row)) {
                let (arena, offices) = (self.arena.clone(), offices.clone());
                let (random, places) = (self.random(row, number), self.places.clone());
                self.trying.spawn(async move {
                    let _place = places.acquire().await?;
                    let tried = offices.attempt(&arena, row, number, random).await;
                    let (tried, device) = tried.with_context(|| format!("{row:?}"))?;
                    Ok((vec![tried], device.into_iter().collect()))
                });
            }
        }
        Ok(())
    }
}

/// What the relay showed yesterday, as the auditor has kept it.
async fn yesterday(arena: &SharedArena, relay: &Relay) -> Result<PathBuf> {
    let study = arena.column.study();
    let url = format!("{}/v1/export?study={study}&after=0", relay.url());
    let export = reqwest::get(url).await?.bytes().await?;
    let file = arena.folder.join("yesterday.ndjson");
    std::fs::write(&file, export)?;
    arena.let_blocks_pass(ON_ITS_WAY + 2).await?;
    Ok(file)
}

/// Audits the study with the real auditor.
async fn audited(
    arena: &SharedArena,
    relays: &[&Relay],
    earlier: Option<&Path>,
    name: &str,
) -> Result<Report> {
    let mut options = arena.audit(relays);
    if let Some(file) = earlier {
        options.exports = vec![("yesterday".into(), file.to_path_buf())];
    }
    let json = arena.folder.join(format!("{name}.json"));
    tokio::task::spawn_blocking(move || audit::run(&options, &json)).await?
}
