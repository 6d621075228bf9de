// SPDX-License-Identifier: Apache-2.0

//! Writes an audit down: as JSON for programs, as one HTML page for people.

mod clauses;
mod digest;
mod html;
mod json;
mod nights;
mod plot;
mod style;

pub use digest::{Digest, Summary};
pub use html::page;
pub use json::{JsonReport, SCHEMA};

use hashchain::StudyId;
use mhealth_api::{Hash, Key, Policy};
use serde::{Deserialize, Serialize};
use time::macros::format_description;
use time::OffsetDateTime;

use crate::chain::{ChainStudy, Standing};

/// What an audit was about, and who made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heading {
    /// Who ran it, as that person said.
    pub auditor: String,
    /// The program and its version.
    pub program: String,
    /// When it was run, in seconds since 1970.
    pub run_at: u64,
    /// Genesis hash of the chain.
    pub chain: Hash,
    /// The study.
    pub study: StudyId,
    /// Its title.
    pub title: String,
    /// What the chain demands of the study's runs.
    pub policy: Policy,
    /// The auditor's key on chain.
    pub auditor_key: Key,
    /// Number of the finalised block that the audit is about.
    pub block: u64,
    /// Its hash.
    pub block_hash: Hash,
    /// The time that it names, in seconds since 1970.
    pub block_time: Option<u64>,
    /// The study's relays of which no export was given that they signed, by their present accounts.
    pub no_export: Vec<Key>,
    /// What is proved of all that was read from the chain, and what only the node says.
    pub standing: Standing,
    /// Public half of the report key that signs the reports, if any does.
    #[serde(default)]
    pub report_key: Option<Key>,
}

impl Heading {
    /// The heading of an audit of this study, without the export of some of its relays.
    pub fn new(study: &ChainStudy, auditor: &str, run_at: u64, no_export: Vec<Key>) -> Self {
        Heading {
            auditor: auditor.into(),
            program: concat!("mhealth-auditor ", env!("CARGO_PKG_VERSION")).into(),
            run_at,
            chain: Hash(study.genesis),
            study: study.number,
            title: study.study.title.clone(),
            policy: study.study.policy,
            auditor_key: Key(study.study.auditor_key),
            block: study.block.number,
            block_hash: Hash(study.block.hash.0),
            block_time: study.time,
            no_export,
            standing: study.standing.clone(),
            report_key: None,
        }
    }
}

/// A time as people write it; a dash when there is none.
fn moment(seconds: Option<u64>) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    seconds
        .and_then(|seconds| i64::try_from(seconds).ok())
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|time| time.format(format).ok())
        .unwrap_or_else(|| "–".into())
}

/// A day, counted from 1970-01-01.
fn day(number: u64) -> String {
    moment(number.checked_mul(86_400))
        .split(' ')
        .next()
        .unwrap_or("–")
        .into()
}

#[cfg(test)]
mod tests;
