// SPDX-License-Identifier: Apache-2.0

//! One fault run, from the first process to the last line.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{bail, Result};
use mhealth_chain_client::{ChainClient, ConnectOptions, Patience};
use mhealth_testing::audit;
use mhealth_testing::servers::http_get;
use tokio::task::block_in_place;

use crate::judge::{self, Judgement};
use crate::load::{Cohorts, Load, Volume};
use crate::plan::{self, Fault, Step};
use crate::record::{Keeper, Record, Said};
use crate::site::Site;
use crate::Options;

/// Faults at a time. Each is over before its place is given to another.
const AT_A_TIME: usize = 3;
/// The load must get somewhere within this time, faults or not.
const STANDSTILL: Duration = Duration::from_secs(180);
/// At the end, the chain must grow within this time as long as something acknowledged is missing.
const SETTLING: Duration = Duration::from_secs(240);

/// Runs it and says whether all held. Prints the last line in any case in which there was a judgement.
pub(crate) async fn run(options: &Options, output: &Path) -> Result<bool> {
    let start = Instant::now();
    let kills = options.kills as usize;
    let steps = plan::steps(options.seed, kills, options.disks.is_some());
    println!(
        "{} faults, {kills} of them kills, from seed {}; everything is kept in {}.",
        steps.len(),
        options.seed,
        output.display()
    );
    if options.disks.is_none() {
        println!("No disk will fill up: no small file systems could be mounted.");
    }
    let record = Arc::new(Record::new(&output.join("acknowledged.ndjson"))?);
    let auth_database = options.auth_database();
    println!("The authentication server keeps its data in {auth_database:?}.");
    let site = Site::start(output, options.disks.clone(), auth_database, &record).await?;
    let volume = Volume {
        lanes: options.lanes,
        devices: options.devices,
        nights: options.nights,
        seed: options.seed,
    };
    let load = Load::start(volume, output, &site.servers);
    let stage = Arc::new(Stage {
        site,
        load,
        done: Mutex::default(),
        failed: Mutex::default(),
    });

    println!(
        "{:>5} s  Waiting until devices are enrolled and send.",
        start.elapsed().as_secs()
    );
    reach(&record, u64::from(options.lanes)).await?;
    stage.play(&steps, &record, start).await?;
    let entries = options.entries.unwrap_or(50 * u64::from(options.kills));
    reach(&record, entries).await?;

    println!("{:>5} s  No faults any more.", start.elapsed().as_secs());
    let stage = Arc::into_inner(stage).expect("the faults' threads have ended; qed");
    let site = stage.site;
    block_in_place(|| site.heal())?;
    let load = stage.load;
    let cohorts = block_in_place(|| load.stop());
    println!(
        "{:>5} s  Each of {} devices makes one night more and sends what it has.",
        start.elapsed().as_secs(),
        cohorts.devices()
    );
    let mut stuck = block_in_place(|| cohorts.go_on(STANDSTILL));

    println!("{:>5} s  Reading the chain.", start.elapsed().as_secs());
    let patience = Duration::from_secs(60);
    let patience = Patience {
        connect: patience,
        reconnect: patience,
        ..Patience::default()
    };
    let reach = ConnectOptions {
        genesis: None,
        patience,
    };
    let chain = ChainClient::connect_with(&site.node_url(), reach).await?;
    let mut said = record.said();
    block_in_place(|| ask_again(|keeper| site.relay_port(keeper), &mut said))?;
    judge::settle(&chain, &said, SETTLING).await?;
    let judgement = judge::judge(&chain, &said).await?;
    stuck.extend(block_in_place(|| cohorts.compare(&site.node_url()))?);

    println!("{:>5} s  Auditing it.", start.elapsed().as_secs());
    let audited = block_in_place(|| audit::run(&site.audit(), &output.join("audit.json")));

    let done = stage.done.into_inner().unwrap_or_default();
    let mut failed = stage.failed.into_inner().unwrap_or_default();
    let audited = audited.map(Audited::of).unwrap_or_else(|error| {
        failed.push(format!("{error:#}"));
        Audited::default()
    });
    let report = Report {
        judgement,
        audited,
        said,
        done,
        failed,
        stuck,
        cohorts: &cohorts,
    };
    report.print(start.elapsed());
    Ok(report.holds(kills, entries))
}

/// What the threads of the faults share.
struct Stage {
    site: Site,
    load: Load,
    done: Mutex<Vec<Fault>>,
    failed: Mutex<Vec<String>>,
}

impl Stage {
    /// Lets the faults happen, each when its time has come. Returns when the last is over.
    async fn play(self: &Arc<Self>, steps: &[Step], record: &Record, start: Instant) -> Result<()> {
        let mut count = record.count();
        let mut active: Vec<JoinHandle<()>> = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            let enough = *count.borrow_and_update() + step.acknowledgements;
            let acknowledged = count.wait_for(|runs| *runs >= enough);
            // When the time is over first, the fault strikes a system that stands still.
            let _ = tokio::time::timeout(step.at_most, acknowledged).await;
            loop {
                // What a fault waits for may have ended by itself.
                block_in_place(|| self.site.pick_up());
                active.retain(|fault| !fault.is_finished());
                if active.len() < AT_A_TIME {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            println!(
                "{:>5} s  {:>6} runs acknowledged  {}",
                start.elapsed().as_secs(),
                *count.borrow(),
                step.fault
            );
            let (stage, fault) = (self.clone(), step.fault);
            active.push(thread::spawn(move || stage.strike(fault, number)));
        }
        block_in_place(|| active.into_iter().for_each(|fault| drop(fault.join())));
        Ok(())
    }

    fn strike(&self, fault: Fault, number: usize) {
        match self.site.strike(fault, &self.load, number) {
            Ok(()) => {
                let mut done = self
                    .done
                    .lock()
                    .expect("no holder of this lock panics; qed");
                done.push(fault);
            }
            Err(error) => {
                let mut failed = self
                    .failed
                    .lock()
                    .expect("no holder of this lock panics; qed");
                failed.push(format!("{fault}: {error:#}"));
            }
        }
    }
}

/// Waits until so many entries are acknowledged.
pub(crate) async fn reach(record: &Record, entries: u64) -> Result<()> {
    let mut count = record.count();
    loop {
        let said = record.said();
        let reached: u64 = said.runs.values().map(|run| u64::from(run.entries)).sum();
        if reached >= entries {
            return Ok(());
        }
        count.borrow_and_update();
        if tokio::time::timeout(STANDSTILL, count.changed())
            .await
            .is_err()
        {
            bail!("no relay has acknowledged anything for {STANDSTILL:?}");
        }
        // The record is copied for each look.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Asks the relays for every run that they have acknowledged, at the port of one that answers for the keeper.
pub(crate) fn ask_again(port: impl Fn(Keeper) -> Option<u16>, said: &mut Said) -> Result<()> {
    for (run, keepers) in &said.keepers {
        for keeper in keepers {
            let Some(port) = port(*keeper) else {
                continue;
            };
            let (status, answer) = http_get(port, &format!("/v1/runs/{run}"))?;
            match status {
                200 => {}
                404 => drop(said.forgotten.insert(*run)),
                _ => bail!("a relay that is asked for {run} says {status}: {answer}"),
            }
        }
    }
    Ok(())
}

/// What the auditor says of a study in which everybody was honest.
#[derive(Default)]
pub(crate) struct Audited {
    pub(crate) registered: u64,
    pub(crate) alarms: Vec<String>,
    pub(crate) outcome: String,
}

impl Audited {
    pub(crate) fn of(report: audit::Report) -> Self {
        Audited {
            registered: report.summary.registered,
            alarms: report.alarms(),
            outcome: report.summary.outcome,
        }
    }

    /// Whether it found every entry of the chain, and all of them right.
    pub(crate) fn holds(&self, on_chain: u64) -> bool {
        self.registered == on_chain && self.alarms.is_empty() && self.outcome == "right"
    }
}

/// All there is to say.
struct Report<'a> {
    judgement: Judgement,
    audited: Audited,
    said: Said,
    done: Vec<Fault>,
    failed: Vec<String>,
    stuck: Vec<String>,
    cohorts: &'a Cohorts,
}

impl Report<'_> {
    fn kills(&self) -> usize {
        self.done.iter().filter(|fault| fault.is_kill()).count()
    }

    fn holds(&self, kills: usize, entries: u64) -> bool {
        self.judgement.holds()
            && self.audited.holds(self.judgement.on_chain)
            && self.failed.is_empty()
            && self.stuck.is_empty()
            && self.said.unreadable.is_empty()
            && self.kills() == kills
            && self.judgement.acknowledged >= entries
    }

    fn print(&self, took: Duration) {
        let judgement = &self.judgement;
        println!("\nFaults in {} s:", took.as_secs());
        let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
        for fault in &self.done {
            *kinds.entry(fault.kind()).or_default() += 1;
        }
        for (kind, times) in kinds {
            println!("  {times:>5}  {kind}");
        }
        println!("Answers to devices, by status:");
        let statuses: BTreeMap<_, _> = self.said.statuses.iter().collect();
        for (status, times) in statuses {
            println!("  {times:>5}  {status}");
        }
        println!(
            "{} entries in {} runs were acknowledged; the chain has {} entries.",
            judgement.acknowledged,
            self.said.runs.len(),
            judgement.on_chain
        );
        println!(
            "Every relay was asked for every run that it had acknowledged; {} were forgotten, then or before.",
            self.said.forgotten.len()
        );
        println!(
            "{} enrolments were acknowledged, {} of them are not on the chain.",
            judgement.enrolled, judgement.enrolments_lost
        );
        println!(
            "Of {} devices, {} cohorts could not go on.",
            self.cohorts.devices(),
            self.stuck.len()
        );
        tell("wrong on the chain", &judgement.findings);
        tell("false alarm", &self.audited.alarms);
        tell("could not go on", &self.stuck);
        tell("fault that failed", &self.failed);
        tell("complaint of devices", &self.cohorts.complaints());
        tell("answer that could not be read", &self.said.unreadable);
        let refused = self.said.refused.values().map(|run| format!("{run:?}"));
        tell("refused run", &refused.collect::<Vec<_>>());
        if judgement.lost == 0 && judgement.acknowledged > 0 {
            println!(
                "With 95 % confidence fewer than {:.6} of all acknowledged entries are lost or doubled (3/N).",
                3.0 / judgement.acknowledged as f64
            );
        }
        println!(
            "audited={} false_alarms={} audit={}",
            self.audited.registered,
            self.audited.alarms.len(),
            self.audited.outcome
        );
        println!(
            "acknowledged={} lost={} doubled={} kills={}",
            judgement.acknowledged,
            judgement.lost,
            judgement.doubled,
            self.kills()
        );
    }
}

/// Most things of a kind that are told.
const MOST_TOLD: usize = 20;

pub(crate) fn tell(what: &str, things: &[String]) {
    for thing in things.iter().take(MOST_TOLD) {
        println!("  {what}: {thing}");
    }
    if things.len() > MOST_TOLD {
        println!("  {what}: and {} more", things.len() - MOST_TOLD);
    }
}
