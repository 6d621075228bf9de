// SPDX-License-Identifier: Apache-2.0

//! An authentication server and relays over real HTTP, which misbehave when told to.

mod office;
mod relay;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::Instant,
};

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    http::{header, HeaderMap, StatusCode},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    Json, Router,
};
use hashchain::{DeviceId, LinkHash, StudyId};
use mhealth_api::{
    run_id, token_hash, Code, Hash, Head, Key, Problem, Proof, Refusal, RunState, RunStatus,
    RunUpload, DPOP, DPOP_NONCE,
};
use mhealth_evidence::HeadProof;

use super::{proofs, world::World};

/// Servers give this to devices whose clocks are wrong.
const NONCE: &str = "a nonce";

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
    /// The server never answers.
    Silence,
}

/// What a relay shows to whoever asks how the chain goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Entries {
    /// What the chain has.
    #[default]
    Registered,
    /// An entry that comes after all that there are.
    FarAway,
    /// The first entry, whatever was asked for.
    First,
    /// None.
    None,
    /// It cannot at present.
    Refused,
    /// It never answers.
    Silence,
}

/// Makes something else of a proof.
pub(crate) type Forger = Arc<dyn Fn(HeadProof) -> Vec<u8> + Send + Sync>;

#[derive(Default)]
pub(crate) struct Behaviour {
    /// One a request that changes something, in their order.
    pub(crate) troubles: VecDeque<Trouble>,
    /// Every connection is lost.
    pub(crate) down: bool,
    /// Every body that arrived at an address that changes something, in order.
    pub(crate) received: Vec<(String, Bytes)>,
    /// Every proof of possession that arrived, in order.
    pub(crate) proofs: Vec<String>,
    /// What every request was answered with in the end.
    pub(crate) requests: u64,
    /// Runs by their names, with how often they were asked for.
    pub(crate) runs: HashMap<Hash, (RunUpload, RunStatus, u32)>,
    /// How often a run is asked for before it is finalised.
    pub(crate) slowness: u32,
    /// Before this time no run is finalised.
    pub(crate) final_from: Option<Instant>,
    /// A head that this relay shows instead of the device's, without a proof.
    pub(crate) lie: Option<Head>,
    /// What the relay shows instead of a proof.
    pub(crate) forger: Option<Forger>,
    /// The relay has no proofs.
    pub(crate) proves_nothing: bool,
    /// What the relay shows of registered entries.
    pub(crate) entries: Entries,
    /// What the relay says of every run that it took, without bringing it to the chain.
    pub(crate) says: Option<(RunState, Option<Refusal>)>,
    /// The relay knows no device.
    pub(crate) knows_nobody: bool,
    /// The relay does not see blocks any more: what it shows since.
    pub(crate) stuck_at: Option<(Head, Vec<u8>)>,
    /// Answers to uploads, before anything else.
    pub(crate) gaps: Vec<Problem>,
    /// Seconds by which the server's clock is ahead.
    pub(crate) ahead: u64,
    /// What the server calls itself, if not by the address that it listens on.
    pub(crate) issuer: Option<String>,
    /// The chain that the server says its codes are for, if not that of the tests.
    pub(crate) chain: Option<Hash>,
    /// The study that the server says its codes are for, if not that of the tests.
    pub(crate) study: Option<StudyId>,
    /// Relays that the authentication server names.
    pub(crate) relays: Vec<String>,
    /// The number that the authentication server says a device has that it enrols, whatever the chain has.
    pub(crate) says_number: Option<DeviceId>,
    /// The relay proves that there is no such device, where it knows none.
    pub(crate) proves_absence: bool,
    /// Seconds for which its tokens are good, if not ten minutes.
    pub(crate) token_life: Option<u64>,
    /// Envelopes that this relay holds, by device and sequence.
    pub(crate) envelopes: HashMap<(DeviceId, u64), Vec<u8>>,
}

/// A running server. It ends with the test.
#[derive(Clone)]
pub(crate) struct Fake {
    pub(crate) address: String,
    world: World,
    behaviour: Arc<Mutex<Behaviour>>,
}

impl Fake {
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

    /// The relay does not see blocks any more, and shows what it saw of a device.
    pub(crate) fn stand_still(&self, device: DeviceId) {
        let seen = {
            let state = self.world.state();
            let head = state.devices[device.0 as usize].head();
            (
                head,
                proofs::prove(&state, device, Some(0), true).to_bytes(),
            )
        };
        self.set().stuck_at = Some(seen);
    }

    /// The relay shows this instead of a proof.
    pub(crate) fn forge(&self, forger: impl Fn(HeadProof) -> Vec<u8> + Send + Sync + 'static) {
        self.set().forger = Some(Arc::new(forger));
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
        let proof = parts.headers.get(DPOP).and_then(|it| it.to_str().ok());
        let mut behaviour = fake.set();
        behaviour.proofs.extend(proof.map(str::to_owned));
        behaviour.received.push((path.clone(), body.clone()));
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
            status.head = LinkHash([9; 32]);
            (StatusCode::ACCEPTED, Json(status)).into_response()
        }
        Trouble::Silence => std::future::pending().await,
    }
}

impl Fake {
    /// Who posts to this path, with this token or without one; otherwise the answer. As RFC 9449 has it.
    fn prover(
        &self,
        headers: &HeaderMap,
        path: &str,
        token: Option<&str>,
    ) -> Result<Key, Response> {
        let proof = headers.get(DPOP).and_then(|proof| proof.to_str().ok());
        let proof = proof.ok_or_else(|| refuse(Code::MissingProof, None))?;
        let proof = Proof::read(proof).expect("it has the form of a proof");
        assert!(proof.is_signed());
        let claims = &proof.claims;
        assert_eq!(claims.htm, "POST");
        assert_eq!(claims.htu, format!("{}{path}", self.address));
        assert_eq!(claims.ath, token.map(token_hash));
        let ours = crate::support::clock().0.unix_timestamp() as u64 + self.set().ahead;
        let fresh = match &claims.nonce {
            Some(nonce) => nonce == NONCE,
            None => claims.iat.abs_diff(ours) <= 120,
        };
        if !fresh {
            let mut answer = refuse(Code::UseDpopNonce, None);
            let nonce = NONCE.parse().expect("a header");
            answer.headers_mut().insert(DPOP_NONCE, nonce);
            return Err(answer);
        }
        match self.world.state().proofs.insert(claims.jti.clone()) {
            true => Ok(proof.key),
            false => Err(refuse(Code::ReplayedProof, None)),
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

fn name(run: &RunUpload) -> Hash {
    receipt(run).run
}

fn receipt(run: &RunUpload) -> RunStatus {
    let head = run.run().last_link();
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
