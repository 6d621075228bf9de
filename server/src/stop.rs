// SPDX-License-Identifier: Apache-2.0

//! How a server learns that it is to stop.

use tokio::signal::unix::{signal, SignalKind};
use tokio_util::sync::CancellationToken;

/// A token that is cancelled by SIGINT (Ctrl-C) or SIGTERM (what service managers send). A second signal ends the process
/// at once, for those who do not want to wait.
///
/// Must be called within a Tokio runtime.
pub fn stop_on_signals() -> CancellationToken {
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        let (Ok(mut interrupt), Ok(mut terminate)) = (
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
        ) else {
            tracing::warn!("signals cannot be received; the server stops only when it is killed");
            return;
        };
        let mut either = async || {
            tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
            }
        };
        let signal = either().await;
        tracing::info!(signal, "stopping");
        told.cancel();
        let signal = either().await;
        tracing::warn!(signal, "ending at once");
        std::process::exit(130);
    });
    stop
}
