// SPDX-License-Identifier: Apache-2.0

//! `mhealth passport`: what everybody who takes part in a study compares, on one page and in one file.

mod page;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Subcommand;
use hashchain::StudyId;
use mhealth_chain_client::{AccountId32, ChainView, H256};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::files;
use crate::member::digits;
use crate::proposals::policy_name;
use crate::report::Report;
use crate::session::Global;

/// The form of the file.
const FORMAT: &str = "mhealth-passport/1";
/// Most bytes of a passport: what a QR code of the usual strength holds.
const LONGEST: usize = 2_300;

/// Makes and checks the passport of a study: what phones, auditors and staff must have in common.
#[derive(Debug, Subcommand)]
pub(crate) enum Passport {
    /// Makes it from the chain: a page to print, with a QR code, and a file for programs.
    Make {
        /// Number of the study.
        #[arg(long, value_name = "N")]
        study: StudyId,
        /// Base address of the study's authentication server.
        #[arg(long = "auth", value_name = "URL")]
        authentication_server: Option<Address>,
        /// Base address of a relay. May be given several times.
        #[arg(long = "relay", value_name = "URL")]
        relays: Vec<Address>,
        /// The file for programs. The page goes into the file of this name with .html at its end.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Compares a passport with the chain: its first block, and what the chain has of the study.
    Check {
        /// The file for programs.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Base address of a server: https, or http on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address(String);

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim_end_matches('/');
        let is_local = ["127.0.0.1", "localhost", "[::1]"].iter().any(|host| {
            text.strip_prefix("http://")
                .and_then(|rest| rest.strip_prefix(host))
                .is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
        });
        let is_secure = text
            .strip_prefix("https://")
            .is_some_and(|rest| !rest.is_empty() && !rest.starts_with([':', '/']));
        let is_plain = text
            .chars()
            .all(|sign| sign.is_ascii_graphic() && !"?#@\"<>\\".contains(sign));
        match is_plain && (is_local || is_secure) {
            true => Ok(Address(text.to_owned())),
            false => Err(
                "not a base address like https://relay.example.org; http is for this machine only"
                    .to_owned(),
            ),
        }
    }
}

/// The passport itself. The QR code holds it as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    format: String,
    /// Hash of the chain's first block.
    genesis: String,
    /// Number of the study.
    study: u32,
    title: String,
    policy: String,
    /// X25519 key to which phones seal their secrets.
    auditor_key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    authentication_server: Option<String>,
    relays: Vec<String>,
    /// Accounts of the relays on the chain.
    relay_accounts: Vec<String>,
}

pub(crate) async fn run(global: &Global, passport: Passport) -> Result<Report, Failure> {
    match passport {
        Passport::Make {
            study,
            authentication_server,
            relays,
            out,
        } => {
            let chain = global.chain().await?;
            let (_, view) = chain.at_finalised().await?;
            let mut content = Content::of(chain.genesis_hash(), &view, study).await?;
            content.authentication_server = authentication_server.map(|address| address.0);
            content.relays = relays.into_iter().map(|address| address.0).collect();
            make(&content, &out)
        }
        Passport::Check { file } => check(global, &file).await,
    }
}

impl Content {
    /// What the chain has of it.
    async fn of(genesis: H256, view: &ChainView, study: StudyId) -> Result<Self, Failure> {
        let shown = view.study(study).await?.ok_or_else(|| {
            let message = format!("There is no study {study} on this chain.");
            Failure::wrong("unknown_study", message)
        })?;
        let roster = view.roster(study).await?;
        Ok(Content {
            format: FORMAT.to_owned(),
            genesis: format!("{genesis:#x}"),
            study: study.0,
            title: shown.title,
            policy: policy_name(shown.policy).to_owned(),
            auditor_key: digits(&shown.auditor_key),
            authentication_server: None,
            relays: Vec::new(),
            relay_accounts: roster.relays.iter().map(AccountId32::to_string).collect(),
        })
    }

    fn read(file: &Path) -> Result<Self, Failure> {
        let unusable = |what: String| {
            let message = format!("{} is no passport: {what}.", file.display());
            Failure::input("not_a_passport", message)
        };
        let content: Self = serde_json::from_str(&files::read(file)?)
            .map_err(|error| unusable(error.to_string()))?;
        match content.format == FORMAT {
            true => Ok(content),
            false => Err(unusable(format!("its format is not {FORMAT}"))),
        }
    }

    /// The fields in which it differs from what the chain has.
    fn differences(&self, chain: &Self) -> Vec<&'static str> {
        let fields = [
            ("title", self.title == chain.title),
            ("policy", self.policy == chain.policy),
            ("auditor_key", self.auditor_key == chain.auditor_key),
            (
                "relay_accounts",
                self.relay_accounts == chain.relay_accounts,
            ),
        ];
        let differing = fields.into_iter().filter(|(_, same)| !same);
        differing.map(|(name, _)| name).collect()
    }

    /// The fields that it has and no chain can confirm.
    fn beside_the_chain(&self) -> Vec<&'static str> {
        let fields = [
            (
                "authentication_server",
                self.authentication_server.is_some(),
            ),
            ("relays", !self.relays.is_empty()),
        ];
        let there = fields.into_iter().filter(|(_, there)| *there);
        there.map(|(name, _)| name).collect()
    }
}

fn make(content: &Content, out: &Path) -> Result<Report, Failure> {
    let text = serde_json::to_string(content).expect("strings are JSON; qed");
    if text.len() > LONGEST {
        let message = format!(
            "The passport has {} bytes, and a QR code holds {LONGEST}: name fewer relays.",
            text.len()
        );
        return Err(Failure::input("passport_too_long", message));
    }
    let mut page = out.as_os_str().to_owned();
    page.push(".html");
    let page = PathBuf::from(page);
    let shown = page::of(content, &text)?;
    files::write_public_with(out, &format!("{text}\n"), || {
        files::write_public(&page, &shown)
    })?;
    Ok(Report::default()
        .line(format!(
            "The passport of study {} is in {}, and in {} to be printed.",
            content.study,
            out.display(),
            page.display()
        ))
        .line(format!("First block: {}", content.genesis))
        .with("genesis", content.genesis.as_str())
        .with("study", content.study)
        .with("file", out.display().to_string())
        .with("page", page.display().to_string()))
}

async fn check(global: &Global, file: &Path) -> Result<Report, Failure> {
    let content = Content::read(file)?;
    let genesis: H256 = content.genesis.parse().map_err(|_| {
        let message = format!("{} names no first block.", file.display());
        Failure::input("not_a_passport", message)
    })?;
    let chain = global.chain_of(Some(genesis)).await?;
    let (block, view) = chain.at_finalised().await?;
    let on_chain = Content::of(genesis, &view, StudyId(content.study)).await?;
    let differences = content.differences(&on_chain);
    if !differences.is_empty() {
        let message = format!(
            "The chain has something else of study {} than {}: {}.",
            content.study,
            file.display(),
            differences.join(", ")
        );
        return Err(Failure::wrong("passport_differs", message));
    }
    let report = Report::default().line(format!(
        "It is what this node says that the chain has of study {} at block {}.",
        content.study, block.number
    ));
    let not_compared = content.beside_the_chain();
    let report = match not_compared.is_empty() {
        true => report,
        false => report.line(
            "Addresses of servers are not on the chain and were not compared: ask those who run them.",
        ),
    };
    Ok(report
        .with("genesis", content.genesis)
        .with("study", content.study)
        .with("block", block.number)
        .with("not_compared", not_compared))
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn content() -> Content {
        Content {
            format: FORMAT.to_owned(),
            genesis: format!("0x{}", "ab".repeat(32)),
            study: 3,
            title: "Sleep & <wake>".to_owned(),
            policy: "device_signed".to_owned(),
            auditor_key: format!("0x{}", "cd".repeat(32)),
            authentication_server: Some("https://auth.example.org".to_owned()),
            relays: vec!["https://relay.example.org".to_owned()],
            relay_accounts: Vec::new(),
        }
    }

    #[test]
    fn the_file_is_read_as_it_was_made_and_the_page_shows_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("passport.json");
        make(&content(), &file).expect("made");
        assert_eq!(Content::read(&file).expect("read"), content());
        let page = std::fs::read_to_string(folder.path().join("passport.json.html"));
        let page = page.expect("read");
        assert!(page.contains("abababab abababab"), "{page}");
        assert!(page.contains("Sleep &amp; &lt;wake&gt;"), "{page}");
        assert!(page.contains("https://relay.example.org"), "{page}");
        assert!(page.contains("<svg") && !page.contains("<?xml"), "{page}");
    }

    #[test]
    fn what_no_chain_confirms_is_named() {
        let mut passport = content();
        let named = ["authentication_server", "relays"];
        assert_eq!(passport.beside_the_chain(), named);
        passport.authentication_server = None;
        assert_eq!(passport.beside_the_chain(), ["relays"]);
        passport.relays.clear();
        assert!(passport.beside_the_chain().is_empty());
    }

    #[test]
    fn a_file_of_another_form_is_no_passport() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = serde_json::to_string(&content()).expect("JSON");
        let wrong = [
            "{}".to_owned(),
            text.replace(FORMAT, "mhealth-passport/2"),
            text.replacen('{', "{\"more\":1,", 1),
        ];
        for (number, wrong) in wrong.iter().enumerate() {
            let file = folder.path().join(number.to_string());
            files::write_public(&file, wrong).expect("written");
            let refused = Content::read(&file).expect_err(wrong);
            assert_eq!(refused.code(), "not_a_passport", "{wrong}");
        }
    }

    #[test]
    fn every_field_that_the_chain_has_is_compared() {
        let ours = content();
        assert!(ours.differences(&ours).is_empty());
        let changes: [fn(&mut Content); 4] = [
            |content| content.title.push('!'),
            |content| content.policy = "hashchain_only".to_owned(),
            |content| content.auditor_key = format!("0x{}", "ce".repeat(32)),
            |content| content.relay_accounts.push("5…".to_owned()),
        ];
        for change in changes {
            let mut other = content();
            change(&mut other);
            assert_eq!(other.differences(&ours).len(), 1);
        }
    }

    #[test]
    fn an_address_is_secure_or_of_this_machine() {
        for good in [
            "https://a.example/",
            "http://127.0.0.1:80",
            "http://[::1]:8",
            "http://localhost",
        ] {
            assert!(good.parse::<Address>().is_ok(), "{good}");
        }
        for bad in [
            "http://a.example",
            "http://127.0.0.1.evil.example",
            "https://",
            "ftp://a.example",
            "https://user@a.example",
            "https://a.example/?x",
            "https://a b",
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_no_qr_code_holds_is_refused_before_anything_is_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("passport.json");
        let mut long = content();
        long.relays = vec!["https://relay.example.org".to_owned(); 100];
        let refused = make(&long, &file).expect_err("it is too long");
        assert_eq!(refused.code(), "passport_too_long");
        assert!(!file.exists());
    }
}
