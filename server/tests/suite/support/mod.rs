// SPDX-License-Identifier: Apache-2.0

//! A server with a few routes, on a free port.

#![allow(unreachable_pub)]

use std::time::Duration;

use mhealth_api::{Code, Problem};
use mhealth_server::{
    install_crypto, read_options_from, ApiError, Bearer, CancellationToken, Json, Limits, Path,
    Peer, Query, Server, ServerOptions,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// A message of these tests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Note {
    pub id: u32,
    pub text: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    after: u32,
}

/// Gives the note back.
#[utoipa::path(post, path = "/v1/notes", request_body = Note, responses((status = 200, body = Note)))]
async fn echo(Json(note): Json<Note>) -> Json<Note> {
    Json(note)
}

/// Adds path and query.
#[utoipa::path(get, path = "/v1/notes/{id}", params(("id" = u32, Path), ("after" = u32, Query)),
    responses((status = 200, body = u32)))]
async fn sum(Path(id): Path<u32>, Query(page): Query<Page>) -> Json<u32> {
    Json(id + page.after)
}

/// Who asks.
#[utoipa::path(get, path = "/v1/peer", responses((status = 200, body = String)))]
async fn peer(Peer(address): Peer) -> String {
    address.to_string()
}

/// Tells how long the credential is.
#[utoipa::path(get, path = "/v1/secret", responses((status = 200, body = u32)))]
async fn secret(Bearer(credential): Bearer) -> Json<usize> {
    Json(credential.len())
}

/// Panics.
#[utoipa::path(get, path = "/v1/panic", responses((status = 500, body = Problem)))]
async fn panics() -> Json<u32> {
    panic!("a secret detail")
}

/// Is slow to answer.
#[utoipa::path(get, path = "/v1/slow", responses((status = 200, body = u32)))]
async fn slow() -> Json<u32> {
    tokio::time::sleep(Duration::from_secs(1)).await;
    Json(1)
}

/// Requests that [`held`] has under way, and those that it may answer.
pub static HELD: Semaphore = Semaphore::const_new(0);
pub static RELEASED: Semaphore = Semaphore::const_new(0);

/// Gives the note back when the test says so.
#[utoipa::path(post, path = "/v1/held", request_body = Note, responses((status = 200, body = Note)))]
async fn held(Json(note): Json<Note>) -> Json<Note> {
    HELD.add_permits(1);
    let released = RELEASED.acquire().await;
    released.expect("nobody closes it; qed").forget();
    Json(note)
}

/// More than fits between a server and a client that reads nothing.
pub const LONG: usize = 64 * 1024 * 1024;

/// A long answer.
#[utoipa::path(get, path = "/v1/long", responses((status = 200, body = String)))]
async fn long() -> String {
    "x".repeat(LONG)
}

#[derive(clap::Parser)]
struct Options {
    #[command(flatten)]
    server: ServerOptions,
}

pub fn options(arguments: &[&str]) -> ServerOptions {
    let arguments = std::iter::once("test").chain(arguments.iter().copied());
    let options: Options = read_options_from(arguments).expect("the options are good");
    options.server
}

pub struct Running {
    pub base_url: String,
    pub stop: CancellationToken,
    pub task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    pub async fn with(limits: Limits, arguments: &[&str], ready: bool) -> Self {
        install_crypto();
        let bound = options(arguments).bind().await.expect("a port is free");
        let base_url = bound.base_url();
        let stop = CancellationToken::new();
        let routes = OpenApiRouter::new()
            .routes(routes!(echo))
            .routes(routes!(sum))
            .routes(routes!(peer))
            .routes(routes!(secret))
            .routes(routes!(panics))
            .routes(routes!(slow))
            .routes(routes!(held))
            .routes(routes!(long));
        let server = Server::new("test", "A server for tests.", bound)
            .routes(routes)
            .limits(limits)
            .ready(move || async move {
                match ready {
                    true => Ok(()),
                    false => Err(ApiError::from(Code::StorageUnavailable)),
                }
            });
        let task = tokio::spawn(server.serve(stop.clone()));
        Running {
            base_url,
            stop,
            task,
        }
    }

    pub async fn start() -> Self {
        Self::with(Limits::default(), &[], true).await
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }

    /// Host and port.
    pub fn authority(&self) -> &str {
        self.base_url
            .split("//")
            .nth(1)
            .expect("a URL has an authority")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The problem that an answer carries; its status must be the code's.
pub async fn problem(response: reqwest::Response) -> Code {
    let status = response.status().as_u16();
    let media_type = response.headers()["content-type"]
        .to_str()
        .expect("it is text")
        .to_owned();
    assert_eq!(media_type, mhealth_api::PROBLEM_MEDIA_TYPE);
    let problem: Problem = response.json().await.expect("it is a problem");
    assert_eq!(problem.status, status);
    let code = problem.known_code().expect("its code is known");
    assert_eq!(code.status(), status);
    code
}
