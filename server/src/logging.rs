// SPDX-License-Identifier: Apache-2.0

//! Structured logs to standard error. They name addresses, devices and error codes, and never a body, a key or a secret.

use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;

use crate::{LogFormat, ServerOptions};

/// Without a word of the operator: what operators want to see, without the libraries' own chatter.
const DEFAULT_FILTER: &str = "info,sqlx=warn,hyper=warn,rustls=warn,jsonrpsee=warn,subxt=warn";

/// Changes which logs are written.
type Change = Box<dyn Fn(EnvFilter) -> bool + Send + Sync>;

static CHANGE: OnceLock<Change> = OnceLock::new();

impl ServerOptions {
    /// Starts logging for this process. A second call changes nothing.
    pub fn start_logging(&self) {
        let builder = tracing_subscriber::fmt()
            .with_env_filter(self.filter())
            .with_writer(std::io::stderr);
        // In tests several servers share a process, and the first has started it.
        match self.log_format {
            LogFormat::Text => {
                let builder = builder.with_ansi(false).with_filter_reloading();
                let handle = builder.reload_handle();
                if builder.try_init().is_ok() {
                    let _ = CHANGE.set(Box::new(move |filter| handle.reload(filter).is_ok()));
                }
            }
            LogFormat::Json => {
                let builder = builder.json().flatten_event(true).with_filter_reloading();
                let handle = builder.reload_handle();
                if builder.try_init().is_ok() {
                    let _ = CHANGE.set(Box::new(move |filter| handle.reload(filter).is_ok()));
                }
            }
        }
    }

    /// Writes other logs from now on, if these options say so.
    pub(crate) fn change_logging(&self) {
        let changed = CHANGE.get().map(|change| change(self.filter()));
        if changed == Some(false) {
            tracing::warn!("which logs are written cannot be changed");
        }
    }

    /// What cannot be read as a filter is as if it were not there.
    fn filter(&self) -> EnvFilter {
        let asked = std::env::var("RUST_LOG").ok();
        let asked = asked.filter(|log| !log.is_empty()).or(self.log.clone());
        let asked = asked.and_then(|log| log.parse().ok());
        asked.unwrap_or_else(|| EnvFilter::new(DEFAULT_FILTER))
    }
}
