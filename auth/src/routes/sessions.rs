// SPDX-License-Identifier: Apache-2.0

//! Who is logged in, and how one person ends what another one began.

use axum::extract::State;
use axum::http::StatusCode;
use mhealth_api::{Code, Problem};
use mhealth_server::{ApiError, Json, Path, Query};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{By, NotAllowed, NotKnown, Sessions};
use super::admin::{Change, Why};
use super::{Page, Shared};
use crate::store::{OpenSession, WhichSessions};

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list_sessions))
        .routes(routes!(end_session))
        .routes(routes!(end_sessions_of))
}

/// Whose sessions end.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EndOf {
    /// The person, as in the log: `oidc:…`.
    pub name: String,
    /// Why.
    pub why: Why,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Ended {
    /// Sessions that were not over and are now.
    pub ended: u64,
}

/// The sessions that are not over, oldest first.
#[utoipa::path(get, path = "/v1/admin/sessions", tag = "login", security(("admin" = [])), params(Page), responses(
    (status = 200, description = "The sessions, without their credentials.", body = Vec<OpenSession>),
    NotKnown,
    NotAllowed,
))]
async fn list_sessions(
    State(shared): State<Shared>,
    _: By<Sessions>,
    Query(page): Query<Page>,
) -> Result<Json<Vec<OpenSession>>, ApiError> {
    let app = &shared.app;
    let sessions = app
        .store
        .open_sessions(page.after, page.limit()?, app.now());
    Ok(Json(sessions.await?))
}

/// Ends a session at once, whoever's it is. Its credential is good for nothing from then on.
#[utoipa::path(post, path = "/v1/admin/sessions/{id}/end", tag = "login", security(("admin" = [])), request_body = Change,
    params(("id" = u64, Path, description = "The session's number.")),
    responses(
        (status = 204, description = "It is over."),
        NotKnown,
        NotAllowed,
        (status = 404, description = "`unknown_session`: there is none, or it is over.", body = Problem),
    ))]
async fn end_session(
    State(shared): State<Shared>,
    admin: By<Sessions>,
    Path(id): Path<u64>,
    Json(change): Json<Change>,
) -> Result<StatusCode, ApiError> {
    let (app, why) = (&shared.app, String::from(change.why));
    let which = WhichSessions::Number(id);
    let ended = app.store.end_sessions(&admin, which, &why, app.now());
    match ended.await? {
        0 => Err(Code::UnknownSession.into()),
        _ => Ok(StatusCode::NO_CONTENT),
    }
}

/// Ends all sessions of a person at once. It does not keep the person from logging in again: that is the provider's, or the
/// options', to say.
#[utoipa::path(post, path = "/v1/admin/sessions/end", tag = "login", security(("admin" = [])), request_body = EndOf,
    responses(
        (status = 200, description = "How many they were.", body = Ended),
        NotKnown,
        NotAllowed,
    ))]
async fn end_sessions_of(
    State(shared): State<Shared>,
    admin: By<Sessions>,
    Json(whose): Json<EndOf>,
) -> Result<Json<Ended>, ApiError> {
    // No name has any, and PostgreSQL takes no text with a NUL.
    if whose.name.chars().any(char::is_control) {
        return Ok(Json(Ended { ended: 0 }));
    }
    let (app, why) = (&shared.app, String::from(whose.why));
    let which = WhichSessions::Of(&whose.name);
    let ended = app.store.end_sessions(&admin, which, &why, app.now());
    Ok(Json(Ended {
        ended: ended.await?,
    }))
}
