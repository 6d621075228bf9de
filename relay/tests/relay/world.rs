// SPDX-License-Identifier: Apache-2.0

//! A node, an issuer, a relay and phones.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use hashchain::{DeviceId, Run, StudyId};
use mhealth_api::{Claims, DeviceHeads, Hash, Key, Problem, RunStatus, RunUpload};
use mhealth_chain_client::{Account, ChainClient, Submitter};
pub(crate) use mhealth_testing::databases::Kind;
use mhealth_testing::handset::Pass;
use mhealth_testing::node::{self, Node};
pub(crate) use mhealth_testing::on_both_databases;
use mhealth_testing::phone::{self, Phone};
use mhealth_testing::postgres::Postgres;
use mhealth_testing::servers::{relay, sqlite_in, Launch, RelayOptions, Server};
use serde::de::DeserializeOwned;
use serde::Serialize;
use tempfile::TempDir;

use crate::issuer::Issuer;

/// What goes into every envelope.
pub(crate) const NIGHT: &str = "a night";
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) relay: Server,
    pub(crate) launch: Launch,
    pub(crate) node: Node,
    pub(crate) chain: ChainClient,
    pub(crate) office: Submitter,
    pub(crate) issuer: Issuer,
    pub(crate) http: reqwest::Client,
    pub(crate) study: StudyId,
    pub(crate) database: String,
    files: TempDir,
    postgres: Option<Postgres>,
}

/// What the relay said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<u64>,
    /// The headers WWW-Authenticate and DPoP-Nonce.
    pub(crate) challenge: Option<String>,
    pub(crate) nonce: Option<String>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn problem(&self) -> Problem {
        let problem: Problem = self.json();
        assert_eq!(problem.status, self.status);
        problem
    }

    pub(crate) fn code(&self) -> String {
        self.problem().code
    }

    /// The code, if something is wrong.
    pub(crate) fn code_or_none(&self) -> Option<String> {
        (self.status >= 400).then(|| self.code())
    }
}

impl World {
    /// An instant chain and a relay.
    pub(crate) async fn start(kind: Kind) -> Self {
        Self::start_with(kind, node::Launch::instant(), StudyId(0), |launch| launch).await
    }

    pub(crate) async fn start_with(
        kind: Kind,
        node: node::Launch,
        study: StudyId,
        change: impl FnOnce(Launch) -> Launch,
    ) -> Self {
        let files = tempfile::tempdir().unwrap();
        let postgres = (kind == Kind::Postgres)
            .then(|| Postgres::start().expect("PostgreSQL is installed, as by scripts/setup"));
        let database = match &postgres {
            Some(postgres) => postgres.new_database().unwrap(),
            None => sqlite_in(files.path(), "relay.db"),
        };
        let node = node.start().unwrap();
        let chain = ChainClient::connect(&node.url()).await.unwrap();
        let office = chain.submitter(Account::from_secret_uri("//Charlie").unwrap());
        let mut issuer = Issuer::start().await;
        let launch = relay(&RelayOptions {
            study,
            chain: node.url(),
            account: "//Dave",
            database: database.clone(),
            issuer: issuer.url(),
        });
        let launch = change(launch);
        let relay = launch.clone().start().unwrap();
        issuer.relays.push(relay.url());
        mhealth_server::install_crypto();
        let http = reqwest::Client::new();
        Self {
            relay,
            launch,
            node,
            chain,
            office,
            issuer,
            http,
            study,
            database,
            files,
            postgres,
        }
    }

    pub(crate) fn genesis(&self) -> Hash {
        Hash(self.chain.genesis_hash().0)
    }

    pub(crate) async fn phone(&self, seed: u8) -> Phone {
        phone::enrol(&self.office, self.study, seed).await.unwrap()
    }

    pub(crate) fn claims(&self, phone: &Phone) -> Claims {
        let key = Key(phone.public_key());
        self.issuer
            .claims(self.genesis(), self.study, phone.device(), key)
    }

    /// A phone's token and key.
    pub(crate) fn pass(&self, phone: &Phone) -> Pass {
        pass(phone, self.issuer.token(&self.claims(phone)))
    }

    pub(crate) async fn post(&self, path: &str, pass: &Pass, body: &impl Serialize) -> Answer {
        let body = serde_json::to_string(body).unwrap();
        self.post_text(path, Some(pass), body).await
    }

    pub(crate) async fn post_text(&self, path: &str, pass: Option<&Pass>, body: String) -> Answer {
        let headers = pass.map(|pass| pass.headers(&self.url(path)));
        answer(self.request(path, &headers.unwrap_or_default()).body(body)).await
    }

    /// A request to post JSON with these headers.
    pub(crate) fn request(
        &self,
        path: &str,
        headers: &[(&'static str, String)],
    ) -> reqwest::RequestBuilder {
        let request = self.http.post(self.url(path));
        let request = request.header("content-type", "application/json");
        let with = |request: reqwest::RequestBuilder, (name, value): &(&str, String)| {
            request.header(*name, value)
        };
        headers.iter().fold(request, with)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.relay.url())
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.http.get(format!("{}{path}", self.relay.url()))).await
    }

    pub(crate) async fn get_as(&self, path: &str, credential: &str) -> Answer {
        answer(
            self.http
                .get(format!("{}{path}", self.relay.url()))
                .bearer_auth(credential),
        )
        .await
    }

    /// Uploads a run, which must be stored.
    pub(crate) async fn upload(&self, phone: &Phone, run: &RunUpload) -> RunStatus {
        let answer = self.post("/v1/runs", &self.pass(phone), run).await;
        assert!(
            matches!(answer.status, 200 | 202),
            "{answer:?}\n{}",
            self.relay.log()
        );
        answer.json()
    }

    /// Makes so many entries and uploads them as one run.
    pub(crate) async fn upload_new(&self, phone: &mut Phone, entries: usize) -> RunStatus {
        let run = with_envelopes(&phone.run_of(entries, NIGHT));
        self.upload(phone, &run).await
    }

    pub(crate) async fn status(&self, run: Hash) -> RunStatus {
        self.get(&format!("/v1/runs/{run}")).await.json()
    }

    pub(crate) async fn heads(&self, device: DeviceId) -> DeviceHeads {
        self.get(&format!("/v1/devices/{device}/head")).await.json()
    }

    /// Waits until a run is settled.
    pub(crate) async fn settled(&self, run: Hash) -> RunStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status(run).await;
            if !status.state.is_open() {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "{status:?}\n{}",
                self.relay.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Everything in the files of the relay's database.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let read = |file: PathBuf| std::fs::read(file).unwrap_or_default();
        let Some(postgres) = &self.postgres else {
            let files = ["relay.db", "relay.db-wal", "relay.db-shm"].into_iter();
            return files
                .flat_map(|name| read(self.files.path().join(name)))
                .collect();
        };
        postgres.bytes("test_0").unwrap()
    }

    pub(crate) async fn length(&self, phone: &Phone) -> u64 {
        self.chain
            .head(phone.device())
            .await
            .unwrap()
            .unwrap()
            .length
    }
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let answer = request.send().await.unwrap();
    let header = |name: &str| {
        let value = answer.headers().get(name)?;
        Some(value.to_str().ok()?.to_owned())
    };
    Answer {
        status: answer.status().as_u16(),
        retry_after: header("retry-after").and_then(|value| value.parse().ok()),
        challenge: header("www-authenticate"),
        nonce: header("dpop-nonce"),
        body: answer.text().await.unwrap(),
    }
}

/// A token of whatever kind, with a phone's key.
pub(crate) fn pass(phone: &Phone, token: String) -> Pass {
    Pass {
        token,
        key: phone.key.clone(),
    }
}

/// A run as phones upload it, with the envelope that [`Phone::run`] digests.
pub(crate) fn with_envelopes(run: &Run) -> RunUpload {
    phone::upload(run, NIGHT.as_bytes())
}
