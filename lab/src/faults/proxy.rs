// SPDX-License-Identifier: Apache-2.0

//! A TCP proxy that can be made to fail as networks do.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::Result;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::exchange::Exchange;
use crate::record::{Keeper, Record};

/// A link between two programs. Dropping it leaves the connections as they are.
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    /// Where connections are carried to; port 0 as long as there is nothing.
    upstream: watch::Sender<SocketAddr>,
    state: watch::Sender<State>,
    cuts: watch::Sender<u64>,
    record: Option<(Arc<Record>, Keeper)>,
}

/// How the link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It carries.
    Open,
    /// Nothing gets in any more, and everybody is told so.
    Refusing,
    /// Nothing gets through any more, and nobody is told.
    Stalled,
}

impl Proxy {
    /// A link to wherever [`Proxy::lead_to`] will say. What that server says is taken down in the record, if there is one.
    pub(crate) async fn start(record: Option<(Arc<Record>, Keeper)>) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            upstream: watch::Sender::new(SocketAddr::from(([127, 0, 0, 1], 0))),
            state: watch::Sender::new(State::Open),
            cuts: watch::Sender::new(0),
            record,
        });
        tokio::spawn(accept(listener, shared.clone()));
        Ok(Self { port, shared })
    }

    /// Its base address for HTTP, without a slash at the end.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its address for JSON-RPC over WebSocket.
    pub(crate) fn websocket_url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// Carries new connections to this port on 127.0.0.1.
    pub(crate) fn lead_to(&self, port: u16) {
        self.lead_to_address(SocketAddr::from(([127, 0, 0, 1], port)));
    }

    /// Carries new connections to this address.
    pub(crate) fn lead_to_address(&self, address: SocketAddr) {
        self.shared.upstream.send_replace(address);
    }

    /// Breaks all connections.
    pub(crate) fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Changes how the link is. Refusing breaks what there is.
    pub(crate) fn set(&self, state: State) {
        self.shared.state.send_replace(state);
        if state == State::Refusing {
            self.cut();
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        // An error is this one connection's: it was gone before it was taken.
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        if *shared.state.borrow() != State::Refusing {
            tokio::spawn(connection(client, shared.clone()));
        }
    }
}

/// Ends when either side does, or when the link is cut. What goes wrong on a connection is its two ends' affair.
async fn connection(client: TcpStream, shared: Arc<Shared>) {
    let mut cuts = shared.cuts.subscribe();
    let carried = async {
        let upstream = *shared.upstream.borrow();
        let server = TcpStream::connect(upstream).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let exchange = Mutex::new(Exchange::default());
        let of = |bytes: &[u8], is_answer: bool| -> Result<()> {
            let Some((record, keeper)) = &shared.record else {
                return Ok(());
            };
            let mut exchange = exchange.lock().expect("no holder of this lock panics; qed");
            match is_answer {
                true => record.observe_answer(*keeper, &mut exchange, bytes),
                false => record.observe_request(&mut exchange, bytes),
            }
        };
        tokio::try_join!(
            carry(from_client, to_server, &shared, |bytes| of(bytes, false)),
            carry(from_server, to_client, &shared, |bytes| of(bytes, true)),
        )
    };
    tokio::select! {
        _ = cuts.changed() => {}
        _ = carried => {}
    }
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    shared: &Shared,
    observe: impl Fn(&[u8]) -> Result<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    let mut state = shared.state.subscribe();
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        let bytes = &buffer[..length];
        // Before anything else: what the server said, it said.
        observe(bytes).map_err(io::Error::other)?;
        let carries = state.wait_for(|state| *state != State::Stalled).await;
        carries.map_err(io::Error::other)?;
        to.write_all(bytes).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// A server that sends back what it gets, and a link to it.
    async fn echo() -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        let proxy = Proxy::start(None).await.expect("a port");
        proxy.lead_to(port);
        proxy
    }

    async fn call(stream: &mut TcpStream) -> io::Result<[u8; 2]> {
        stream.write_all(b"hi").await?;
        let mut answer = [0; 2];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn a_link_carries_is_cut_and_carries_again() {
        let proxy = echo().await;
        let mut stream = TcpStream::connect(("127.0.0.1", proxy.port))
            .await
            .expect("it listens");
        assert_eq!(&call(&mut stream).await.expect("it carries"), b"hi");
        proxy.cut();
        assert!(call(&mut stream).await.is_err());

        proxy.set(State::Refusing);
        let mut refused = TcpStream::connect(("127.0.0.1", proxy.port))
            .await
            .expect("it listens");
        assert!(call(&mut refused).await.is_err());
        proxy.set(State::Open);
        let mut stream = TcpStream::connect(("127.0.0.1", proxy.port))
            .await
            .expect("it listens");
        assert_eq!(&call(&mut stream).await.expect("it carries"), b"hi");
    }

    #[tokio::test]
    async fn what_a_stalled_link_holds_back_comes_when_it_opens() {
        let proxy = echo().await;
        proxy.set(State::Stalled);
        let mut stream = TcpStream::connect(("127.0.0.1", proxy.port))
            .await
            .expect("it listens");
        let early = tokio::time::timeout(Duration::from_millis(50), call(&mut stream)).await;
        assert!(early.is_err());
        proxy.set(State::Open);
        let mut answer = [0; 2];
        stream.read_exact(&mut answer).await.expect("it carries");
        assert_eq!(&answer, b"hi");
    }
}
