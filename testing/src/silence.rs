// SPDX-License-Identifier: Apache-2.0

//! A database that falls silent in the middle of something, as when its machine loses power: nobody says that a connection is gone.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, Result};

use crate::postgres::Postgres;
use crate::process::signal_to;

/// How long a session is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(5);
const WAITING: &str =
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";

/// A session of PostgreSQL that does nothing more. It goes on when this is dropped.
pub struct Silenced(u32);

impl Silenced {
    /// Waits until a session of this database waits for a lock, and silences it there.
    pub fn where_it_waits(server: &Postgres, database: &str) -> Result<Self> {
        Self::in_statement(server, database, "")
    }

    /// The same for a session whose statement has these words.
    pub fn in_statement(server: &Postgres, database: &str, words: &str) -> Result<Self> {
        let waiting = format!("{WAITING} AND query LIKE '%{words}%' LIMIT 1");
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(process) = server.query(database, &waiting)?.parse() {
                signal_to(process, "STOP")?;
                return Ok(Self(process));
            }
            if Instant::now() > deadline {
                bail!("no session of {database} waits for a lock");
            }
            thread::sleep(PAUSE);
        }
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.0
    }
}

impl Drop for Silenced {
    fn drop(&mut self) {
        // It may have ended with its server.
        let _ = signal_to(self.0, "CONT");
    }
}
