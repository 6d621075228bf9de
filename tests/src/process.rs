// SPDX-License-Identifier: Apache-2.0

//! Ending programs that tests started.

use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};

/// Sends a signal to a program that this one started.
pub fn signal(child: &Child, signal: &str) -> Result<()> {
    // The standard library sends no other signal than KILL.
    let sent = Command::new("sh")
        .arg("-c")
        .arg(format!("kill -{signal} {}", child.id()))
        .status()?;
    if !sent.success() {
        bail!("process {} takes no signal {signal}", child.id());
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
