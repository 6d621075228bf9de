// SPDX-License-Identifier: Apache-2.0

//! Phones in other languages, each of which is a program that ends.

use std::path::PathBuf;
use std::process::Command;

use serde::de::DeserializeOwned;
use serde::Deserialize;

use crate::study::Study;

/// Every language that there are phones in.
pub(crate) const LANGUAGES: [&str; 4] = ["python", "kotlin", "node", "chromium"];
/// Seconds that the phones give each sync, unless they are told otherwise.
pub(crate) const DEADLINE: f64 = 60.0;

/// What a phone says at last.
#[derive(Debug, Deserialize)]
pub(crate) struct Said {
    pub(crate) device: u32,
    pub(crate) sealed: u64,
    pub(crate) finalised: u64,
    pub(crate) block: Option<u32>,
    pub(crate) stopped: Option<String>,
    /// What went wrong when it tried last.
    pub(crate) fault: Option<String>,
    /// How many seconds the longest sync took.
    pub(crate) longest: f64,
}

/// A participant's phone. Whatever it does, its program is started for.
#[derive(Clone, Debug)]
pub(crate) struct Phone {
    pub(crate) language: &'static str,
    /// Where it keeps all that it has.
    pub(crate) folder: PathBuf,
    pub(crate) code: String,
    /// Port of the page, where it is one.
    pub(crate) page: u16,
    /// By how many seconds the page's clock is ahead.
    pub(crate) ahead: i64,
    /// Base address of the authentication server.
    pub(crate) office: String,
}

impl Phone {
    /// A phone of somebody who has got a code.
    pub(crate) async fn with_code(
        study: &Study,
        language: &'static str,
        participant: &str,
    ) -> Phone {
        Phone {
            language,
            folder: study.path(participant),
            code: study.code(participant).await,
            page: study.page.number(),
            ahead: 0,
            office: study.office(),
        }
    }

    /// One that was set up from a copy of everything that this one has.
    pub(crate) fn copied(&self) -> Phone {
        let folder = self.folder.with_extension("copy");
        let mut copy = Command::new("cp");
        let copied = copy.arg("-a").args([&self.folder, &folder]).status();
        assert!(copied.expect("it starts").success());
        Phone {
            folder,
            ..self.clone()
        }
    }

    /// Enrols, seals the nights up to this one, and sends until all are registered.
    pub(crate) async fn play(&self, nights: u64) -> Said {
        self.run("nights", &[nights]).await
    }

    /// The same, but syncs twice for so many seconds, whatever comes of it.
    pub(crate) async fn play_for(&self, nights: u64, seconds: u64) -> Said {
        self.run("nights", &[nights, seconds]).await
    }

    /// Runs a program of its language to its end, which the servers' own tasks must not wait for. Gives what its last line says.
    pub(crate) async fn run<T: DeserializeOwned>(&self, program: &str, numbers: &[u64]) -> T {
        let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk/tests/phone"));
        command
            .args([program, self.language])
            .arg(&self.folder)
            .args([&self.office, &self.code])
            .args(numbers.iter().map(u64::to_string))
            .env("PAGE_PORT", self.page.to_string())
            .env("AHEAD", self.ahead.to_string());
        let ended = tokio::task::spawn_blocking(move || command.output());
        let ended = ended.await.expect("it ends").expect("it starts");
        let shown = String::from_utf8_lossy(&ended.stdout);
        let complained = String::from_utf8_lossy(&ended.stderr);
        let language = self.language;
        assert!(ended.status.success(), "{language}: {shown}{complained}");
        let last = shown.lines().next_back().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{language}: {last}: {error}"))
    }
}
