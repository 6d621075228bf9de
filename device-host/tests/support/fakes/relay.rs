// SPDX-License-Identifier: Apache-2.0

//! A relay.

use std::{collections::HashMap, time::Instant};

use axum::{
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
    Json, Router,
};
use hashchain::{DeviceId, LinkHash, StudyId};
use mhealth_api::{
    BareRecord, Code, DeviceHeads, DeviceOnChain, DeviceStatus, Hash, Head, Key, Problem, Refusal,
    RegisteredEntry, RunState, RunUpload,
};
use serde_json::json;

use super::{receipt, refuse, refuse_with, Entries, Fake};
use crate::support::{
    proofs,
    world::{Registered, World},
};

impl Fake {
    pub(crate) async fn relay(world: &World) -> Self {
        let routes = Router::new()
            .route("/v1/runs", post(upload))
            .route("/v1/records", post(record))
            .route("/v1/runs/{run}", get(status))
            .route("/v1/keys/{key}", get(by_key))
            .route("/v1/devices/{device}", get(by_number))
            .route("/v1/devices/{device}/head", get(head))
            .route("/v1/devices/{device}/proof", get(proof))
            .route("/v1/devices/{device}/entries", get(entries));
        Self::serve(world, routes).await
    }

    /// Whose token comes with a request, and a proof by that device's key.
    fn holder_of(&self, headers: &HeaderMap, path: &str) -> Result<DeviceId, Response> {
        let token = headers.get("authorization");
        let token = token.and_then(|token| token.to_str().ok()?.strip_prefix("DPoP "));
        let token = token.ok_or_else(|| refuse(Code::MissingCredentials, None))?;
        let key = self.prover(headers, path, Some(token))?;
        let state = self.world.state();
        let holder = state.tokens.get(token).copied();
        let holder = holder.ok_or_else(|| refuse(Code::InvalidToken, None))?;
        match state.devices[holder.0 as usize].key == key {
            true => Ok(holder),
            false => Err(refuse(Code::ProofByAnotherKey, None)),
        }
    }

    fn view(&self, device: DeviceId) -> Option<mhealth_api::ChainHead> {
        let behaviour = self.set();
        let mut view = self.world.state().head_of(device)?;
        if let Some((head, _)) = behaviour.stuck_at {
            view.head = head;
        }
        if let Some(lie) = behaviour.lie {
            view.head = lie;
        }
        (!behaviour.knows_nobody).then_some(view)
    }
}

async fn upload(
    State(fake): State<Fake>,
    headers: HeaderMap,
    Json(run): Json<RunUpload>,
) -> Response {
    let holder = match fake.holder_of(&headers, "/v1/runs") {
        Ok(holder) => holder,
        Err(answer) => return answer,
    };
    assert_eq!(holder, run.device);
    for entry in &run.entries {
        let digest = hashchain::data_digest::<hashchain::Native>(&entry.envelope.0);
        assert_eq!(digest, entry.digest);
    }
    let status = receipt(&run);
    let mut behaviour = fake.set();
    if let Some(gap) = behaviour.gaps.pop() {
        return refuse_with(gap, None);
    }
    let signature = run.signature.expect("a signature");
    let on_chain = {
        let state = fake.world.state();
        let device = &state.devices[run.device.0 as usize];
        assert!(hashchain::is_strictly_signed(
            &device.key.0,
            &hashchain::head_message(&status.head),
            &signature.0
        ));
        match device.status {
            DeviceStatus::Active => device.head(),
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
    let is_early = behaviour.final_from.is_some_and(|at| Instant::now() < at);
    let said = behaviour.says.clone();
    let Some((_, status, asked)) = behaviour.runs.get_mut(&run) else {
        return refuse(Code::UnknownRun, None);
    };
    if let Some((state, reason)) = said {
        (status.state, status.reason) = (state, reason);
        return Json(status.clone()).into_response();
    }
    *asked += 1;
    if *asked > slowness && !is_early {
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
                        Refusal::Fork | Refusal::PreviousIsNotHead => RunState::Conflicting,
                        _ => RunState::Refused,
                    };
                    status.reason = Some(reason);
                }
            }
            status.block = Some(state.present());
            status.extrinsic_index = Some(2);
        }
    }
    Json(behaviour.runs[&run].1.clone()).into_response()
}

async fn record(
    State(fake): State<Fake>,
    headers: HeaderMap,
    Json(record): Json<BareRecord>,
) -> Response {
    let holder = match fake.holder_of(&headers, "/v1/records") {
        Ok(holder) => holder,
        Err(answer) => return answer,
    };
    assert_eq!(holder, record.device);
    let mut state = fake.world.state();
    let device = &mut state.devices[record.device.0 as usize];
    if record.sequence > device.head().length {
        // Chained by the relay, with whatever hash it likes.
        let digest = hashchain::data_digest::<hashchain::Native>(&record.envelope.0);
        device.entries.push(Registered {
            digest,
            hash: LinkHash([0x2a; 32]),
        });
    }
    (StatusCode::ACCEPTED, Json(json!({"state": "pending"}))).into_response()
}

async fn by_key(State(fake): State<Fake>, Path(key): Path<String>) -> Response {
    let key: Key = key.parse().expect("a key");
    let found = {
        let devices = &fake.world.state().devices;
        let place = devices.iter().position(|device| device.key == key);
        place.map(|place| {
            (
                DeviceId(place as u32),
                devices[place].genesis,
                devices[place].status.clone(),
            )
        })
    };
    let Some((device, genesis, status)) = found else {
        return refuse(Code::UnknownDevice, None);
    };
    Json(DeviceOnChain {
        device,
        study: StudyId(0),
        key,
        genesis,
        status,
        chain: match fake.view(device) {
            Some(chain) => chain,
            None => return refuse(Code::UnknownDevice, None),
        },
    })
    .into_response()
}

async fn by_number(State(fake): State<Fake>, Path(device): Path<DeviceId>) -> Response {
    let key = {
        let devices = &fake.world.state().devices;
        devices.get(device.0 as usize).map(|device| device.key)
    };
    match key {
        Some(key) => by_key(State(fake), Path(key.to_string())).await,
        None => refuse(Code::UnknownDevice, None),
    }
}

async fn proof(
    State(fake): State<Fake>,
    Path(device): Path<DeviceId>,
    Query(asker): Query<HashMap<String, String>>,
) -> Response {
    let known = (device.0 as usize) < fake.world.state().devices.len();
    let behaviour = fake.set();
    if (!known && !behaviour.proves_absence) || behaviour.knows_nobody {
        return refuse(Code::UnknownDevice, None);
    }
    if behaviour.proves_nothing {
        return refuse(Code::ProofUnavailable, None);
    }
    if let Some((_, proof)) = &behaviour.stuck_at {
        return proof.clone().into_response();
    }
    let set = asker.get("set").map(|set| set.parse().expect("a number"));
    let record = asker["record"] == "true";
    let proof = proofs::prove(&fake.world.state(), device, set, record);
    match &behaviour.forger {
        Some(forge) => forge(proof),
        None => proof.to_bytes(),
    }
    .into_response()
}

async fn head(State(fake): State<Fake>, Path(device): Path<DeviceId>) -> Response {
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
    Path(device): Path<DeviceId>,
    Query(page): Query<HashMap<String, u64>>,
) -> Response {
    let shown = fake.set().entries;
    if shown == Entries::Silence {
        std::future::pending::<()>().await;
    }
    let state = fake.world.state();
    let registered = &state.devices[device.0 as usize].entries;
    let mut entries = (1..)
        .zip(registered)
        .map(|(sequence, entry)| RegisteredEntry {
            sequence,
            digest: entry.digest,
            hash: entry.hash,
        });
    let entries: Vec<RegisteredEntry> = match shown {
        Entries::FarAway => {
            let last = entries.last().into_iter();
            last.map(|entry| RegisteredEntry {
                sequence: entry.sequence + 1_000,
                ..entry
            })
            .collect()
        }
        Entries::First => entries.next().into_iter().collect(),
        Entries::None => Vec::new(),
        Entries::Refused => return refuse(Code::ChainUnavailable, None),
        Entries::Registered | Entries::Silence => entries
            .filter(|entry| entry.sequence >= page["from"])
            .take(page["count"] as usize)
            .collect(),
    };
    Json(entries).into_response()
}
