// SPDX-License-Identifier: Apache-2.0

//! Real nights through phones, relays and chain, and back as a dataset.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{ensure, Context, Result};
use hashchain::DeviceId;
use mhealth_chain_client::{calls, Account, ChainClient};
use mhealth_testing::audit::{self, Report};
use mhealth_testing::export;
use mhealth_testing::handset::{envelope, Handset};
use mhealth_testing::output::value;
use mhealth_testing::played_relay::PlayedRelay;
use mhealth_testing::process::Program;
use mhealth_testing::topology::{Site, Topology, SIGNED_STUDY as STUDY, SPONSOR};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use rand::rngs::StdRng;
use rand::SeedableRng;
use serde_json::Value;

/// Entries of each plant.
const PLANTED: usize = 20;

/// One person's nights: day, minutes asleep, minutes in bed.
type Series = Vec<(String, f64, f64)>;

/// The file that this project is tried on, when it is there (`MHEALTH_SLEEP_DAY` names another place for it); otherwise a small
/// one of the same shape.
fn nights() -> PathBuf {
    let beside = PathBuf::from("../../shared/data/sleep_day.csv");
    let named = std::env::var_os("MHEALTH_SLEEP_DAY").map_or(beside, PathBuf::from);
    match named.exists() {
        true => named,
        false => "data/nights.csv".into(),
    }
}

/// The nights of a file of real nights, by person. Rows that stand twice are one.
fn recorded(file: &Path) -> BTreeMap<String, Series> {
    let text = fs::read_to_string(file).expect("it is there");
    let mut people: BTreeMap<String, Series> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let minutes = |place: usize| cells[place].parse().expect("minutes");
        let night = (cells[1].to_owned(), minutes(3), minutes(4));
        let nights = people.entry(cells[0].to_owned()).or_default();
        if !nights.contains(&night) {
            nights.push(night);
        }
    }
    people
}

/// Phones have pseudonyms for people that nobody can trace back, so people are told apart by their nights.
fn in_order(people: BTreeMap<String, Series>) -> Vec<Series> {
    let mut series: Vec<Series> = people.into_values().collect();
    let sorted = |nights: &mut Series| nights.sort_by(|one, other| one.partial_cmp(other).unwrap());
    series.iter_mut().for_each(sorted);
    series.sort_by(|one, other| one.partial_cmp(other).unwrap());
    series
}

struct Trial {
    folder: tempfile::TempDir,
    site: Site,
    genesis: String,
}

/// Phones that were attacked, each with what an audit has to say of twenty of its entries.
type Plants = BTreeMap<DeviceId, &'static str>;

impl Trial {
    async fn play() -> Result<(Self, Plants)> {
        let folder = tempfile::tempdir()?;
        let site = Site::start(Topology::SeveralRelays, folder.path()).await?;
        let chain = ChainClient::connect(&site.node().url()).await?;
        let trial = Trial {
            genesis: format!("{:?}", chain.genesis_hash()),
            folder,
            site,
        };
        let mut simulate = trial.site.cohorts()[0].device("simulate", trial.folder.path())?;
        let simulated = said(simulate.arg("--csv").arg(nights()))?;
        ensure!(value(&simulated, "refused") == Some("0"), "{simulated}");
        let plants = trial.plant(&chain).await?;
        Ok((trial, plants))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The laboratory's plants: forged, altered, missing, disputed.
    async fn plant(&self, chain: &ChainClient) -> Result<Plants> {
        let office = Account::from_secret_uri("//Charlie//plants")?;
        let sponsor = chain.submitter(Account::from_secret_uri(SPONSOR)?);
        let appointed =
            sponsor.submit_and_wait(calls::add_authentication_server(STUDY, office.id()));
        appointed.await?.succeeded()?;
        let office = chain.submitter(office);
        let relay = PlayedRelay::appoint(chain, STUDY, SPONSOR, "//Dave//plants").await?;
        let mut plants = Plants::new();
        for (verdict, seed) in [
            ("forged", 1),
            ("altered", 2),
            ("missing", 3),
            ("disputed", 4),
        ] {
            let mut phone = Handset::enrol_by_hand(&office, STUDY, seed).await?;
            relay.relay(&phone.record(2)).await?;
            plants.insert(phone.device(), verdict);
            match verdict {
                "forged" => {
                    let forged = phone.with_another_secret().record(PLANTED);
                    relay.relay(&forged).await?;
                }
                "altered" => {
                    let genuine = phone.record(PLANTED);
                    let brought = relay.bring(&genuine).await?;
                    let mut altered = genuine;
                    let mut random = StdRng::seed_from_u64(9);
                    for entry in &mut altered.entries {
                        entry.envelope.0 = envelope(&mut random);
                    }
                    relay.keep(&altered, brought);
                }
                "missing" => drop(relay.bring(&phone.record(PLANTED)).await?),
                _ => {
                    relay.relay(&phone.stolen_copy().record(PLANTED)).await?;
                    relay.relay(&phone.record(1)).await?;
                }
            }
        }
        relay.export(&self.path("plants.ndjson")).await?;
        Ok(plants)
    }

    /// Saves the relays' exports, audits them, and has evidence made.
    async fn audit(&self) -> Result<Report> {
        let mut options = self.site.audit();
        options.genesis = Some(self.genesis.clone());
        for (name, url, credential) in std::mem::take(&mut options.relays) {
            let file = self.path(&format!("{name}.ndjson"));
            export::save(&url, &credential, STUDY, &file).await?;
            options.exports.push((name, file));
        }
        options
            .exports
            .push(("plants".into(), self.path("plants.ndjson")));
        let report = audit::run(&options, &self.path("audit.json"))?;
        let mut prove = Program::Auditor.command()?;
        prove
            .args([
                "prove",
                "--node",
                &self.site.node().url(),
                "--genesis",
                &self.genesis,
            ])
            .arg(format!("--study={STUDY}"))
            .arg("--out")
            .arg(self.path("study.evidence"));
        said(&mut prove)?;
        Ok(report)
    }

    /// The holder of the participants' keys takes them over from the simulator.
    fn keys(&self) -> Result<String> {
        let mut new = Program::Data.command()?;
        new.args(["keys", "new", "--genesis", &self.genesis])
            .args([format!("--study={STUDY}"), self.option("keys", "keys")]);
        said(&mut new)?;
        let mut import = Program::Data.command()?;
        import
            .args(["keys", "import"])
            .arg(self.option("keys", "keys"))
            .arg(self.path("devices.db.participants"));
        said(&mut import)?;
        let mut list = Program::Data.command()?;
        let line = said(list.args(["keys", "list"]).arg(self.option("keys", "keys")))?;
        let holder = value(&line, "holder").context("no holder")?;
        Ok(holder.to_owned())
    }

    fn option(&self, name: &str, file: &str) -> String {
        format!("--{name}={}", self.path(file).display())
    }

    fn export(&self, out: &str, more: &[&str]) -> Result<String> {
        let mut command = Program::Data.command()?;
        command.arg("export").args(more).args([
            self.option("keys", "keys"),
            self.option("audit", "audit.json"),
            self.option("evidence", "study.evidence"),
            self.option("out", out),
            format!("--genesis={}", self.genesis),
        ]);
        for name in ["dave", "eve", "plants"] {
            let file = self.path(&format!("{name}.ndjson"));
            command.arg(format!("--export={name}={}", file.display()));
        }
        said(&mut command)
    }

    fn verify(&self, dataset: &str, holder: &str) -> Result<String> {
        let mut command = Program::Data.command()?;
        command.arg("verify-dataset").arg(self.path(dataset)).args([
            self.option("evidence", "study.evidence"),
            self.option("audit", "audit.json"),
            format!("--genesis={}", self.genesis),
            format!("--holder={holder}"),
        ]);
        said(&mut command)
    }
}

/// The last line that a program prints, if it succeeds.
fn said(command: &mut Command) -> Result<String> {
    let output: Output = command.output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let wrong = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}{wrong}");
    Ok(said.lines().next_back().unwrap_or_default().to_owned())
}

/// What counts in a dataset, by person, from one of its files.
fn counted(dataset: &Path, file: &str) -> BTreeMap<String, Series> {
    let path = dataset.join(file);
    let mut people: BTreeMap<String, Series> = BTreeMap::new();
    let mut add = |who: &str, night: &str, asleep: f64, bed: f64| {
        let night = (night.to_owned(), asleep, bed);
        people.entry(who.to_owned()).or_default().push(night);
    };
    match file {
        "nights.parquet" => {
            let reader = SerializedFileReader::new(fs::File::open(&path).unwrap()).unwrap();
            for row in reader.get_row_iter(None).unwrap() {
                let row: BTreeMap<String, Field> = row
                    .unwrap()
                    .get_column_iter()
                    .map(|(name, it)| (name.clone(), it.clone()))
                    .collect();
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

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn table(path: &Path) -> Vec<BTreeMap<String, String>> {
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

#[tokio::test(flavor = "multi_thread")]
async fn real_nights_go_through_phones_relays_and_chain_and_come_back_without_a_difference() {
    let (trial, plants) = Trial::play().await.unwrap();
    let report = trial.audit().await.unwrap();
    let holder = trial.keys().unwrap();
    // The fork is at the first entry after those two that the phone made before.
    for (device, verdict) in &plants {
        let entries = &report.device(*device).unwrap().entries;
        let planted = entries
            .iter()
            .filter(|entry| entry.registered && entry.verdict == *verdict);
        assert_eq!(planted.count(), PLANTED, "{verdict}");
    }

    trial.export("valid", &[]).unwrap();
    let expected = in_order(recorded(&nights()));
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
    // The phone's own entry, which came second, is a row more: disputed, and not registered.
    let planted = |row: &BTreeMap<String, String>| {
        let registered = row["registered"] == "true";
        plants
            .get(&row["device"].parse().unwrap())
            .is_some_and(|it| registered && row["verdict"] == *it)
    };
    let rows = table(&dataset.join("nights.csv"));
    assert!(rows
        .iter()
        .all(|row| row["verdict"] == "valid" && !planted(row)));
    trial.verify("valid", &holder).unwrap();

    trial.export("flagged", &["--include-flagged"]).unwrap();
    let rows = table(&trial.path("flagged/nights.csv"));
    assert_eq!(rows.iter().filter(|row| planted(row)).count(), 4 * PLANTED);
    let mut verdicts: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &rows {
        *verdicts.entry(&row["verdict"]).or_default() += 1;
    }
    let mut audited: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in report.devices.iter().flat_map(|device| &device.entries) {
        *audited.entry(&entry.verdict).or_default() += 1;
    }
    assert_eq!(verdicts, audited);
    assert_eq!(
        in_order(counted(&trial.path("flagged"), "nights.csv")),
        expected
    );
    trial.verify("flagged", &holder).unwrap();
}
