// SPDX-License-Identifier: Apache-2.0

//! What devices and relays ask for.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use hashchain::StudyId;
use mhealth_api::{
    CodeTerms, CodeTermsRequest, EnrolRequest, Enrolled, JwkSet, Problem, StudyTerms, TokenAnswer,
    TokenRequest,
};
use mhealth_server::{on_chain, ApiError, Json, Path};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Shared, TokenProver};

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(code))
        .routes(routes!(enrol))
        .routes(routes!(token))
        .routes(routes!(jwks))
        .routes(routes!(study))
}

/// What an enrolment code is for. Does not use the code.
#[utoipa::path(post, path = "/v1/code", tag = "device", request_body = CodeTermsRequest, responses(
    (status = 200, description = "What a device needs to make link 0.", body = CodeTerms),
    (status = 404, description = "`unknown_code`.", body = Problem),
    (status = 410, description = "`code_expired`, `code_revoked`.", body = Problem),
    (status = 422, description = "`malformed_code`.", body = Problem),
    (status = 429, description = "`too_many_requests`.", body = Problem),
))]
async fn code(
    State(shared): State<Shared>,
    Json(request): Json<CodeTermsRequest>,
) -> Result<Json<CodeTerms>, ApiError> {
    shared.app.code_terms(&request.code).await.map(Json)
}

/// Redeems a code: registers the device on the chain, and answers when that is finalised. May be repeated.
#[utoipa::path(post, path = "/v1/enrol", tag = "device", request_body = EnrolRequest, responses(
    (status = 200, description = "The device is on the chain, finalised.", body = Enrolled),
    (status = 401, description = "`invalid_proof`.", body = Problem),
    (status = 403, description = "`study_closed`.", body = Problem),
    (status = 404, description = "`unknown_code`.", body = Problem),
    (status = 409, description = "`code_used`, `key_in_use`, `another_participant_key`, `other_auditor_epoch`, `invalid_state`, \
        `refused_by_chain`.", body = Problem),
    (status = 410, description = "`code_expired`, `code_revoked`.", body = Problem),
    (status = 422, description = "`malformed_code`, `weak_key`, `invalid_escrow`, `invalid_key_proof`.", body = Problem),
    (status = 429, description = "`too_many_requests`.", body = Problem),
    (status = 503, description = "`chain_unavailable`, `shutting_down`: send the same request again.", body = Problem),
))]
async fn enrol(
    State(shared): State<Shared>,
    Json(request): Json<EnrolRequest>,
) -> Result<Json<Enrolled>, ApiError> {
    shared.app.enrol(&request).await.map(Json)
}

/// A token for a device that proves that it possesses its key.
#[utoipa::path(post, path = "/v1/token", tag = "device", security(("device_proof" = [])), request_body = TokenRequest, responses(
    (status = 200, description = "A token.", body = TokenAnswer),
    (status = 401, description = "The proof is not taken: `missing_proof`, `malformed_proof`, `invalid_proof`, \
        `proof_by_another_key`, `proof_for_another_method`, `proof_for_another_address`, `proof_for_another_token`, \
        `replayed_proof`, and `use_dpop_nonce` with the header DPoP-Nonce.", body = Problem),
    (status = 403, description = "`device_suspended`, `wrong_study`; `device_retired`, with the relays that prove it.", body = Problem),
    (status = 404, description = "`unknown_device`.", body = Problem),
    (status = 429, description = "`too_many_requests`.", body = Problem),
))]
async fn token(
    State(shared): State<Shared>,
    TokenProver(proven): TokenProver,
    Json(request): Json<TokenRequest>,
) -> Result<Response, ApiError> {
    let device = shared.app.proven_device(request.device, &proven).await?;
    let answer: TokenAnswer = shared.app.token(&device, &proven).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}

/// The keys whose tokens are good (RFC 7517).
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "relay", responses(
    (status = 200, description = "The newest key first.", body = JwkSet),
))]
async fn jwks(State(shared): State<Shared>) -> Result<Response, ApiError> {
    let app = &shared.app;
    // A token that was signed a moment before the rotation, as the slowest clock sees it.
    let grace = app.terms.token_lifetime + app.terms.clock_skew;
    let keys: JwkSet = app.keys.public(app.now(), grace).await?;
    Ok(([(header::CACHE_CONTROL, "max-age=10")], Json(keys)).into_response())
}

/// A study, as it is on the finalised chain.
#[utoipa::path(get, path = "/v1/studies/{study}", tag = "device",
    params(("study" = u32, Path, description = "The study's number.")),
    responses(
        (status = 200, description = "Its terms.", body = StudyTerms),
        (status = 404, description = "`unknown_study`.", body = Problem),
    ))]
async fn study(
    State(shared): State<Shared>,
    Path(study): Path<StudyId>,
) -> Result<Json<StudyTerms>, ApiError> {
    let asking = shared.app.study(study);
    let found = match study == shared.app.terms.study {
        true => shared.study.ask(asking).await?,
        false => asking.await?,
    };
    Ok(Json(on_chain::study(shared.app.terms.chain, study, found)))
}
