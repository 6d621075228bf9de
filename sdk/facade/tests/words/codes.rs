// SPDX-License-Identifier: Apache-2.0

//! Codes: what the sources give, what the documents list, and what participants are told of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use hashchain::{Reason, StudyId};
use mhealth_device::chain::ChainFault;
use mhealth_device::{Advice, Error, FreezeReason, PublicKey, SyncError};
use mhealth_sdk::Language;

use crate::names;

/// Where codes come from: the library, what it reads proofs with, and what it is to apps.
const SOURCES: [&str; 3] = ["device/src", "evidence/src", "sdk/facade/src"];
/// After these a word is a code, also if it is a single one.
const MADE_BY: [&str; 4] = [
    "code:",
    "before_the_chain(",
    "ProofFault::new(",
    "SdkError::new(",
];
/// Texts that are no code's.
const SHARED: [&str; 5] = ["otherwise", "wait", "staff", "update", "relay"];

fn place(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

fn page(path: &str) -> String {
    std::fs::read_to_string(place(path)).expect("the page is there")
}

/// The cells of every row of the tables in a text.
fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let rows = text.lines().filter(|line| line.starts_with("| "));
    rows.map(|row| {
        let cells = row.trim_matches('|').split(" | ");
        cells.map(str::trim).collect()
    })
}

/// What stands in a cell as code.
fn code<'t>(cells: &[&'t str], column: usize) -> Option<&'t str> {
    cells.get(column)?.strip_prefix('`')?.strip_suffix('`')
}

/// Codes of servers.
fn of_servers() -> BTreeSet<String> {
    let page = page("docs/protocol/device-api.md");
    let codes = rows(&page).filter_map(|cells| {
        let status: u16 = cells.get(1)?.parse().ok()?;
        let code = code(&cells, 0)?;
        (status >= 400).then(|| code.to_owned())
    });
    codes.collect()
}

/// Words for why the chain refuses a run.
fn of_runs() -> BTreeSet<String> {
    let page = page("docs/protocol/device-api.md");
    let table = page.split_once("| why the chain refused the run |");
    let (_, table) = table.expect("there is a table of them");
    let table = table.split("\n\n").next().unwrap_or_default();
    let words = rows(table).filter_map(|cells| code(&cells, 1).map(str::to_owned));
    words.collect()
}

/// Codes of the library, with what it is said to advise.
fn of_the_library() -> BTreeMap<String, Advice> {
    let page = page("docs/operating/apps.md");
    let codes = rows(&page).filter_map(|cells| {
        let advice = Advice::from_code(code(&cells, 1)?)?;
        Some((code(&cells, 0)?.to_owned(), advice))
    });
    codes.collect()
}

/// What is written like a code in a folder of sources, and where. Names of what nights consist of are none.
fn written(folder: &Path, found: &mut BTreeMap<String, PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        let name = path.file_stem();
        if name.is_some_and(|name| name == "tests" || name == "payload") {
            continue;
        }
        if path.is_dir() {
            written(&path, found);
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("it is a source");
        let text = text.split("#[cfg(test)]\nmod tests").next();
        let pieces: Vec<&str> = text.unwrap_or_default().split('"').collect();
        for pair in pieces.windows(2) {
            let (before, word) = (pair[0].trim_end(), pair[1]);
            let fits = |byte: u8| byte == b'_' || byte.is_ascii_lowercase();
            let is_made = MADE_BY.iter().any(|maker| before.ends_with(maker));
            if !word.is_empty() && word.bytes().all(fits) && (word.contains('_') || is_made) {
                found.entry(word.to_owned()).or_insert_with(|| path.clone());
            }
        }
    }
}

fn of_the_sources() -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    for folder in SOURCES {
        written(&place(folder), &mut found);
    }
    // These are put together.
    for reason in [Reason::Digest, Reason::Tag, Reason::Signature] {
        let code = format!("wrong_{}", reason.as_str());
        found.insert(code, place("sdk/facade/src/checks.rs"));
    }
    found
}

/// The library's own errors that advise something else than to tell the study.
fn own_errors() -> [Error; 10] {
    let path = || "storage".to_owned();
    [
        Error::DiskFull(path()),
        Error::InUse(path()),
        Error::WrongKeystore(path()),
        Error::KeystoreLocked,
        Error::NotEnrolled,
        Error::Newer {
            path: path(),
            found: 2,
            known: 1,
        },
        Error::Corrupt {
            path: path(),
            what: String::new(),
        },
        Error::OtherChain {
            expected: String::new(),
            found: String::new(),
        },
        Error::OtherStudy {
            expected: StudyId(1),
            found: StudyId(2),
        },
        Error::Frozen {
            key: PublicKey([0; 32]),
            reason: FreezeReason::RestoredBackup,
        },
    ]
}

/// What the library advises with a code: of an error of its own, or of a fault on the way, which may pass or not.
fn advised(code: &str) -> Vec<Advice> {
    let mut own = own_errors().into_iter();
    if let Some(error) = own.find(|error| error.code() == code) {
        return vec![error.advice()];
    }
    let fault = |passing| ChainFault {
        code: code.into(),
        message: String::new(),
        passing,
    };
    let both = [true, false].map(|passing| SyncError::Chain(fault(passing)).advice());
    both.to_vec()
}

fn without_sentence<'c>(codes: impl IntoIterator<Item = &'c String>) -> Vec<&'c String> {
    let told = names("locales/*/errors.ftl", Language::English);
    let mut codes: Vec<_> = codes.into_iter().collect();
    codes.retain(|code| !told.contains(*code));
    codes
}

#[test]
fn every_code_that_a_server_gives_has_a_sentence() {
    let codes = of_servers();
    assert!(codes.len() > 80);
    assert_eq!(without_sentence(&codes), Vec::<&String>::new());
}

#[test]
fn every_reason_for_which_the_chain_refuses_a_run_has_a_sentence() {
    let words = of_runs();
    assert!(words.contains("fork") && words.len() > 10, "{words:?}");
    assert_eq!(without_sentence(&words), Vec::<&String>::new());
}

#[test]
fn every_code_of_the_library_has_a_sentence_and_the_advice_that_the_guide_names() {
    let codes = of_the_library();
    assert!(codes.len() > 60);
    assert_eq!(without_sentence(codes.keys()), Vec::<&String>::new());
    for (code, advice) in codes {
        let advised = advised(&code);
        assert!(advised.contains(&advice), "{code}: {advised:?}");
    }
}

#[test]
fn every_code_in_the_sources_is_in_a_document_and_every_one_of_the_guide_in_the_sources() {
    let (servers, library, sources) = (of_servers(), of_the_library(), of_the_sources());
    let mut missing = sources.clone();
    missing.retain(|code, _| {
        let is_code = servers.contains(code) || library.contains_key(code);
        let is_reason = FreezeReason::from_code(code).is_some();
        !is_code && !is_reason && Advice::from_code(code).is_none()
    });
    assert_eq!(missing, BTreeMap::new());
    let mut dead: Vec<_> = library.keys().collect();
    dead.retain(|code| !sources.contains_key(*code));
    assert_eq!(dead, Vec::<&String>::new());
}

#[test]
fn every_sentence_is_for_a_code_that_is_in_a_document() {
    let (servers, runs, library) = (of_servers(), of_runs(), of_the_library());
    let mut unknown = names("locales/*/errors.ftl", Language::English);
    unknown.retain(|name| {
        let is_code = servers.contains(name) || runs.contains(name) || library.contains_key(name);
        let is_reason = FreezeReason::from_code(name).is_some();
        let is_shared = SHARED.contains(&name.as_str()) || name.starts_with("advice-");
        !is_code && !is_reason && !is_shared
    });
    assert_eq!(unknown, BTreeSet::new());
}
