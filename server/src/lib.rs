// SPDX-License-Identifier: Apache-2.0

//! How every server of mHealth Chain starts, listens, reports and stops.
//!
//! A server parses its options with [`read_options`], starts logging, opens its [`Database`] and the chain, binds its
//! address, and hands its routes to a [`Server`], which serves them until a [`CancellationToken`] says stop:
//!
//! ```no_run
//! # use mhealth_server::{read_options, stop_on_signals, Server, ServerOptions, Database, install_crypto};
//! # use utoipa_axum::{router::OpenApiRouter, routes};
//! #[derive(clap::Parser)]
//! struct Options {
//!     #[command(flatten)]
//!     server: ServerOptions,
//! }
//!
//! /// Says hello.
//! #[utoipa::path(get, path = "/v1/hello", responses((status = 200, description = "A greeting.")))]
//! async fn hello() -> &'static str {
//!     "hello"
//! }
//!
//! # async fn start() -> anyhow::Result<()> {
//! let options: Options = read_options();
//! options.server.start_logging();
//! install_crypto();
//! let database = Database::open(&options.server.database).await?;
//! let bound = options.server.bind().await?;
//! let ready = { let database = database.clone(); move || { let database = database.clone(); async move { database.check().await } } };
//! Server::new("mhealth-hello", "Says hello.", bound)
//!     .routes(OpenApiRouter::new().routes(routes!(hello)))
//!     .ready(ready)
//!     .serve(stop_on_signals())
//!     .await
//! # }
//! ```
//!
//! Every server answers `/healthz`, `/readyz`, `/metrics` and `/openapi.json`, and says what is wrong with a request as
//! `application/problem+json` ([`ApiError`]). What a stranger can make grow has a bound ([`Limits`]).

mod account;
mod body;
mod clock;
mod config;
mod database;
mod error;
mod extract;
mod limits;
mod listener;
mod logging;
mod metrics;
mod options;
mod probes;
mod secret;
mod serve;
mod stop;
mod tls;

pub use account::ChainOptions;
pub use body::{BodyShare, Json};
pub use clock::{Clock, ManualClock, SharedClock, SystemClock};
pub use config::{read_options, read_options_from};
pub use database::{Database, DatabaseUrl, Migration, WriteTransaction};
pub use error::ApiError;
pub use extract::{Bearer, Path, Peer, Query};
pub use limits::Limits;
pub use listener::Bound;
pub use options::{LogFormat, ServerOptions};
pub use secret::SecretText;
pub use serve::{ReadinessCheck, Server};
pub use stop::stop_on_signals;
pub use tls::install_crypto;
pub use tokio_util::sync::CancellationToken;
