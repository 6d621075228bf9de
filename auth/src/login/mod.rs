// SPDX-License-Identifier: Apache-2.0

//! Staff log in by the provider of their house: OpenID Connect, authorisation code with PKCE.
//!
//! The browser is sent to the provider with a state and a nonce, and gets a cookie in which these are sealed: so nothing is kept
//! here of logins that nobody finishes, every process of the server can finish them, and nobody can finish another browser's.
//! What comes back is exchanged for an ID token, whose signature, issuer, audience, time and nonce the library `openidconnect`
//! checks. The person gets a session, whose credential works as one that the operator made. What it is good for follows from a
//! claim of the token, by the server's options, and is looked up with every request.

mod options;
mod pending;
mod provider;

use std::time::Duration;

use anyhow::Context;
use axum::http::{header, HeaderMap, HeaderValue};
use hashchain::StudyId;
use mhealth_api::Code;
use mhealth_server::scopes::{Duties, Studies};
use mhealth_server::{ApiError, BaseAddress, Scopes, SecretText};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

pub use options::{Grant, LoginOptions};

use crate::app::App;
use crate::store::Session;
use pending::{Begun, Pending, Seal};
use provider::Provider;

/// Name of the cookie that a browser has between the two addresses.
pub const COOKIE: &str = "mhealth-login";
/// Where the provider sends browsers back to.
pub const CALLBACK: &str = "/v1/admin/callback";
/// How long a person has for the provider's pages, in seconds.
const PATIENCE: u64 = 600;

/// Of addresses from which much came that the provider did not take, so many logins are finished at a time.
const AT_A_TIME: usize = 4;
/// How long one of these waits for its turn.
const LONGEST_TURN: Duration = Duration::from_secs(10);

/// Whoever logged in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// As in the log: `oidc:` and what the provider calls the person.
    pub name: String,
    /// What the claim said.
    pub values: Vec<String>,
}

/// What a browser brings from the provider.
#[derive(Clone, Deserialize)]
pub struct Coming {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
    iss: Option<String>,
}

/// A login that this browser began here, with what the provider gave it.
pub struct Returned {
    code: String,
    begun: Begun,
}

/// The login.
pub struct Login {
    provider: Provider,
    seal: Seal,
    lifetime: u64,
    turns: Semaphore,
    /// Whether browsers reach the server by TLS.
    secure: bool,
}

impl Login {
    /// The login that the options describe; none if they name no provider. The provider is asked when the first person logs in.
    pub fn from_options(
        options: &LoginOptions,
        own: &BaseAddress,
        secret: &SecretText,
    ) -> anyhow::Result<Option<Self>> {
        let Some(issuer) = &options.oidc_issuer else {
            return Ok(None);
        };
        let client = options.oidc_client_id.clone();
        let client = client.context("a login needs --oidc-client-id")?;
        options.grants()?;
        let callback = match &options.oidc_callback {
            Some(callback) => callback.clone(),
            None => format!("{own}{CALLBACK}"),
        };
        let secure = callback.starts_with("https:");
        let provider = Provider::new(provider::Settings {
            issuer: issuer.clone(),
            client,
            secret: options.client_secret()?,
            callback,
            after_logout: options.oidc_after_logout.clone(),
            scopes: options.oidc_scopes.clone(),
            claim: options.oidc_claim.clone(),
            name_claim: options.oidc_name_claim.clone(),
        })?;
        Ok(Some(Self {
            provider,
            seal: Seal::new(secret),
            lifetime: options.session_lifetime,
            turns: Semaphore::new(AT_A_TIME),
            secure,
        }))
    }

    /// What the provider is called.
    pub(crate) fn issuer(&self) -> &str {
        self.provider.issuer()
    }

    /// Whether the provider answers, as it does when somebody logs in.
    pub(crate) async fn examine(&self) -> Result<(), ApiError> {
        self.provider.begin().await.map(drop)
    }

    /// The provider's page, and what the browser has to bring back in its cookie.
    pub async fn begin(&self, now: u64) -> Result<(String, String), ApiError> {
        let (url, begun) = self.provider.begin().await?;
        let pending = Pending {
            begun,
            until: now + PATIENCE,
        };
        Ok((url, self.seal.close(&pending)?))
    }

    /// Whether a browser ends a login that it began here; `login_failed` otherwise. The provider is not asked.
    pub fn returned(
        &self,
        coming: Coming,
        sealed: Option<&str>,
        now: u64,
    ) -> Result<Returned, ApiError> {
        let pending = sealed.and_then(|sealed| self.seal.open(sealed));
        let pending = pending.filter(|pending| pending.until > now);
        let Some(Pending { begun, .. }) = pending else {
            return Err(failed(
                "This browser did not begin a login here, or too long ago.",
            ));
        };
        if coming.state.as_deref() != Some(&*begun.state) {
            return Err(failed(
                "This is the end of another login than the one that was begun.",
            ));
        }
        if coming
            .iss
            .is_some_and(|issuer| issuer != self.provider.issuer())
        {
            return Err(failed("This comes from another provider."));
        }
        if let Some(error) = coming.error {
            tracing::info!(error, "the provider lets somebody not in");
            return Err(failed("The provider did not let the person in."));
        }
        let code = coming.code.ok_or_else(|| failed("The code is missing."))?;
        Ok(Returned { code, begun })
    }

    /// Who it is, as the provider says; `login_failed` when something does not hold. From an address that failed often, a person
    /// may come all the same, and only takes turns with whoever fails there; `login_unavailable` when too many wait.
    pub async fn finish(&self, returned: Returned, takes_turns: bool) -> Result<Person, ApiError> {
        let Returned { code, begun } = returned;
        let _turn = match takes_turns {
            true => {
                let turn = tokio::time::timeout(LONGEST_TURN, self.turns.acquire()).await;
                let turn = turn.map_err(|_| ApiError::from(Code::LoginUnavailable))?;
                Some(turn.map_err(ApiError::internal)?)
            }
            false => None,
        };
        self.provider.finish(code, begun).await
    }

    /// The provider's page on which the person logs out there, too; none if there is none, or it cannot be asked at present.
    pub async fn logout_page(&self) -> Option<String> {
        self.provider.logout_page().await.unwrap_or_default()
    }

    /// The header that gives the browser its cookie, or takes it back.
    pub fn set_cookie(&self, sealed: &str) -> Result<HeaderValue, ApiError> {
        let age = if sealed.is_empty() { 0 } else { PATIENCE };
        let secure = if self.secure { "; Secure" } else { "" };
        let text = format!(
            "{COOKIE}={sealed}; Max-Age={age}; Path=/v1/admin; HttpOnly; SameSite=Lax{secure}"
        );
        HeaderValue::try_from(text).map_err(ApiError::internal)
    }
}

/// What somebody may do of whom the provider says this, in a study.
fn scopes(grants: &[Grant], values: &[String], study: StudyId) -> Scopes {
    let granted = grants
        .iter()
        .filter(|grant| grant.studies.has(study) && values.contains(&grant.value));
    let mut duties = Duties::none();
    for grant in granted {
        duties = match (duties, grant.duties.clone()) {
            (Duties::These(one), Duties::These(other)) => Duties::These(&one | &other),
            _ => Duties::All,
        };
    }
    Scopes {
        studies: Studies::These([study].into()),
        duties,
    }
}

impl App {
    /// What somebody who logged in may do, by the options of today.
    pub fn scopes_of(&self, person: &Person) -> Scopes {
        match self.login {
            Some(_) => scopes(&self.settings().grants, &person.values, self.terms.study),
            None => Scopes::nothing(),
        }
    }

    /// Begins a session; `not_allowed` for somebody who may do nothing.
    pub async fn log_in(&self, person: Person) -> Result<(Session, SecretText, Scopes), ApiError> {
        let login = self.login.as_ref().ok_or(Code::NotFound)?;
        let scopes = self.scopes_of(&person);
        if scopes.duties == Duties::none() {
            tracing::warn!(
                name = person.name,
                "somebody logged in who may do nothing here"
            );
            let detail = "The provider says nothing of this person that gives a duty here.";
            return Err(ApiError::new(Code::NotAllowed, detail));
        }
        let now = self.now();
        let session = Session {
            person,
            expires_at: now + login.lifetime,
        };
        let credential = self.store.begin_session(&session, now).await?;
        Ok((session, credential, scopes))
    }
}

/// The value of a cookie of this name.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(header::COOKIE).iter();
    let mut pairs = all
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

fn failed(detail: &str) -> ApiError {
    ApiError::new(Code::LoginFailed, detail)
}
