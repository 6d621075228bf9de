// SPDX-License-Identifier: Apache-2.0

//! Plays all attacks against one topology and policy, with honest phones beside them, while audits go on.

use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};
use mhealth_testing::audit::{self, Report};
use mhealth_testing::topology::Cohort;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::SeedableRng;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::attack::{Attack, Column, Must};
use crate::judge::{Fate, Judge, Named, Verdict};
use crate::stage::Stage;
use crate::truth::Planted;
use crate::{bare, beyond, keys, parties, relay, secret};

/// Attempts at a time. Each mostly waits for blocks.
const AT_ONCE: usize = 192;
/// Up to so many attempts of each attack both acts are played at the same time.
pub(crate) const FEW: u32 = 8;
/// Nights of an honest phone.
const NIGHTS: u32 = 6;
/// For how many blocks a run may be on its way: nobody waits an hour here.
const ON_ITS_WAY: u64 = 5;
/// Between two looks at the chain, and between two audits at least.
const PAUSE: Duration = Duration::from_millis(200);

/// An attempt, and what came of it.
pub(crate) struct Tried {
    pub(crate) attack: Attack,
    pub(crate) verdict: Verdict,
    /// How long it took until an audit saw it.
    pub(crate) after: Option<After>,
    /// How long an honest party waited for what it wanted, where it was made to wait.
    pub(crate) waited: Option<Duration>,
    /// What was done, for people who look for the reason of a failure.
    pub(crate) about: String,
}

impl Tried {
    /// As an audit shows it.
    pub(crate) fn judged(planted: &Planted, judge: &Judge<'_>) -> Self {
        Tried {
            attack: planted.attack,
            verdict: judge.verdict(planted),
            after: None,
            waited: None,
            about: format!("{planted:?}"),
        }
    }

    /// Whether that is what must come of it, where phones chain.
    pub(crate) fn is_right(&self) -> bool {
        let Verdict { fate, named } = self.verdict;
        let among = matches!(named, Some(Named::Alone | Named::Among));
        match self.attack.must() {
            Must::BePrevented => fate == Fate::Prevented,
            Must::BeKnown => fate == Fate::Prevented || (fate == Fate::Detected && among),
            Must::NameItsMaker => {
                fate == Fate::Prevented || (fate == Fate::Detected && named == Some(Named::Alone))
            }
            Must::PassUnseen => true,
        }
    }
}

/// How long detection took, from when the attempt took effect to the end of the first audit that says so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct After {
    pub(crate) blocks: u64,
    pub(crate) seconds: f64,
}

/// All that was tried against a column.
pub(crate) struct Played {
    pub(crate) column: Column,
    pub(crate) tried: Vec<Tried>,
    /// Entries of honest phones, and of attacked ones before the attack.
    pub(crate) honest: u64,
    pub(crate) alarms: Vec<String>,
    pub(crate) audits: usize,
    pub(crate) took: Duration,
}

/// Attempts, with the first audit that saw each.
type Record = Arc<Mutex<Vec<(Planted, Option<After>)>>>;

/// Makes one attempt.
async fn attempt(stage: &Stage, attack: Attack, random: StdRng) -> Result<Planted> {
    let planted = if !stage.column.chained() {
        bare::attempt(stage, attack, random).await
    } else {
        match attack.figure() {
            None => beyond::attempt(stage, attack, random).await,
            Some(4) => relay::attempt(stage, attack, random).await,
            Some(5) => keys::attempt(stage, attack, random).await,
            Some(_) => secret::attempt(stage, attack, random).await,
        }
    };
    planted.with_context(|| format!("{attack:?} in {}", stage.column.title()))
}

/// Plays these attacks of both acts against a column.
pub(crate) async fn play(
    column: Column,
    seed: u64,
    attempts: u32,
    wanted: &[Attack],
    folder: &Path,
) -> Result<Played> {
    let began = Instant::now();
    let folder = folder.join(column.folder());
    let of_act = |second: bool| -> Vec<Attack> {
        let attacks = wanted.iter().copied();
        attacks
            .filter(|attack| attack.is_of_a_party() == second && attack.applies(column))
            .collect()
    };
    let (first, second) = (of_act(false), of_act(true));
    let papers = async {
        match first.is_empty() {
            true => Ok(Act::default()),
            false => papers(column, seed, attempts, &first, &folder).await,
        }
    };
    let parties = async {
        match second.is_empty() {
            true => Ok(Act::default()),
            false => parties::play(column, seed, attempts, &second, &folder).await,
        }
    };
    // A few attempts mostly wait for blocks. Many wait for the processors, and what is measured is how long phones wait.
    let (papers, parties) = match attempts <= FEW {
        true => tokio::try_join!(papers, parties)?,
        false => (papers.await?, parties.await?),
    };
    let mut played = Played {
        column,
        tried: papers.tried,
        honest: papers.honest + parties.honest,
        alarms: papers.alarms,
        audits: papers.audits + parties.audits,
        took: began.elapsed(),
    };
    played.tried.extend(parties.tried);
    played.alarms.extend(parties.alarms);
    Ok(played)
}

/// What came of an act in a column.
#[derive(Default)]
pub(crate) struct Act {
    pub(crate) tried: Vec<Tried>,
    /// Entries of phones that nobody attacked, or from before an attack.
    pub(crate) honest: u64,
    pub(crate) alarms: Vec<String>,
    pub(crate) audits: usize,
}

impl Act {
    /// Notes what an audit says of these attempts, and what it says of honest entries. Gives the number of those.
    pub(crate) fn note<'a>(
        &mut self,
        judge: &Judge<'_>,
        attempts: impl Iterator<Item = &'a Planted>,
    ) -> u64 {
        self.tried
            .extend(attempts.map(|planted| Tried::judged(planted, judge)));
        let (honest, alarms) = judge.false_alarms();
        self.alarms.extend(alarms);
        self.audits += 1;
        honest
    }
}

/// The first act: the paper's attacks, and some beside them, on a chain that makes blocks without consensus.
async fn papers(
    column: Column,
    seed: u64,
    attempts: u32,
    attacks: &[Attack],
    folder: &Path,
) -> Result<Act> {
    let folder = folder.to_path_buf();
    let stage = Arc::new(Stage::set(column, &folder).await?);
    let record: Record = Arc::default();
    let over = Arc::new(AtomicBool::new(false));
    let audits = tokio::spawn(audit_on(
        stage.clone(),
        record.clone(),
        over.clone(),
        folder.clone(),
    ));
    let honest = tokio::task::spawn_blocking({
        let (cohorts, folder) = (stage.site.cohorts(), folder.clone());
        move || honest_phones(cohorts, seed, attempts, &folder)
    });

    let mut plan: Vec<(Attack, u32)> = attacks
        .iter()
        .copied()
        .flat_map(|attack| (0..attempts).map(move |number| (attack, number)))
        .collect();
    plan.shuffle(&mut StdRng::seed_from_u64(seed));
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for (attack, number) in plan {
        let (stage, record, places) = (stage.clone(), record.clone(), places.clone());
        // Each has a seed of its own, whatever the order in which they get their turns.
        let own = (seed << 24) ^ ((attack as u64) << 16) ^ u64::from(number);
        running.spawn(async move {
            let _place = places.acquire().await?;
            let planted = attempt(&stage, attack, StdRng::seed_from_u64(own)).await?;
            record
                .lock()
                .expect("no holder of this lock panics; qed")
                .push((planted, None));
            anyhow::Ok(())
        });
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    honest.await??;
    // What was just brought must be in a finalised block before the last audit.
    let tip = stage.block().await?;
    while stage.block().await? < tip + 2 {
        tokio::time::sleep(PAUSE).await;
    }
    over.store(true, Ordering::Relaxed);
    let (report, audits) = audits.await??;

    let record = std::mem::take(&mut *record.lock().expect("no holder of this lock panics; qed"));
    let planted: Vec<Planted> = record.iter().map(|(planted, _)| planted.clone()).collect();
    let judge = Judge::new(column, &report, &planted);
    let (honest, alarms) = judge.false_alarms();
    let tried = record.into_iter().map(|(planted, after)| {
        let tried = Tried::judged(&planted, &judge);
        Tried {
            // Some were seen before they came to nothing.
            after: after.filter(|_| tried.verdict.fate == Fate::Detected),
            ..tried
        }
    });
    Ok(Act {
        tried: tried.collect(),
        honest,
        alarms,
        audits,
    })
}

/// Audits over and over until all is over, and once more.
async fn audit_on(
    stage: Arc<Stage>,
    record: Record,
    over: Arc<AtomicBool>,
    folder: std::path::PathBuf,
) -> Result<(Report, usize)> {
    let store = folder.join("hacked.ndjson");
    let mut options = stage.site.audit();
    options.exports = vec![("hacked".into(), store.clone())];
    options.on_its_way = Some(ON_ITS_WAY);
    options.kept = Some(folder.join("kept.db"));
    for audits in 1.. {
        let last = over.load(Ordering::Relaxed);
        if last {
            // What the relay signed that it holds, and has still not brought some blocks later, it keeps back.
            let earlier = folder.join("hacked-earlier.ndjson");
            stage.hacked.export(&earlier).await?;
            options.exports.push(("hacked-earlier".into(), earlier));
            stage.let_blocks_pass(ON_ITS_WAY + 2).await?;
        }
        stage.hacked.export(&store).await?;
        if last {
            options.html = Some(folder.join("audit.html"));
        }
        let (options, json) = (options.clone(), folder.join("audit.json"));
        let began = Instant::now();
        let report = tokio::task::spawn_blocking(move || audit::run(&options, &json)).await??;
        note(stage.column, &report, &record);
        if last {
            return Ok((report, audits));
        }
        // So that audits of a large study leave half of a processor to those that they look at.
        let next = Instant::now() + began.elapsed();
        tokio::time::sleep(PAUSE).await;
        while Instant::now() < next && !over.load(Ordering::Relaxed) {
            tokio::time::sleep(PAUSE).await;
        }
    }
    bail!("audits never end")
}

/// Notes which attempts an audit is the first to see.
fn note(column: Column, report: &Report, record: &Record) {
    let mut record = record.lock().expect("no holder of this lock panics; qed");
    let planted: Vec<Planted> = record.iter().map(|(planted, _)| planted.clone()).collect();
    let judge = Judge::new(column, report, &planted);
    for (planted, after) in record.iter_mut().filter(|(_, after)| after.is_none()) {
        if judge.verdict(planted).fate == Fate::Detected {
            *after = Some(After {
                blocks: report.audit.block.saturating_sub(planted.block),
                seconds: planted.at.elapsed().as_secs_f64(),
            });
        }
    }
}

/// Phones that nobody attacks, played by the real `mhealth-device`.
fn honest_phones(cohorts: Vec<Cohort>, seed: u64, attempts: u32, folder: &Path) -> Result<()> {
    let devices = (2 * attempts).div_ceil(cohorts.len() as u32).max(2);
    for cohort in cohorts {
        let output = cohort
            .device("simulate", folder)?
            .arg(format!("--devices={devices}"))
            .arg(format!("--nights={NIGHTS}"))
            .arg(format!("--seed={seed}"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output()
            .context("cannot run mhealth-device")?;
        if !output.status.success() {
            bail!(
                "honest phones could not write: {}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
    Ok(())
}
