// SPDX-License-Identifier: Apache-2.0

//! Requests by reqwest, with TLS by rustls and the certificates of the system.

use std::{
    fmt,
    sync::{Arc, Once},
    time::Duration,
};

use mhealth_device::{
    chain::ChainFault,
    host::{Answer, Method, Request, Transport, TransportFault},
};
use reqwest::{header::HeaderValue, redirect, Certificate, Client, Response};
use rustls::CertificateError;
use time::OffsetDateTime;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

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

/// A client that keeps its connections.
#[derive(Clone, Debug)]
pub struct HttpTransport {
    client: Client,
    /// As many requests as there may be connections.
    permits: Arc<Semaphore>,
}

impl HttpTransport {
    /// A client that waits so long for a connection, and has at most so many of them.
    pub fn new(
        connect: Duration,
        certificates: &Certificates,
        connections: usize,
    ) -> Result<Self, ChainFault> {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            // It fails when the program that uses this library chose one before, which is as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let client = Client::builder()
            .user_agent(concat!("mhealth-device/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(connect)
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
            permits: Arc::new(Semaphore::new(connections.max(1))),
        })
    }
}

impl Transport for HttpTransport {
    async fn send(&self, request: Request) -> Result<Answer, TransportFault> {
        // What waits for the chain has a connection of its own.
        let _permit = match request.waits {
            true => None,
            false => Some(self.permits.acquire().await),
        };
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
        };
        let mut made = self.client.request(method, request.url);
        for (name, value) in &request.headers {
            let Ok(mut value) = HeaderValue::from_str(value) else {
                continue; // No server takes it; it says what is missing.
            };
            value.set_sensitive(*name == "authorization");
            made = made.header(*name, value);
        }
        if let Some(body) = request.body {
            made = made.body(body);
        }
        let answer = made.timeout(request.patience).send().await;
        let answer = answer.map_err(|error| unreachable(&error))?;
        let headers = answer.headers().iter();
        let headers = headers
            .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
            .collect();
        Ok(Answer {
            status: answer.status().as_u16(),
            headers,
            body: read(answer, request.longest_answer).await?,
        })
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

async fn read(mut answer: Response, most: usize) -> Result<Zeroizing<Vec<u8>>, TransportFault> {
    let mut body = Zeroizing::new(Vec::new());
    while let Some(chunk) = answer.chunk().await.map_err(|error| unreachable(&error))? {
        if body.len() + chunk.len() > most {
            return Err(TransportFault::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What the connection said, without the address, which may be in logs of its own.
fn unreachable(error: &reqwest::Error) -> TransportFault {
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
    TransportFault::Unreachable(reason.into())
}

/// Why a certificate is not taken. One that is not valid at this time is named with the time: a device whose battery was empty
/// may be years off.
fn untrusted(reason: &CertificateError) -> TransportFault {
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
            TransportFault::WrongTime {
                not_yet: true,
                reason: format!(
                    "its certificate is not valid yet by this device's clock, which says {}. Most likely the clock is \
                     wrong; set it",
                    now()
                ),
            }
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => TransportFault::WrongTime {
            not_yet: false,
            reason: format!(
                "its certificate has expired by this device's clock, which says {}. Either the clock is wrong, or the \
                 server needs a new certificate",
                now()
            ),
        },
        _ => TransportFault::Untrusted("its certificate is not one that this device trusts".into()),
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
        for (reason, expected) in [
            (CertificateError::NotValidYet, Some(true)),
            (CertificateError::Expired, Some(false)),
            (CertificateError::UnknownIssuer, None),
            (CertificateError::Revoked, None),
        ] {
            let fault = untrusted(&reason);
            let not_yet = match &fault {
                TransportFault::WrongTime { not_yet, .. } => Some(*not_yet),
                _ => None,
            };
            let clock = fault
                .to_string()
                .contains("this device's clock, which says 20");
            assert_eq!((not_yet, clock), (expected, expected.is_some()), "{fault}");
        }
    }
}
