// SPDX-License-Identifier: Apache-2.0

//! A listener of their own for staff, metrics and probes, which only this machine reaches.

use std::fmt;
use std::fs::Permissions;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context;
use axum::{Extension, Router};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use crate::extract::Peer;

/// Where staff reach a server: `127.0.0.1:PORT`, or `unix:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StaffAddress {
    /// A port of the loopback interface.
    Loopback(SocketAddr),
    /// A socket in the file system, for the server's own user.
    Unix(PathBuf),
}

impl FromStr for StaffAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "give 127.0.0.1:PORT, [::1]:PORT or unix:PATH: others than this machine must not reach it";
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.is_empty() {
                true => Err(EXPECTED),
                false => Ok(Self::Unix(path.into())),
            };
        }
        let address: Option<SocketAddr> = text.parse().ok();
        let address = address.filter(|address| address.ip().is_loopback());
        address.map(Self::Loopback).ok_or(EXPECTED)
    }
}

impl fmt::Display for StaffAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback(address) => write!(f, "http://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The same, bound.
pub(crate) struct StaffListener {
    socket: Socket,
    /// With the port that was taken.
    address: StaffAddress,
}

enum Socket {
    Loopback(TcpListener),
    Unix(UnixListener),
    /// One that is served no more.
    #[cfg(test)]
    Gone,
}

impl StaffAddress {
    pub(crate) async fn bind(&self) -> anyhow::Result<StaffListener> {
        let fault = || format!("cannot listen on {self}");
        match self {
            Self::Loopback(address) => {
                let listener = TcpListener::bind(address).await.with_context(fault)?;
                let address = Self::Loopback(listener.local_addr()?);
                Ok(StaffListener {
                    socket: Socket::Loopback(listener),
                    address,
                })
            }
            Self::Unix(path) => {
                let metadata = std::fs::symlink_metadata(path);
                let is_socket = metadata.is_ok_and(|metadata| metadata.file_type().is_socket());
                // One that was killed leaves its socket, at which nobody answers.
                if is_socket && UnixStream::connect(path).await.is_err() {
                    std::fs::remove_file(path).with_context(fault)?;
                }
                let listener = UnixListener::bind(path).with_context(fault)?;
                std::fs::set_permissions(path, Permissions::from_mode(0o600))
                    .with_context(fault)?;
                Ok(StaffListener {
                    socket: Socket::Unix(listener),
                    address: self.clone(),
                })
            }
        }
    }
}

impl StaffListener {
    /// One that ends as soon as it is served.
    #[cfg(test)]
    pub(crate) fn gone() -> Self {
        Self {
            socket: Socket::Gone,
            address: StaffAddress::Unix("gone".into()),
        }
    }

    pub(crate) fn address(&self) -> &StaffAddress {
        &self.address
    }

    /// Serves until it is told to stop, and finishes what is under way.
    pub(crate) async fn serve(self, router: Router, stop: CancellationToken) {
        // Whoever reaches it is on this machine.
        let router = router.layer(Extension(Peer(Ipv4Addr::LOCALHOST.into())));
        let stopped = stop.cancelled_owned();
        let served = match self.socket {
            Socket::Loopback(listener) => {
                axum::serve(listener, router)
                    .with_graceful_shutdown(stopped)
                    .await
            }
            Socket::Unix(listener) => {
                axum::serve(listener, router)
                    .with_graceful_shutdown(stopped)
                    .await
            }
            #[cfg(test)]
            Socket::Gone => Ok(()),
        };
        if let Err(error) = served {
            tracing::error!(%error, "staff are not served any more");
        }
        if let StaffAddress::Unix(path) = &self.address {
            // The next start makes it anew.
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_can_be_listened_to() {
        for (text, expected) in [
            ("127.0.0.1:0", "http://127.0.0.1:0"),
            ("[::1]:9", "http://[::1]:9"),
            ("unix:/run/mhealth/staff", "unix:/run/mhealth/staff"),
        ] {
            let address: StaffAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), expected);
        }
        for text in [
            "",
            "unix:",
            "0.0.0.0:1",
            "10.0.0.1:1",
            "localhost:1",
            "127.0.0.1",
        ] {
            assert!(text.parse::<StaffAddress>().is_err(), "{text}");
        }
    }
}
