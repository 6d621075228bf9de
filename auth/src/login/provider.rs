// SPDX-License-Identifier: Apache-2.0

//! Talks with the OpenID Connect provider.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{bail, Context};
use mhealth_api::Code;
use mhealth_server::{ApiError, SecretText};
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreErrorResponseType,
    CoreGenderClaim, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm,
    CoreRevocableToken, CoreRevocationErrorResponse, CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AdditionalClaims, AuthorizationCode, ClaimsVerificationError, Client, ClientId, ClientSecret,
    CsrfToken, EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest,
    HttpResponse, IdTokenClaims, IdTokenFields, IssuerUrl, LogoutRequest, Nonce, PkceCodeChallenge,
    PkceCodeVerifier, PostLogoutRedirectUrl, ProviderMetadataWithLogout, RedirectUrl,
    RequestTokenError, Scope, SignatureVerificationError, StandardErrorResponse,
    StandardTokenResponse, TokenResponse,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::pending::Begun;
use super::{failed, Person};

/// How long the provider may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most bytes of one.
const MOST_BYTES: usize = 1 << 20;
/// For how long its description and its keys are good without being read again.
const FRESH: Duration = Duration::from_secs(300);
/// A token by an unknown key makes the server read the keys again, but not more often than this.
const BETWEEN_READS: Duration = Duration::from_secs(2);
/// Longest name of a person, in bytes.
const MOST_NAME: usize = 128;

/// Everything that an ID token says beside what every one has.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct StaffClaims {
    #[serde(flatten)]
    all: Map<String, Value>,
}

impl AdditionalClaims for StaffClaims {}

type StaffIdToken = IdTokenFields<
    StaffClaims,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;
type StaffAnswer = StandardTokenResponse<StaffIdToken, CoreTokenType>;
/// As `openidconnect::core::CoreClient`, with all claims.
type StaffClient = Client<
    StaffClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    StaffAnswer,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// What the operator says of the provider.
pub(super) struct Settings {
    pub(super) issuer: String,
    pub(super) client: String,
    pub(super) secret: Option<SecretText>,
    pub(super) callback: String,
    /// Where the provider sends browsers after it has logged somebody out, if anywhere.
    pub(super) after_logout: Option<String>,
    pub(super) scopes: Vec<String>,
    pub(super) claim: String,
    pub(super) name_claim: String,
}

/// The provider.
pub(super) struct Provider {
    settings: Settings,
    issuer: IssuerUrl,
    callback: RedirectUrl,
    after_logout: Option<PostLogoutRedirectUrl>,
    http: reqwest::Client,
    /// What it says of itself, with its keys, and when that was read.
    known: Mutex<Option<(ProviderMetadataWithLogout, Instant)>>,
}

impl Provider {
    pub(super) fn new(settings: Settings) -> anyhow::Result<Self> {
        if !is_protected(&settings.issuer) {
            bail!("the address of the login provider must begin with https, or with http on this machine");
        }
        let issuer = IssuerUrl::new(settings.issuer.clone());
        let callback = RedirectUrl::new(settings.callback.clone());
        let after_logout = settings
            .after_logout
            .clone()
            .map(PostLogoutRedirectUrl::new);
        Ok(Self {
            issuer: issuer.context("the login provider's issuer is no URL")?,
            callback: callback.context("the address for the login provider is no URL")?,
            after_logout: after_logout
                .transpose()
                .context("the address after a logout is no URL")?,
            // Whoever follows redirects can be led anywhere.
            http: reqwest::Client::builder()
                .timeout(PATIENCE)
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .context("no HTTP client")?,
            known: Mutex::default(),
            settings,
        })
    }

    pub(super) fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// The page to which the browser goes, and what was said to the provider by that.
    pub(super) async fn begin(&self) -> Result<(String, Begun), ApiError> {
        let client = self.client(FRESH).await?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let mut request = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                CsrfToken::new_random,
                Nonce::new_random,
            )
            .set_pkce_challenge(challenge);
        for scope in &self.settings.scopes {
            request = request.add_scope(Scope::new(scope.clone()));
        }
        let (url, state, nonce) = request.url();
        if !is_protected(url.as_str()) {
            return Err(unavailable("its page is not at an https address"));
        }
        let begun = Begun {
            state: state.secret().clone(),
            nonce: nonce.secret().clone(),
            verifier: verifier.secret().clone(),
        };
        Ok((url.into(), begun))
    }

    /// Who came back.
    pub(super) async fn finish(&self, code: String, begun: Begun) -> Result<Person, ApiError> {
        let client = self.client(FRESH).await?;
        let http = self.sender();
        let request = client
            .exchange_code(AuthorizationCode::new(code))
            .map_err(|_| unavailable("it has no address for tokens"))?
            .set_pkce_verifier(PkceCodeVerifier::new(begun.verifier));
        let answer = match request.request_async(&http).await {
            Ok(answer) => answer,
            Err(RequestTokenError::Request(error)) => return Err(unavailable(error)),
            Err(error) => {
                tracing::warn!(%error, "the login provider gave no token");
                return Err(failed("The provider gave no token for this code."));
            }
        };
        let token = answer
            .id_token()
            .ok_or_else(|| failed("The provider gave no ID token."))?;
        let nonce = Nonce::new(begun.nonce);
        let claims = token.claims(&verifier(&client), &nonce).cloned();
        let claims = match claims {
            // Its keys may have changed since they were read.
            Err(ClaimsVerificationError::SignatureVerification(
                SignatureVerificationError::NoMatchingKey,
            )) => {
                let client = self.client(BETWEEN_READS).await?;
                let verifier = verifier(&client);
                token.claims(&verifier, &nonce).cloned()
            }
            claims => claims,
        };
        let claims = claims.map_err(|error| {
            tracing::warn!(%error, "an ID token does not hold");
            failed("The provider's ID token does not hold.")
        })?;
        self.person(&claims)
    }

    fn person(
        &self,
        claims: &IdTokenClaims<StaffClaims, CoreGenderClaim>,
    ) -> Result<Person, ApiError> {
        let all = &claims.additional_claims().all;
        let name = match &*self.settings.name_claim {
            "sub" => Some(claims.subject().as_str()),
            "preferred_username" => claims.preferred_username().map(|name| name.as_str()),
            // Only where the provider has checked that it is the person's.
            "email" => claims
                .email()
                .filter(|_| claims.email_verified() == Some(true))
                .map(|email| email.as_str()),
            other => all.get(other).and_then(Value::as_str),
        };
        let name = name.filter(|name| {
            (1..=MOST_NAME).contains(&name.len()) && !name.chars().any(char::is_control)
        });
        let name = name.ok_or_else(|| {
            tracing::warn!(
                claim = self.settings.name_claim,
                "an ID token does not name the person"
            );
            failed("The provider's ID token does not name the person.")
        })?;
        let values = match all.get(&self.settings.claim) {
            Some(Value::String(value)) => vec![value.clone()],
            Some(Value::Array(values)) => values
                .iter()
                .filter_map(|value| value.as_str().map(str::to_owned))
                .collect(),
            _ => Vec::new(),
        };
        Ok(Person {
            name: format!("oidc:{name}"),
            values,
        })
    }

    /// The page that ends the person's login at the provider, too (RP-initiated logout); none if the provider has none, or only
    /// one that anybody could listen to.
    pub(super) async fn logout_page(&self) -> Result<Option<String>, ApiError> {
        let metadata = self.metadata(FRESH).await?;
        let Some(page) = &metadata.additional_metadata().end_session_endpoint else {
            return Ok(None);
        };
        let client = ClientId::new(self.settings.client.clone());
        let mut request = LogoutRequest::from(page.clone()).set_client_id(client);
        if let Some(after) = &self.after_logout {
            request = request.set_post_logout_redirect_uri(after.clone());
        }
        let url = String::from(request.http_get_url());
        Ok(Some(url).filter(|url| is_protected(url)))
    }

    /// What the provider said of itself, not longer ago than this.
    async fn metadata(&self, fresh: Duration) -> Result<ProviderMetadataWithLogout, ApiError> {
        let known = self
            .known
            .lock()
            .expect("no holder of this lock panics; qed")
            .clone();
        Ok(match known {
            Some((metadata, read_at)) if read_at.elapsed() < fresh => metadata,
            _ => {
                let http = self.sender();
                let metadata =
                    ProviderMetadataWithLogout::discover_async(self.issuer.clone(), &http);
                let metadata = metadata.await.map_err(unavailable)?;
                *self
                    .known
                    .lock()
                    .expect("no holder of this lock panics; qed") =
                    Some((metadata.clone(), Instant::now()));
                metadata
            }
        })
    }

    /// A client by what the provider said of itself, not longer ago than this.
    async fn client(&self, fresh: Duration) -> Result<StaffClient, ApiError> {
        let metadata = self.metadata(fresh).await?;
        let secret = self.settings.secret.as_ref();
        let client = StaffClient::from_provider_metadata(
            metadata,
            ClientId::new(self.settings.client.clone()),
            secret.map(|secret| ClientSecret::new(secret.expose().to_owned())),
        );
        Ok(client.set_redirect_uri(self.callback.clone()))
    }

    /// Sends what the library wants to be sent.
    fn sender(
        &self,
    ) -> impl Fn(HttpRequest) -> futures::future::BoxFuture<'static, Result<HttpResponse, NoAnswer>>
    {
        let http = self.http.clone();
        move |request| Box::pin(send(http.clone(), request))
    }
}

/// By public keys only: what the server shares with the provider signs nothing.
fn verifier(client: &StaffClient) -> openidconnect::IdTokenVerifier<'_, CoreJsonWebKey> {
    use CoreJwsSigningAlgorithm as Algorithm;
    client.id_token_verifier().set_allowed_algs([
        Algorithm::RsaSsaPkcs1V15Sha256,
        Algorithm::RsaSsaPkcs1V15Sha384,
        Algorithm::RsaSsaPkcs1V15Sha512,
        Algorithm::RsaSsaPssSha256,
        Algorithm::RsaSsaPssSha384,
        Algorithm::RsaSsaPssSha512,
        Algorithm::EcdsaP256Sha256,
        Algorithm::EcdsaP384Sha384,
        Algorithm::EdDsa,
    ])
}

/// Why the provider did not answer.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("{0}")]
    Http(#[from] reqwest::Error),
    #[error("the answer cannot be read: {0}")]
    Form(#[from] axum::http::Error),
    #[error("the answer has more than {MOST_BYTES} bytes")]
    TooLong,
    #[error("the address does not begin with https")]
    NotProtected,
}

async fn send(http: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, NoAnswer> {
    if !is_protected(&request.uri().to_string()) {
        return Err(NoAnswer::NotProtected);
    }
    let mut answer = http.execute(request.try_into()?).await?;
    let mut read = axum::http::Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        read = read.header(name, value);
    }
    let mut body = Vec::new();
    while let Some(bytes) = answer.chunk().await? {
        if body.len() + bytes.len() > MOST_BYTES {
            return Err(NoAnswer::TooLong);
        }
        body.extend_from_slice(&bytes);
    }
    Ok(read.body(body)?)
}

/// Whether nobody on the way can read or change what is sent to this address.
fn is_protected(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else {
        return false;
    };
    let is_local = matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
    url.scheme() == "https" || (url.scheme() == "http" && is_local)
}

fn unavailable(error: impl std::fmt::Display) -> ApiError {
    tracing::warn!(%error, "the login provider cannot be used");
    Code::LoginUnavailable.into()
}
