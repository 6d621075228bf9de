// SPDX-License-Identifier: Apache-2.0

//! A study whose holder of the participants' keys can order to erase: two relays, and a front before the first.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use ed25519_dalek::{Signer as _, SigningKey};
use hashchain::{participant_digest, DeviceId, Native, StudyId};
use mhealth_api::{ErasureOrder, ExportedRun, Hash, Key, SignatureBytes, CLOSING_PREFIX};
use mhealth_chain_client::{calls, Account, ChainClient, Submitter, SuspensionReason};
use mhealth_testing::audit::{self, Device};
use mhealth_testing::front::Front;
use mhealth_testing::handset::Door;
use mhealth_testing::http;
use mhealth_testing::node::{Launch, Node};
use mhealth_testing::port::Port;
use mhealth_testing::servers::{self, AuthOptions, RelayOptions, Server};
use mhealth_testing::topology::{last_word, OFFICES, RELAYS, SIGNED_STUDY, SPONSOR};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;

use super::super::super::arena::aside;

pub(super) const STUDY: StudyId = SIGNED_STUDY;
/// Where orders are brought.
pub(super) const ORDERS: &str = "/v1/admin/erasures";
/// What the holder keeps on file about an order.
const RECORD: &str = "request 7";
/// A relay has seen a block within this time, or something hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// A relay of the study, with the credentials of an auditor and of whoever brings orders.
pub(super) struct Relay {
    server: Server,
    /// Where others reach it.
    pub(super) url: String,
    pub(super) monitor: String,
    pub(super) eraser: String,
}

/// A study whose holder can order, with two relays. A front that may be hostile stands before the first.
pub(super) struct Scene {
    // Servers before the node: they are dropped in this order.
    pub(super) relays: [Relay; 2],
    pub(super) front: Front,
    _auth: Server,
    node: Node,
    pub(super) chain: ChainClient,
    pub(super) sponsor: Submitter,
    pub(super) door: Door,
    pub(super) holder: SigningKey,
    folder: tempfile::TempDir,
}

impl Scene {
    pub(super) async fn set(seed: u64) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let holder = SigningKey::from_bytes(&StdRng::seed_from_u64(seed).random());
        let node = aside(|| Launch::instant().start()).await?;
        let chain = ChainClient::connect(&node.url()).await?;
        let front = Front::open().await?;
        let port = Port::reserve()?;
        let auth = servers::auth(&AuthOptions {
            study: STUDY,
            chain: node.url(),
            account: OFFICES[0],
            database: servers::sqlite_in(folder.path(), "auth.db"),
            issuer: None,
            relays: vec![front.url(), port.url()],
        });
        let (auth, admin) = aside(move || {
            let admin = last_word(&auth.add_admin("staff")?);
            let auth = auth.start()?;
            auth.wait_until_ready()?;
            Ok((auth, admin))
        })
        .await?;
        let launch = |name: &str, account| {
            let launch = servers::relay(&RelayOptions {
                study: STUDY,
                chain: node.url(),
                account,
                database: servers::sqlite_in(folder.path(), name),
                issuer: auth.url(),
            });
            let key = Key(holder.verifying_key().to_bytes());
            launch.arg(format!("--holder=study={STUDY},key={key}"))
        };
        let dave = launch("dave.db", RELAYS[0]).arg(format!("--address={}", front.url()));
        let dave = Relay::start(dave, None, Some(front.url())).await?;
        front.stand_before(&dave.server.url());
        let eve = Relay::start(launch("eve.db", RELAYS[1]), Some(port), None).await?;
        Ok(Scene {
            door: Door {
                url: auth.url(),
                admin,
            },
            sponsor: chain.submitter(Account::from_secret_uri(SPONSOR)?),
            relays: [dave, eve],
            front,
            _auth: auth,
            node,
            chain,
            holder,
            folder,
        })
    }

    /// An order about this device. Phones of tests seal to nobody, and so are all of one participant.
    pub(super) fn order(&self, device: DeviceId, signer: &SigningKey) -> ErasureOrder {
        let mut order = ErasureOrder {
            chain: Hash(self.chain.genesis_hash().0),
            study: STUDY,
            participant: Hash(participant_digest::<Native>(None)),
            devices: vec![device],
            erased_at: 1_790_000_000,
            record: ErasureOrder::record_of(RECORD),
            holder: Key(signer.verifying_key().to_bytes()),
            signature: SignatureBytes([0; 64]),
        };
        order.signature = SignatureBytes(signer.sign(&order.statement()).to_bytes());
        order
    }

    pub(super) async fn bring(
        &self,
        relay: &Relay,
        credential: &str,
        order: &ErasureOrder,
    ) -> Result<http::Answer> {
        let url = format!("{}{ORDERS}", relay.url);
        http::post(&url, Some(credential), order).await
    }

    pub(super) async fn write_receipt(&self, device: DeviceId, receipt: Hash) -> Result<()> {
        let suspension = calls::suspend(device, SuspensionReason::Withdrawn);
        for call in [suspension, calls::erase(device, receipt.0)] {
            let done = self.sponsor.submit_and_wait(call).await?.succeeded();
            done.context("the sponsor could not write a receipt")?;
        }
        Ok(())
    }

    /// What an audit says of a device, once both relays have seen what is final now.
    pub(super) async fn audit(
        &self,
        device: DeviceId,
        on_file: Option<&ErasureOrder>,
    ) -> Result<Device> {
        let last = self.chain.finalised().await?.number;
        for relay in &self.relays {
            relay.wait_for_block(last).await?;
        }
        let json = self.folder.path().join("audit.json");
        let [dave, eve] = &self.relays;
        let ask =
            |name: &str, relay: &Relay| (name.into(), relay.url.clone(), relay.monitor.clone());
        let options = audit::Options {
            node: self.node.url(),
            study: STUDY,
            genesis: Some(format!("{:?}", self.chain.genesis_hash())),
            relays: vec![ask("dave", dave), ask("eve", eve)],
            erasures: on_file.map(|order| self.file(order)).transpose()?,
            trust_node: true,
            ..audit::Options::default()
        };
        let report = aside(move || audit::run(&options, &json)).await?;
        let judged = report.device(device);
        judged.cloned().context("the audit lacks the device")
    }

    /// The file in which the holder keeps this order for auditors.
    fn file(&self, order: &ErasureOrder) -> Result<PathBuf> {
        let file = self.folder.path().join("erasures.ndjson");
        let line = json!({
            "device": order.devices[0], "erased_at": "2026-09-21T14:13:20Z", "record": RECORD, "order": order,
        });
        std::fs::write(&file, format!("{line}\n"))?;
        Ok(file)
    }

    pub(super) async fn shown(&self, relay: &Relay) -> Result<Vec<ExportedRun>> {
        let url = format!("{}/v1/export?study={STUDY}", relay.url);
        let (status, bytes) = http::get_bytes_as(&url, Some(&relay.monitor)).await?;
        ensure!(status == 200, "no export: {status}");
        let text = String::from_utf8(bytes)?;
        let lines = text
            .lines()
            .filter(|line| !line.starts_with(CLOSING_PREFIX));
        lines.map(|line| Ok(serde_json::from_str(line)?)).collect()
    }
}

impl Relay {
    async fn start(
        launch: servers::Launch,
        port: Option<Port>,
        url: Option<String>,
    ) -> Result<Self> {
        aside(move || {
            let monitor = last_word(&launch.add_auditor("monitor")?);
            let study = STUDY.to_string();
            let add = ["eraser", "add", "max", "--study", &study];
            let eraser = last_word(&launch.run(&add)?);
            let server = match port {
                Some(port) => launch.start_at(port)?,
                None => launch.start()?,
            };
            server.wait_until_ready()?;
            Ok(Relay {
                url: url.unwrap_or_else(|| server.url()),
                server,
                monitor,
                eraser,
            })
        })
        .await
    }

    /// Waits until it has worked off a block.
    async fn wait_for_block(&self, number: u64) -> Result<()> {
        let began = Instant::now();
        let url = format!("{}/metrics", self.server.url());
        loop {
            let (_, metrics) = http::get_bytes(&url).await?;
            let metrics = String::from_utf8(metrics)?;
            let mut lines = metrics.lines();
            let followed = lines.find_map(|it| it.strip_prefix("mhealth_relay_followed_block "));
            let followed: Option<u64> = followed.and_then(|number| number.parse().ok());
            if followed >= Some(number) {
                return Ok(());
            }
            ensure!(began.elapsed() < PATIENCE, "a relay is at {followed:?}");
            tokio::time::sleep(PAUSE).await;
        }
    }
}
