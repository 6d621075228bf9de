// SPDX-License-Identifier: Apache-2.0

//! How every server of mHealth Chain starts, listens, reports and stops.
//!
//! All servers start alike. [`startup::program`] reads the options (command line, environment, configuration file) and
//! starts logging. [`Ground::lay`] opens the [`Database`] and starts the metrics. The server brings its tables up to date,
//! claims the database for its chain ([`identity`]), connects to the node, and binds its address. Its routes, and what it
//! does in the background, make a [`Server`], which serves until a [`CancellationToken`] says stop, and then stops in
//! good order:
//!
//! ```no_run
//! # use mhealth_server::{startup, stop_on_signals, Ground, ServerOptions};
//! # use utoipa_axum::{router::OpenApiRouter, routes};
//! #[derive(clap::Parser)]
//! struct Options {
//!     #[command(flatten)]
//!     server: ServerOptions,
//! }
//!
//! impl AsRef<ServerOptions> for Options {
//!     fn as_ref(&self) -> &ServerOptions {
//!         &self.server
//!     }
//! }
//!
//! /// Says hello.
//! #[utoipa::path(get, path = "/v1/hello", responses((status = 200, description = "A greeting.")))]
//! async fn hello() -> &'static str {
//!     "hello"
//! }
//!
//! async fn serve(options: Options) -> anyhow::Result<()> {
//!     let stop = stop_on_signals();
//!     let ground = Ground::lay(&options.server).await?;
//!     let bound = options.server.bind().await?;
//!     let database = ground.database.clone();
//!     ground
//!         .server("mhealth-hello", "Says hello.", bound)
//!         .routes(OpenApiRouter::new().routes(routes!(hello)))
//!         .ready(move || { let database = database.clone(); async move { database.check().await } })
//!         .serve(stop)
//!         .await
//! }
//!
//! # async fn start() -> std::process::ExitCode {
//! startup::program(serve).await
//! # }
//! ```
//!
//! What servers keep alike is here, too: whose the database is ([`identity`]), which of several processes works with the
//! chain ([`Lease`]), and the [`credentials`] of staff and
//! auditors, each with its [`scopes`]. These modules and [`Database`] hold the SQL of this crate.
//!
//! Every server answers `/healthz`, `/readyz`, `/metrics` and `/openapi.json`, and says what is wrong with a request as
//! `application/problem+json` ([`ApiError`]). What a stranger can make grow has a bound ([`Limits`]), and an address has its
//! [share](shares) of it; what many ask at the same time is asked [once](Together); a proxy that is trusted says whose a request is. Web pages of listed origins may use it. What a server does beside answering is watched: if a part dies, the server ends ([`PartDied`]).

mod account;
mod admission;
pub mod backup;
mod base_address;
mod body;
mod brake;
mod clock;
mod config;
mod connections;
pub mod credentials;
mod database;
pub mod doctor;
pub mod dpop;
mod encoding;
mod error;
mod extract;
mod failures;
mod fault;
mod gate;
pub mod identity;
mod layers;
mod lease;
mod limits;
mod listener;
mod logging;
mod metrics;
pub mod on_chain;
mod options;
mod origins;
mod pace;
mod parts;
mod probes;
mod proxies;
pub mod readiness;
mod reserve;
pub mod rows;
pub mod scopes;
mod scrub;
mod secret;
mod serve;
pub mod shares;
mod staff;
pub mod startup;
mod stop;
mod tls;
mod together;

pub use account::ChainOptions;
pub use base_address::{BaseAddress, NoBaseAddress};
pub use body::{BodyShare, Json};
pub use clock::{Clock, ManualClock, SharedClock, SystemClock};
pub use config::{read_options, read_options_from, LIST_DELIMITER};
pub use database::{
    Database, DatabasePool, DatabaseUrl, Migration, Parameters, WithinTransaction, WriteTransaction,
};
pub use error::ApiError;
pub use extract::{Bearer, Path, Peer, Query};
pub use failures::{FailureOptions, Failures};
pub use fault::SetupFault;
pub use lease::Lease;
pub use limits::Limits;
pub use listener::Bound;
pub use options::{LogFormat, ServerOptions};
pub use origins::AllowedOrigin;
pub use parts::PartDied;
pub use probes::ReadinessCheck;
pub use proxies::{ForwardedBy, TrustedProxy};
pub use readiness::Readiness;
pub use reserve::with_reserve;
pub use rows::StoreError;
pub use scopes::{Duty, Scopes, StudyOption};
pub use secret::SecretText;
pub use serve::Server;
pub use staff::StaffAddress;
pub use startup::Ground;
pub use stop::stop_on_signals;
pub use tls::install_crypto;
pub use together::Together;
pub use tokio_util::sync::CancellationToken;
