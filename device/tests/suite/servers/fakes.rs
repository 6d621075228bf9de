// SPDX-License-Identifier: Apache-2.0
//! An authentication server and relays over real HTTP, which misbehave when told to.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    body::{Body, Bytes},
    extract::{Path, Query, Request, State},
    http::{header, HeaderMap, StatusCode},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
    Json, Router,
};
use mhealth_api::{
    run_id, BareRecord, BlockRef, Code, CodeTerms, CodeTermsRequest, DeviceHeads, DeviceOnChain,
    EnrolRequest, Hash, Head, Key, Policy, Problem, RegisteredEntry, RunState, RunStatus,
    RunUpload, StudyTerms, TokenAnswer, TokenRequest,
};
use serde_json::json;

use super::world::{links, verify, Issued, Registered, World};

/// What happens to a request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Trouble {
    /// Nothing.
    None,
    /// The connection is lost before the server reads it.
    LostRequest,
    /// The server does what is asked, and the connection is lost before the answer arrives.
    LostAnswer,
    /// Refused with this code, perhaps with a Retry-After of so many seconds.
    Refused(Code, Option<u64>),
    /// The server answers that it did it, and forgets it.
    Forgets,
    /// Something that no such server says.
    Nonsense(StatusCode),
    /// A receipt of another run.
    OtherReceipt,
}

#[derive(Default)]
pub(crate) struct Behaviour {
    /// One a request that changes something, in their order.
    pub(crate) troubles: VecDeque<Trouble>,
    /// Every connection is lost.
    pub(crate) down: bool,
    /// Every body that arrived at an address that changes something, in order.
    pub(crate) received: Vec<(String, Bytes)>,
    /// What every request was answered with in the end.
    pub(crate) requests: u64,
    /// Runs by their names, with how often they were asked for.
    pub(crate) runs: HashMap<Hash, (RunUpload, RunStatus, u32)>,
    /// How often a run is asked for before it is finalised.
    pub(crate) slowness: u32,
    /// A head that this relay shows instead of the device's.
    pub(crate) lie: Option<Head>,
    /// The relay names another block of each number.
    pub(crate) other_chain: bool,
    /// The relay does not see blocks any more.
    pub(crate) stuck_at: Option<(Head, BlockRef)>,
    /// Answers to uploads, before anything else.
    pub(crate) gaps: Vec<Problem>,
    /// Seconds by which the server's clock is ahead.
    pub(crate) ahead: u64,
    /// Relays that the authentication server names.
    pub(crate) relays: Vec<String>,
    /// Envelopes that this relay holds, by device and sequence.
    pub(crate) envelopes: HashMap<(u32, u64), Vec<u8>>,
}

/// A running server. It ends with the test.
#[derive(Clone)]
pub(crate) struct Fake {
    pub(crate) address: String,
    world: World,
    behaviour: Arc<Mutex<Behaviour>>,
}

impl Fake {
    pub(crate) async fn office(world: &World) -> Self {
        let routes = Router::new()
            .route("/v1/code", post(code))
            .route("/v1/enrol", post(enrol))
            .route("/v1/token", post(token))
            .route("/v1/admin/codes", post(issue))
            .route("/v1/studies/{study}", get(study));
        Self::serve(world, routes).await
    }

    pub(crate) async fn relay(world: &World) -> Self {
        let routes = Router::new()
            .route("/v1/runs", post(upload))
            .route("/v1/records", post(record))
            .route("/v1/runs/{run}", get(status))
            .route("/v1/keys/{key}", get(by_key))
            .route("/v1/devices/{device}/head", get(head))
            .route("/v1/devices/{device}/entries", get(entries));
        Self::serve(world, routes).await
    }

    async fn serve(world: &World, routes: Router<Fake>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("bound"));
        let fake = Self {
            address,
            world: world.clone(),
            behaviour: Arc::default(),
        };
        let routes = routes
            .layer(middleware::from_fn_with_state(fake.clone(), misbehave))
            .with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        fake
    }

    pub(crate) fn set(&self) -> MutexGuard<'_, Behaviour> {
        self.behaviour.lock().expect("no test panics with the lock")
    }

    pub(crate) fn trouble(&self, troubles: impl IntoIterator<Item = Trouble>) {
        self.set().troubles.extend(troubles);
    }

    /// Bodies that arrived at an address.
    pub(crate) fn received(&self, path: &str) -> Vec<Bytes> {
        let behaviour = self.set();
        let at = behaviour.received.iter().filter(|(to, _)| to == path);
        at.map(|(_, body)| body.clone()).collect()
    }
}

/// Does what a request that changes something is to meet.
async fn misbehave(State(fake): State<Fake>, request: Request, next: Next) -> Response {
    let trouble = {
        let mut behaviour = fake.set();
        behaviour.requests += 1;
        match (behaviour.down, request.method().as_str()) {
            (true, _) => Trouble::LostRequest,
            (_, "POST") => behaviour.troubles.pop_front().unwrap_or(Trouble::None),
            _ => Trouble::None,
        }
    };
    let path = request.uri().path().to_owned();
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX)
        .await
        .unwrap_or_default();
    if parts.method == "POST" && trouble != Trouble::LostRequest {
        fake.set().received.push((path.clone(), body.clone()));
    }
    let request = Request::from_parts(parts, Body::from(body.clone()));
    match trouble {
        Trouble::None => next.run(request).await,
        Trouble::LostRequest => lost(),
        Trouble::LostAnswer => {
            next.run(request).await;
            lost()
        }
        Trouble::Refused(code, wait) => refuse(code, wait),
        Trouble::Forgets => {
            let answer = next.run(request).await;
            if let Ok(run) = serde_json::from_slice::<RunUpload>(&body) {
                fake.set().runs.remove(&name(&run));
            }
            answer
        }
        Trouble::Nonsense(status) => (status, "<html>It works!</html>").into_response(),
        Trouble::OtherReceipt => {
            let run: RunUpload = serde_json::from_slice(&body).expect("an upload");
            let mut status = receipt(&run);
            status.head = Hash([9; 32]);
            (StatusCode::ACCEPTED, Json(status)).into_response()
        }
    }
}

/// An answer that breaks off.
fn lost() -> Response {
    let broken: Result<Bytes, std::io::Error> = Err(std::io::Error::other("cut"));
    Response::new(Body::from_stream(futures::stream::iter([broken])))
}

fn refuse(code: Code, wait: Option<u64>) -> Response {
    refuse_with(Problem::new(code), wait)
}

fn refuse_with(problem: Problem, wait: Option<u64>) -> Response {
    let status = StatusCode::from_u16(problem.status).expect("a status");
    let mut answer = (status, Json(problem)).into_response();
    let media_type = mhealth_api::PROBLEM_MEDIA_TYPE.parse().expect("a header");
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, media_type);
    if let Some(wait) = wait {
        let wait = wait.to_string().parse().expect("a header");
        answer.headers_mut().insert(header::RETRY_AFTER, wait);
    }
    answer
}

async fn code(State(fake): State<Fake>, Json(request): Json<CodeTermsRequest>) -> Response {
    let state = fake.world.state();
    let issued = match state.codes.get(&request.code) {
        None => return refuse(Code::UnknownCode, None),
        Some(issued) if issued.used_for.is_some() => return refuse(Code::CodeUsed, None),
        Some(issued) => issued.clone(),
    };
    Json(CodeTerms {
        chain: Hash(crate::terms().chain),
        study: 0,
        policy: Policy::DeviceSigned,
        auditor_key: Key(crate::terms().auditor_key),
        participant_key: issued.participant_key,
        predecessor: issued.predecessor,
        expires_at: 4_000_000_000,
    })
    .into_response()
}

async fn enrol(State(fake): State<Fake>, Json(request): Json<EnrolRequest>) -> Response {
    match fake.world.state().enrol(&request) {
        Ok(enrolled) => Json(enrolled).into_response(),
        Err(code) => refuse(code, None),
    }
}

async fn token(State(fake): State<Fake>, Json(request): Json<TokenRequest>) -> Response {
    let ours = crate::clock().0.unix_timestamp() as u64 + fake.set().ahead;
    let mut state = fake.world.state();
    let Some(device) = state.devices.get(request.device as usize) else {
        return refuse(Code::UnknownDevice, None);
    };
    let chain = Hash(crate::terms().chain);
    let message = mhealth_api::token_message(
        &chain,
        &fake.address,
        request.device,
        request.issued_at,
        &request.nonce,
    );
    if let Err(code) = verify(&device.key, &message, &request.proof.0) {
        return refuse(code, None);
    }
    if device.status != "active" {
        return refuse(Code::DeviceSuspended, None);
    }
    if request.issued_at.abs_diff(ours) > 120 {
        let mut problem = Problem::new(Code::ClockSkew);
        problem.server_time = Some(ours);
        return refuse_with(problem, None);
    }
    let token = format!("token of {} by {}", request.device, request.nonce);
    if state.tokens.insert(token.clone(), request.device).is_some() {
        return refuse(Code::ReplayedProof, None);
    }
    Json(TokenAnswer {
        token,
        token_type: "Bearer".into(),
        expires_in: 600,
        relays: fake.set().relays.clone(),
    })
    .into_response()
}

async fn issue(
    State(fake): State<Fake>,
    headers: HeaderMap,
    Json(order): Json<serde_json::Value>,
) -> Response {
    if headers
        .get("authorization")
        .is_none_or(|a| a != "Bearer let me in")
    {
        return refuse(Code::InvalidCredentials, None);
    }
    let participant = order["participant"].as_str().expect("a participant");
    let code = format!("CODE-OF-{participant}");
    let issued = Issued::default();
    fake.world.state().codes.insert(code.clone(), issued);
    let answer = json!({"code": code, "id": 1, "expires_at": 4_000_000_000_u64});
    (StatusCode::CREATED, Json(answer)).into_response()
}

async fn study(State(_): State<Fake>, Path(study): Path<u32>) -> Response {
    if study != 0 {
        return refuse(Code::UnknownStudy, None);
    }
    Json(StudyTerms {
        chain: Hash(crate::terms().chain),
        study,
        title: "A study".into(),
        policy: Policy::DeviceSigned,
        auditor_key: Key(crate::terms().auditor_key),
        open: true,
    })
    .into_response()
}

fn name(run: &RunUpload) -> Hash {
    receipt(run).run
}

fn receipt(run: &RunUpload) -> RunStatus {
    let head = links(run).last().expect("it has entries").2;
    RunStatus {
        run: run_id(run.device, run.sequence, &run.previous, &head),
        device: run.device,
        sequence: run.sequence,
        entries: run.entries.len() as u32,
        head,
        state: RunState::Pending,
        block: None,
        extrinsic_index: None,
        reason: None,
    }
}

impl Fake {
    fn holder_of(&self, headers: &HeaderMap) -> Option<u32> {
        let token = headers.get("authorization")?.to_str().ok()?;
        let token = token.strip_prefix("Bearer ")?;
        self.world.state().tokens.get(token).copied()
    }
}

async fn upload(
    State(fake): State<Fake>,
    headers: HeaderMap,
    Json(run): Json<RunUpload>,
) -> Response {
    let Some(holder) = fake.holder_of(&headers) else {
        return refuse(Code::InvalidToken, None);
    };
    assert_eq!(holder, run.device);
    for entry in &run.entries {
        let digest = hashchain::data_digest::<hashchain::Native>(&entry.envelope.0);
        assert_eq!(digest.0, entry.digest.0);
    }
    let status = receipt(&run);
    let mut behaviour = fake.set();
    if let Some(gap) = behaviour.gaps.pop() {
        return refuse_with(gap, None);
    }
    let signature = run.signature.expect("a signature");
    let on_chain = {
        let state = fake.world.state();
        let device = &state.devices[run.device as usize];
        assert!(hashchain::is_signed(
            &device.key.0,
            &hashchain::LinkHash(status.head.0),
            &signature.0
        ));
        match device.status {
            "active" => device.head(),
            _ => return refuse(Code::DeviceSuspended, None),
        }
    };
    let own = behaviour
        .runs
        .values()
        .filter(|(own, ..)| own.device == run.device);
    let own = own.map(|(own, status, _)| Head {
        length: own.sequence - 1 + own.entries.len() as u64,
        hash: status.head,
    });
    let head = own
        .chain([on_chain])
        .max_by_key(|head| head.length)
        .expect("one");
    if run.sequence - 1 > head.length {
        let mut problem = Problem::new(Code::Gap);
        problem.head = Some(head);
        return refuse_with(problem, None);
    }
    for (sequence, entry) in (run.sequence..).zip(&run.entries) {
        let place = (run.device, sequence);
        behaviour.envelopes.insert(place, entry.envelope.0.clone());
    }
    let (_, status, _) = behaviour.runs.entry(status.run).or_insert((run, status, 0));
    if status.state == RunState::Refused {
        status.state = RunState::Pending;
    }
    (StatusCode::ACCEPTED, Json(status.clone())).into_response()
}

async fn status(State(fake): State<Fake>, Path(run): Path<String>) -> Response {
    let run: Hash = run.parse().expect("a run's name");
    let mut behaviour = fake.set();
    let slowness = behaviour.slowness;
    let other_chain = behaviour.other_chain;
    let Some((_, _, asked)) = behaviour.runs.get_mut(&run) else {
        return refuse(Code::UnknownRun, None);
    };
    *asked += 1;
    if *asked > slowness {
        // The relay brings runs to the chain in their order.
        let device = behaviour.runs[&run].0.device;
        let mut waiting: Vec<_> = behaviour
            .runs
            .values_mut()
            .filter(|(own, status, _)| own.device == device && status.state == RunState::Pending)
            .collect();
        waiting.sort_by_key(|(own, ..)| own.sequence);
        let mut state = fake.world.state();
        for (own, status, _) in waiting {
            match state.register(own) {
                Ok(()) => status.state = RunState::Finalised,
                Err(reason) => {
                    status.state = match reason {
                        "Fork" | "PreviousIsNotHead" => RunState::Conflicting,
                        _ => RunState::Refused,
                    };
                    status.reason = Some(reason.into());
                }
            }
            status.block = Some(state.present());
            status.extrinsic_index = Some(2);
        }
    }
    let mut status = behaviour.runs[&run].1.clone();
    if let (true, Some(block)) = (other_chain, &mut status.block) {
        block.hash = Hash([0x0c; 32]);
    }
    Json(status).into_response()
}

async fn record(
    State(fake): State<Fake>,
    headers: HeaderMap,
    Json(record): Json<BareRecord>,
) -> Response {
    let Some(holder) = fake.holder_of(&headers) else {
        return refuse(Code::InvalidToken, None);
    };
    assert_eq!(holder, record.device);
    let mut state = fake.world.state();
    let device = &mut state.devices[record.device as usize];
    if record.sequence > device.head().length {
        // Chained by the relay, with whatever hash it likes.
        let digest = hashchain::data_digest::<hashchain::Native>(&record.envelope.0);
        device.entries.push(Registered {
            digest: Hash(digest.0),
            hash: Hash([0x2a; 32]),
        });
    }
    (StatusCode::ACCEPTED, Json(json!({"state": "pending"}))).into_response()
}

impl Fake {
    fn view(&self, device: u32) -> Option<mhealth_api::ChainHead> {
        let behaviour = self.set();
        let mut view = self.world.state().head_of(device)?;
        if let Some((head, block)) = behaviour.stuck_at {
            view = mhealth_api::ChainHead { head, block };
        }
        if let Some(lie) = behaviour.lie {
            view.head = lie;
        }
        if behaviour.other_chain {
            view.block.hash = Hash([0x0c; 32]);
        }
        Some(view)
    }
}

async fn by_key(State(fake): State<Fake>, Path(key): Path<String>) -> Response {
    let key: Key = key.parse().expect("a key");
    let found = {
        let devices = &fake.world.state().devices;
        let place = devices.iter().position(|device| device.key == key);
        place.map(|place| (place as u32, devices[place].genesis, devices[place].status))
    };
    let Some((device, genesis, status)) = found else {
        return refuse(Code::UnknownDevice, None);
    };
    Json(DeviceOnChain {
        device,
        study: 0,
        key,
        genesis,
        status: status.into(),
        chain: fake.view(device).expect("it is there"),
    })
    .into_response()
}

async fn head(State(fake): State<Fake>, Path(device): Path<u32>) -> Response {
    match fake.view(device) {
        None => refuse(Code::UnknownDevice, None),
        Some(chain) => Json(DeviceHeads {
            device,
            relay: chain.head,
            chain,
        })
        .into_response(),
    }
}

async fn entries(
    State(fake): State<Fake>,
    Path(device): Path<u32>,
    Query(page): Query<HashMap<String, u64>>,
) -> Response {
    let state = fake.world.state();
    let registered = &state.devices[device as usize].entries;
    let entries: Vec<RegisteredEntry> = (1..)
        .zip(registered)
        .filter(|(sequence, _)| *sequence >= page["from"])
        .take(page["count"] as usize)
        .map(|(sequence, entry)| RegisteredEntry {
            sequence,
            digest: entry.digest,
            hash: entry.hash,
        })
        .collect();
    Json(entries).into_response()
}
