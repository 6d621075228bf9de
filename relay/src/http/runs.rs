// SPDX-License-Identifier: Apache-2.0

//! Uploads and what became of them.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use mhealth_api::{BareRecord, Code, Hash, Problem, RunStatus, RunUpload};
use mhealth_server::{ApiError, Json, Path};

use super::{App, DeviceToken};
use crate::intake::Answered;

type Answer = Result<(StatusCode, Json<RunStatus>), ApiError>;

/// Takes a run with its envelopes. What is answered with 202 is stored durably; a run that was stored before is answered
/// with 200 and its present state.
#[utoipa::path(post, path = "/v1/runs", tag = "device", security(("device_token" = [])),
    request_body = RunUpload, responses(
    (status = 202, description = "Stored, and on its way to the chain.", body = RunStatus),
    (status = 200, description = "Stored before; this is where it stands.", body = RunStatus),
    (status = 409, description = "`gap`: entries before the run are missing; the problem has the head to send from.",
        body = Problem),
    (status = "4XX", description = "Not stored.", body = Problem),
    (status = "5XX", description = "Not stored, as far as the server knows; send the same again.", body = Problem),
))]
pub(super) async fn upload(
    State(app): State<Arc<App>>,
    DeviceToken(holder): DeviceToken,
    Json(upload): Json<RunUpload>,
) -> Answer {
    app.intake.upload(&holder, upload).await.map(answer)
}

/// Takes a record that the relay is to chain on the device's behalf. For the topologies of Figures 2a and 2b only, in which
/// nothing protects data on its way.
#[utoipa::path(post, path = "/v1/records", tag = "device", security(("device_token" = [])),
    request_body = BareRecord, responses(
    (status = 202, description = "Stored, and on its way to the chain.", body = RunStatus),
    (status = 200, description = "Stored before; this is where it stands.", body = RunStatus),
    (status = 403, description = "`not_chained_here`: this relay takes chained runs only.", body = Problem),
    (status = "4XX", description = "Not stored.", body = Problem),
))]
pub(super) async fn record(
    State(app): State<Arc<App>>,
    DeviceToken(holder): DeviceToken,
    Json(record): Json<BareRecord>,
) -> Answer {
    if !app.chain_for_devices {
        return Err(Code::NotChainedHere.into());
    }
    app.intake.record(&holder, record).await.map(answer)
}

/// Where a run stands. Its name is a hash of its content, so only those who have the run can ask.
#[utoipa::path(get, path = "/v1/runs/{run}", tag = "device",
    params(("run" = String, Path, description = "The run's name: 0x and 64 hexadecimal digits.")), responses(
    (status = 200, description = "State and receipt.", body = RunStatus),
    (status = 404, description = "`unknown_run`: it was never stored here.", body = Problem),
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
