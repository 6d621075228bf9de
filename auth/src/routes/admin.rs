// SPDX-License-Identifier: Apache-2.0

//! What the study's staff ask for.

use axum::extract::State;
use axum::http::{header, StatusCode};
use axum::response::{IntoResponse, Response};
use mhealth_api::{Code, Problem};
use mhealth_server::{ApiError, Json, Path, Query};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{By, CodeList, Codes, Keys, Log, NotAllowed, NotKnown};
use super::{Page, Shared};
use crate::approvals::{Answer, Approval, NewKey, Request};
use crate::codes::{CodeView, IssuedCode, NewCode};
use crate::log::LogLine;
use crate::store::Revocation;

/// Longest reason, in bytes.
const MAX_WHY_LENGTH: usize = 1_000;

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(issue_code, list_codes))
        .routes(routes!(revoke_code))
        .routes(routes!(rotate_keys))
        .routes(routes!(revoke_keys))
        .routes(routes!(read_log))
}

/// Why something is done, for the log. It must not name the participant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String)]
pub struct Why(String);

impl TryFrom<String> for Why {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        // PostgreSQL stores no text with a NUL.
        let is_reason =
            text.len() <= MAX_WHY_LENGTH && !text.trim().is_empty() && !text.contains('\0');
        is_reason
            .then_some(Self(text))
            .ok_or("a reason has 1 to 1000 bytes, and none of them is 0")
    }
}

impl From<Why> for String {
    fn from(why: Why) -> Self {
        why.0
    }
}

/// A change that only needs a reason.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Why.
    pub why: Why,
}

/// Makes an enrolment code. It is shown this once.
#[utoipa::path(post, path = "/v1/admin/codes", tag = "admin", security(("admin" = [])), request_body = NewCode,
    responses(
        (status = 201, description = "The code.", body = IssuedCode),
        NotKnown,
        (status = 403, description = "`not_allowed`; `wrong_study`: the predecessor's.", body = Problem),
        (status = 404, description = "`unknown_device`: the predecessor.", body = Problem),
        (status = 409, description = "`participant_has_code`, `participant_has_device`; `invalid_state`: the predecessor is \
            not retired, or has a successor.", body = Problem),
        (status = 422, description = "`invalid_message`, `weak_participant_key`.", body = Problem),
    ))]
async fn issue_code(
    State(shared): State<Shared>,
    admin: By<Codes>,
    Json(new): Json<NewCode>,
) -> Result<Response, ApiError> {
    let issued: IssuedCode = shared.app.issue_code(&admin, new).await?;
    Ok((
        StatusCode::CREATED,
        [(header::CACHE_CONTROL, "no-store")],
        Json(issued),
    )
        .into_response())
}

/// The codes that were issued, oldest first; with their participants for who may read pseudonyms.
#[utoipa::path(get, path = "/v1/admin/codes", tag = "admin", security(("admin" = [])), params(Page), responses(
    (status = 200, description = "The codes, without their secrets.", body = Vec<CodeView>),
    NotKnown,
    NotAllowed,
))]
async fn list_codes(
    State(shared): State<Shared>,
    admin: By<CodeList>,
    Query(page): Query<Page>,
) -> Result<Json<Vec<CodeView>>, ApiError> {
    let app = &shared.app;
    let codes = app.store.codes(page.after, page.limit()?, app.now());
    let codes = codes.await?.into_iter().map(|code| admin.seen(code));
    Ok(Json(codes.collect()))
}

/// Takes a code back that nobody has redeemed.
#[utoipa::path(delete, path = "/v1/admin/codes/{id}", tag = "admin", security(("admin" = [])),
    params(("id" = u64, Path, description = "The code's number.")),
    responses(
        (status = 204, description = "It is revoked."),
        NotKnown,
        NotAllowed,
        (status = 404, description = "`unknown_code`.", body = Problem),
        (status = 409, description = "`code_used`.", body = Problem),
    ))]
async fn revoke_code(
    State(shared): State<Shared>,
    admin: By<Codes>,
    Path(id): Path<u64>,
) -> Result<StatusCode, ApiError> {
    let app = &shared.app;
    match app.store.revoke_code(&admin, id, app.now()).await? {
        Revocation::Revoked => Ok(StatusCode::NO_CONTENT),
        Revocation::Redeemed => Err(Code::CodeUsed.into()),
        Revocation::Unknown => Err(Code::UnknownCode.into()),
    }
}

/// Makes a new key that signs tokens from now on. The one before stays in the key set until its last token has expired.
#[utoipa::path(post, path = "/v1/admin/keys/rotate", tag = "admin", security(("admin" = [])), request_body = Change,
    responses(
        (status = 201, description = "The new key.", body = NewKey),
        (status = 202, description = "It is asked for: another person has to approve it.", body = Approval),
        NotKnown,
        NotAllowed,
    ))]
async fn rotate_keys(
    State(shared): State<Shared>,
    admin: By<Keys>,
    Json(change): Json<Change>,
) -> Result<Answer, ApiError> {
    let (app, why) = (&shared.app, change.why.into());
    app.do_or_ask(&admin, Request::Keys {}, why).await
}

/// Makes a new key that signs tokens from now on, and withdraws all others at once: no token that they signed is good any more.
/// For when a key may be in other hands. Relays notice within ten seconds, phones get new tokens by themselves.
#[utoipa::path(post, path = "/v1/admin/keys/revoke", tag = "admin", security(("admin" = [])), request_body = Change,
    responses(
        (status = 201, description = "The new key.", body = NewKey),
        NotKnown,
        NotAllowed,
    ))]
async fn revoke_keys(
    State(shared): State<Shared>,
    admin: By<Keys>,
    Json(change): Json<Change>,
) -> Result<(StatusCode, Json<NewKey>), ApiError> {
    let app = &shared.app;
    let why = String::from(change.why);
    let kid = app.keys.revoke(&why, &admin.name, app.now()).await?;
    Ok((StatusCode::CREATED, Json(NewKey { kid })))
}

/// Who did what, when and why, oldest first.
#[utoipa::path(get, path = "/v1/admin/log", tag = "admin", security(("admin" = [])), params(Page), responses(
    (status = 200, description = "Lines of the log.", body = Vec<LogLine>),
    NotKnown,
    NotAllowed,
))]
async fn read_log(
    State(shared): State<Shared>,
    _: By<Log>,
    Query(page): Query<Page>,
) -> Result<Json<Vec<LogLine>>, ApiError> {
    let lines = shared.app.store.log(page.after, page.limit()?);
    Ok(Json(lines.await?))
}
