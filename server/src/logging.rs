// SPDX-License-Identifier: Apache-2.0

//! Structured logs to standard error. They name addresses, devices and error codes, and never a body, a key or a secret.

use tracing_subscriber::EnvFilter;

use crate::{LogFormat, ServerOptions};

/// Without RUST_LOG: what operators want to see, without the libraries' own chatter.
const DEFAULT_FILTER: &str = "info,sqlx=warn,hyper=warn,rustls=warn,jsonrpsee=warn,subxt=warn";

impl ServerOptions {
    /// Starts logging for this process. A second call changes nothing.
    pub fn start_logging(&self) {
        let filter =
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr);
        let started = match self.log_format {
            LogFormat::Text => builder.with_ansi(false).try_init(),
            LogFormat::Json => builder.json().flatten_event(true).try_init(),
        };
        // In tests several servers share a process, and the first has started it.
        drop(started);
    }
}
