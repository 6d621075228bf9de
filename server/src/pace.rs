// SPDX-License-Identifier: Apache-2.0

//! How fast a body comes.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::task::{ready, Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::Limits;

/// Whether a body broke off because it came too slowly.
#[derive(Clone, Debug, Default)]
pub(crate) struct Late(Arc<AtomicBool>);

impl Late {
    pub(crate) fn is_so(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A body that breaks off when it brings less in a window than it has to. The next window begins when it has brought that much,
/// so what came fast at first does not make up for what does not come later.
pub(crate) struct Paced {
    body: Body,
    window: Duration,
    least: u64,
    /// When the window ends; none before the body is read.
    ends: Option<Pin<Box<Sleep>>>,
    brought: u64,
    late: Late,
}

impl Paced {
    /// This body, and where to see whether it was too slow.
    pub(crate) fn body(body: Body, limits: &Limits) -> (Body, Late) {
        let late = Late::default();
        if body.is_end_stream() {
            return (body, late);
        }
        let paced = Self {
            body,
            window: limits.body_window,
            least: limits.least_in(limits.body_window),
            ends: None,
            brought: 0,
            late: late.clone(),
        };
        (Body::new(paced), late)
    }
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let ends = this
            .ends
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(this.window)));
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            if let Some(Ok(frame)) = &frame {
                this.brought += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            if this.brought >= this.least {
                this.brought = 0;
                ends.as_mut().reset(Instant::now() + this.window);
            }
            return Poll::Ready(frame);
        }
        ready!(ends.as_mut().poll(cx));
        this.late.0.store(true, Ordering::Release);
        let error = std::io::Error::from(std::io::ErrorKind::TimedOut);
        Poll::Ready(Some(Err(axum::Error::new(error))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures::stream::{self, StreamExt};

    use super::*;

    /// Reads a body of pieces of so many bytes, each so long after the one before, to its end.
    async fn read(pieces: usize, bytes: usize, pause: Duration) -> (usize, Late) {
        let pieces = stream::iter(0..pieces).then(move |_| async move {
            tokio::time::sleep(pause).await;
            std::io::Result::Ok(vec![0; bytes])
        });
        let limits = Limits {
            least_rate: 1_000,
            body_window: Duration::from_secs(1),
            ..Limits::default()
        };
        let (body, late) = Paced::body(Body::from_stream(pieces), &limits);
        let mut stream = body.into_data_stream();
        let mut read = 0;
        while let Some(Ok(piece)) = stream.next().await {
            read += piece.len();
        }
        (read, late)
    }

    #[tokio::test]
    async fn a_body_that_comes_drop_by_drop_breaks_off() {
        let (read_of, late) = read(1_000, 1, Duration::from_millis(20)).await;
        assert!(late.is_so());
        assert!(read_of <= 50, "{read_of}");
    }

    #[tokio::test]
    async fn what_came_fast_does_not_make_up_for_what_does_not_come() {
        let (read_of, late) = read(2, 1_000_000, Duration::from_secs(10)).await;
        assert_eq!(read_of, 0);
        assert!(late.is_so());
        let (read_of, late) = read(2, 1_000_000, Duration::from_millis(50)).await;
        assert_eq!(read_of, 2_000_000);
        assert!(!late.is_so());
    }

    #[tokio::test]
    async fn a_body_at_the_least_rate_comes_whole_however_long_it_takes() {
        let (read_of, late) = read(60, 100, Duration::from_millis(40)).await;
        assert_eq!(read_of, 6_000);
        assert!(!late.is_so());
    }
}
