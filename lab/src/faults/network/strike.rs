// SPDX-License-Identifier: Apache-2.0

//! Lets a fault happen, looks whether the network does what it must meanwhile, and ends it.

use std::fs;
use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{ensure, Context, Result};
use mhealth_chain_client::ChainClient;
use mhealth_testing::finality::{height, height_at_last, wait_until_final, PROGRESS};
use mhealth_testing::joining::serves_like;
use mhealth_testing::node::{Launch, Node};
use tokio::task::block_in_place;
use tokio::time::{sleep, timeout};

use super::cluster::{GUEST, LATEST, SECOND};
use super::floods;
use super::offences;
use super::plan::{Fault, Kind, VALIDATORS};
use super::site::{client, near_to, Site};

/// The library that shows a program another time.
const FAKE_TIME: &str = "faketime/libfaketimeMT.so.1";
/// Folders of libraries. Debian has one for each kind of machine below the first.
const LIBRARIES: [&str; 2] = ["/usr/lib", "/usr/local/lib"];
/// What a node logs when it has started.
const STARTED: &str = "Running JSON-RPC server";
/// A clock that is said to be minutes off must be off by so many seconds.
const LEAST_OFF: i64 = 60;
/// Entries must come to the chain within this time, whoever floods it.
const SOON: Duration = Duration::from_secs(90);
/// So many blocks more the others must have finalised before a validator starts without its database: with its votes forgotten it
/// could contradict itself. `docs/operating/runbooks.md`, Restore.
const AFTER_LOSS: u64 = 20;

/// Where the library is that shows a program another time, if it is there.
pub(crate) fn fake_time() -> Option<PathBuf> {
    let roots = LIBRARIES.map(PathBuf::from);
    let of_machines = fs::read_dir(&roots[0]).into_iter().flatten().flatten();
    let of_machines: Vec<PathBuf> = of_machines.map(|folder| folder.path()).collect();
    let mut files = roots.iter().chain(&of_machines);
    files.find_map(|folder| Some(folder.join(FAKE_TIME)).filter(|file| file.exists()))
}

/// Why this system cannot let such faults happen, if it cannot.
pub(crate) fn impossible(kind: Kind, site: &Site) -> Option<&'static str> {
    let wires = site.cluster.wires.as_ref();
    match kind {
        Kind::WrongClock if fake_time().is_none() => Some("libfaketime is not installed"),
        Kind::Slow if wires.is_none() => Some("there are no network namespaces"),
        Kind::Slow if wires.is_some_and(|wires| wires.slows.is_none()) => {
            Some("neither netem nor tbf is there")
        }
        Kind::FullDisk if site.cluster.disk.is_none() => Some("no file system can be mounted"),
        Kind::Lossy if wires.is_none() => Some("there are no network namespaces"),
        Kind::Lossy if wires.is_some_and(|wires| wires.loses.is_none()) => {
            Some("neither netem nor iptables is there")
        }
        _ => None,
    }
}

/// Lets it happen, with what must hold meanwhile, and ends it. Returns what is worth telling.
pub(crate) async fn strike(site: &mut Site, fault: &Fault) -> Result<String> {
    let (victim, second) = (fault.victim, fault.second);
    match fault.kind {
        Kind::StopNone => {
            let all: Vec<usize> = (0..VALIDATORS).collect();
            site.cluster.finalise(&all, PROGRESS).await?;
        }
        Kind::StopOne => {
            site.cluster.stop(victim)?;
            site.cluster.finalise(&fault.others(), PROGRESS).await?;
            site.cluster.start_again(victim, &[]).await?;
        }
        Kind::StopTwo => {
            site.cluster.stop(victim)?;
            site.cluster.stop(second)?;
            site.cluster.halt(&fault.rest(), fault.time).await?;
            site.cluster.start_again(victim, &[]).await?;
            site.cluster.start_again(second, &[]).await?;
        }
        Kind::Kill => {
            site.cluster.kill(victim)?;
            sleep(fault.time / 4).await;
            site.cluster.start_again(victim, &[]).await?;
        }
        Kind::PartHalves => {
            let rest = fault.rest();
            site.cluster.part(&[victim, second], &rest).await?;
            let all: Vec<usize> = (0..VALIDATORS).collect();
            let halted = site.cluster.halt(&all, fault.time).await;
            site.cluster.mend().await?;
            halted?;
        }
        Kind::PartOne => {
            let others = fault.others();
            site.cluster.part(&[victim], &others).await?;
            let cluster = &site.cluster;
            let go_on = cluster.finalise_without(victim, &others, fault.time).await;
            cluster.mend().await?;
            go_on?;
        }
        Kind::LoseDatabase => {
            site.cluster.kill(victim)?;
            site.cluster.rob(victim)?;
            site.cluster.finalise(&fault.others(), AFTER_LOSS).await?;
            site.cluster.start_again(victim, &[]).await?;
        }
        Kind::FullDisk => return full_disk(site, fault).await,
        Kind::Slow | Kind::Lossy => {
            let wires = site.cluster.wires.as_ref().context("no wires")?;
            match fault.kind {
                Kind::Slow => wires.slow(victim)?,
                _ => wires.lose(victim, fault.loss)?,
            }
            let go_on = site.cluster.finalise(&fault.others(), 2 * PROGRESS).await;
            site.cluster.mend().await?;
            go_on?;
        }
        Kind::WrongClock => wrong_clock(site, fault).await?,
        Kind::RelayMoves => return relay_moves(site, fault).await,
        Kind::JoinWarp => return join(site, "--sync=warp").await,
        Kind::JoinState => return join(site, "--sync=fast").await,
        Kind::Flood => return flooded(site, fault).await,
        Kind::Equivocate => return equivocate(site, fault).await,
    }
    Ok(String::new())
}

/// The disk of a validator is full. It ends or stands still, the others go on, and when there is room again it begins with what was
/// final before.
async fn full_disk(site: &mut Site, fault: &Fault) -> Result<String> {
    let victim = fault.victim;
    let before = height(site.cluster.node(victim)).await?.last_final;
    site.cluster.disk()?.fill()?;
    let go_on = site.cluster.finalise(&fault.others(), 2 * PROGRESS).await;
    let stood = stood_still(site, fault).await;
    site.cluster.disk()?.free()?;
    site.cluster.start_again(victim, &[]).await?;
    let now = height(site.cluster.node(victim)).await?.last_final;
    go_on?;
    ensure!(
        now >= before,
        "block {before} was final before, and it begins with {now}"
    );
    stood
}

/// How a validator with a full disk stands still. Fails if it goes on.
async fn stood_still(site: &mut Site, fault: &Fault) -> Result<String> {
    let (victim, other) = (fault.victim, fault.second);
    if site.cluster.wait_until_ended(victim).await {
        return Ok("it ended by itself".to_owned());
    }
    let Ok(stands) = height_at_last(site.cluster.node(victim)).await else {
        // It answers nobody, which says nothing of what else it does.
        let made = site.cluster.made(other, victim).await?;
        ensure!(
            made == 0,
            "it made {made} of the last {LATEST} final blocks with a full disk, and answers nobody"
        );
        return Ok("it answers nobody and makes no blocks".to_owned());
    };
    let stands = stands.last_final;
    let others = height(site.cluster.node(other)).await?.last_final;
    ensure!(
        stands + PROGRESS < others,
        "it went on to block {stands} of {others} with a full disk"
    );
    Ok(format!("it stood still at block {stands}"))
}

async fn wrong_clock(site: &mut Site, fault: &Fault) -> Result<()> {
    let library = fake_time().context("no libfaketime")?;
    let preload = format!("LD_PRELOAD={}", library.display());
    let wrong = format!("FAKETIME={:+}s", fault.off);
    // Timers run on; what is wrong is the time of day.
    let monotonic = ["FAKETIME_DONT_FAKE_MONOTONIC=1", "DONT_FAKE_MONOTONIC=1"];
    let wrapper = ["env", &preload, &wrong, monotonic[0], monotonic[1]];
    site.cluster.stop(fault.victim)?;
    site.cluster.start_again(fault.victim, &wrapper).await?;
    // A library that cannot be loaded is a warning, and the clock is right.
    let started = block_in_place(|| site.cluster.node(fault.victim).wait_for_log(STARTED));
    let now = SystemTime::now();
    let go_on = site.cluster.finalise(&fault.others(), 2 * PROGRESS).await;
    site.cluster.stop(fault.victim)?;
    site.cluster.start_again(fault.victim, &[]).await?;
    let line = started.context("it did not start with a wrong clock")?;
    let is_off = seconds_off(&line, now).is_some_and(|off| off.abs() >= LEAST_OFF);
    ensure!(is_off, "its clock was right: {line:?}");
    go_on
}

/// How many seconds the time of a log's line is off from this one. Logs tell the time of the place, so it is told but for quarters
/// of an hour.
fn seconds_off(line: &str, now: SystemTime) -> Option<i64> {
    const QUARTER: i64 = 15 * 60;
    let mut parts = line.split_whitespace().nth(1)?.split(':').skip(1);
    let mut part = || parts.next()?.get(..2)?.parse::<i64>().ok();
    let said = part()? * 60 + part()?;
    let now = now.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let off = said - i64::try_from(now).ok()?;
    Some((off + QUARTER / 2).rem_euclid(QUARTER) - QUARTER / 2)
}

/// The node of relay 0 dies. Its balancer leads it to another validator's, and entries go on coming by it.
async fn relay_moves(site: &mut Site, fault: &Fault) -> Result<String> {
    let (victim, refuge) = (fault.victim, fault.second);
    site.lead(0, victim);
    site.wait_until_ready(0)?;
    site.cluster.kill(victim)?;
    site.lead(0, refuge);
    let moved = site.wait_until_ready(0);
    let brought = soon(site.wait_until_brings(0, refuge)).await;
    site.cluster.start_again(victim, &[]).await?;
    moved?;
    let took = brought.context("the relay brings nothing by its new node")?;
    Ok(format!("brought runs after {} s", took.as_secs()))
}

/// A node without a database joins, serves as the validators do, and goes on following them.
async fn join(site: &Site, sync: &str) -> Result<String> {
    let start = Instant::now();
    let launch = Launch::bare().args(["--chain=local", sync]);
    let guest = site.cluster.launch(launch, GUEST).await?;
    site.cluster.welcome(&guest).await?;
    let near = near_to(&guest).await?;
    let (new, old) = (client(&near.websocket_url()).await?, site.chain(0).await?);
    follow(site, &guest, &new, &old).await?;
    let took = start.elapsed();
    follow(site, &guest, &new, &old).await?;
    Ok(format!("served after {} s", took.as_secs()))
}

/// Waits until a new node has followed the validators for some blocks more, and serves as the first of them does.
async fn follow(site: &Site, guest: &Node, new: &ChainClient, old: &ChainClient) -> Result<()> {
    let goal = site.cluster.highest().await? + PROGRESS;
    wait_until_final(guest, goal).await?;
    let served = serves_like(new, old).await;
    served.with_context(|| guest.last_words())?;
    Ok(())
}

/// Every role floods the node of a validator, and entries of honest phones come to the chain all the same: in blocks that are made
/// when the flood is there, and while it goes on.
async fn flooded(site: &Site, fault: &Fault) -> Result<String> {
    let chain = site.chain(fault.victim).await?;
    let seed = chain.finalised().await?.number;
    let mut floods = floods::prepare(&chain, seed).await?;
    floods::send(&chain, &mut floods, &AtomicBool::new(true)).await?;
    let over = AtomicBool::new(false);
    let entries = async {
        let grown = soon(grows(site, fault.second)).await;
        over.store(true, Ordering::Relaxed);
        grown
    };
    let (sent, grown) = tokio::join!(floods::send(&chain, &mut floods, &over), entries);
    let took = grown.context("no entry came to the chain")?;
    sent?;
    for flood in &floods {
        let is_stranger = flood.role == floods::STRANGER;
        ensure!(
            (flood.taken == 0) == is_stranger,
            "the pool took {} transactions of the {}",
            flood.taken,
            flood.role
        );
    }
    let told = floods
        .iter()
        .map(|flood| format!("{} {}/{}", flood.role, flood.taken, flood.sent()));
    let told: Vec<String> = told.collect();
    let (took, told) = (took.as_secs(), told.join(", "));
    Ok(format!("entries came after {took} s; taken: {told}"))
}

/// Waits until the final chain has more entries than the best block of now. Returns how long it took.
async fn grows(site: &Site, validator: usize) -> Result<Duration> {
    let start = Instant::now();
    let chain = site.chain(validator).await?;
    let best = chain.best_block().await?;
    let before = chain.at(best.hash).await?.journal_length().await?;
    while chain.journal_length().await? <= before {
        sleep(Duration::from_millis(300)).await;
    }
    Ok(start.elapsed())
}

/// What must happen soon.
async fn soon<T>(what: impl Future<Output = Result<T>>) -> Result<T> {
    let happened = timeout(SOON, what).await;
    happened.with_context(|| format!("not within {SOON:?}"))?
}

/// A second node with a validator's keys: the chain takes it down, keeps it from its work if no other one is kept from it, and goes
/// on.
async fn equivocate(site: &Site, fault: &Fault) -> Result<String> {
    let (victim, honest) = (fault.victim, fault.others());
    let validator = offences::account(victim)?;
    let node = site.cluster.node(honest[0]);
    let session = offences::fresh_session(node, &validator).await?;
    let twin = site.cluster.launch(Launch::twin(victim), SECOND).await?;
    site.cluster.welcome(&twin).await?;
    let recorded = offences::wait_until_recorded(node, &validator, session).await;
    let go_on = site.cluster.finalise(&honest, 2 * PROGRESS).await;
    drop(twin);
    let told = offences::check_disabled(node, victim, &recorded?).await?;
    go_on?;
    Ok(told.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_log_tells_how_far_its_clock_is_off_wherever_it_is() {
        // At the beginning of a quarter of an hour.
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_900);
        let off = |clock: &str| seconds_off(&format!("2027-01-15 {clock} Running"), now);
        assert_eq!(off("08:15:00"), Some(0));
        assert_eq!(off("13:45:02"), Some(2));
        assert_eq!(off("08:19:00.123"), Some(240));
        assert_eq!(off("08:09:30"), Some(-330));
        assert_eq!(off("some line"), None);
    }
}
