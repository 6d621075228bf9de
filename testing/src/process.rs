// SPDX-License-Identifier: Apache-2.0

//! The project's programs: where they are, and how they end.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};

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
