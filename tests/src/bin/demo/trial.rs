// SPDX-License-Identifier: Apache-2.0

//! The devices' part, played by the real `mhealth-device`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{anyhow, bail, Context, Result};

/// A cohort of devices and the chain that it writes to.
pub(crate) struct Trial {
    /// Where the chain is reached.
    pub(crate) node: String,
    /// The devices' database.
    pub(crate) state: PathBuf,
}

/// What the devices reported.
pub(crate) struct Registered {
    pub(crate) devices: u64,
    pub(crate) entries: u64,
    pub(crate) duplicates: u64,
    pub(crate) finalised: u64,
    pub(crate) refused: u64,
}

impl Trial {
    /// Makes an entry of every night, and registers all of them.
    pub(crate) fn register(&self, csv: Option<&Path>, quick: bool) -> Result<Registered> {
        let mut command = self.command("simulate")?;
        match csv {
            Some(file) => command.arg("--csv").arg(file),
            None => {
                let (devices, nights) = if quick { ("4", "7") } else { ("24", "28") };
                command.args(["--devices", devices, "--nights", nights])
            }
        };
        let output = command
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .output()
            .context("cannot run mhealth-device")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let last = text.trim_end().lines().next_back().unwrap_or_default();
        if !output.status.success() {
            bail!(
                "mhealth-device could not register the nights ({}): {last}",
                output.status
            );
        }
        Registered::parse(last)
    }

    /// Whether every head on chain is the device's own. Prints what `mhealth-device check` prints.
    pub(crate) fn heads_equal(&self) -> Result<bool> {
        let status = self
            .command("check")?
            .status()
            .context("cannot run mhealth-device")?;
        Ok(status.success())
    }

    fn command(&self, subcommand: &str) -> Result<Command> {
        let this = std::env::current_exe()?;
        let device = this.with_file_name(format!("mhealth-device{}", std::env::consts::EXE_SUFFIX));
        let mut command = Command::new(device);
        command
            .arg(subcommand)
            .args(["--node", &self.node])
            .arg("--state")
            .arg(&self.state);
        Ok(command)
    }
}

impl Registered {
    /// Reads the last line of `mhealth-device simulate`: `key=value key=value …`.
    fn parse(line: &str) -> Result<Self> {
        let values: BTreeMap<&str, &str> = line
            .split_whitespace()
            .filter_map(|pair| pair.split_once('='))
            .collect();
        let number = |key: &str| {
            values
                .get(key)
                .and_then(|value| value.parse().ok())
                .ok_or_else(|| anyhow!("mhealth-device did not report {key}: \"{line}\""))
        };
        Ok(Self {
            devices: number("devices")?,
            entries: number("entries")?,
            duplicates: number("duplicates")?,
            finalised: number("finalised")?,
            refused: number("refused")?,
        })
    }
}
