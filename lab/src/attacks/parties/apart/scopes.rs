// SPDX-License-Identifier: Apache-2.0

//! Credentials that are good for one study, or for one duty, are used for all else.

use anyhow::{ensure, Context, Result};
use hashchain::StudyId;
use mhealth_api::DeviceStatus;
use mhealth_chain_client::ChainClient;
use mhealth_testing::handset::{self, Door, Handset};
use mhealth_testing::http;
use mhealth_testing::node::{Launch, Node};
use mhealth_testing::port::Port;
use mhealth_testing::servers::{self, AuthOptions, RelayOptions, Server};
use mhealth_testing::topology::{last_word, OFFICES, PAPER_STUDY, RELAYS, SIGNED_STUDY};
use rand::rngs::StdRng;
use rand::SeedableRng;
use serde_json::json;

use super::super::arena::aside;
use super::super::rights::tried;
use crate::attack::Attack;
use crate::play::Tried;

/// The study whose data somebody wants, and the one that the credential is for.
const WANTED: StudyId = SIGNED_STUDY;
const OWN: StudyId = PAPER_STUDY;

/// A relay of both studies, and an authentication server of the first.
struct Scene {
    // Servers before the node: they are dropped in this order.
    relay: Server,
    auth: Server,
    node: Node,
    door: Door,
    /// An auditor of the wanted study, one of the other.
    monitors: [String; 2],
    /// Staff of the other study who may do everything there, and of the wanted one who may only hand out codes.
    staff: [String; 2],
    _folder: tempfile::TempDir,
}

impl Scene {
    fn set() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let node = Launch::instant().start()?;
        let port = Port::reserve()?;
        let launch = servers::auth(&AuthOptions {
            study: WANTED,
            chain: node.url(),
            account: OFFICES[0],
            database: servers::sqlite_in(folder.path(), "auth.db"),
            issuer: None,
            relays: vec![port.url()],
        });
        let admin = last_word(&launch.add_admin("staff")?);
        let add = |name: &str, study: StudyId, may: &str| {
            let study = study.to_string();
            launch.run(&["admin", "add", name, "--study", &study, "--may", may])
        };
        let staff = [add("others", OWN, "all")?, add("clerk", WANTED, "codes")?];
        let auth = launch.start()?;
        let issuer = auth.url();
        let launch = servers::relay(&RelayOptions {
            study: WANTED,
            chain: node.url(),
            account: RELAYS[0],
            database: servers::sqlite_in(folder.path(), "relay.db"),
            issuer: issuer.clone(),
        })
        .arg(format!("--trusted-issuer=issuer={issuer},study={OWN}"));
        let add = |name: &str, study: StudyId| {
            let study = study.to_string();
            launch.run(&["auditor", "add", name, "--study", &study])
        };
        let monitors = [
            add("monitor-of-it", WANTED)?,
            add("monitor-of-another", OWN)?,
        ];
        let relay = launch.start_at(port)?;
        for server in [&auth, &relay] {
            server.wait_until_ready()?;
        }
        Ok(Scene {
            relay,
            auth,
            node,
            door: Door { url: issuer, admin },
            monitors: monitors.map(|said| last_word(&said)),
            staff: staff.map(|said| last_word(&said)),
            _folder: folder,
        })
    }

    async fn attempt(&self, chain: &ChainClient, seed: u64) -> Result<Tried> {
        let mut phone = Handset::enrol(&self.door, StdRng::seed_from_u64(seed)).await?;
        let pass = phone.token(&self.door).await?;
        let run = phone.record(2);
        handset::deliver(&self.relay.url(), &pass, &run).await?;
        let digest = run.entries[0].digest.to_string();
        let [of_it, of_another] = &self.monitors;
        let (status, own) = self.read(of_it, &format!("?study={WANTED}")).await?;
        ensure!(
            status == 200 && has(&own, &digest),
            "the study's own auditor does not see the run: {status}"
        );
        let mut got = Vec::new();
        for query in [
            format!("?study={WANTED}"),
            format!("?study={WANTED}&after=0"),
            format!("?study={OWN}&study={WANTED}"),
            format!("?study={WANTED}&study={OWN}"),
            format!("?study={OWN}"),
            String::new(),
        ] {
            let (status, body) = self.read(of_another, &query).await?;
            if has(&body, &digest) {
                got.push(format!("{query}: {status}"));
            }
        }
        let device = phone.device();
        let why = json!({ "why": "because I can" }).to_string();
        let [others, clerk] = &self.staff;
        let changes = [
            (others, "POST", format!("devices/{device}/suspend")),
            (others, "POST", format!("devices/{device}/retire")),
            (others, "POST", "keys/rotate".into()),
            (others, "GET", format!("devices/{device}")),
            (clerk, "POST", format!("devices/{device}/suspend")),
            (clerk, "POST", format!("devices/{device}/retire")),
            (clerk, "POST", "keys/revoke".into()),
            (clerk, "GET", "log".into()),
        ];
        for (credential, method, path) in changes {
            let url = format!("{}/v1/admin/{path}", self.auth.url());
            let headers = [("Authorization", format!("Bearer {credential}"))];
            let answer = http::exchange(method, &url, &headers, why.clone()).await?;
            // What it asks for may also be said not to be there, for this credential.
            if !matches!(answer.status, 401 | 403 | 404) {
                got.push(format!("{method} {path}: {}", answer.status));
            }
        }
        let view = chain.device(device).await?.context("it is enrolled")?;
        let held = got.is_empty() && view.status == DeviceStatus::Active;
        let about = format!("got {got:?}, device {device} is {:?}", view.status);
        Ok(tried(Attack::ReadsOtherStudy, held, None, about))
    }

    async fn read(&self, credential: &str, query: &str) -> Result<(u16, Vec<u8>)> {
        let url = format!("{}/v1/export{query}", self.relay.url());
        http::get_bytes_as(&url, Some(credential)).await
    }
}

fn has(body: &[u8], digest: &str) -> bool {
    String::from_utf8_lossy(body).contains(digest.trim_start_matches("0x"))
}

pub(super) async fn play(seed: u64, attempts: u32) -> Result<Vec<Tried>> {
    let scene = aside(Scene::set).await?;
    let chain = ChainClient::connect(&scene.node.url()).await?;
    let mut all = Vec::new();
    for number in 0..attempts {
        let seed = (seed << 16) ^ u64::from(number) ^ (1 << 42);
        all.push(scene.attempt(&chain, seed).await?);
    }
    Ok(all)
}
