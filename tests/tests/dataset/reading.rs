// SPDX-License-Identifier: Apache-2.0

//! Reads the files of a dataset, without the crate that writes them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use serde_json::Value;

use crate::Series;

/// Files with a row for every entry that is in the dataset.
pub(crate) const EVERY_ROW: [&str; 5] = [
    "nights.csv",
    "nights.parquet",
    "fhir/Provenance.ndjson",
    "cdisc/sleep.json",
    "redcap/nights.csv",
];
/// Files that have some of them.
pub(crate) const SOME_ROWS: [&str; 3] = ["open-mhealth.ndjson", "other.ndjson", "parts.ndjson"];

/// What counts in a dataset, by person, from one of its files.
pub(crate) fn counted(dataset: &Path, file: &str) -> BTreeMap<String, Series> {
    let path = dataset.join(file);
    let mut people: BTreeMap<String, Series> = BTreeMap::new();
    let mut add = |who: &str, night: &str, asleep: f64, bed: f64| {
        let night = (night.to_owned(), asleep, bed);
        people.entry(who.to_owned()).or_default().push(night);
    };
    match file {
        "nights.parquet" => {
            for row in columns(&path) {
                let number = |name: &str| match row[name] {
                    Field::Double(value) => value,
                    ref other => panic!("{other}"),
                };
                if matches!(row["current"], Field::Bool(true)) {
                    let text = |name: &str| row[name].to_string().replace('"', "");
                    let day = text("night");
                    let day = day.split(' ').next().unwrap();
                    add(
                        &text("participant"),
                        day,
                        number("total_sleep_time_min"),
                        number("time_in_bed_min"),
                    );
                }
            }
        }
        "cdisc/sleep.json" => {
            let dataset: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            let columns = dataset["columns"].as_array().unwrap();
            let place = |name: &str| columns.iter().position(|it| it["name"] == name).unwrap();
            let [who, night, asleep, bed, current] =
                ["USUBJID", "NIGHT", "TST", "TIB", "CURRENT"].map(place);
            for row in dataset["rows"].as_array().unwrap() {
                if row[current] == true {
                    let text = |at: usize| row[at].as_str().unwrap();
                    let number = |at: usize| row[at].as_f64().unwrap();
                    add(text(who), text(night), number(asleep), number(bed));
                }
            }
        }
        "fhir/Observation.ndjson" => {
            for night in lines(&path) {
                if !["final", "corrected"].contains(&night["status"].as_str().unwrap()) {
                    continue;
                }
                let parts = night["component"].as_array().unwrap().iter();
                let is_bed = |part: &&Value| part["code"]["coding"][0]["code"] == "time_in_bed_min";
                let bed = parts
                    .filter(is_bed)
                    .map(|part| part["valueQuantity"]["value"].as_f64());
                add(
                    night["subject"]["identifier"]["value"].as_str().unwrap(),
                    night["identifier"][0]["value"].as_str().unwrap(),
                    night["valueQuantity"]["value"].as_f64().unwrap(),
                    bed.flatten().next().unwrap(),
                );
            }
        }
        "open-mhealth.ndjson" => {
            let (mut asleep, mut bed) = (BTreeMap::new(), BTreeMap::new());
            for point in lines(&path) {
                let (header, body) = (&point["header"], &point["body"]);
                let place = &header["mhealth_chain"];
                let key = (
                    header["user_id"].clone(),
                    place["night"].clone(),
                    place["sequence"].clone(),
                );
                let key = key.0.as_str().map(|who| {
                    (
                        who.to_owned(),
                        key.1.to_string().replace('"', ""),
                        key.2.as_u64(),
                    )
                });
                if let (Some(key), true) = (key, place["current"] == true) {
                    let minutes = |name: &str| body[name]["value"].as_f64();
                    asleep.extend(minutes("total_sleep_time").map(|it| (key.clone(), it)));
                    bed.extend(minutes("time_in_bed").map(|it| (key, it)));
                }
            }
            for (key, minutes) in asleep {
                add(&key.0, &key.1, minutes, bed[&key]);
            }
        }
        _ => {
            for row in table(&path) {
                if ["true", "1"].contains(&row["current"].as_str()) {
                    let number = |name: &str| row[name].parse().unwrap();
                    add(
                        &row["participant"],
                        &row["night"],
                        number("total_sleep_time_min"),
                        number("time_in_bed_min"),
                    );
                }
            }
        }
    }
    people
}

/// What each row of a file says of the verdict on its entry, by the entry's link.
pub(crate) fn verdicts(dataset: &Path, file: &str) -> BTreeMap<String, String> {
    let path = dataset.join(file);
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let of_object = |object: &Value| (text(&object["link"]), text(&object["verdict"]));
    match file {
        "nights.parquet" => {
            let said = |field: &Field| field.to_string().replace('"', "");
            let rows = columns(&path).into_iter();
            rows.map(|row| (said(&row["link"]), said(&row["verdict"])))
                .collect()
        }
        "cdisc/sleep.json" => {
            let dataset: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            let names = dataset["columns"].as_array().unwrap();
            let place = |name: &str| names.iter().position(|it| it["name"] == name).unwrap();
            let [link, verdict] = ["LINK", "VERDICT"].map(place);
            let rows = dataset["rows"].as_array().unwrap().iter();
            rows.map(|row| (text(&row[link]), text(&row[verdict])))
                .collect()
        }
        "fhir/Provenance.ndjson" => {
            let named = |provenance: &Value, name: &str| {
                let system = format!("urn:mhealth-chain:{name}");
                let entities = provenance["entity"].as_array().unwrap().iter();
                let mut identifiers = entities.map(|entity| &entity["what"]["identifier"]);
                let found = identifiers.find(|it| it["system"] == system.as_str());
                text(&found.unwrap()["value"])
            };
            let rows = lines(&path).into_iter();
            rows.map(|row| (named(&row, "link"), named(&row, "verdict")))
                .collect()
        }
        "open-mhealth.ndjson" => {
            let points = lines(&path).into_iter();
            points
                .map(|point| of_object(&point["header"]["mhealth_chain"]))
                .collect()
        }
        "other.ndjson" | "parts.ndjson" => lines(&path).iter().map(of_object).collect(),
        _ => {
            let rows = table(&path).into_iter();
            rows.map(|row| (row["link"].clone(), row["verdict"].clone()))
                .collect()
        }
    }
}

/// The rows of a table in columns.
fn columns(path: &Path) -> Vec<BTreeMap<String, Field>> {
    let reader = SerializedFileReader::new(fs::File::open(path).unwrap()).unwrap();
    let rows = reader.get_row_iter(None).unwrap();
    rows.map(|row| {
        let row = row.unwrap();
        let columns = row.get_column_iter();
        columns
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    })
    .collect()
}

pub(crate) fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub(crate) fn table(path: &Path) -> Vec<BTreeMap<String, String>> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().unwrap().split(',').collect();
    let row = |line: &str| -> BTreeMap<String, String> {
        let cells = head.iter().zip(line.split(','));
        cells
            .map(|(name, cell)| (name.to_string(), cell.to_owned()))
            .collect()
    };
    lines.map(row).collect()
}
