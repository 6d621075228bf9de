// SPDX-License-Identifier: Apache-2.0

//! Cohorts of devices, each played by a real `mhealth-device` that can be killed at any time.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};
use mhealth_testing::process::{self, Program};

/// After so many rounds a new cohort begins, with new devices to enrol.
const ROUNDS: u32 = 6;
/// How often to look whether a process has ended.
const LOOK: Duration = Duration::from_millis(20);
/// A device that could not reach its servers tries again after that time, as an app would.
const PAUSE: Duration = Duration::from_millis(500);

/// Where devices find their servers.
#[derive(Clone, Debug)]
pub(crate) struct Servers {
    pub(crate) auth: String,
    pub(crate) relays: Vec<String>,
    /// Credential of the authentication server's staff, with which the simulator makes its own enrolment codes.
    pub(crate) admin: String,
}

/// How much load there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Volume {
    /// Processes that play devices at a time.
    pub(crate) lanes: u32,
    /// Devices that each of them plays.
    pub(crate) devices: u32,
    /// Nights that are added to a device's diary each time its cohort has sent what it had.
    pub(crate) nights: u32,
    /// The same seed makes the same nights.
    pub(crate) seed: u64,
}

/// The load: a number of lanes, on each of which one cohort follows the other.
pub(crate) struct Load {
    lanes: Vec<Arc<Lane>>,
    supervisors: Vec<JoinHandle<()>>,
    stopping: Arc<AtomicBool>,
}

struct Lane {
    number: u32,
    devices: u32,
    /// Nights that are added to a cohort's diary each time it has sent all it had.
    nights_a_round: u32,
    seed: u64,
    folder: PathBuf,
    servers: Servers,
    running: Mutex<Option<Child>>,
    /// Not to be started again before.
    down_until: Mutex<Option<Instant>>,
    cohorts: AtomicU32,
    /// Nights of the cohort at hand.
    nights: AtomicU32,
    complaints: Mutex<Vec<String>>,
}

impl Load {
    /// Starts as many lanes with as many devices each as the volume says.
    pub(crate) fn start(volume: Volume, folder: &Path, servers: &Servers) -> Self {
        let stopping = Arc::new(AtomicBool::new(false));
        let lanes: Vec<Arc<Lane>> = (0..volume.lanes)
            .map(|number| {
                Arc::new(Lane {
                    number,
                    devices: volume.devices,
                    nights_a_round: volume.nights,
                    seed: volume.seed,
                    folder: folder.to_path_buf(),
                    servers: servers.clone(),
                    running: Mutex::new(None),
                    down_until: Mutex::new(None),
                    cohorts: AtomicU32::new(1),
                    nights: AtomicU32::new(volume.nights),
                    complaints: Mutex::default(),
                })
            })
            .collect();
        let supervisors = lanes
            .iter()
            .map(|lane| {
                let (lane, stopping) = (lane.clone(), stopping.clone());
                thread::spawn(move || lane.supervise(&stopping))
            })
            .collect();
        Load {
            lanes,
            supervisors,
            stopping,
        }
    }

    /// Kills a process that plays devices, one after the other, and keeps it down for a while.
    pub(crate) fn kill_one(&self, number: usize, down: Duration) -> Result<()> {
        let lane = &self.lanes[number % self.lanes.len()];
        // Between two processes there is none; the next one comes at once.
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let mut running = lane.running();
            if let Some(child) = running.as_mut() {
                if child.try_wait()?.is_none() {
                    *lane.down_until() = Some(Instant::now() + down);
                    return process::kill(child).context("mhealth-device");
                }
            }
            drop(running);
            if Instant::now() > deadline {
                bail!("no process plays lane {}", lane.number);
            }
            thread::sleep(LOOK);
        }
    }

    /// Starts no process any more and waits for those that run. What they say is not asked: they may have met a fault.
    pub(crate) fn stop(self) -> Cohorts {
        self.stopping.store(true, Ordering::Relaxed);
        for supervisor in self.supervisors {
            let _ = supervisor.join();
        }
        Cohorts(self.lanes)
    }
}

/// All cohorts of a load that has stopped.
pub(crate) struct Cohorts(Vec<Arc<Lane>>);

impl Cohorts {
    /// Lets every device of every cohort make and send one night more. Gives what went wrong.
    pub(crate) fn go_on(&self, patience: Duration) -> Vec<String> {
        thread::scope(|scope| {
            let lanes: Vec<_> = self
                .0
                .iter()
                .map(|lane| scope.spawn(move || lane.go_on(patience)))
                .collect();
            let wrong = lanes.into_iter().flat_map(|lane| {
                let failed = |_| vec!["the thread of a lane failed".to_owned()];
                lane.join().unwrap_or_else(failed)
            });
            wrong.collect()
        })
    }

    /// Compares the head of every device with the chain's, which is asked directly. Gives what differs.
    pub(crate) fn compare(&self, node: &str) -> Result<Vec<String>> {
        let mut different = Vec::new();
        for lane in &self.0 {
            for cohort in 0..lane.cohorts.load(Ordering::Relaxed) {
                let output = Program::Device
                    .command()?
                    .args(["check", "--node", node, "--state"])
                    .arg(lane.state_file(cohort))
                    .output()?;
                if !output.status.success() {
                    let said = String::from_utf8_lossy(&output.stdout);
                    let last = said.lines().next_back().unwrap_or_default();
                    different.push(format!(
                        "lane {}, cohort {cohort}: {last}{}",
                        lane.number,
                        String::from_utf8_lossy(&output.stderr)
                    ));
                }
            }
        }
        Ok(different)
    }

    /// What devices complained about other than servers that they could not reach.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let complaints = self.0.iter().map(|lane| {
            let complaints = lane.complaints.lock();
            complaints
                .expect("no holder of this lock panics; qed")
                .clone()
        });
        complaints.flatten().collect()
    }

    /// How many devices there are.
    pub(crate) fn devices(&self) -> u32 {
        let cohorts = self
            .0
            .iter()
            .map(|lane| lane.cohorts.load(Ordering::Relaxed) * lane.devices);
        cohorts.sum()
    }
}

impl Lane {
    fn supervise(&self, stopping: &AtomicBool) {
        while !stopping.load(Ordering::Relaxed) {
            let down = *self.down_until();
            if down.is_some_and(|until| until > Instant::now()) {
                thread::sleep(LOOK);
                continue;
            }
            let cohort = self.cohorts.load(Ordering::Relaxed) - 1;
            let nights = self.nights.load(Ordering::Relaxed);
            match self.round(cohort, nights) {
                Ok(status) if status.success() => self.next_round(nights),
                Ok(status) => {
                    // 3: the servers could not be reached, which is what this is about. No code: it was killed.
                    if !matches!(status.code(), None | Some(3)) {
                        self.complain(format!(
                            "cohort {cohort}: {status}; {}",
                            self.last_words(cohort)
                        ));
                    }
                    thread::sleep(PAUSE);
                }
                Err(error) => {
                    self.complain(format!("cohort {cohort}: {error:#}"));
                    thread::sleep(PAUSE);
                }
            }
        }
    }

    fn next_round(&self, nights: u32) {
        let more = self.nights_a_round;
        if nights < ROUNDS * more {
            self.nights.store(nights + more, Ordering::Relaxed);
        } else {
            self.nights.store(more, Ordering::Relaxed);
            self.cohorts.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One process, from its start to its end.
    fn round(&self, cohort: u32, nights: u32) -> Result<ExitStatus> {
        let child = self
            .command(cohort, nights)?
            .spawn()
            .context("cannot run mhealth-device")?;
        *self.running() = Some(child);
        loop {
            if let Some(child) = self.running().as_mut() {
                if let Some(status) = child.try_wait()? {
                    return Ok(status);
                }
            }
            thread::sleep(LOOK);
        }
    }

    fn go_on(&self, patience: Duration) -> Vec<String> {
        let mut wrong = Vec::new();
        let last = self.cohorts.load(Ordering::Relaxed);
        for cohort in 0..last {
            let done = if cohort + 1 == last {
                self.nights.load(Ordering::Relaxed)
            } else {
                ROUNDS * self.nights_a_round
            };
            if let Err(error) = self.run_to_end(cohort, done + 1, patience) {
                wrong.push(format!("lane {}, cohort {cohort}: {error:#}", self.number));
            }
        }
        wrong
    }

    /// Processes, one after the other, until one has sent all there is.
    fn run_to_end(&self, cohort: u32, nights: u32, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let status = self.round(cohort, nights)?;
            if status.success() {
                return Ok(());
            }
            if Instant::now() > deadline || status.code() != Some(3) {
                bail!(
                    "mhealth-device ended with {status}: {}",
                    self.last_words(cohort)
                );
            }
        }
    }

    fn command(&self, cohort: u32, nights: u32) -> Result<Command> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_file(cohort))?;
        let relays = self.servers.relays.len() as u32;
        let mut command = Program::Device.command()?;
        command
            .arg("simulate")
            .arg(format!("--devices={}", self.devices))
            .arg(format!("--nights={nights}"))
            .arg(format!("--seed={}", self.cohort_seed(cohort)))
            .arg(format!("--auth={}", self.servers.auth))
            // Most devices send to one relay and try the others when it fails; every third lane sends to two.
            .arg(format!(
                "--copies={}",
                if self.number % 3 == 2 { 2 } else { 1 }
            ))
            .arg(format!("--run-length={}", 1 + self.number % 3))
            .arg("--patience=10")
            .arg("--state")
            .arg(self.state_file(cohort))
            .env("MHEALTH_ADMIN", &self.servers.admin)
            .env("RUST_LOG", "warn")
            .stdout(log.try_clone()?)
            .stderr(log);
        for place in 0..relays {
            let relay = (self.number + place) % relays;
            command.arg(format!("--relay={}", self.servers.relays[relay as usize]));
        }
        command.stdin(Stdio::null());
        Ok(command)
    }

    fn cohort_seed(&self, cohort: u32) -> u64 {
        (self.seed << 20) + u64::from(self.number << 10) + u64::from(cohort)
    }

    fn state_file(&self, cohort: u32) -> PathBuf {
        self.folder
            .join(format!("devices-{}-{cohort}.db", self.number))
    }

    fn log_file(&self, cohort: u32) -> PathBuf {
        self.state_file(cohort).with_extension("log")
    }

    /// The end of what a cohort's processes printed.
    fn last_words(&self, cohort: u32) -> String {
        let log = std::fs::read(self.log_file(cohort)).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().rev().take(3).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }

    fn complain(&self, complaint: String) {
        let complaints = self.complaints.lock();
        complaints
            .expect("no holder of this lock panics; qed")
            .push(complaint);
    }

    fn running(&self) -> MutexGuard<'_, Option<Child>> {
        self.running
            .lock()
            .expect("no holder of this lock panics; qed")
    }

    fn down_until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.down_until
            .lock()
            .expect("no holder of this lock panics; qed")
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if let Some(child) = self.running().as_mut() {
            // Nobody is left to tell.
            let _ = process::kill(child);
        }
    }
}
