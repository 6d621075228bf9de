// SPDX-License-Identifier: Apache-2.0

//! Requests that a second person decides.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use mhealth_api::{DeviceOnChain, Problem};
use mhealth_server::{ApiError, Json, Path, Query};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{Anyone, By, NotAllowed, NotKnown};
use super::admin::Change;
use super::{Page, Shared};
use crate::approvals::{Answer, Approval, NewKey};

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(approve))
        .routes(routes!(reject))
}

/// What was done because a second person approved it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Approved {
    /// The request.
    pub approval: Approval,
    /// The device, if it was one that was changed.
    pub device: Option<DeviceOnChain>,
    /// The new key, if it was one.
    pub key: Option<NewKey>,
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self {
            Answer::Device(device) => Json(*device).into_response(),
            Answer::Retired(retired) => Json(*retired).into_response(),
            Answer::Key(key) => (StatusCode::CREATED, Json(key)).into_response(),
            Answer::Asked(approval) => (StatusCode::ACCEPTED, Json(*approval)).into_response(),
        }
    }
}

/// The requests for approval, oldest first: those whose duty the credential has.
#[utoipa::path(get, path = "/v1/admin/approvals", tag = "admin", security(("admin" = [])), params(Page), responses(
    (status = 200, description = "Requests, and how they stand.", body = Vec<Approval>),
    NotKnown,
    NotAllowed,
))]
async fn list(
    State(shared): State<Shared>,
    admin: By<Anyone>,
    Query(page): Query<Page>,
) -> Result<Json<Vec<Approval>>, ApiError> {
    let app = &shared.app;
    let approvals = app.store.approvals(page.after, page.limit()?, app.now());
    let mut approvals = approvals.await?;
    approvals.retain(|approval| admin.may(approval.request.duty()));
    Ok(Json(approvals))
}

/// Approves what another person asked for, and does it.
#[utoipa::path(post, path = "/v1/admin/approvals/{id}", tag = "admin", security(("admin" = [])),
    params(("id" = u64, Path, description = "The request's number.")), request_body = Change,
    responses(
        (status = 200, description = "It is done.", body = Approved),
        NotKnown,
        (status = 403, description = "`not_allowed`; `needs_another_person`: who asked does not decide.", body = Problem),
        (status = 404, description = "`unknown_approval`.", body = Problem),
        (status = 409, description = "`approval_closed`; and as what was asked for answers.", body = Problem),
        (status = 503, description = "`chain_unavailable`: it is approved and will be done.", body = Problem),
    ))]
async fn approve(
    State(shared): State<Shared>,
    admin: By<Anyone>,
    Path(id): Path<u64>,
    Json(change): Json<Change>,
) -> Result<Json<Approved>, ApiError> {
    let why = change.why.into();
    let (approval, answer) = shared.app.approve(&admin, id, why).await?;
    let (device, key) = match answer {
        Answer::Device(device) => (Some(*device), None),
        Answer::Retired(retired) => (Some(retired.on_chain), None),
        Answer::Key(key) => (None, Some(key)),
        Answer::Asked(_) => (None, None),
    };
    Ok(Json(Approved {
        approval,
        device,
        key,
    }))
}

/// Rejects what another person asked for.
#[utoipa::path(post, path = "/v1/admin/approvals/{id}/reject", tag = "admin", security(("admin" = [])),
    params(("id" = u64, Path, description = "The request's number.")), request_body = Change,
    responses(
        (status = 200, description = "It is rejected.", body = Approval),
        NotKnown,
        (status = 403, description = "`not_allowed`; `needs_another_person`: who asked does not decide.", body = Problem),
        (status = 404, description = "`unknown_approval`.", body = Problem),
        (status = 409, description = "`approval_closed`.", body = Problem),
    ))]
async fn reject(
    State(shared): State<Shared>,
    admin: By<Anyone>,
    Path(id): Path<u64>,
    Json(change): Json<Change>,
) -> Result<Json<Approval>, ApiError> {
    let rejected = shared.app.reject(&admin, id, change.why.into());
    rejected.await.map(Json)
}
