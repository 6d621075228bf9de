// SPDX-License-Identifier: Apache-2.0

//! A relay that phones cannot rely on: it takes runs and brings none of them to the chain. What it shows of the chain it asks of
//! a real relay, and shows as it likes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::Result;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use mhealth_api::{BlockRef, Code, Hash, Problem, RunState, RunStatus, RunUpload};
use tokio::task::JoinHandle;

use crate::{http, phone};

/// What is wrong with the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It says of each run that it is finalised, and shows proofs of which one bit is another.
    Lies,
    /// It says of each run that it is under way.
    Keeps,
    /// It shows what it saw of the chain first, which was true then, and says that each run is under way.
    Lags,
    /// It says of each run that the chain has something else, and of each device that there is none.
    Contradicts,
}

/// The relay. Dropping it ends it.
pub struct DoubtfulRelay {
    address: String,
    inner: Arc<Inner>,
    task: JoinHandle<()>,
}

struct Inner {
    fault: Fault,
    /// Base address of the relay that is asked.
    real: String,
    runs: Mutex<HashMap<Hash, RunStatus>>,
    /// What was shown first.
    shown: Mutex<HashMap<String, (StatusCode, Bytes)>>,
}

impl DoubtfulRelay {
    /// Starts on a free port, before this relay.
    pub async fn before(real: &str, fault: Fault) -> Result<Self> {
        let inner = Arc::new(Inner {
            fault,
            real: real.to_owned(),
            runs: Mutex::default(),
            shown: Mutex::default(),
        });
        let routes = Router::new()
            .route("/v1/runs", post(take))
            .route("/v1/runs/{run}", get(say))
            .fallback(show)
            .with_state(inner.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("http://{}", listener.local_addr()?);
        let task = tokio::spawn(async move {
            // It ends when it is dropped, or with the program.
            let _ = axum::serve(listener, routes).await;
        });
        Ok(DoubtfulRelay {
            address,
            inner,
            task,
        })
    }

    /// Its base address.
    pub fn url(&self) -> &str {
        &self.address
    }

    /// How many runs it took.
    pub fn taken(&self) -> usize {
        lock(&self.inner.runs).len()
    }
}

impl Drop for DoubtfulRelay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(State(relay): State<Arc<Inner>>, Json(run): Json<RunUpload>) -> Response {
    let status = phone::status(&run, RunState::Pending);
    lock(&relay.runs).insert(status.run, status.clone());
    (StatusCode::ACCEPTED, Json(status)).into_response()
}

async fn say(State(relay): State<Arc<Inner>>, Path(run): Path<Hash>) -> Response {
    let Some(mut status) = lock(&relay.runs).get(&run).cloned() else {
        return refuse(Code::UnknownRun);
    };
    match relay.fault {
        Fault::Lies => {
            status.state = RunState::Finalised;
            status.block = Some(BlockRef {
                number: 7,
                hash: Hash([7; 32]),
            });
        }
        Fault::Contradicts => {
            status.state = RunState::Conflicting;
            status.reason = Some(mhealth_api::Refusal::Fork);
        }
        Fault::Keeps | Fault::Lags => {}
    }
    Json(status).into_response()
}

/// Whatever else is asked.
async fn show(State(relay): State<Arc<Inner>>, request: Request) -> Response {
    let place = request.uri().path_and_query();
    let place = place.map_or_else(String::new, ToString::to_string);
    if relay.fault == Fault::Contradicts && !place.contains("/studies/") {
        return refuse(Code::UnknownDevice);
    }
    let before = lock(&relay.shown).get(&place).cloned();
    if let (Fault::Lags, Some(shown)) = (relay.fault, before) {
        return answer(shown);
    }
    let Ok((status, mut body)) = relay.ask(&place).await else {
        return refuse(Code::ChainUnavailable);
    };
    if status.is_success() {
        lock(&relay.shown).insert(place.clone(), (status, body.clone()));
    }
    if relay.fault == Fault::Lies && place.contains("/proof") && !body.is_empty() {
        let mut altered = body.to_vec();
        let middle = altered.len() / 2;
        altered[middle] ^= 1;
        body = altered.into();
    }
    answer((status, body))
}

impl Inner {
    async fn ask(&self, place: &str) -> Result<(StatusCode, Bytes)> {
        let (status, body) = http::get_bytes(&format!("{}{place}", self.real)).await?;
        Ok((StatusCode::from_u16(status)?, body.into()))
    }
}

fn answer((status, body): (StatusCode, Bytes)) -> Response {
    (status, Body::from(body)).into_response()
}

fn refuse(code: Code) -> Response {
    let problem = Problem::new(code);
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, Json(problem)).into_response()
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().expect("no holder of this lock panics; qed")
}
