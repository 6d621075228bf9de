// SPDX-License-Identifier: Apache-2.0

//! A bound address, and connections that are counted.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::{bail, Context as _};
use axum_server::{AddrListener, Address};
use prometheus::IntGauge;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

use crate::staff::StaffListener;
use crate::tls::Identity;
use crate::{BaseAddress, Limits, ServerOptions};

/// An address that is bound, and on which nothing is answered yet.
pub struct Bound {
    pub(crate) listener: TcpListener,
    pub(crate) tls: Option<Identity>,
    pub(crate) behind_proxy: bool,
    pub(crate) staff: Option<StaffListener>,
    address: SocketAddr,
}

impl ServerOptions {
    /// Binds the address. Fails when it would speak plain HTTP to a network.
    pub async fn bind(&self) -> anyhow::Result<Bound> {
        let tls = match (&self.tls_certificate, &self.tls_key) {
            (Some(certificate), Some(key)) => Some(Identity::load(certificate, key)?),
            (None, None) => None,
            _ => bail!("--tls-certificate and --tls-key go together"),
        };
        if tls.is_none() && !self.behind_tls_proxy && !self.listen.ip().is_loopback() {
            bail!(
                "{} faces a network, and plain HTTP is for the loopback interface only: give --tls-certificate and \
                 --tls-key, or --behind-tls-proxy when a proxy speaks TLS",
                self.listen
            );
        }
        let listener = TcpListener::bind(self.listen)
            .await
            .with_context(|| format!("cannot listen on {}", self.listen))?;
        let address = listener.local_addr()?;
        let staff = match &self.admin_listen {
            Some(place) => Some(place.bind().await?),
            None => None,
        };
        Ok(Bound {
            listener,
            tls,
            behind_proxy: self.behind_tls_proxy,
            staff,
            address,
        })
    }
}

impl Bound {
    /// The address, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The server's base address as this machine reaches it, without a slash at the end.
    pub fn base_url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }
}

impl Bound {
    /// By which base addresses clients reach the server: those that its operator names, or the one that is bound where it is
    /// for this machine only. What a request says in its header Host counts for nothing. `option` names the option.
    pub fn known_as(
        &self,
        named: Vec<BaseAddress>,
        option: &str,
    ) -> anyhow::Result<Vec<BaseAddress>> {
        if !named.is_empty() {
            return Ok(named);
        }
        if self.behind_proxy || !self.address.ip().is_loopback() {
            bail!("devices reach this server by an address that it cannot know: give {option}");
        }
        Ok(vec![self.base_url().parse()?])
    }
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin(pub(crate) SocketAddr);

impl Address for Origin {
    type Stream = Counted;
    type Listener = Gate;
}

/// Accepts a connection only when there is room for one more.
pub(crate) struct Gate {
    listener: TcpListener,
    room: Arc<Semaphore>,
    write_timeout: Duration,
    open: IntGauge,
}

impl Gate {
    pub(crate) fn new(listener: TcpListener, limits: &Limits, open: IntGauge) -> Self {
        let room = limits.connections.min(Semaphore::MAX_PERMITS);
        Self {
            listener,
            room: Arc::new(Semaphore::new(room)),
            write_timeout: limits.write_timeout,
            open,
        }
    }
}

impl AddrListener<Counted, Origin> for Gate {
    async fn bind_to(_: Origin) -> io::Result<Self> {
        Err(io::Error::other("a gate is made of a bound listener"))
    }

    async fn accept_stream(&self) -> io::Result<(Counted, Origin)> {
        let permit = self
            .room
            .clone()
            .acquire_owned()
            .await
            .map_err(io::Error::other)?;
        let (stream, address) = self.listener.accept().await?;
        // Answers are small and complete; waiting to fill a packet only delays them.
        let _ = stream.set_nodelay(true);
        self.open.inc();
        let counted = Counted {
            stream,
            open: self.open.clone(),
            write_timeout: self.write_timeout,
            stalled: None,
            _permit: permit,
        };
        Ok((counted, Origin(address)))
    }

    fn get_local_addr(&self) -> io::Result<Origin> {
        self.listener.local_addr().map(Origin)
    }
}

/// A connection that gives its room back when it ends, and ends when the client does not take what is written.
pub(crate) struct Counted {
    stream: TcpStream,
    open: IntGauge,
    write_timeout: Duration,
    /// Runs while the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    _permit: OwnedSemaphorePermit,
}

impl Counted {
    /// Fails a write that has waited for too long.
    fn in_time(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.write_timeout;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        stalled
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.open.dec();
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.in_time(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.in_time(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
