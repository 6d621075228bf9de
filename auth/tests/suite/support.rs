// SPDX-License-Identifier: Apache-2.0

//! A server with a node, a database, an administrator and phones.

#![allow(unreachable_pub)]

use std::sync::{Arc, Mutex, Weak};

use ed25519_dalek::{Signer, SigningKey};
use hashchain::{participant_digest, DeviceId, StudyId};
use mhealth_api::{
    enrolment_message, key_proof_message, Base64, Code, CodeTerms, EnrolRequest, Enrolled, Hash,
    Key, Problem, ProofClaims, SignatureBytes, TokenAnswer, TokenRequest, DPOP,
};
use mhealth_auth::codes::IssuedCode;
use mhealth_auth::server::{prepare, AuthOptions};
use mhealth_auth::store::Store;
use mhealth_chain_client::{calls, Account, Call, ChainClient, H256};
use mhealth_server::credentials::Change;
use mhealth_server::{
    read_options_from, CancellationToken, Clock, Database, ManualClock, Scopes, ServerOptions,
};
pub use mhealth_testing::databases::Kind;
use mhealth_testing::databases::OnDatabase;
use mhealth_testing::node::{Launch, Node};
pub use mhealth_testing::on_both_databases;
use mhealth_testing::postgres::Postgres;
use reqwest::Response;
use serde::Serialize;
use serde_json::{json, Value};
use tempfile::TempDir;
use tokio::sync::{Mutex as Turn, MutexGuard};
use tokio::task::JoinHandle;

/// The study of a development chain.
pub const STUDY: StudyId = StudyId(0);

static NODE: Mutex<Weak<Node>> = Mutex::new(Weak::new());
static POSTGRES: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
/// All tests share //Charlie, who can only do one thing at a time.
static TURN: Turn<()> = Turn::const_new(());

/// How most tests start the server.
pub const USUAL: &[&str] = &[
    "--relay=http://127.0.0.1:1/",
    "--relay=http://127.0.0.1:2",
    // Tests guess a lot.
    "--wrong-credentials=1000",
];

/// What a test works with.
pub struct Setting {
    pub auth: Running,
    pub database: Database,
    pub store: Store,
    pub database_url: String,
    pub clock: Arc<ManualClock>,
    pub chain: ChainClient,
    pub http: reqwest::Client,
    pub admin: String,
    pub node_url: String,
    pub directory: TempDir,
    _turn: MutexGuard<'static, ()>,
    _node: Arc<Node>,
    pub postgres: Option<Arc<Postgres>>,
}

/// A server in this process.
pub struct Running {
    pub url: String,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    pub async fn start(
        database: &str,
        node: &str,
        clock: Arc<ManualClock>,
        more: &[&str],
    ) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let (server, auth) = options(database, node, more);
        if std::env::var_os("RUST_LOG").is_some() {
            server.start_logging();
        }
        let prepared = prepare(&server, &auth, clock, &stop).await?;
        let url = prepared.base_url();
        Ok(Running {
            url,
            task: tokio::spawn(prepared.serve(stop.clone())),
            stop,
        })
    }

    /// What became of it, when it ends by itself.
    pub async fn ended(self) -> anyhow::Result<()> {
        self.task.await.expect("the server does not panic")
    }

    pub async fn stop(self) {
        self.stop.cancel();
        self.task
            .await
            .expect("the server does not panic")
            .expect("the server stops in good order");
    }
}

#[derive(clap::Parser)]
struct Options {
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    auth: AuthOptions,
}

pub fn options(database: &str, node: &str, more: &[&str]) -> (ServerOptions, AuthOptions) {
    let study = format!("--study={STUDY}");
    let arguments = [
        "test",
        "--database",
        database,
        "--node",
        node,
        "--account=//Charlie",
        &study,
    ];
    let options: Options =
        read_options_from(arguments.iter().chain(more)).expect("the options are good");
    (options.server, options.auth)
}

/// A node that makes a block five times a second, whether or not there is anything to put into it. One that makes a block
/// for every transaction keeps a transaction waiting that arrives at the wrong moment, until another one comes.
pub fn ticking() -> Launch {
    Launch::consensus().arg("--sealing=200")
}

fn shared<T>(slot: &Mutex<Weak<T>>, start: impl FnOnce() -> anyhow::Result<T>) -> Arc<T> {
    let mut slot = slot.lock().expect("no test panics while it starts this");
    slot.upgrade().unwrap_or_else(|| {
        let started = Arc::new(start().expect("it starts"));
        *slot = Arc::downgrade(&started);
        started
    })
}

impl OnDatabase for Setting {
    async fn on(kind: Kind) -> Self {
        Setting::new(kind).await
    }
}

impl Setting {
    pub async fn new(kind: Kind) -> Self {
        Self::with(kind, USUAL).await
    }

    pub async fn with(kind: Kind, more: &[&str]) -> Self {
        let node = shared(&NODE, || ticking().start());
        let postgres = (kind == Kind::Postgres).then(|| shared(&POSTGRES, Postgres::start));
        let turn = TURN.lock().await;
        let directory = tempfile::tempdir().expect("a temporary folder");
        let database_url = match &postgres {
            Some(postgres) => postgres.new_database().expect("a new database"),
            None => format!("sqlite:{}", directory.path().join("auth.db").display()),
        };
        let clock = ManualClock::at(1_800_000_000);
        let node_url = node.url();
        let auth = Running::start(&database_url, &node_url, clock.clone(), more)
            .await
            .expect("the server starts");
        let database = Database::open(&database_url.parse().expect("a URL"))
            .await
            .expect("it is there");
        let store = Store::open(database.clone()).await.expect("it is a store");
        let everything = Change::Add("nurse", &Scopes::all());
        let admin = store.change_admin(everything, clock.now()).await;
        let admin = admin.expect("the name is good").expect("it is made");
        Setting {
            auth,
            admin: admin.expose().to_owned(),
            database,
            store,
            database_url,
            clock,
            chain: ChainClient::connect(&node_url)
                .await
                .expect("the node answers"),
            http: reqwest::Client::new(),
            node_url,
            directory,
            _turn: turn,
            _node: node,
            postgres,
        }
    }

    /// Stops the server and starts it again on the same database.
    pub async fn restart(mut self, more: &[&str]) -> Self {
        let auth = Running::start(&self.database_url, &self.node_url, self.clock.clone(), more);
        let auth = auth.await.expect("the server starts again");
        std::mem::replace(&mut self.auth, auth).stop().await;
        self
    }

    /// A new database of the same kind.
    pub fn another_database(&self) -> String {
        match &self.postgres {
            Some(postgres) => postgres.new_database().expect("a new database"),
            None => format!(
                "sqlite:{}",
                self.directory.path().join("another.db").display()
            ),
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.auth.url)
    }

    pub async fn post(&self, path: &str, body: &impl Serialize) -> Response {
        self.http
            .post(self.url(path))
            .json(body)
            .send()
            .await
            .expect("the server answers")
    }

    pub async fn get(&self, path: &str) -> Response {
        self.http
            .get(self.url(path))
            .send()
            .await
            .expect("the server answers")
    }

    pub async fn admin_post(&self, path: &str, body: Value) -> Response {
        let request = self
            .http
            .post(self.url(path))
            .bearer_auth(&self.admin)
            .json(&body);
        request.send().await.expect("the server answers")
    }

    pub async fn admin_get(&self, path: &str) -> Response {
        let request = self.http.get(self.url(path)).bearer_auth(&self.admin);
        request.send().await.expect("the server answers")
    }

    pub async fn admin_delete(&self, path: &str) -> Response {
        let request = self.http.delete(self.url(path)).bearer_auth(&self.admin);
        request.send().await.expect("the server answers")
    }

    /// A credential that is good for this, such as `study=0 may=codes`.
    pub async fn credential(&self, name: &str, scopes: &str) -> String {
        let scopes: Scopes = scopes.parse().expect("that is how scopes are written");
        let made = self
            .store
            .change_admin(Change::Add(name, &scopes), self.clock.now());
        let made = made.await.expect("the name is new").expect("it is made");
        made.expose().to_owned()
    }

    /// Asks as whoever has this credential.
    pub async fn ask_as(
        &self,
        credential: &str,
        method: &str,
        path: &str,
        body: Value,
    ) -> Response {
        let method = method.parse().expect("it is a method");
        let request = self.http.request(method, self.url(path));
        let request = request.bearer_auth(credential).json(&body);
        request.send().await.expect("the server answers")
    }

    pub async fn issue(&self, body: Value) -> IssuedCode {
        let answer = self.admin_post("/v1/admin/codes", body).await;
        assert_eq!(answer.status(), 201);
        answer.json().await.expect("it is a code")
    }

    pub async fn code(&self) -> IssuedCode {
        self.issue(json!({ "participant": "P-001", "another": "additional" }))
            .await
    }

    pub async fn terms(&self, code: &str) -> CodeTerms {
        let answer = self.post("/v1/code", &json!({ "code": code })).await;
        answer.json().await.expect("the code has terms")
    }

    /// A request that redeems this code.
    pub fn request(&self, phone: &Phone, code: &str) -> EnrolRequest {
        phone.request(Hash(self.chain.genesis_hash().0), STUDY, code)
    }

    /// Enrols a phone with the server's account, past the server.
    pub async fn enrol_by_hand(&self, study: StudyId, phone: &Phone) {
        let request = phone.request(Hash(self.chain.genesis_hash().0), study, "");
        let device = calls::NewDevice {
            key: request.device_key.0,
            secret_commitment: H256(request.secret_commitment.0),
            escrow: request.escrow.0,
            auditor_epoch: request.auditor_epoch,
            participant: H256(request.participant.0),
            predecessor: None,
        };
        let call = calls::enrol(study, device, request.key_proof.0);
        self.on_chain("//Charlie", call).await;
    }

    pub async fn enrol(&self, request: &EnrolRequest) -> Result<Enrolled, Code> {
        answer(self.post("/v1/enrol", request).await).await
    }

    /// A phone that is enrolled.
    pub async fn enrolled(&self) -> (Phone, Enrolled) {
        let phone = Phone::random();
        let code = self.code().await;
        let enrolled = self
            .enrol(&self.request(&phone, &code.code))
            .await
            .expect("the phone is enrolled");
        (phone, enrolled)
    }

    /// Claims of a proof for a request for a token, made now.
    pub fn proof_claims(&self) -> ProofClaims {
        let url = self.url("/v1/token");
        ProofClaims::new("POST", &url, self.clock.now(), rand::random())
    }

    /// Asks for a token with this proof.
    pub async fn ask_for_token(&self, device: DeviceId, proof: &str) -> Response {
        let request = self.http.post(self.url("/v1/token"));
        let request = request.header(DPOP, proof).json(&TokenRequest { device });
        request.send().await.expect("the server answers")
    }

    /// A token for a phone.
    pub async fn token(&self, phone: &Phone, device: DeviceId) -> Result<TokenAnswer, Code> {
        let proof = phone.proof(&self.proof_claims());
        answer(self.ask_for_token(device, &proof).await).await
    }

    /// Someone of the development chain does something.
    pub async fn on_chain(&self, who: &str, call: Call) {
        let account = Account::from_secret_uri(who).expect("it is well known");
        self.chain
            .submitter(account)
            .submit_and_wait(call)
            .await
            .expect("the chain takes it");
    }
}

/// The message, or the problem's code.
pub async fn answer<T: serde::de::DeserializeOwned>(response: Response) -> Result<T, Code> {
    match response.status().is_success() {
        true => Ok(response.json().await.expect("it is the message")),
        false => Err(problem(response)
            .await
            .known_code()
            .expect("its code is known")),
    }
}

/// The problem that an answer carries.
pub async fn problem(response: Response) -> Problem {
    let status = response.status().as_u16();
    assert_eq!(
        response.headers()["content-type"],
        mhealth_api::PROBLEM_MEDIA_TYPE
    );
    let problem: Problem = response.json().await.expect("it is a problem");
    assert_eq!(problem.status, status);
    problem
}

pub async fn code_of(response: Response) -> Code {
    problem(response)
        .await
        .known_code()
        .expect("its code is known")
}

/// The account of the server, which is Charlie's.
pub fn server_key() -> Key {
    let server = Account::from_secret_uri("//Charlie").expect("it is well known");
    Key(server.public_key())
}

/// The auditor key of the development chain's studies.
pub fn development_auditor_key() -> Key {
    Key(mhealth_testing::enrolment::development_auditor()
        .sealing_key()
        .0)
}

/// A participant's device.
#[derive(Clone)]
pub struct Phone {
    key: SigningKey,
    secret: [u8; 32],
}

impl Phone {
    pub fn random() -> Self {
        Phone {
            key: SigningKey::from_bytes(&rand::random()),
            secret: rand::random(),
        }
    }

    pub fn key(&self) -> Key {
        Key(self.key.verifying_key().to_bytes())
    }

    /// A proof of possession.
    pub fn proof(&self, claims: &ProofClaims) -> String {
        claims.signed(&self.key(), |message| self.sign(message).0)
    }

    pub fn sign(&self, message: &[u8]) -> SignatureBytes {
        SignatureBytes(self.key.sign(message).to_bytes())
    }

    /// Signs so that the chain accepts it and the server does not.
    pub fn sign_oddly(&self, message: &[u8]) -> SignatureBytes {
        SignatureBytes(hashchain::testing::sign_oddly(&self.key, message))
    }

    pub fn commitment(&self) -> Hash {
        let secret = hashchain::Secret::from_bytes(&self.secret);
        Hash(hashchain::secret_commitment::<hashchain::Native>(&secret))
    }

    pub fn request(&self, chain: Hash, study: StudyId, code: &str) -> EnrolRequest {
        let mut request = EnrolRequest {
            code: code.to_owned(),
            device_key: self.key(),
            secret_commitment: self.commitment(),
            escrow: Base64(vec![1; hashchain::ESCROW_LENGTH]),
            auditor_epoch: 0,
            participant: Hash(participant_digest::<hashchain::Native>(None)),
            proof: SignatureBytes([0; 64]),
            key_proof: SignatureBytes([0; 64]),
        };
        self.prove(chain, study, None, &mut request);
        request
    }

    /// Signs a request as it now is, for the server whose account is Charlie's.
    pub fn prove(
        &self,
        chain: Hash,
        study: StudyId,
        predecessor: Option<DeviceId>,
        request: &mut EnrolRequest,
    ) {
        let server = server_key();
        request.proof = self.sign(&enrolment_message(&chain, study, request));
        let auditor = development_auditor_key();
        let message = key_proof_message(&chain, study, &server, &auditor, predecessor, request);
        request.key_proof = self.sign(&message);
    }
}
