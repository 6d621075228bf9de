// SPDX-License-Identifier: Apache-2.0

//! How long `mhealth-data export` takes, and how much memory it has at most, for a study that is made first.
//!
//!     cargo bench --workspace --bench export -- [ENTRIES [DEVICES]]        100000 entries of 100 devices without arguments
//!
//! The last line reads `entries= devices= seconds= peak_mib=`. It fails if an export takes longer than [`MOST_SECONDS`], or more than
//! [`MOST_MIB`], of as many entries as have these limits. Linux only: the memory is what the system counts.
#![allow(clippy::print_stdout)] // It is for whoever runs it.

#[path = "../tests/support/mod.rs"]
mod support;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::World;

/// What an export of so many entries may take at most.
const MOST_SECONDS: f64 = 60.0;
const LIMITED_SECONDS: usize = 100_000;
/// What one of so many entries may take of memory, of devices that have so many each: the rows of one are in memory together.
const MOST_MIB: u64 = 512;
const LIMITED_MIB: usize = 1_000_000;
const LIMITED_MIB_A_DEVICE: usize = 10_000;
/// Between two looks at the program's memory.
const LOOK: Duration = Duration::from_millis(20);

fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|it| it.parse().ok()).collect();
    let entries = numbers.first().copied().unwrap_or(100_000);
    let devices = numbers.get(1).copied().unwrap_or(100);
    let mut world = World::spilling();
    let mut made = 0;
    for device in 0..devices {
        let who = format!("P-{device:05}");
        let phone = world.phone(Some(&who));
        let nights = (entries - made) / (devices - device);
        for night in 0..nights {
            let asleep = 300 + (night % 200) as u32;
            // Days before the year 2100.
            world.night(phone, &who, (night % 30_000) as i64, asleep, asleep + 40);
        }
        made += nights;
    }
    world.end_spilling();
    let job = world.job("out");
    println!("A study of {made} entries of {devices} devices is made.");
    let option = |name: &str, file: &str| format!("--{name}={}", world.path(file).display());
    let began = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_mhealth-data"))
        .args([
            "export".to_owned(),
            option("keys", "keys"),
            option("audit", "audit.json"),
            option("evidence", "study.evidence"),
            option("out", "out"),
            format!("--export=dave={}", job.exports[0].path.display()),
            format!("--genesis={}", world.genesis()),
        ])
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut peak = 0;
    let status = loop {
        peak = peak.max(peak_memory(child.id()).unwrap_or_default());
        match child.try_wait().expect("it is a child of this program") {
            Some(status) => break status,
            None => std::thread::sleep(LOOK),
        }
    };
    let seconds = began.elapsed().as_secs_f64();
    assert!(status.success(), "the export failed");
    println!("entries={made} devices={devices} seconds={seconds:.1} peak_mib={peak}");
    assert!(
        made > LIMITED_SECONDS || seconds <= MOST_SECONDS,
        "it took {seconds:.1} s"
    );
    let is_limited = made <= LIMITED_MIB && made.div_ceil(devices) <= LIMITED_MIB_A_DEVICE;
    assert!(!is_limited || peak <= MOST_MIB, "it took {peak} MiB");
}

/// The most memory that a process has had, in MiB.
fn peak_memory(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib >> 10)
}
