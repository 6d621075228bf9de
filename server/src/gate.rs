// SPDX-License-Identifier: Apache-2.0

//! Accepts connections within the [`Book`], and ends those that have to go. Of an address that opens too many, each is read of late.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{ready, Context, Poll};
use std::time::Duration;

use axum_server::{AddrListener, Address};
use prometheus::IntGauge;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::admission::Doors;
use crate::brake::PAUSE;
use crate::connections::{Book, Coming, Line};
use crate::proxies::Proxies;
use crate::Limits;

/// How long what a client still sends is read and thrown away once the server has closed the connection. Otherwise the system
/// would reset it, and the client might lose the answer.
const LINGER: Duration = Duration::from_secs(1);

/// Where a connection comes from.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    /// None of the listener itself.
    pub(crate) line: Option<Arc<Line>>,
}

impl Address for Origin {
    type Stream = Counted;
    type Listener = Gate;
}

/// Accepts connections.
pub(crate) struct Gate {
    listener: TcpListener,
    doors: Arc<Doors>,
    book: Arc<Book>,
    proxies: Arc<Proxies>,
    patience: Patience,
    open: IntGauge,
}

impl Gate {
    /// A trusted proxy has no share of the connections: those that it brings are many people's.
    pub(crate) fn new(
        listener: TcpListener,
        doors: Arc<Doors>,
        limits: &Limits,
        proxies: Arc<Proxies>,
        open: IntGauge,
    ) -> Self {
        Self {
            listener,
            doors,
            book: Book::of(limits.connections, limits.connections_of_an_address()),
            proxies,
            patience: Patience::new(limits.write_timeout, limits.least_in(limits.write_timeout)),
            open,
        }
    }

    fn coming(&self, address: IpAddr) -> Coming {
        if self.proxies.trusts(address) {
            Coming::Proxied
        } else if self.doors.is_hasty(address.into()) {
            Coming::Hasty
        } else {
            Coming::Calm
        }
    }
}

impl AddrListener<Counted, Origin> for Gate {
    async fn bind_to(_: Origin) -> io::Result<Self> {
        Err(io::Error::other("a gate is made of a bound listener"))
    }

    async fn accept_stream(&self) -> io::Result<(Counted, Origin)> {
        let (stream, address, coming, line) = loop {
            let (stream, address) = self.listener.accept().await?;
            let coming = self.coming(address.ip());
            let entered = self.book.enter(address.ip().into(), coming).await;
            // One that is not entered is dropped here, before it has cost a task.
            if let Some(line) = entered {
                break (stream, address, coming, line);
            }
        };
        // Answers are small and complete; waiting to fill a packet only delays them.
        let _ = stream.set_nodelay(true);
        let is_held = coming == Coming::Hasty;
        let counted = Counted {
            stream: Some(stream),
            closed: Box::pin(line.closed.clone().cancelled_owned()),
            held: is_held.then(|| Box::pin(tokio::time::sleep(PAUSE))),
            patience: self.patience,
            stalled: None,
            is_at_end: false,
            place: Place::of(line.clone(), self.open.clone()),
        };
        let line = Some(line);
        Ok((counted, Origin { address, line }))
    }

    fn get_local_addr(&self) -> io::Result<Origin> {
        let address = self.listener.local_addr()?;
        Ok(Origin {
            address,
            line: None,
        })
    }
}

/// How long a client may take for an answer.
#[derive(Clone, Copy)]
struct Patience {
    /// Waiting, all in all, until it has taken `least` bytes.
    most: Duration,
    least: u64,
    waited: Duration,
    taken: u64,
}

impl Patience {
    fn new(most: Duration, least: u64) -> Self {
        Self {
            most,
            least,
            waited: Duration::ZERO,
            taken: 0,
        }
    }

    fn left(&self) -> Duration {
        self.most.saturating_sub(self.waited)
    }

    fn waited(&mut self, time: Duration) {
        self.waited += time;
    }

    fn took(&mut self, bytes: usize) {
        self.taken += bytes as u64;
        if self.taken >= self.least {
            (self.waited, self.taken) = (Duration::ZERO, 0);
        }
    }
}

/// What an open connection takes.
struct Place {
    line: Arc<Line>,
    open: IntGauge,
}

impl Place {
    fn of(line: Arc<Line>, open: IntGauge) -> Option<Self> {
        open.inc();
        Some(Self { line, open })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.dec();
        self.line.leave();
    }
}

/// A connection that gives its place back when it ends, and ends when it has to go or when the client does not take what is
/// written.
pub(crate) struct Counted {
    /// None once it is dropped.
    stream: Option<TcpStream>,
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Until then nothing is read of it.
    held: Option<Pin<Box<Sleep>>>,
    patience: Patience,
    /// Since when the client takes nothing, and when that ends the connection.
    stalled: Option<(Instant, Pin<Box<Sleep>>)>,
    /// Whether the client has closed its side.
    is_at_end: bool,
    place: Option<Place>,
}

impl Counted {
    fn check_open(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.closed.as_mut().poll(cx).is_ready() {
            self.is_at_end = true;
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }

    fn stream(&mut self, cx: &mut Context<'_>) -> io::Result<Pin<&mut TcpStream>> {
        self.check_open(cx)?;
        let stream = self.stream.as_mut().map(Pin::new);
        stream.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Fails a write that has waited for too long.
    fn in_time(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = written {
            if let Some((since, _)) = self.stalled.take() {
                self.patience.waited(since.elapsed());
            }
            if let Ok(bytes) = &written {
                self.patience.took(*bytes);
            }
            return Poll::Ready(written);
        }
        let left = self.patience.left();
        let (_, stalled) = self
            .stalled
            .get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(left))));
        ready!(stalled.as_mut().poll(cx));
        self.is_at_end = true;
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let (Some(stream), Some(place)) = (self.stream.take(), self.place.take()) else {
            return;
        };
        if self.is_at_end {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(linger(stream, place));
        }
    }
}

/// Reads what still comes until the client has seen that the connection is closed.
async fn linger(mut stream: TcpStream, place: Place) {
    let rest = async {
        stream.shutdown().await?;
        let mut waste = [0; 4_096];
        while stream.read(&mut waste).await? > 0 {}
        io::Result::Ok(())
    };
    tokio::select! {
        // However it ends, nothing more is to be done.
        _ = tokio::time::timeout(LINGER, rest) => {}
        () = place.line.closed.cancelled() => {}
    }
    drop(place);
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.held.is_some() {
            // It ends when it has to go also while nothing is read of it.
            self.check_open(cx)?;
        }
        if let Some(held) = &mut self.held {
            ready!(held.as_mut().poll(cx));
            self.held = None;
        }
        let before = buffer.filled().len();
        let read = ready!(self.stream(cx)?.poll_read(cx, buffer));
        if read.is_err() || buffer.filled().len() == before {
            self.is_at_end = true;
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.stream(cx)?.poll_write(cx, bytes);
        self.in_time(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream(cx)?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream(cx)?.poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.stream(cx)?.poll_write_vectored(cx, slices);
        self.in_time(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream
            .as_ref()
            .is_some_and(AsyncWrite::is_write_vectored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_an_answer_drop_by_drop_runs_out_of_time() {
        let mut patience = Patience::new(Duration::from_secs(30), 1_000);
        for _ in 0..3 {
            patience.waited(Duration::from_secs(10));
            patience.took(10);
        }
        assert_eq!(patience.left(), Duration::ZERO);
        // Who takes enough in between does not.
        let mut patience = Patience::new(Duration::from_secs(30), 1_000);
        for _ in 0..100 {
            patience.waited(Duration::from_secs(10));
            patience.took(1_000);
        }
        assert_eq!(patience.left(), Duration::from_secs(30));
    }
}
