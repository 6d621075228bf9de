// SPDX-License-Identifier: Apache-2.0

//! Real nights through phones, relays and chain, and back as a dataset.

mod reading;
mod trial;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use mhealth_device_host::{Store, SystemClock};
use mhealth_testing::output::value;
use serde_json::{json, Value};

use reading::{counted, lines, table, verdicts, EVERY_ROW, SOME_ROWS};
use trial::{nights_of_enrolled, Trial, ENROLLED};

/// Entries of each plant.
const PLANTED: usize = 20;
/// Names the folder in which the datasets are kept for other readers (`tests/datasets/`), if they are.
const KEPT: &str = "MHEALTH_REAL_SAMPLE";

/// One person's nights: day, minutes asleep, minutes in bed.
type Series = Vec<(String, f64, f64)>;

/// The file that this project is tried on, when it is there (`MHEALTH_SLEEP_DAY` names another place for it); otherwise a small
/// one of the same shape. Which one it is, is said.
fn nights() -> PathBuf {
    let beside = PathBuf::from("../../shared/data/sleep_day.csv");
    let named = std::env::var_os("MHEALTH_SLEEP_DAY").map_or(beside, PathBuf::from);
    let file = match named.exists() {
        true => named,
        false => "data/nights.csv".into(),
    };
    eprintln!("The nights of {}.", file.display());
    file
}

/// The nights of a file of real nights, by the pseudonyms that a state file gives its people. Rows that stand twice are one.
fn recorded(file: &Path, state: &Path) -> BTreeMap<String, Series> {
    let store = Store::open(state, Arc::new(SystemClock)).expect("opened");
    let text = fs::read_to_string(file).expect("it is there");
    let mut people: BTreeMap<String, Series> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let minutes = |place: usize| cells[place].parse().expect("minutes");
        let night = (cells[1].to_owned(), minutes(3), minutes(4));
        let nights = people.entry(store.pseudonym(cells[0]).0).or_default();
        if !nights.contains(&night) {
            nights.push(night);
        }
    }
    people
}

/// Each person's nights in the order of their days.
fn in_order(mut people: BTreeMap<String, Series>) -> BTreeMap<String, Series> {
    let sorted = |nights: &mut Series| nights.sort_by(|one, other| one.partial_cmp(other).unwrap());
    people.values_mut().for_each(sorted);
    people
}

/// Keeps both datasets, with the nights that have to be in each, if somebody wants them.
fn keep(trial: &Trial, expected: &BTreeMap<String, Series>) {
    let Some(place) = std::env::var_os(KEPT).map(PathBuf::from) else {
        return;
    };
    if place.exists() {
        fs::remove_dir_all(&place).unwrap();
    }
    fs::create_dir_all(&place).unwrap();
    for dataset in ["valid", "flagged"] {
        let mut copy = Command::new("cp");
        copy.arg("-r").arg(trial.path(dataset)).arg(&place);
        assert!(copy.status().unwrap().success());
    }
    let nights: Vec<Value> = expected
        .iter()
        .flat_map(|(who, nights)| nights.iter().map(move |night| (who, night)))
        .map(|(who, (day, asleep, bed))| json!([who, day, asleep, bed]))
        .collect();
    fs::write(place.join("expected.json"), json!(nights).to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn real_nights_go_through_phones_relays_and_chain_and_come_back_without_a_difference() {
    let nights = nights();
    let (trial, plants) = Trial::play(&nights).await.unwrap();
    let report = trial.audit().await.unwrap();
    let holder = trial.import_keys().unwrap();
    // The fork is at the first entry after those two that the phone made before. The phone's own entry, which came second, is not
    // registered.
    let mut planted: Vec<(String, &str)> = Vec::new();
    for (device, verdict) in &plants {
        let entries = &report.device(*device).unwrap().entries;
        let found = entries
            .iter()
            .filter(|entry| entry.registered && entry.verdict == *verdict);
        planted.extend(found.map(|entry| (entry.link.to_string(), *verdict)));
    }
    assert_eq!(planted.len(), 4 * PLANTED);
    for verdict in plants.values() {
        let of_it = planted.iter().filter(|(_, planted)| planted == verdict);
        assert_eq!(of_it.count(), PLANTED, "{verdict}");
    }

    trial.export("valid", &[]).unwrap();
    // With the night of a phone whose participant's key the data manager made, and staff put into the code.
    let mut expected = recorded(&nights, &trial.path("devices.db"));
    expected.insert(ENROLLED.to_owned(), nights_of_enrolled());
    let expected = in_order(expected);
    let dataset = trial.path("valid");
    for file in [
        "nights.csv",
        "nights.parquet",
        "open-mhealth.ndjson",
        "fhir/Observation.ndjson",
        "cdisc/sleep.json",
        "redcap/nights.csv",
    ] {
        assert_eq!(in_order(counted(&dataset, file)), expected, "{file}");
    }
    // Not one of the eighty is in any file, in which others are.
    for file in EVERY_ROW.iter().chain(&SOME_ROWS) {
        let found = verdicts(&dataset, file);
        assert!(
            !found.is_empty() || SOME_ROWS.contains(file),
            "{file} has none"
        );
        assert!(found.values().all(|verdict| verdict == "valid"), "{file}");
        for (link, verdict) in &planted {
            assert!(!found.contains_key(link), "{file}: {verdict} {link}");
        }
    }
    // An Observation has the id of its Provenance.
    let ids = |name: &str| -> BTreeSet<String> {
        let resources = lines(&dataset.join(name)).into_iter();
        resources.map(|it| it["id"].to_string()).collect()
    };
    assert_eq!(
        ids("fhir/Observation.ndjson"),
        ids("fhir/Provenance.ndjson")
    );
    trial.verify("valid", &holder).unwrap();

    trial.export("flagged", &["--include-flagged"]).unwrap();
    let flagged = trial.path("flagged");
    for file in EVERY_ROW.iter().chain(&SOME_ROWS) {
        let found = verdicts(&flagged, file);
        for (link, verdict) in &planted {
            let said = found.get(link).map(String::as_str);
            let lacks = said.is_none() && SOME_ROWS.contains(file);
            assert!(
                lacks || said == Some(*verdict),
                "{file}: {verdict} {link} {said:?}"
            );
        }
    }
    let rows = table(&flagged.join("nights.csv"));
    let mut verdicts: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &rows {
        *verdicts.entry(&row["verdict"]).or_default() += 1;
    }
    let mut audited: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in report.devices.iter().flat_map(|device| &device.entries) {
        *audited.entry(&entry.verdict).or_default() += 1;
    }
    assert_eq!(verdicts, audited);
    assert_eq!(in_order(counted(&flagged, "nights.csv")), expected);
    trial.verify("flagged", &holder).unwrap();
    keep(&trial, &expected);

    // What one of them gets who asks for it.
    let own: BTreeMap<String, Series> = expected.into_iter().take(1).collect();
    let (person, nights) = own.first_key_value().unwrap();
    let made = trial.my_data(person, "mine").unwrap();
    let current = nights.len().to_string();
    assert_eq!(value(&made, "current"), Some(current.as_str()), "{made}");
    let mine = trial.path("mine");
    for file in ["nights.csv", "open-mhealth.ndjson"] {
        assert_eq!(in_order(counted(&mine, file)), own, "{file}");
    }
    trial.verify("mine", &holder).unwrap();
}
