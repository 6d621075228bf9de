// SPDX-License-Identifier: Apache-2.0

//! Bounds on everything that a stranger can make grow.

use std::time::Duration;

/// File descriptors kept back for the database, the chain and files.
const RESERVED_FILES: usize = 128;

/// What a server takes, and how long it waits.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a request's body. More is answered with `body_too_large`.
    pub body_bytes: usize,
    /// Bytes of bodies in memory at a time, over all connections, each until its request is answered. More is answered with
    /// `overloaded`.
    pub all_bodies_bytes: usize,
    /// How long a whole body may take, and how long one that is too large is read on and thrown away. Longer is answered with
    /// `request_timeout`.
    pub body_timeout: Duration,
    /// Bytes of a request's head, at least 8,192. More is answered with status 431.
    pub header_bytes: usize,
    /// How long a request's head may take. The connection is closed after it, idle ones that are kept alive included.
    pub header_timeout: Duration,
    /// How long a client may take none of an answer. The connection is closed after it.
    pub write_timeout: Duration,
    /// Connections at a time. Further ones wait in the operating system's queue.
    pub connections: usize,
    /// How long requests that are under way may take when the server stops.
    pub stop_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 1024 * 1024,
            all_bodies_bytes: 256 * 1024 * 1024,
            body_timeout: Duration::from_secs(30),
            header_bytes: 16 * 1024,
            header_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            connections: 16_384,
            stop_timeout: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// So many connections as the operating system's limit on open files allows, at most.
    pub(crate) fn within_open_files(mut self) -> Self {
        if let Some(files) = open_files_limit() {
            let room = files.saturating_sub(RESERVED_FILES).max(files / 2).max(1);
            if room < self.connections {
                tracing::info!(
                    connections = room,
                    open_files = files,
                    "fewer connections, because the limit on open files is low (ulimit -n)"
                );
                self.connections = room;
            }
        }
        self
    }
}

fn open_files_limit() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    soft_limit(&limits)
}

fn soft_limit(limits: &str) -> Option<usize> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_on_open_files_is_read() {
        let text = "Max processes 1 2 processes\nMax open files            1024                 524288               files\n";
        assert_eq!(soft_limit(text), Some(1024));
        assert_eq!(soft_limit("Max open files unlimited unlimited files"), None);
    }
}
