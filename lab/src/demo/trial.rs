// SPDX-License-Identifier: Apache-2.0

//! The devices' part, played by the real `mhealth-device`.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{anyhow, bail, Context, Result};
use mhealth_testing::output::value;
use mhealth_testing::process::Program;
use mhealth_testing::topology::Cohort;

/// Cohorts of devices and the chain that they write to.
pub(crate) struct Trial {
    /// The devices.
    pub(crate) cohorts: Vec<Cohort>,
    /// Where the chain is reached.
    pub(crate) node: String,
    /// The folder with the devices' databases.
    pub(crate) folder: PathBuf,
}

/// What the devices reported.
#[derive(Default)]
pub(crate) struct Registered {
    pub(crate) devices: u64,
    pub(crate) entries: u64,
    pub(crate) duplicates: u64,
    pub(crate) finalised: u64,
    pub(crate) refused: u64,
}

/// Which nights the trial has.
pub(crate) struct Nights {
    /// Those of this file.
    pub(crate) csv: Option<PathBuf>,
    /// How the file's dates are to be read.
    pub(crate) date_format: Option<String>,
    /// Without a file: fewer of them.
    pub(crate) quick: bool,
}

impl Trial {
    /// Makes an entry of every night, and registers all of them. Of a file, every cohort registers all nights: the
    /// people in it wear a device of each.
    pub(crate) fn register(&self, nights: &Nights) -> Result<Registered> {
        let mut sum = Registered::default();
        for (number, cohort) in self.cohorts.iter().enumerate() {
            let registered = self.register_cohort(cohort, number, nights)?;
            sum.devices += registered.devices;
            sum.entries += registered.entries;
            sum.duplicates += registered.duplicates;
            sum.finalised += registered.finalised;
            sum.refused += registered.refused;
        }
        Ok(sum)
    }

    fn register_cohort(
        &self,
        cohort: &Cohort,
        number: usize,
        nights: &Nights,
    ) -> Result<Registered> {
        let mut command = cohort.device("simulate", &self.folder)?;
        if let Some(format) = &nights.date_format {
            command.arg("--date-format").arg(format);
        }
        match &nights.csv {
            Some(file) => command.arg("--csv").arg(file),
            None => {
                let (devices, nights) = if nights.quick { (4, 7) } else { (24, 28) };
                command.args([
                    format!("--devices={}", devices / self.cohorts.len()),
                    format!("--nights={nights}"),
                    format!("--seed={}", number + 1),
                ])
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

    /// Whether every head on chain is the device's own; the chain is asked directly, whichever way the entries went.
    /// Prints what `mhealth-device check` prints.
    pub(crate) fn heads_equal(&self) -> Result<bool> {
        let mut equal = true;
        for cohort in &self.cohorts {
            let status = Program::Device
                .command()?
                .args(["check", "--node", &self.node, "--state"])
                .arg(cohort.state(&self.folder))
                .status()
                .context("cannot run mhealth-device")?;
            equal &= status.success();
        }
        Ok(equal)
    }
}

impl Registered {
    /// Reads the last line of `mhealth-device simulate`: `key=value key=value …`.
    fn parse(line: &str) -> Result<Self> {
        let number = |key: &str| {
            value(line, key)
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
