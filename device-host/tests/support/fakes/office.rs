// SPDX-License-Identifier: Apache-2.0

//! The authentication server.

use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
    Json, Router,
};
use hashchain::StudyId;
use mhealth_api::{
    Code, CodeTerms, CodeTermsRequest, DeviceStatus, EnrolRequest, Hash, Key, Policy, Problem,
    StudyTerms, TokenAnswer, TokenRequest, DPOP,
};
use serde_json::json;

use super::{refuse, refuse_with, Fake};
use crate::support::world::{self, Issued, World};

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
}

async fn code(State(fake): State<Fake>, Json(request): Json<CodeTermsRequest>) -> Response {
    let state = fake.world.state();
    let issued = match state.codes.get(&request.code) {
        None => return refuse(Code::UnknownCode, None),
        Some(issued) => issued.clone(),
    };
    let (auditor_key, auditor_epoch) = state.auditor();
    let (other_chain, other_study) = {
        let behaviour = fake.set();
        (behaviour.chain, behaviour.study)
    };
    Json(CodeTerms {
        chain: other_chain.unwrap_or(Hash(crate::support::terms().chain)),
        issuer: fake
            .set()
            .issuer
            .clone()
            .unwrap_or_else(|| fake.address.clone()),
        server: crate::support::world::SERVER,
        study: other_study.unwrap_or(StudyId(0)),
        policy: Policy::DeviceSigned,
        auditor_key,
        auditor_epoch,
        participant_key: issued.participant_key,
        predecessor: issued.predecessor,
        expires_at: 4_000_000_000,
    })
    .into_response()
}

async fn enrol(State(fake): State<Fake>, Json(request): Json<EnrolRequest>) -> Response {
    match fake.world.state().enrol(&request) {
        Ok(mut enrolled) => {
            let said = fake.set().says_number;
            enrolled.device = said.unwrap_or(enrolled.device);
            Json(enrolled).into_response()
        }
        Err(code) => refuse(code, None),
    }
}

async fn token(
    State(fake): State<Fake>,
    headers: HeaderMap,
    Json(request): Json<TokenRequest>,
) -> Response {
    let key = match fake.prover(&headers, "/v1/token", None) {
        Ok(key) => key,
        Err(answer) => return answer,
    };
    let mut state = fake.world.state();
    let Some(device) = state.devices.get(request.device.0 as usize) else {
        return refuse(Code::UnknownDevice, None);
    };
    if device.key != key {
        return refuse(Code::ProofByAnotherKey, None);
    }
    match device.status {
        DeviceStatus::Active => {}
        DeviceStatus::Retired => {
            let retired = Problem {
                relays: Some(fake.set().relays.clone().into()),
                ..Problem::new(Code::DeviceRetired)
            };
            return refuse_with(retired, None);
        }
        _ => return refuse(Code::DeviceSuspended, None),
    }
    let token = format!("token-{}-of-{}", state.tokens.len(), request.device);
    state.tokens.insert(token.clone(), request.device);
    let behaviour = fake.set();
    Json(TokenAnswer {
        token,
        token_type: DPOP.into(),
        expires_in: behaviour.token_life.unwrap_or(600),
        relays: behaviour.relays.clone(),
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
    let key = order["participant_key"].as_str();
    let key: Option<Key> = key.map(|key| key.parse().expect("a key"));
    let issued = Issued {
        participant_key: key,
        ..Issued::default()
    };
    // Of one participant the server makes the code for a key of its own.
    let of_code = key.filter(|_| participant != "betrayed");
    let code = world::code_for(&format!("CODE-OF-{participant}"), of_code.as_ref());
    let code = code.reveal().to_string();
    fake.world.state().codes.insert(code.clone(), issued);
    let answer = json!({"code": code, "id": 1, "expires_at": 4_000_000_000_u64});
    (StatusCode::CREATED, Json(answer)).into_response()
}

async fn study(State(_): State<Fake>, Path(study): Path<StudyId>) -> Response {
    if study != StudyId(0) {
        return refuse(Code::UnknownStudy, None);
    }
    Json(StudyTerms {
        chain: Hash(crate::support::terms().chain),
        study,
        title: "A study".into(),
        policy: Policy::DeviceSigned,
        auditor_key: Key(crate::support::terms().auditor_key),
        auditor_epoch: 0,
        open: true,
    })
    .into_response()
}
