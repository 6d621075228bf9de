// SPDX-License-Identifier: Apache-2.0

//! A front before a server: HTTP that may answer, alter, delay, drop and replay whatever it likes, and keeps what it has seen.
//!
//! Behind it the real program runs, with its own account and database. To those who ask, the front is that server: it has its
//! address. Whoever plays a party writes a [`Conduct`]; the front itself is honest until it has one.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{bail, Context, Result};
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{header, HeaderMap, HeaderName, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::Router;
use futures::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Largest message that passes. Programs behind it have limits of their own.
const LARGEST: usize = 64 << 20;

/// Headers of one connection, which are not the next one's.
const OF_THE_CONNECTION: [HeaderName; 4] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
];

/// What somebody asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `GET`, `POST`.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Its headers, credentials among them.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Asked {
    /// Whether it is of this method, and its path begins so.
    pub fn is(&self, method: Method, begin: &str) -> bool {
        self.method == method && self.path.starts_with(begin)
    }

    /// The part of the path after this beginning, up to the next slash or the query.
    pub fn after(&self, begin: &str) -> Option<&str> {
        let rest = self.path.strip_prefix(begin)?;
        rest.split(['/', '?']).next()
    }

    /// The body as a message.
    pub fn message<T: DeserializeOwned>(&self) -> Result<T> {
        Ok(serde_json::from_slice(&self.body)?)
    }
}

/// What is answered.
#[derive(Clone, Debug)]
pub struct Told {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Told {
    /// A message.
    pub fn message_of(status: u16, message: &impl Serialize) -> Result<Self> {
        Told::bytes(status, "application/json", serde_json::to_vec(message)?)
    }

    /// Any bytes.
    pub fn bytes(status: u16, media_type: &'static str, body: impl Into<Bytes>) -> Result<Self> {
        let value = header::HeaderValue::from_static(media_type);
        Ok(Told {
            status: StatusCode::from_u16(status)?,
            headers: HeaderMap::from_iter([(header::CONTENT_TYPE, value)]),
            body: body.into(),
        })
    }

    /// A problem with this code.
    pub fn problem(status: u16, code: &str) -> Result<Self> {
        let problem = serde_json::json!({
            "type": format!("urn:mhealth-chain:problem:{code}"), "title": code, "status": status, "code": code,
        });
        Told::bytes(status, "application/problem+json", problem.to_string())
    }

    /// The body as a message, if the server did what it was asked to.
    pub fn message<T: DeserializeOwned>(&self) -> Result<T> {
        if !self.status.is_success() {
            let body = String::from_utf8_lossy(&self.body);
            bail!("the server answers {}: {body}", self.status);
        }
        Ok(serde_json::from_slice(&self.body)?)
    }
}

impl IntoResponse for Told {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = without(self.headers);
        response
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn without(mut headers: HeaderMap) -> HeaderMap {
    for name in OF_THE_CONNECTION {
        headers.remove(name);
    }
    headers
}

/// The server behind a front.
#[derive(Clone)]
pub struct Behind {
    client: reqwest::Client,
    address: Arc<Mutex<Option<String>>>,
}

impl Behind {
    /// Asks it the same, and gives its answer.
    pub async fn pass(&self, asked: &Asked) -> Result<Told> {
        let address = lock(&self.address).clone();
        let address = address.context("there is nobody behind")?;
        let request = self
            .client
            .request(asked.method.clone(), format!("{address}{}", asked.path))
            .headers(without(asked.headers.clone()))
            .body(asked.body.clone());
        let answer = request.send().await?;
        Ok(Told {
            status: answer.status(),
            headers: answer.headers().clone(),
            body: answer.bytes().await?,
        })
    }

    /// Asks it for something that needs no credential.
    pub async fn get(&self, path: &str) -> Result<Told> {
        let asked = Asked {
            method: Method::GET,
            path: path.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        };
        self.pass(&asked).await
    }
}

/// How a front behaves. An error drops the connection.
pub type Conduct = Arc<dyn Fn(Asked, Behind) -> BoxFuture<'static, Result<Response>> + Send + Sync>;

/// A conduct that an asynchronous function describes.
pub fn conduct<F, A>(play: F) -> Conduct
where
    F: Fn(Asked, Behind) -> A + Send + Sync + 'static,
    A: Future<Output = Result<Response>> + Send + 'static,
{
    Arc::new(move |asked, behind| Box::pin(play(asked, behind)))
}

/// Passes everything on.
pub fn honest() -> Conduct {
    conduct(|asked, behind| async move { Ok(behind.pass(&asked).await?.into_response()) })
}

/// The front. Dropping it closes its address.
pub struct Front {
    address: String,
    behind: Behind,
    conduct: Arc<Mutex<Conduct>>,
    seen: Arc<Mutex<Vec<Asked>>>,
    serves: JoinHandle<()>,
}

impl Front {
    /// Listens on a free port of 127.0.0.1, with nobody behind it yet.
    pub async fn open() -> Result<Self> {
        // Fails only when a provider is installed already, which then serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("http://{}", listener.local_addr()?);
        let behind = Behind {
            client: reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .build()?,
            address: Arc::default(),
        };
        let conduct = Arc::new(Mutex::new(honest()));
        let seen: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let router = Router::new().fallback({
            let (behind, conduct, seen) = (behind.clone(), conduct.clone(), seen.clone());
            move |request| answer(request, behind.clone(), conduct.clone(), seen.clone())
        });
        let serves = tokio::spawn(async move {
            // Ends only with the task.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Front {
            address,
            behind,
            conduct,
            seen,
            serves,
        })
    }

    /// Its base address, without a slash at the end.
    pub fn url(&self) -> String {
        self.address.clone()
    }

    /// Stands before the server at this address from now on.
    pub fn stand_before(&self, address: &str) {
        *lock(&self.behind.address) = Some(address.to_owned());
    }

    /// Who is behind it.
    pub fn behind(&self) -> Behind {
        self.behind.clone()
    }

    /// Behaves so from now on.
    pub fn play(&self, conduct: Conduct) {
        *lock(&self.conduct) = conduct;
    }

    /// What was sent to it, other than questions, in that order.
    pub fn seen(&self) -> Vec<Asked> {
        lock(&self.seen).clone()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.serves.abort();
    }
}

async fn answer(
    request: Request,
    behind: Behind,
    conduct: Arc<Mutex<Conduct>>,
    seen: Arc<Mutex<Vec<Asked>>>,
) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, LARGEST).await else {
        return dropped();
    };
    let path = head.uri.path_and_query();
    let asked = Asked {
        method: head.method,
        path: path.map_or_else(|| "/".to_owned(), |path| path.to_string()),
        headers: head.headers,
        body,
    };
    if asked.method != Method::GET {
        lock(&seen).push(asked.clone());
    }
    let play = lock(&conduct).clone();
    play(asked, behind).await.unwrap_or_else(|_| dropped())
}

/// An answer that breaks off, and the connection with it.
fn dropped() -> Response {
    let broken = std::io::Error::from(std::io::ErrorKind::ConnectionAborted);
    let body = futures::stream::once(async { Err::<Bytes, _>(broken) });
    Response::new(Body::from_stream(body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http;

    async fn server(says: &'static str) -> (Front, String) {
        let server = Front::open().await.expect("it listens");
        server.play(conduct(move |asked, _| async move {
            let body = serde_json::json!({ "says": says, "path": asked.path });
            Ok(Told::message_of(200, &body)?.into_response())
        }));
        let url = server.url();
        (server, url)
    }

    #[tokio::test]
    async fn a_front_passes_everything_on_until_it_is_told_otherwise() {
        let (_server, url) = server("truth").await;
        let front = Front::open().await.expect("it listens");
        front.stand_before(&url);
        let asked = format!("{}/v1/x?y=1", front.url());
        let ask = || http::get(&asked);
        let answer = ask().await.expect("an answer");
        assert_eq!(
            (answer.status, &answer.body["says"]),
            (200, &"truth".into())
        );
        assert_eq!(answer.body["path"], "/v1/x?y=1");
        front.play(conduct(|asked, behind| async move {
            let told = behind.pass(&asked).await?;
            let text = String::from_utf8(told.body.to_vec())?;
            let body = text.replace("truth", "lie");
            Ok(Told::bytes(200, "application/json", body)?.into_response())
        }));
        assert_eq!(ask().await.expect("an answer").body["says"], "lie");
        front.play(conduct(|_, _| async { bail!("it hangs up") }));
        // The head has come by then, and nothing after it.
        assert!(ask().await.map_or(true, |answer| answer.body.is_null()));
        assert!(front.seen().is_empty());
        let _ = http::post(&format!("{}/v1/x", front.url()), Some("key"), &1).await;
        assert_eq!(front.seen()[0].headers["authorization"], "Bearer key");
    }
}
