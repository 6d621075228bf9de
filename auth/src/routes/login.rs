// SPDX-License-Identifier: Apache-2.0

//! How staff log in by the provider of their house, and out again.

use std::time::Duration;

use axum::extract::State;
use axum::http::{header, HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use mhealth_api::{Code, Problem};
use mhealth_server::{ApiError, Json, Peer, Query};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{is_session, Holder, NotKnown};
use super::Shared;
use crate::login::{cookie, Coming, Login, COOKIE};

/// How much later an address gets its answer that failed often.
const LATE: Duration = Duration::from_secs(1);

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(login))
        .routes(routes!(callback))
        .routes(routes!(logout))
}

/// A session, whose credential is shown this once.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSession {
    /// To be sent as `Authorization: Bearer …` with every request.
    pub credential: String,
    /// Who logged in, as in the log.
    pub name: String,
    /// The duties that go with it.
    pub may: Vec<String>,
    /// When it is over, in seconds since 1970.
    pub expires_at: u64,
}

/// Sends a browser to the provider, with a cookie by which this server knows it again.
#[utoipa::path(get, path = "/v1/admin/login", tag = "login", responses(
    (status = 303, description = "To the provider's page."),
    (status = 404, description = "`not_found`: this server has no provider.", body = Problem),
    (status = 429, description = "`too_many_requests`.", body = Problem),
    (status = 503, description = "`login_unavailable`.", body = Problem),
))]
async fn login(State(shared): State<Shared>) -> Result<Response, ApiError> {
    let login = provider(&shared)?;
    let (url, sealed) = login.begin(shared.app.now()).await?;
    let location = HeaderValue::try_from(url).map_err(ApiError::internal)?;
    Ok(private(
        (
            StatusCode::SEE_OTHER,
            [
                (header::LOCATION, location),
                (header::SET_COOKIE, login.set_cookie(&sealed)?),
            ],
        )
            .into_response(),
    ))
}

/// Where the provider sends the browser back to. Answers with the credential of a session.
#[utoipa::path(get, path = "/v1/admin/callback", tag = "login", params(
    ("state" = Option<String>, Query, description = "What the server gave the browser."),
    ("code" = Option<String>, Query, description = "What the provider gave it."),
    ("error" = Option<String>, Query, description = "Why it gave nothing."),
    ("iss" = Option<String>, Query, description = "The provider (RFC 9207)."),
), responses(
    (status = 200, description = "The session.", body = NewSession),
    (status = 401, description = "`login_failed`.", body = Problem),
    (status = 403, description = "`not_allowed`: the provider says nothing of the person that gives a duty.", body = Problem),
    (status = 404, description = "`not_found`: this server has no provider.", body = Problem),
    (status = 429, description = "`too_many_requests`.", body = Problem),
    (status = 503, description = "`login_unavailable`.", body = Problem),
))]
async fn callback(
    State(shared): State<Shared>,
    peer: Peer,
    Query(coming): Query<Coming>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let login = provider(&shared)?;
    // Any page can send any browser here. What did not begin here costs nothing, and nobody waits for it.
    let returned = login.returned(coming, cookie(&headers, COOKIE), shared.app.now())?;
    let failures = &shared.app.failed_logins;
    // Whom the provider takes is let in, whatever others did at the same address: a hospital has one.
    let is_slow = failures.admit(peer).is_err();
    let person = match login.finish(returned, is_slow).await {
        Ok(person) => person,
        Err(error) => {
            if error.problem().known_code() == Some(Code::LoginFailed) {
                // Counted with wrong credentials, and answered in its own words. Whoever has a session does not wait for it.
                let _ = failures.failed(peer, "login");
                if is_slow {
                    tokio::time::sleep(LATE).await;
                }
            }
            return Err(error);
        }
    };
    let (session, credential, scopes) = shared.app.log_in(person).await?;
    shared.app.failures.made(credential.expose());
    let may = scopes.duties.to_string();
    let session = NewSession {
        credential: credential.expose().to_owned(),
        name: session.person.name,
        may: may.split(',').map(str::to_owned).collect(),
        expires_at: session.expires_at,
    };
    let mut answer = Json(session).into_response();
    // It has done its work.
    let headers = answer.headers_mut();
    headers.insert(header::SET_COOKIE, login.set_cookie("")?);
    Ok(private(answer))
}

/// A session is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoggedOut {
    /// The provider's page that ends the login there, too: send the browser to it. Whoever is still logged in at the provider gets
    /// a new session here without being asked who it is. None if the provider has none, or is away.
    pub provider_logout: Option<String>,
}

/// Ends the session whose credential comes with it.
#[utoipa::path(post, path = "/v1/admin/logout", tag = "login", security(("admin" = [])), responses(
    (status = 200, description = "It is over.", body = LoggedOut),
    NotKnown,
    (status = 403, description = "`not_allowed`: a credential that the operator made is no session.", body = Problem),
))]
async fn logout(State(shared): State<Shared>, holder: Holder) -> Result<Json<LoggedOut>, ApiError> {
    if !is_session(&holder.credential) {
        let detail = "This is no session; `mhealth-auth admin rotate` replaces such a credential.";
        return Err(ApiError::new(Code::NotAllowed, detail));
    }
    let app = &shared.app;
    app.store.end_session(&holder.credential, app.now()).await?;
    let provider_logout = match &app.login {
        Some(login) => login.logout_page().await,
        None => None,
    };
    Ok(Json(LoggedOut { provider_logout }))
}

fn provider(shared: &Shared) -> Result<&Login, ApiError> {
    let login = shared.app.login.as_ref();
    login.ok_or_else(|| ApiError::new(Code::NotFound, "This server has no login provider."))
}

/// What stands in it is for nobody else.
fn private(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let nothing = HeaderValue::from_static("no-referrer");
    headers.insert(header::REFERRER_POLICY, nothing);
    answer
}
