// SPDX-License-Identifier: Apache-2.0

//! Requests and their answers, and what can go wrong with them.

use std::{
    fmt,
    sync::{Arc, Once},
    time::Duration,
};

use mhealth_api::{Code, Problem};
use reqwest::{
    header::{CONTENT_TYPE, RETRY_AFTER},
    redirect, Certificate, Client, Method, RequestBuilder, Response, StatusCode,
};
use rustls::CertificateError;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use tokio::sync::{Semaphore, SemaphorePermit};
use zeroize::Zeroizing;

use super::{address::Address, patience::Patience, possession::Possession, tokens::Token};
use crate::{
    chain::{ChainFault, ChainRefusal},
    clock::Clock,
    key::DeviceKey,
};

/// Longest answer that is read. The longest that a server has reason to give is a page of entries.
const LONGEST_ANSWER: usize = 4 << 20;

/// Proofs of possession that are tried when the server wants another one: because the clock is wrong, or it saw one before.
const PROOFS: u32 = 3;

/// Longest text of a stranger that goes into a message.
const LONGEST_QUOTE: usize = 200;

/// Certificates to trust besides those of the system.
#[derive(Clone, Default)]
pub struct Certificates(Vec<Certificate>);

impl Certificates {
    /// All certificates of a PEM file; `None` if it holds none.
    pub fn from_pem(pem: &[u8]) -> Option<Self> {
        let certificates = Certificate::from_pem_bundle(pem).ok()?;
        (!certificates.is_empty()).then_some(Self(certificates))
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} certificates", self.0.len())
    }
}

/// Why a request failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// There was no whole answer. Whether the server did what was asked is open.
    Unreachable(String),
    /// The server cannot at present. Nothing was done, or it can be asked for again.
    Busy {
        code: String,
        message: String,
        wait: Option<Duration>,
    },
    /// The server refuses this request.
    Refused(Problem),
    /// No such server answers like this.
    Nonsense(String),
    /// Somebody answered who cannot prove to be the server.
    Untrusted(String),
    /// Somebody answered whose certificate is not valid at the time that the device's clock shows.
    WrongTime { code: &'static str, reason: String },
}

impl Failure {
    /// Whether asking again, or asking another server, may help.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Busy { .. })
    }

    /// Whether the server has too many requests of this caller, and room for others.
    pub(super) fn is_later(&self) -> bool {
        let codes = [
            Code::TooManyRequests,
            Code::DeviceQueueFull,
            Code::DeviceBytesUsed,
        ];
        matches!(self, Self::Busy { code, .. } if codes.iter().any(|later| code == later.as_str()))
    }

    /// How long the server wants to be left alone.
    pub(super) fn wait(&self) -> Option<Duration> {
        match self {
            Self::Busy { wait, .. } => *wait,
            _ => None,
        }
    }

    /// The code of a refusal.
    pub(super) fn refusal(&self) -> Option<Code> {
        match self {
            Self::Refused(problem) => problem.known_code(),
            _ => None,
        }
    }

    /// Whether the server wants the same request with another proof of possession.
    fn wants_another_proof(&self) -> bool {
        matches!(
            self.refusal(),
            Some(Code::UseDpopNonce | Code::ReplayedProof)
        )
    }

    /// What a device says of it, with the server that it met it at.
    pub(super) fn at(self, server: &Address) -> ChainFault {
        let passing = self.may_pass();
        let (code, message) = match self {
            Self::Unreachable(reason) => ("server_unreachable".into(), reason),
            Self::Busy { code, message, .. } => (code, message),
            Self::Refused(problem) => (quote(&problem.code), quote(&problem.detail)),
            Self::Nonsense(reason) => ("nonsense_answer".into(), reason),
            Self::Untrusted(reason) => ("certificate_not_trusted".into(), reason),
            Self::WrongTime { code, reason } => (code.into(), reason),
        };
        ChainFault {
            code,
            message: format!("{server}: {}.", message.trim_end_matches('.')),
            passing,
        }
    }
}

/// A refusal as what it is to the device.
pub(super) fn refusal(problem: &Problem) -> ChainRefusal {
    ChainRefusal::before_the_chain(quote(&problem.code), quote(&problem.detail))
}

/// A stranger's text, short and in one line.
pub(super) fn quote(text: &str) -> String {
    text.chars()
        .filter(|character| !character.is_control())
        .take(LONGEST_QUOTE)
        .collect()
}

/// A client that keeps its connections.
#[derive(Debug)]
pub(super) struct Http {
    client: Client,
    possession: Possession,
    answer: Duration,
    /// As many requests as there may be connections.
    permits: Semaphore,
}

impl Http {
    pub(super) fn new(
        patience: &Patience,
        certificates: &Certificates,
        connections: usize,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ChainFault> {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            // It fails when the program that uses this library chose one before, which is as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let client = Client::builder()
            .user_agent(concat!("mhealth-device/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(patience.connect)
            .tcp_nodelay(true)
            .pool_max_idle_per_host(connections)
            // Before the servers, or proxies before them, close what is idle.
            .pool_idle_timeout(Duration::from_secs(15))
            // A redirect would carry tokens and data to wherever a server points.
            .redirect(redirect::Policy::none())
            .tls_certs_merge(certificates.0.clone())
            .build()
            .map_err(|error| ChainFault {
                code: "no_client".into(),
                message: format!("No HTTPS client can be made: {error}."),
                passing: false,
            })?;
        Ok(Self {
            client,
            possession: Possession::new(clock),
            answer: patience.answer,
            permits: Semaphore::new(connections.max(1)),
        })
    }

    pub(super) fn get(&self, address: String) -> RequestBuilder {
        self.client.request(Method::GET, address)
    }

    /// A request with a JSON body that is sent as it is, again and again if need be.
    pub(super) fn post(&self, address: String, body: Vec<u8>) -> RequestBuilder {
        self.client
            .request(Method::POST, address)
            .header(CONTENT_TYPE, "application/json")
            .body(body)
    }

    /// Sends a request when there is a connection for it, and reads its answer.
    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<T, Failure> {
        let _permit = self.permit().await;
        self.send_for(request, self.answer).await
    }

    /// Posts a JSON body in the name of the device that possesses the key, with its token if there is one. A proof that the
    /// server does not take for the time or because it saw it before is made anew.
    pub(super) async fn post_proven<T: DeserializeOwned>(
        &self,
        address: &str,
        body: &[u8],
        key: &DeviceKey,
        token: Option<&Token>,
        patience: Duration,
    ) -> Result<T, Failure> {
        let mut proofs = 0;
        loop {
            proofs += 1;
            let request = self.post(address.to_owned(), body.to_vec());
            let request = self.possession.prove(request, address, key, token);
            match self.send_for(request, patience).await {
                Err(failure) if failure.wants_another_proof() && proofs < PROOFS => {
                    tracing::debug!(address, "the server wants another proof");
                }
                answer => return answer,
            }
        }
    }

    /// Waits until there is a connection for a request.
    pub(super) async fn permit(&self) -> SemaphorePermit<'_> {
        let permit = self.permits.acquire().await;
        permit.expect("nobody closes the semaphore; qed")
    }

    /// Sends a request when there is a connection for it, and reads so many bytes at most of its answer, whatever they are.
    pub(super) async fn send_bytes(
        &self,
        request: RequestBuilder,
        most: usize,
    ) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let _permit = self.permit().await;
        let (status, body, wait) = self.receive(request, self.answer, most).await?;
        match status.is_success() {
            true => Ok(body),
            false => Err(failure(status, &body, wait)),
        }
    }

    /// Sends a request that may take long, besides all others.
    pub(super) async fn send_for<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        patience: Duration,
    ) -> Result<T, Failure> {
        let (status, body, wait) = self.receive(request, patience, LONGEST_ANSWER).await?;
        if status.is_success() {
            return serde_json::from_slice(&body)
                .map_err(|_| Failure::Nonsense("its answer is not part of this interface".into()));
        }
        Err(failure(status, &body, wait))
    }

    async fn receive(
        &self,
        request: RequestBuilder,
        patience: Duration,
        most: usize,
    ) -> Result<(StatusCode, Zeroizing<Vec<u8>>, Option<Duration>), Failure> {
        let answer = request.timeout(patience).send().await;
        let answer = answer.map_err(|error| unreachable(&error))?;
        self.possession.learn(&answer);
        let (status, wait) = (answer.status(), retry_after(&answer));
        Ok((status, read(answer, most).await?, wait))
    }
}

async fn read(mut answer: Response, most: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut body = Zeroizing::new(Vec::new());
    while let Some(chunk) = answer.chunk().await.map_err(|error| unreachable(&error))? {
        if body.len() + chunk.len() > most {
            return Err(Failure::Nonsense("its answer is too long".into()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn failure(status: StatusCode, body: &[u8], wait: Option<Duration>) -> Failure {
    let problem: Option<Problem> = serde_json::from_slice(body).ok();
    let passing = status.is_server_error()
        || status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT;
    match problem {
        Some(problem) if passing => Failure::Busy {
            code: quote(&problem.code),
            message: quote(&problem.detail),
            wait,
        },
        Some(problem) => Failure::Refused(problem),
        // A proxy before the server, for example.
        None if passing => Failure::Busy {
            code: "server_unavailable".into(),
            message: format!("it answered {status}"),
            wait,
        },
        None => Failure::Nonsense(format!("it answered {status} without saying why")),
    }
}

/// Seconds only; the other form of the header is a date.
fn retry_after(answer: &Response) -> Option<Duration> {
    let value = answer.headers().get(RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

/// What the connection said, without the address, which may be in logs of its own.
fn unreachable(error: &reqwest::Error) -> Failure {
    if let Some(rustls::Error::InvalidCertificate(reason)) = tls_error(error) {
        tracing::debug!(%reason, "no trust");
        return untrusted(reason);
    }
    let reason = if error.is_timeout() {
        "it did not answer in time"
    } else if error.is_connect() {
        "it cannot be reached"
    } else {
        "the connection was lost"
    };
    tracing::debug!(%error, "no answer");
    Failure::Unreachable(reason.into())
}

/// Why a certificate is not taken. One that is not valid at this time is named with the time: a device whose battery was empty
/// may be years off.
fn untrusted(reason: &CertificateError) -> Failure {
    let now = || {
        let now = rustls::pki_types::UnixTime::now().as_secs();
        let now = i64::try_from(now)
            .ok()
            .map(OffsetDateTime::from_unix_timestamp);
        now.and_then(Result::ok)
            .map_or("no time at all".into(), |now| format!("{} UTC", now.date()))
    };
    match reason {
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Failure::WrongTime {
                code: "certificate_not_valid_yet",
                reason: format!(
                    "its certificate is not valid yet by this device's clock, which says {}. Most likely the clock is \
                     wrong; set it",
                    now()
                ),
            }
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Failure::WrongTime {
            code: "certificate_expired",
            reason: format!(
                "its certificate has expired by this device's clock, which says {}. Either the clock is wrong, or the \
                 server needs a new certificate",
                now()
            ),
        },
        _ => Failure::Untrusted("its certificate is not one that this device trusts".into()),
    }
}

/// What TLS has against the server, if that is why there is no connection.
fn tls_error<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e rustls::Error> {
    if let Some(found) = error.downcast_ref::<rustls::Error>() {
        return Some(found);
    }
    // An error of the system that wraps another one does not name it as its source.
    let wrapped = error
        .downcast_ref::<std::io::Error>()
        .and_then(|error| error.get_ref());
    let wrapped = wrapped.map(|inner| inner as &(dyn std::error::Error + 'static));
    wrapped.or_else(|| error.source()).and_then(tls_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_is_not_valid_at_this_time_is_told_from_one_that_is_not_trusted() {
        let server: Address = "https://relay.example.org".parse().unwrap();
        for (reason, code) in [
            (CertificateError::NotValidYet, "certificate_not_valid_yet"),
            (CertificateError::Expired, "certificate_expired"),
            (CertificateError::UnknownIssuer, "certificate_not_trusted"),
            (CertificateError::Revoked, "certificate_not_trusted"),
        ] {
            let fault = untrusted(&reason).at(&server);
            let clock = fault.message.contains("this device's clock, which says 20");
            assert_eq!((fault.code.as_str(), fault.passing), (code, false));
            assert_eq!(
                clock,
                code != "certificate_not_trusted",
                "{}",
                fault.message
            );
        }
    }
}
