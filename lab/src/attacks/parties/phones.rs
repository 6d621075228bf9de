// SPDX-License-Identifier: Apache-2.0

//! Real phones, played by `mhealth-device`: all of a cohort in one state file, one after the other night.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hashchain::DeviceId;
use mhealth_testing::output::value;
use mhealth_testing::process::Program;

use super::arena::{aside, Arena};

/// How patient phones are with servers that do not answer, in seconds.
const PATIENCE: u32 = 4;

/// Phones that go the same way.
pub(crate) struct Cohort {
    name: String,
    folder: PathBuf,
    phones: u32,
    office: String,
    admin: String,
    study: String,
}

/// What became of a call of the program.
pub(crate) struct Session {
    pub(crate) took: Duration,
    /// What it said at the end.
    pub(crate) said: String,
}

/// A phone, as it knows itself.
#[derive(Clone, Debug)]
pub(crate) struct Phone {
    pub(crate) device: DeviceId,
    /// Entries that it made.
    pub(crate) length: u64,
    /// Entries that it takes for finalised, and has forgotten to send.
    pub(crate) confirmed: u64,
    /// Link of its last entry.
    pub(crate) head: String,
    /// Why it was stopped, if it was.
    pub(crate) stopped: Option<String>,
}

impl Cohort {
    pub(crate) fn of(arena: &Arena, name: &str, phones: u32) -> Self {
        Cohort {
            name: name.to_owned(),
            folder: arena.folder.clone(),
            phones,
            office: arena.door.url.clone(),
            admin: arena.door.admin.clone(),
            study: arena.column.study().to_string(),
        }
    }

    /// All phones measure up to this night, enrol if they are not, and send what they have.
    pub(crate) async fn session(
        &self,
        nights: u32,
        relays: &[String],
        copies: u32,
    ) -> Result<Session> {
        let csv = self.file("csv");
        std::fs::write(&csv, nights_of(self.phones, nights))?;
        let mut command = Program::Device.command()?;
        command
            .args(["simulate", "--auth", &self.office])
            .args(relays.iter().flat_map(|relay| ["--relay", relay]))
            .arg(format!("--study={}", self.study))
            .arg(format!("--copies={copies}"))
            .arg(format!("--patience={PATIENCE}"))
            .arg("--csv")
            .arg(csv)
            .arg("--state")
            .arg(self.file("db"))
            .env("MHEALTH_ADMIN", &self.admin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let began = Instant::now();
        let output = aside(move || Ok(command.output()?)).await;
        let output = output.context("cannot run mhealth-device")?;
        let said = [output.stdout, output.stderr].concat();
        Ok(Session {
            took: began.elapsed(),
            said: String::from_utf8_lossy(&said).into_owned(),
        })
    }

    /// The enrolled phones, as they know themselves.
    pub(crate) async fn standing(&self) -> Result<Vec<Phone>> {
        let mut command = Program::Device.command()?;
        command.arg("status").arg("--state").arg(self.file("db"));
        let output = aside(move || Ok(command.output()?)).await;
        let output = output.context("cannot run mhealth-device")?;
        let said = String::from_utf8(output.stdout)?;
        Ok(said.lines().filter_map(phone).collect())
    }

    fn file(&self, end: &str) -> PathBuf {
        Path::new(&self.folder).join(format!("{}.{end}", self.name))
    }
}

/// A line of `mhealth-device status`: `NAME key= device= sequence= confirmed= queued= head= stopped=`.
fn phone(line: &str) -> Option<Phone> {
    let value = |key| value(line, key);
    Some(Phone {
        device: value("device")?.parse().ok()?,
        length: value("sequence")?.parse().ok()?,
        confirmed: value("confirmed")?.parse().ok()?,
        head: value("head")?.to_owned(),
        stopped: value("stopped").map(str::to_owned),
    })
}

/// So many phones' nights, as a file that the program reads. It knows which of them it has sealed before.
fn nights_of(phones: u32, nights: u32) -> String {
    let mut csv = "Id,Day,TotalSleepRecords,TotalMinutesAsleep,TotalTimeInBed\n".to_owned();
    for phone in 1..=phones {
        for night in 1..=nights {
            let asleep = 300 + (phone * 7 + night * 13) % 200;
            let in_bed = asleep + 30;
            writeln!(csv, "{phone},2026-03-{night:02},1,{asleep},{in_bed}")
                .expect("a text takes all; qed");
        }
    }
    csv
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_is_read_from_its_line() {
        let line =
            "P-1 key=0a0b device=7 sequence=4 confirmed=2 queued=2 head=0xff stopped=foreign_head";
        let phone = phone(line).expect("a phone");
        assert_eq!(
            (phone.device, phone.length, phone.confirmed),
            (DeviceId(7), 4, 2)
        );
        assert_eq!(phone.stopped.as_deref(), Some("foreign_head"));
        assert!(super::phone("P-1 key=0a0b device=- sequence=4").is_none());
        assert!(super::phone("devices=4 enrolled=2").is_none());
    }
}
