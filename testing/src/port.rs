// SPDX-License-Identifier: Apache-2.0

//! Ports that stay with whoever took them, also while nobody listens there.

use std::fs::{File, TryLockError};
use std::net::TcpListener;

use anyhow::{bail, Context, Result};

/// Below what systems hand out by themselves, so that no connection happens to have one of them.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// A port on 127.0.0.1 that no other test takes until this is dropped.
///
/// A port that the system hands out is free again as soon as its server is killed. Another test's node may then get it,
/// and whoever waits for the first to come back talks to a stranger.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// Locked. The system unlocks it when the process ends, however that comes about.
    _lock: File,
}

impl Port {
    /// A port that is free now.
    pub fn reserve() -> Result<Self> {
        let folder = std::env::temp_dir().join("mhealth-test-ports");
        std::fs::create_dir_all(&folder).context("the folder of taken ports")?;
        let start = rand::random_range(RANGE);
        for number in (start..RANGE.end).chain(RANGE.start..start) {
            let file = folder.join(number.to_string());
            let lock = File::create(&file).with_context(|| file.display().to_string())?;
            match lock.try_lock() {
                Err(TryLockError::WouldBlock) => continue,
                other => other.with_context(|| file.display().to_string())?,
            }
            if TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Ok(Self {
                    number,
                    _lock: lock,
                });
            }
        }
        bail!("every port is taken");
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Base address of the server that is going to listen there, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_nobody_elses_until_it_is_given_back() {
        let ports: Vec<_> = (0..50)
            .map(|_| Port::reserve().expect("a free port"))
            .collect();
        let mut numbers: Vec<_> = ports.iter().map(Port::number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), ports.len());
    }
}
