// SPDX-License-Identifier: Apache-2.0

//! Bounds on everything that a stranger can make grow.

use std::num::NonZeroU32;
use std::time::Duration;

/// File descriptors kept back for the database, the chain and files.
const RESERVED_FILES: usize = 128;

/// What a server takes, and how long it waits.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a request's body, unpacked. More is answered with `body_too_large`.
    pub body_bytes: usize,
    /// Bytes of bodies in memory at a time, over all connections, each until its request is answered. More is answered with
    /// `overloaded`. Staff have [`Limits::STAFF_BODY_BYTES`] of their own.
    pub all_bodies_bytes: usize,
    /// How long a whole body may take. Longer is answered with `request_timeout`.
    pub body_timeout: Duration,
    /// Bytes a second that a body has to bring, and that a client has to take of an answer: on average over
    /// [`Limits::body_window`] and [`Limits::write_timeout`].
    pub least_rate: u32,
    /// How long a body may take for as many bytes as `least_rate` brings in this time. Longer is answered with
    /// `request_timeout`.
    pub body_window: Duration,
    /// Bytes of a request's head, at least 8,192. More is answered with status 431.
    pub header_bytes: usize,
    /// How long a request's head may take. The connection is closed after it, idle ones that are kept alive included.
    pub header_timeout: Duration,
    /// How long the server waits, all in all, for a client to take as many bytes as `least_rate` brings in this time. The
    /// connection is closed after it.
    pub write_timeout: Duration,
    /// Connections at a time. For one more, one of the address with the most connections is closed: one that brought no
    /// request, or the one that has been idle for longest.
    pub connections: usize,
    /// What one address may have of connections, of requests under way and of the memory for bodies, in percent. More is
    /// answered with `too_many_requests`.
    pub address_share: u32,
    /// Requests a second that one address may send for long, and ten times as many at once. More is answered with
    /// `too_many_requests`, and ever more of that slowly. As many connections it may open, and at least twenty a second; the
    /// further ones are listened to late.
    pub requests_per_second: NonZeroU32,
    /// How long requests that are under way may take when the server stops.
    pub stop_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 1024 * 1024,
            all_bodies_bytes: 256 * 1024 * 1024,
            body_timeout: Duration::from_secs(60),
            least_rate: 4 * 1024,
            body_window: Duration::from_secs(10),
            header_bytes: 16 * 1024,
            header_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            connections: 16_384,
            address_share: 25,
            requests_per_second: NonZeroU32::new(200).expect("200 is not 0; qed"),
            stop_timeout: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// Bytes of bodies that staff may have in memory at a time, whatever others send.
    pub const STAFF_BODY_BYTES: usize = 16 * 1024 * 1024;

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

    /// Connections of one address, and requests that are under way.
    pub(crate) fn connections_of_an_address(&self) -> usize {
        self.share_of(self.connections)
    }

    /// Bytes of bodies of one address: its share of so many, and one body at least.
    pub(crate) fn body_bytes_of_an_address(&self, all: usize) -> usize {
        self.share_of(all).max(self.body_bytes).min(all)
    }

    /// Bytes that a body or an answer has to move in this time.
    pub(crate) fn least_in(&self, window: Duration) -> u64 {
        (window.as_secs_f64() * f64::from(self.least_rate)) as u64
    }

    fn share_of(&self, all: usize) -> usize {
        let share = all as u128 * u128::from(self.address_share.clamp(1, 100)) / 100;
        usize::try_from(share).unwrap_or(all).max(1)
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

    #[test]
    fn an_address_has_its_share_and_room_for_one_body() {
        let limits = Limits {
            connections: 10,
            ..Limits::default()
        };
        assert_eq!(limits.connections_of_an_address(), 2);
        let all = limits.all_bodies_bytes;
        assert_eq!(limits.body_bytes_of_an_address(all), all / 4);
        assert_eq!(limits.body_bytes_of_an_address(2 << 20), 1 << 20);
        assert_eq!(limits.body_bytes_of_an_address(1_000), 1_000);
        let one = Limits {
            connections: 1,
            address_share: 0,
            ..Limits::default()
        };
        assert_eq!(one.connections_of_an_address(), 1);
    }
}
