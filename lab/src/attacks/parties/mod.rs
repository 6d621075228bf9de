// SPDX-License-Identifier: Apache-2.0

//! The second act: each party with all of its rights. Its own store, its words, its account and its sockets.
//!
//! The chain has real consensus and real finality here, so that there is something to prove. What must come of each row stands
//! in [`Attack::must`]; what came of it is judged by what the laboratory knows: what the phones made, what the chain has, who did
//! it.

mod apart;
mod arena;
mod exports;
mod files;
mod floods;
mod lies;
mod members;
mod nodes;
mod office;
mod phones;
mod rights;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{ensure, Context, Result};
use hashchain::DeviceId;
use mhealth_testing::audit::{self, Report};
use mhealth_testing::http;
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

/// Who has it may lean on the machine. Columns are played at the same time.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Plays these rows in a column.
pub(crate) async fn play(
    column: Column,
    seed: u64,
    attempts: u32,
    rows: &[Attack],
    folder: &Path,
) -> Result<Act> {
    let arena: SharedArena = Arc::new(Arena::set(column, rows, &folder.join("parties")).await?);
    // Of a chain without a device there is nothing to prove.
    let mut random = StdRng::seed_from_u64(seed ^ (1 << 40));
    arena.victim(&arena.honest[1], &mut random).await?;
    let mut playing = Playing {
        arena: arena.clone(),
        seed,
        attempts,
        places: Arc::new(Semaphore::new(AT_ONCE)),
        planting: JoinSet::new(),
        trying: JoinSet::new(),
        shown: BTreeMap::new(),
        offices: None,
    };
    for row in rows {
        playing.begin(*row);
    }
    playing.begin_about_nodes(rows);
    playing.begin_on_chain(rows).await?;
    let (mut act, mut aside, mut planted) = (Act::default(), BTreeSet::new(), Vec::new());
    while let Some(ended) = playing.trying.join_next().await {
        let (of_row, devices) = ended??;
        act.tried.extend(of_row);
        aside.extend(devices);
    }
    while let Some(ended) = playing.planting.join_next().await {
        planted.push(ended??);
    }
    if let Some(laggard) = arena.hostile.get(&Attack::LagsBehind) {
        arena.dismiss(laggard).await?;
    }
    judge(&playing, planted, &aside, &mut act).await?;
    // Whoever leans on the chain or on a machine disturbs all others.
    let _alone = ALONE.lock().await;
    for row in floods::ROWS.into_iter().filter(|row| rows.contains(row)) {
        let random = playing.random(row, 0);
        let attempts = attempts.min(MOST_AUDITS);
        let played = floods::play(&arena, row, attempts, random).await;
        let tried = played.with_context(|| format!("{row:?}"))?;
        act.tried.extend(tried);
    }
    let folder = arena.folder.clone();
    drop((playing, arena));
    let apart = rows.iter().filter(|row| row.is_apart());
    let tried = apart::play(apart.copied().collect(), seed, attempts, &folder).await?;
    act.tried.extend(tried);
    Ok(act)
}

/// Audits the study, and compares what the audits say with what was planted. One audit is of all that everybody shows; each way of
/// showing what is not one's own takes another, because no audit without a relay's own export is whole.
async fn judge(
    playing: &Playing,
    planted: Vec<(u32, Planted)>,
    aside: &BTreeSet<DeviceId>,
    act: &mut Act,
) -> Result<()> {
    let arena = &playing.arena;
    let relays = arena.honest.iter().chain(arena.hostile.values());
    let relays = relays.filter(|relay| relay.name != Attack::LagsBehind.name());
    let mut hearing = Hearing {
        arena,
        relays: relays.collect(),
        exports: Vec::new(),
    };
    if let Some(offices) = &playing.offices {
        let file = arena.folder.join("rights.ndjson");
        offices.export(&file).await?;
        hearing.exports.push(("rights".into(), file));
    }
    if let Some(relay) = arena.hostile.get(&Attack::WritesTime) {
        let file = yesterday(arena, relay).await?;
        hearing.exports.push(("yesterday".into(), file));
    }
    let everything: Vec<Planted> = planted.iter().map(|(_, one)| one.clone()).collect();
    let report = hearing.audit("audit", None).await?;
    let judge = Judge::new(arena.column, &report, &everything).setting_aside(aside);
    let is_whole = |planted: &&Planted| exports::ways(planted.attack) == 0;
    act.honest = act.note(&judge, everything.iter().filter(is_whole));
    for row in exports::ROWS {
        let ways = exports::ways(row);
        for way in 0..ways {
            let is_so = |(number, one): &&(u32, Planted)| one.attack == row && number % ways == way;
            let mut of_way = planted.iter().filter(is_so).peekable();
            if of_way.peek().is_none() {
                continue;
            }
            let shown = playing.shown.get(&row).cloned().unwrap_or_default();
            shown.go(Some(way));
            let left_out = (row == Attack::NotAsked).then_some("dave");
            let name = format!("audit-{}-{way}", row.name());
            let report = hearing.audit(&name, left_out).await?;
            shown.go(None);
            let judge = Judge::new(arena.column, &report, &everything).setting_aside(aside);
            act.note(&judge, of_way.map(|(_, one)| one));
        }
    }
    Ok(())
}

/// What audits of the study are given.
struct Hearing<'a> {
    arena: &'a SharedArena,
    relays: Vec<&'a Relay>,
    exports: Vec<(String, PathBuf)>,
}

impl Hearing<'_> {
    /// Audits the study with the real auditor, which asks all of these relays but one.
    async fn audit(&self, name: &str, left_out: Option<&str>) -> Result<Report> {
        let asked = self.relays.iter().copied();
        let asked = asked.filter(|relay| left_out.is_none_or(|name| relay.name != name));
        let mut options = self.arena.audit(&asked.collect::<Vec<_>>());
        options.exports.clone_from(&self.exports);
        let json = self.arena.folder.join(format!("{name}.json"));
        arena::aside(move || audit::run(&options, &json)).await
    }
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
    /// What the hostile relays of the rows about exports show.
    shown: BTreeMap<Attack, exports::Shown>,
    /// Accounts that misuse their roles on the chain.
    offices: Option<Arc<rights::Offices>>,
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
            self.shown.insert(row, shown.clone());
            exports::turn(&arena, row, &shown);
            for number in 0..attempts {
                let (arena, shown) = (arena.clone(), shown.clone());
                let random = self.random(row, number);
                self.plant(row, number, async move {
                    exports::attempt(&arena, row, number, &shown, random).await
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
        self.offices = Some(offices.clone());
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
    let (status, export) = http::get_bytes(&url).await?;
    ensure!(status == 200, "no export of yesterday: {status}");
    let file = arena.folder.join("yesterday.ndjson");
    std::fs::write(&file, export)?;
    arena.let_blocks_pass(ON_ITS_WAY + 2).await?;
    Ok(file)
}
