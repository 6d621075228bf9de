// SPDX-License-Identifier: Apache-2.0

//! The way in which every server starts.

use std::future::Future;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use prometheus::Registry;
use tokio::signal::unix::{signal, SignalKind};
use tokio_util::sync::CancellationToken;

use crate::{
    install_crypto, read_options, read_options_from, Bound, Database, Limits, PartDied, Server,
    ServerOptions,
};

/// Exit status of a server of which a part died: a fault of the program (`EX_SOFTWARE` of sysexits.h). Whoever starts it may
/// start it again.
pub const PART_DIED: u8 = 70;

/// The program of a server: reads its options, starts logging, and does the rest. Ends the process with a message when the
/// options are wrong. The exit status is 0 when it was told to stop, [`PART_DIED`] when a part of it died, and 1 when it could
/// not start or go on.
pub async fn program<O, F>(run: impl FnOnce(O) -> F) -> ExitCode
where
    O: Parser + AsRef<ServerOptions> + 'static,
    F: Future<Output = anyhow::Result<()>>,
{
    let options: O = read_options();
    options.as_ref().start_logging();
    tokio::spawn(reload::<O>(|options| options.as_ref().change_logging()));
    match run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error:?}");
            exit_code(&error)
        }
    }
}

fn exit_code(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref::<PartDied>() {
        Some(_) => PART_DIED.into(),
        None => ExitCode::FAILURE,
    }
}

/// Says a line to whoever gave the command.
pub fn say(line: std::fmt::Arguments<'_>) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// On every SIGHUP reads the options once more, and hands them over. What is wrong with them is told, and changes nothing. Ends
/// with the process.
async fn reload<O: Parser>(apply: impl Fn(O)) {
    let Ok(mut hangups) = signal(SignalKind::hangup()) else {
        return;
    };
    while hangups.recv().await.is_some() {
        match read_options_from(std::env::args_os()) {
            Ok(options) => apply(options),
            Err(error) => {
                let error = error.to_string();
                tracing::error!(error, "the options cannot be read anew; those before stay");
            }
        }
    }
}

/// The same, until the server is told to stop.
pub async fn reload_until<O: Parser>(stop: CancellationToken, apply: impl Fn(O)) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = reload(apply) => {}
    }
}

/// What a server is built on.
pub struct Ground {
    /// Its database.
    pub database: Database,
    /// Its metrics.
    pub registry: Registry,
    /// Its limits, as the options have them.
    pub limits: Limits,
}

impl Ground {
    /// Opens the database.
    pub async fn lay(options: &ServerOptions) -> anyhow::Result<Self> {
        install_crypto();
        Ok(Self {
            database: Database::open(&options.database_url()?).await?,
            registry: Registry::new(),
            limits: options.limits(),
        })
    }

    /// A server on this ground, without routes of its own.
    pub fn server(self, name: &'static str, description: &'static str, bound: Bound) -> Server {
        Server::new(name, description, bound)
            .limits(self.limits)
            .registry(self.registry)
            .database(self.database)
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_status_tells_a_part_that_died_from_what_else_went_wrong() {
        let code = |error: anyhow::Error| format!("{:?}", exit_code(&error));
        let died = format!("{:?}", ExitCode::from(PART_DIED));
        assert_eq!(code(PartDied("outbox").into()), died);
        assert_eq!(
            code(anyhow::Error::from(PartDied("outbox")).context("more")),
            died
        );
        assert_ne!(code(anyhow::anyhow!("no database")), died);
    }
}
