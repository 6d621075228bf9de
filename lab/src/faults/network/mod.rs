// SPDX-License-Identifier: Apache-2.0

//! Faults of the network: of validators, of the links between them, of their clocks; under load through relays.

mod cluster;
mod disk;
mod floods;
mod offences;
mod plan;
mod site;
mod strike;
mod wires;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{Args, ValueEnum};
use mhealth_testing::audit;
use tokio::task::block_in_place;

use self::cluster::Cluster;
use self::plan::{Fault, Kind, VALIDATORS};
use self::site::Site;
use self::wires::{Loses, Slows, Wires};
use crate::judge::{self, Judgement};
use crate::load::{Cohorts, Load, Volume};
use crate::record::{Record, Said};
use crate::run::{ask_again, reach, tell, Audited};

/// Places for validators, a guest and a twin.
const PLACES: usize = cluster::SECOND + 1;
/// At the end, the chain must grow within this time as long as something acknowledged is missing.
const SETTLING: Duration = Duration::from_secs(240);
/// A device must get its last night to the chain within this time.
const STANDSTILL: Duration = Duration::from_secs(180);

/// Faults of the network: four real validators, each in a network namespace with an address of its own where the system lets
/// this program make some, and two relays, under load. Validators stop, are killed, are cut off from each other, lose their
/// databases; a disk is full; links are slow and lose packets; clocks are off; a validator contradicts itself; new nodes join; everybody
/// floods the chain. Each fault has what must hold while it lasts. After each, all validators must agree.
///
/// The last line reads `faults= broken= impossible= acknowledged= lost= doubled=`; the exit status is 0 when every fault that
/// this system can let happen went as it must, nothing was lost or doubled, every device went on, every queue drained, and
/// the audit found everything right.
#[derive(Args)]
pub(crate) struct Options {
    /// The same seed makes the same faults in the same order.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How many faults of each kind.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    faults: u32,
    /// Only faults of this kind. May be given several times.
    #[arg(long = "kind", value_name = "KIND", value_enum)]
    kinds: Vec<Kind>,
    /// Make no network namespaces, as on a system that does not let this program do so: all validators have one address.
    #[arg(long)]
    one_address: bool,
    /// Processes that play devices at a time.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    lanes: u32,
    /// Devices that each of them plays.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    devices: u32,
    /// Folder for the chains, the databases, the devices and the record of all acknowledgements. What an earlier fault run
    /// left there is replaced.
    #[arg(long, value_name = "FOLDER", default_value = "output/faults-network")]
    pub(crate) output: PathBuf,
}

/// Runs it and says whether all held.
pub(crate) async fn run(options: &Options, output: &Path) -> Result<bool> {
    if !options.one_address {
        if let Some(held) = block_in_place(wires::enter)? {
            return Ok(held);
        }
    }
    let start = Instant::now();
    let wires = wires(options);
    let kinds = match &options.kinds[..] {
        [] => Kind::value_variants(),
        some => some,
    };
    let faults = plan::faults(options.seed, options.faults as usize, kinds);
    println!(
        "{} faults from seed {}; everything is kept in {}.",
        faults.len(),
        options.seed,
        output.display()
    );
    let cluster = Cluster::start(output, wires).await?;
    cluster.agree().await?;
    let record = Arc::new(Record::new(&output.join("acknowledged.ndjson"))?);
    let mut site = Site::start(output, cluster, &record).await?;
    let volume = Volume {
        lanes: options.lanes,
        devices: options.devices,
        nights: 2,
        seed: options.seed,
    };
    let load = Load::start(volume, output, &site.servers);
    say(start, "Waiting until devices are enrolled and send.");
    reach(&record, u64::from(options.lanes)).await?;

    let mut report = Report::default();
    let clock = || start.elapsed().as_secs();
    for fault in &faults {
        report.strike(&mut site, fault, &clock).await;
    }

    say(start, "No faults any more.");
    let healed = report.heal(&mut site).await;
    report.take("the network at the end", healed);
    let cohorts = block_in_place(|| load.stop());
    report.judge(&site, &cohorts, &record).await;
    say(start, "Auditing it.");
    let audited = block_in_place(|| audit::run(&site.audit(), &output.join("audit.json")));
    let audited = report.take("the audit", audited);
    report.audited = audited.map(Audited::of).unwrap_or_default();
    report.print(&cohorts, site.relays());
    Ok(report.holds())
}

/// The wires, where the system allows them. Says what can and what cannot happen here.
fn wires(options: &Options) -> Option<Wires> {
    let laid = match options.one_address {
        true => Err(anyhow::anyhow!("as told")),
        false => Wires::lay(PLACES),
    };
    match &laid {
        Ok(wires) => {
            println!("Addresses: one for each node, in network namespaces; links can be cut.");
            match wires.slows {
                Some(Slows::Delay) => println!("Slow links: by netem."),
                Some(Slows::Rate) => println!("Slow links: by a low rate (tbf)."),
                None => println!("Slow links: none; neither netem nor tbf is there."),
            }
            match wires.loses {
                Some(Loses::Netem) => println!("Lossy links: by netem."),
                Some(Loses::Filter) => println!("Lossy links: by iptables."),
                None => println!("Lossy links: none; neither netem nor iptables is there."),
            }
        }
        Err(why) => {
            println!("Addresses: one for all nodes ({why:#}).");
            println!("Links: lists of peers keep nodes apart; no link is slow or lossy.");
        }
    }
    match strike::fake_time() {
        Some(library) => println!("Wrong clocks: by {}.", library.display()),
        None => println!("Wrong clocks: none; libfaketime is not installed."),
    }
    laid.ok()
}

fn say(start: Instant, what: &str) {
    println!("{:>5} s  {what}", start.elapsed().as_secs());
}

/// What the chain says of what was acknowledged, once it has all that it is going to have.
async fn judged(site: &Site, said: &Said) -> Result<Judgement> {
    let chain = site.chain(0).await?;
    judge::settle(&chain, said, SETTLING).await?;
    judge::judge(&chain, said).await
}

/// All there is to say.
#[derive(Default)]
struct Report {
    /// How often each kind went as it must.
    held: BTreeMap<Kind, u32>,
    /// Longest times until all validators agreed after a fault of the kind, in seconds.
    healed: BTreeMap<Kind, f64>,
    broken: Vec<String>,
    impossible: BTreeMap<String, u32>,
    /// How often a server ended by itself.
    fallen: u32,
    /// Validators whose keys were on a second node.
    equivocated: BTreeSet<usize>,
    judgement: Judgement,
    audited: Audited,
    said: Said,
    stuck: Vec<String>,
}

impl Report {
    /// One fault, and the agreement after it.
    async fn strike(&mut self, site: &mut Site, fault: &Fault, clock: &impl Fn() -> u64) {
        if let Some(why) = strike::impossible(fault.kind, site) {
            let what = format!("{}: {why}", fault.kind.name());
            *self.impossible.entry(what).or_default() += 1;
            return;
        }
        println!("{:>5} s  {fault}", clock());
        if fault.kind == Kind::Equivocate {
            self.equivocated.insert(fault.victim);
        }
        let struck = strike::strike(site, fault).await;
        let ended = Instant::now();
        let healed = self.heal(site).await;
        match (struck, healed) {
            (Ok(told), Ok(block)) => {
                let took = ended.elapsed().as_secs_f64();
                println!("{:>5} s    all agree on block {block}. {told}", clock());
                *self.held.entry(fault.kind).or_default() += 1;
                let longest = self.healed.entry(fault.kind).or_default();
                *longest = longest.max(took);
            }
            (struck, healed) => {
                for error in struck.err().into_iter().chain(healed.err()) {
                    println!("{:>5} s    BROKEN: {error:#}", clock());
                    self.broken.push(format!("{fault}: {error:#}"));
                }
            }
        }
    }

    /// Brings up whatever is down, and waits until all validators agree.
    async fn heal(&mut self, site: &mut Site) -> Result<u64> {
        site.cluster.pick_up(&mut self.broken).await?;
        site.cluster.mend().await?;
        let agreed = site.cluster.agree().await;
        self.fallen += block_in_place(|| site.pick_up())?;
        agreed
    }

    /// What came of a step. An error is one of the things that are broken, so that whatever happened before it is told, too.
    fn take<T>(&mut self, what: &str, outcome: Result<T>) -> Option<T> {
        let failed = |error: anyhow::Error| self.broken.push(format!("{what}: {error:#}"));
        outcome.map_err(failed).ok()
    }

    /// Holds what was acknowledged against the chain.
    async fn judge(&mut self, site: &Site, cohorts: &Cohorts, record: &Record) {
        self.stuck = block_in_place(|| cohorts.go_on(STANDSTILL));
        self.said = record.said();
        let port = |keeper| site.relay_port(keeper);
        let asked = block_in_place(|| ask_again(port, &mut self.said));
        self.take("relays that are asked again", asked);
        let judged = judged(site, &self.said).await;
        self.judgement = self.take("the judge", judged).unwrap_or_default();
        let different = block_in_place(|| cohorts.compare(&site.near_node(0)));
        let different = self.take("heads of devices", different).unwrap_or_default();
        self.stuck.extend(different);
        let drained = block_in_place(|| site.drain());
        self.take("queues of relays", drained);
        let offenders = offences::offenders(site.cluster.node(0)).await;
        let offenders = self.take("offences", offenders).unwrap_or_default();
        let slandered = self.slandered(&offenders);
        for honest in self.take("accounts", slandered).unwrap_or_default() {
            let told = format!("validator {honest} is honest and has an offence");
            self.broken.push(told);
        }
    }

    /// Honest validators among those that the chain has offences of.
    fn slandered(&self, offenders: &BTreeSet<[u8; 32]>) -> Result<Vec<usize>> {
        let mut slandered = Vec::new();
        for honest in (0..VALIDATORS).filter(|one| !self.equivocated.contains(one)) {
            if offenders.contains(&offences::account(honest)?) {
                slandered.push(honest);
            }
        }
        Ok(slandered)
    }

    fn holds(&self) -> bool {
        self.broken.is_empty()
            && self.judgement.holds()
            && self.judgement.acknowledged > 0
            && self.audited.holds(self.judgement.on_chain)
            && self.stuck.is_empty()
            && self.said.unreadable.is_empty()
    }

    fn print(&self, cohorts: &Cohorts, relays: usize) {
        println!("\nFaults that went as they must, and the longest time until all agreed again:");
        for (kind, times) in &self.held {
            let longest = self.healed.get(kind).copied().unwrap_or_default();
            println!("  {times:>5}  {:15} {longest:>6.1} s", kind.name());
        }
        for (what, times) in &self.impossible {
            println!("  {times:>5}  impossible here: {what}");
        }
        let judgement = &self.judgement;
        println!(
            "{} entries in {} runs were acknowledged by {relays} relays; the chain has {} entries.",
            judgement.acknowledged,
            self.said.runs.len(),
            judgement.on_chain
        );
        println!(
            "Of {} devices, {} cohorts could not go on. Servers ended by themselves {} times.",
            cohorts.devices(),
            self.stuck.len(),
            self.fallen
        );
        tell("broken", &self.broken);
        tell("wrong on the chain", &judgement.findings);
        tell("false alarm", &self.audited.alarms);
        tell("could not go on", &self.stuck);
        tell("complaint of devices", &cohorts.complaints());
        tell("answer that could not be read", &self.said.unreadable);
        println!(
            "audited={} false_alarms={} audit={}",
            self.audited.registered,
            self.audited.alarms.len(),
            self.audited.outcome
        );
        println!(
            "faults={} broken={} impossible={} acknowledged={} lost={} doubled={}",
            self.held.values().sum::<u32>(),
            self.broken.len(),
            self.impossible.values().sum::<u32>(),
            judgement.acknowledged,
            judgement.lost,
            judgement.doubled
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_at_the_end_is_told_with_all_that_was_broken_before() {
        let mut report = Report::default();
        report.broken.push("kill, validator 1: it is gone".into());
        assert_eq!(report.take("the judge", Ok(7)), Some(7));
        let failed = report.take::<()>("the audit", Err(anyhow::anyhow!("nobody answers")));
        assert_eq!(failed, None);
        let expected = ["kill, validator 1: it is gone", "the audit: nobody answers"];
        assert_eq!(report.broken, expected);
        assert!(!report.holds());
    }

    #[test]
    fn an_offence_is_an_honest_validators_unless_its_keys_were_on_two_nodes() {
        let offenders = [1, 3].map(|validator| offences::account(validator).expect("an account"));
        let offenders = BTreeSet::from(offenders);
        let mut report = Report::default();
        let slandered = |report: &Report| report.slandered(&offenders).expect("accounts");
        assert_eq!(slandered(&report), [1, 3]);
        report.equivocated.insert(3);
        assert_eq!(slandered(&report), [1]);
        report.equivocated.extend([0, 1]);
        assert_eq!(slandered(&report), [0; 0]);
    }
}
