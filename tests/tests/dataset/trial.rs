// SPDX-License-Identifier: Apache-2.0

//! A trial that is played, audited, and made a dataset of.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{ensure, Context, Result};
use hashchain::DeviceId;
use mhealth_api::{EnrolmentCode, Hash, Key};
use mhealth_chain_client::{calls, Account, ChainClient};
use mhealth_device_host::payload::MEDIA_TYPE;
use mhealth_testing::audit::{self, Report};
use mhealth_testing::export;
use mhealth_testing::handset::{envelope, Handset};
use mhealth_testing::output::value;
use mhealth_testing::played_relay::PlayedRelay;
use mhealth_testing::process::Program;
use mhealth_testing::topology::{Site, Topology, SIGNED_STUDY as STUDY, SPONSOR};
use rand::rngs::StdRng;
use rand::SeedableRng;
use serde_json::{json, Value};

use crate::{Series, PLANTED};

/// A participant whose key the data manager made before there was a phone.
pub(crate) const ENROLLED: &str = "P-0017";
/// The night that this participant's phone seals: day, minutes asleep, minutes in bed.
const NIGHT: (&str, u32, u32) = ("2026-03-02", 407, 431);

pub(crate) struct Trial {
    folder: tempfile::TempDir,
    site: Site,
    genesis: String,
}

/// Phones that were attacked, each with what an audit has to say of twenty of its entries.
pub(crate) type Plants = BTreeMap<DeviceId, &'static str>;

impl Trial {
    /// Phones of a file of nights, one of a participant whose key was made here, and phones that are attacked.
    pub(crate) async fn play(nights: &Path) -> Result<(Self, Plants)> {
        let folder = tempfile::tempdir()?;
        let site = Site::start(Topology::SeveralRelays, folder.path()).await?;
        let chain = ChainClient::connect(&site.node().url()).await?;
        let trial = Trial {
            genesis: format!("{:?}", chain.genesis_hash()),
            folder,
            site,
        };
        let key = trial.new_keys()?;
        trial.enrol(&chain, &key).await?;
        let mut simulate = trial.site.cohorts()[0].device("simulate", trial.folder.path())?;
        let simulated = said(simulate.arg("--csv").arg(nights))?;
        ensure!(value(&simulated, "refused") == Some("0"), "{simulated}");
        let plants = trial.plant(&chain).await?;
        Ok((trial, plants))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
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
    pub(crate) async fn audit(&self) -> Result<Report> {
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

    /// The data manager makes the key folder, with the key of a participant who has no phone yet. Gives the public half.
    fn new_keys(&self) -> Result<String> {
        let mut new = Program::Data.command()?;
        new.args(["keys", "new", ENROLLED, "--genesis", &self.genesis])
            .args([format!("--study={STUDY}"), self.option("keys", "keys")]);
        let said = all_said(&mut new)?;
        let line = said.lines().find_map(|line| line.strip_prefix(ENROLLED));
        Ok(line.context("no public key")?.trim().to_owned())
    }

    /// Staff has a code made with this key; the phone enrols with it, seals a night and sends it.
    async fn enrol(&self, chain: &ChainClient, key: &str) -> Result<()> {
        let door = self.site.doors().remove(0);
        let request = json!({ "participant": ENROLLED, "participant_key": key });
        let code = door.code(&request).await?;
        // It is bound to the key: a phone that is told another refuses it.
        let bound: EnrolmentCode = code.parse().ok().context("no code")?;
        let key: Key = key.parse().ok().context("no key")?;
        let genesis = Hash(chain.genesis_hash().0);
        ensure!(bound.is_for(&genesis, Some(&key)) && !bound.is_for(&genesis, None));

        let state = self.path("enrolled.db");
        let phone = |subcommand: &str| -> Result<Command> {
            let mut command = Program::Device.command()?;
            command.arg(subcommand).arg("--state").arg(&state);
            Ok(command)
        };
        let mut enrol = phone("enrol")?;
        enrol.args(["--auth", &door.url]).env("MHEALTH_CODE", &code);
        for relay in self.site.relay_urls() {
            enrol.args(["--relay", &relay]);
        }
        said(&mut enrol)?;
        let night = self.path("night.json");
        std::fs::write(&night, night_of_enrolled().to_string())?;
        let mut seal = phone("seal")?;
        seal.args(["--source=night-1", "--media-type", MEDIA_TYPE]);
        said(seal.arg(&night))?;
        let uploaded = said(&mut phone("upload")?)?;
        let figures = ["finalised", "refused"].map(|name| value(&uploaded, name));
        ensure!(figures == [Some("1"), Some("0")], "{uploaded}");
        Ok(())
    }

    /// The holder of the participants' keys takes over those that the simulator made.
    pub(crate) fn import_keys(&self) -> Result<String> {
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

    /// A dataset.
    pub(crate) fn export(&self, out: &str, more: &[&str]) -> Result<String> {
        self.make(&[&["export"], more].concat(), out)
    }

    /// A participant's own package.
    pub(crate) fn my_data(&self, participant: &str, out: &str) -> Result<String> {
        self.make(&["my-data", participant], out)
    }

    fn make(&self, what: &[&str], out: &str) -> Result<String> {
        let mut command = Program::Data.command()?;
        command.args(what).args([
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

    /// Checks a dataset or a package, and compares it with the audit.
    pub(crate) fn verify(&self, dataset: &str, holder: &str) -> Result<String> {
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

/// The night that the phone of [`ENROLLED`] seals, as this project's programs write one of which the day is known.
fn night_of_enrolled() -> Value {
    let (day, asleep, in_bed) = NIGHT;
    let point = |namespace: &str, name: &str, version: &str, uuid: &str, body: Value| {
        json!({
            "header": {
                "uuid": uuid,
                "schema_id": { "namespace": namespace, "name": name, "version": version },
                "source_creation_date_time": format!("{day}T08:00:00Z"), "modality": "sensed",
            },
            "body": body,
        })
    };
    let frame = json!({ "time_interval": { "date": day, "part_of_day": "night" } });
    let episode = json!({
        "effective_time_frame": frame, "total_sleep_time": { "value": asleep, "unit": "min" },
    });
    let bed = json!({
        "effective_time_frame": frame, "time_in_bed": { "value": in_bed, "unit": "min" },
    });
    let [one, other] = [
        "0b9f2f9c-5a54-4d0b-9c1c-1f6f5f0d2a01",
        "0b9f2f9c-5a54-4d0b-9c1c-1f6f5f0d2a02",
    ];
    json!({
        "participant": ENROLLED, "night": day,
        "sleep_episode": point("omh", "sleep-episode", "1.1", one, episode),
        "time_in_bed": point("mhealth-chain", "time-in-bed", "1.0", other, bed),
    })
}

/// What has to come out of it.
pub(crate) fn nights_of_enrolled() -> Series {
    let (day, asleep, in_bed) = NIGHT;
    vec![(day.to_owned(), asleep.into(), in_bed.into())]
}

/// All that a program prints, if it succeeds.
fn all_said(command: &mut Command) -> Result<String> {
    let output: Output = command.output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let wrong = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}{wrong}");
    Ok(said.into_owned())
}

/// The last line of it.
fn said(command: &mut Command) -> Result<String> {
    let said = all_said(command)?;
    Ok(said.lines().next_back().unwrap_or_default().to_owned())
}
