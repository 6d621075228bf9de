// SPDX-License-Identifier: Apache-2.0

//! The project's programs: where they are, and how they end.

use std::future::Future;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};
use tokio::signal::unix::{self, SignalKind};

/// Sends a signal to a program that this one started.
pub fn signal(child: &Child, signal: &str) -> Result<()> {
    signal_to(child.id(), signal)
}

/// Sends a signal to a process that a program of this one's started.
pub(crate) fn signal_to(process: u32, signal: &str) -> Result<()> {
    // The standard library sends no other signal than KILL.
    let sent = Command::new("sh")
        .arg("-c")
        .arg(format!("kill -{signal} {process}"))
        .status()?;
    if !sent.success() {
        bail!("process {process} takes no signal {signal}");
    }
    Ok(())
}

/// Asks a program to end by a signal, and waits until it has. Kills it, and fails, when it takes longer than this.
pub fn end(child: &mut Child, by: &str, patience: Duration) -> Result<()> {
    signal(child, by)?;
    let deadline = Instant::now() + patience;
    while child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            kill(child)?;
            bail!("it did not end within {patience:?} after signal {by}");
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Ends a program as a power cut would (`kill -9`), and waits until it is gone.
pub fn kill(child: &mut Child) -> Result<()> {
    child.kill().context("it could not be killed")?;
    child.wait().context("it did not end")?;
    Ok(())
}

/// Waits until this program is told to end, by Ctrl-C, SIGTERM or SIGHUP. They are heard from this call on. Otherwise they would end
/// it at once, and what it started would stay: nobody drops it then.
pub fn end_of_program() -> Result<impl Future<Output = ()>> {
    let mut interrupt = unix::signal(SignalKind::interrupt())?;
    let mut terminate = unix::signal(SignalKind::terminate())?;
    let mut hang_up = unix::signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
    })
}

/// When SIGTERM or SIGHUP tells this program to end, kills what it started, and ends. For programs that wait for others in between,
/// and hear of nothing meanwhile. Ctrl-C needs none of that: a terminal tells all of them.
pub fn end_with_children() -> Result<()> {
    /// What a shell says of a program that SIGTERM ended.
    const TERMINATED: i32 = 143;
    let mut terminate = unix::signal(SignalKind::terminate())?;
    let mut hang_up = unix::signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
        for child in children() {
            // It may have ended by itself.
            let _ = signal_to(child, "KILL");
        }
        std::process::exit(TERMINATED);
    });
    Ok(())
}

/// The processes that this one started.
fn children() -> Vec<u32> {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    let lists = threads.flatten().filter_map(|thread| {
        let list = thread.path().join("children");
        std::fs::read_to_string(list).ok()
    });
    let text = lists.fold(String::new(), |text, list| text + &list + " ");
    let numbers = text.split_whitespace();
    numbers.filter_map(|number| number.parse().ok()).collect()
}

/// A program of this workspace: the one that the variable names, or the one beside this program in cargo's target
/// directory.
pub fn binary(name: &str, variable: &str) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        let path = PathBuf::from(path);
        if path.is_file() {
            return Ok(path);
        }
        bail!("{variable} names {}, which is no file", path.display());
    }
    let program = std::env::current_exe()?;
    // Tests are in target/<profile>/deps, programs in target/<profile>.
    let candidates = program.ancestors().skip(1).take(2);
    let found = candidates
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file());
    found.with_context(|| format!("{name} is not built yet: run cargo build --release --workspace"))
}

/// A program of this project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The authentication server.
    Auth,
    /// The relay server.
    Relay,
    /// The patient's device.
    Device,
    /// The auditor's program.
    Auditor,
    /// The program of the holder of the participants' keys.
    Data,
    /// The members' program.
    Founders,
}

impl Program {
    /// Its name, which is also the name of its binary.
    pub fn name(self) -> &'static str {
        match self {
            Program::Auth => "mhealth-auth",
            Program::Relay => "mhealth-relay",
            Program::Device => "mhealth-device",
            Program::Auditor => "mhealth-auditor",
            Program::Data => "mhealth-data",
            Program::Founders => "mhealth",
        }
    }

    /// The environment variable that names its binary when it is not where cargo puts it.
    pub fn variable(self) -> &'static str {
        match self {
            Program::Auth => "MHEALTH_AUTH_BIN",
            Program::Relay => "MHEALTH_RELAY_BIN",
            Program::Device => "MHEALTH_DEVICE_BIN",
            Program::Auditor => "MHEALTH_AUDITOR_BIN",
            Program::Data => "MHEALTH_DATA_BIN",
            Program::Founders => "MHEALTH_BIN",
        }
    }

    /// Its binary.
    pub fn binary(self) -> Result<PathBuf> {
        binary(self.name(), self.variable())
    }

    /// A command that runs it, with none of the variables that servers read.
    pub fn command(self) -> Result<Command> {
        let mut command = Command::new(self.binary()?);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("MHEALTH_") {
                command.env_remove(name);
            }
        }
        command.stdin(Stdio::null());
        Ok(command)
    }
}

/// The most memory that a process has had so far, in MiB, as Linux counts it. None when it is gone.
pub fn peak_memory(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib >> 10)
}
