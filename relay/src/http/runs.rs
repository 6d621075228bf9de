// SPDX-License-Identifier: Apache-2.0

//! Uploads and what became of them.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use mhealth_api::{BareRecord, Code, Hash, Problem, RunStatus, RunUpload};
use mhealth_server::{ApiError, BodyShare, Json, Path};

use super::{App, Sender};
use crate::intake::Answered;

type Answer = Result<(StatusCode, Json<RunStatus>), ApiError>;

/// Takes a run with its envelopes. What is answered with 202 is stored durably; a run that was stored before is answered
/// with 200 and its present state.
#[utoipa::path(post, path = "/v1/runs", tag = "device", security(("device_token" = [], "device_proof" = [])),
    request_body = RunUpload, responses(
    (status = 202, description = "Stored, and on its way to the chain.", body = RunStatus),
    (status = 200, description = "Stored before; this is where it stands.", body = RunStatus),
    (status = 400, description = "`malformed_json`", body = Problem),
    (status = 401, description = "The token is not taken: `missing_credentials`, `invalid_token`, `token_expired`, \
        `token_not_yet_valid`, `unknown_issuer`, `wrong_audience`. The proof is not taken: `missing_proof`, \
        `malformed_proof`, `invalid_proof`, `proof_by_another_key`, `proof_for_another_method`, \
        `proof_for_another_address`, `proof_for_another_token`, `replayed_proof`, and `use_dpop_nonce` with the header \
        DPoP-Nonce", body = Problem),
    (status = 403, description = "`wrong_device`, `wrong_study`, `device_suspended`, `device_retired`, `device_erased`, `study_closed`, \
        `device_storage_full`",
        body = Problem),
    (status = 404, description = "`unknown_device`", body = Problem),
    (status = 408, description = "`request_timeout`", body = Problem),
    (status = 409, description = "`gap`: entries before the run are missing; the problem has the head to send from. \
        `too_many_conflicts`, `wrong_chain`", body = Problem),
    (status = 413, description = "`body_too_large`", body = Problem),
    (status = 415, description = "`unsupported_media_type`, `unsupported_encoding`, `unsupported_charset`", body = Problem),
    (status = 422, description = "`invalid_message`, `empty_run`, `run_too_long`, `invalid_sequence`, `digest_mismatch`, \
        `missing_signature`, `bad_signature`", body = Problem),
    (status = 429, description = "`too_many_requests`, `device_queue_full`, `device_bytes_used`", body = Problem),
    (status = 500, description = "`internal`", body = Problem),
    (status = 503, description = "Not stored, as far as the server knows; send the same again: `issuer_unavailable`, \
        `overloaded`, `chain_unavailable`, `storage_unavailable`, `shutting_down`", body = Problem),
))]
pub(super) async fn upload(
    State(app): State<Arc<App>>,
    sender: Sender,
    share: BodyShare,
    Json(upload): Json<RunUpload>,
) -> Answer {
    let Sender { found, place, .. } = sender;
    let answered = app.intake.upload(found, upload, share).await;
    drop(place);
    answered.map(answer)
}

/// Takes a record that the relay is to chain on the device's behalf. For the topologies of Figures 2a and 2b only, in which
/// nothing protects data on its way.
#[utoipa::path(post, path = "/v1/records", tag = "device", security(("device_token" = [], "device_proof" = [])),
    request_body = BareRecord, responses(
    (status = 202, description = "Stored, and on its way to the chain.", body = RunStatus),
    (status = 200, description = "Stored before; this is where it stands.", body = RunStatus),
    (status = 400, description = "`malformed_json`", body = Problem),
    (status = 401, description = "The token is not taken: `missing_credentials`, `invalid_token`, `token_expired`, \
        `token_not_yet_valid`, `unknown_issuer`, `wrong_audience`. The proof is not taken: `missing_proof`, \
        `malformed_proof`, `invalid_proof`, `proof_by_another_key`, `proof_for_another_method`, \
        `proof_for_another_address`, `proof_for_another_token`, `replayed_proof`, and `use_dpop_nonce` with the header \
        DPoP-Nonce", body = Problem),
    (status = 403, description = "`not_chained_here`: this relay takes chained runs only. `wrong_device`, `wrong_study`, \
        `device_suspended`, `device_retired`, `device_erased`, `study_closed`", body = Problem),
    (status = 404, description = "`unknown_device`", body = Problem),
    (status = 408, description = "`request_timeout`", body = Problem),
    (status = 409, description = "`invalid_state`: another record was stored under this sequence. `wrong_chain`",
        body = Problem),
    (status = 413, description = "`body_too_large`", body = Problem),
    (status = 415, description = "`unsupported_media_type`, `unsupported_encoding`, `unsupported_charset`", body = Problem),
    (status = 422, description = "`invalid_message`, `invalid_sequence`, `missing_signature`", body = Problem),
    (status = 429, description = "`too_many_requests`, `device_queue_full`, `device_bytes_used`", body = Problem),
    (status = 500, description = "`internal`", body = Problem),
    (status = 503, description = "Not stored, as far as the server knows; send the same again: `issuer_unavailable`, \
        `overloaded`, `chain_unavailable`, `storage_unavailable`, `shutting_down`", body = Problem),
))]
pub(super) async fn record(
    State(app): State<Arc<App>>,
    sender: Sender,
    share: BodyShare,
    Json(record): Json<BareRecord>,
) -> Answer {
    if !app.chain_for_devices {
        return Err(Code::NotChainedHere.into());
    }
    let Sender { found, place, .. } = sender;
    let answered = app.intake.record(found, record, share).await;
    drop(place);
    answered.map(answer)
}

/// Where a run stands. Its name is a hash of its content, so only those who have the run can ask.
#[utoipa::path(get, path = "/v1/runs/{run}", tag = "device",
    params(("run" = String, Path, description = "The run's name: 0x and 64 hexadecimal digits.")), responses(
    (status = 200, description = "State and receipt.", body = RunStatus),
    (status = 400, description = "`invalid_parameter`", body = Problem),
    (status = 404, description = "`unknown_run`: it was never stored here.", body = Problem),
    (status = 503, description = "`storage_unavailable`", body = Problem),
))]
pub(super) async fn status(
    State(app): State<Arc<App>>,
    Path(run): Path<Hash>,
) -> Result<Json<RunStatus>, ApiError> {
    let status = app.store.status(&run).await?;
    Ok(Json(status.ok_or(Code::UnknownRun)?))
}

fn answer(answered: Answered) -> (StatusCode, Json<RunStatus>) {
    let status = if answered.new {
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    };
    (status, Json(answered.status))
}
