// SPDX-License-Identifier: Apache-2.0

//! Who comes in. Decided from the head of a request, before a byte of its body is read: how often its address asks, how many of
//! its requests are under way, and what their bodies take of the memory.
//!
//! Strangers, staff and probes are counted apart, so that what one of them takes costs the others nothing.
//!
//! Who comes in takes turns: of the requests that an address may send at once, some are begun and the others wait. Otherwise all of
//! them would stand before everybody else's wherever something is done in the order in which it came.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::pin::{pin, Pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{header, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use http_body::{Frame, SizeHint};
use mhealth_api::Code;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::body::{announced_length, BodyBudget, BodyShare};
use crate::brake::Brake;
use crate::connections::{Busy, Line};
use crate::extract::Peer;
use crate::gate::Origin;
use crate::pace::Paced;
use crate::reserve::with_reserve;
use crate::shares::{Shares, Source};
use crate::{ApiError, Limits};

/// Requests that an address may send at once, as a multiple of what it may send in a second.
const BURST: u32 = 10;
/// How often addresses are forgotten that have not asked for a while.
const FORGET: Duration = Duration::from_secs(10);
/// Requests of an address that are begun at a time.
const TURNS: usize = 8;
/// A request's turn ends with its answer, and after this time at the latest: what waits for a client or for a block takes no time
/// from anybody.
const LONGEST_TURN: Duration = Duration::from_millis(100);
/// With shorter turns nobody would wait.
const SHORTEST_TURN: Duration = Duration::from_millis(1);
/// Paths of what machines ask of every server.
pub(crate) const PROBES: &[&str] = &["/healthz", "/livez", "/readyz", "/metrics"];

/// Who asks for what, by the beginning of the path.
#[derive(Clone, Debug, Default)]
pub(crate) struct Paths {
    pub(crate) staff: Vec<&'static str>,
    pub(crate) machines: Vec<&'static str>,
}

/// Of a request whose proxy does not say for whom it asks: the client's address is that of the proxy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unnamed;

/// Lets requests in.
pub(crate) struct Doors {
    paths: Paths,
    limits: Limits,
    strangers: Door,
    staff: Door,
    machines: Door,
    /// How long a turn lasts; none where there are no turns.
    turn: Option<Duration>,
    brake: Brake,
    /// How often the log says that a proxy names nobody: strangers may be able to make it do so.
    complaints: DefaultDirectRateLimiter,
}

/// One of the ways in.
struct Door {
    rates: DefaultKeyedRateLimiter<Source>,
    under_way: Shares<Source>,
    turns: Shares<Source>,
    memory: BodyBudget,
    memory_of_each: Shares<Source>,
}

impl Doors {
    pub(crate) fn new(paths: Paths, limits: Limits) -> Self {
        let staff = Limits::STAFF_BODY_BYTES;
        Self {
            paths,
            strangers: Door::new(&limits, limits.all_bodies_bytes),
            staff: Door::new(&limits, staff),
            machines: Door::new(&limits, staff),
            turn: turn(&limits),
            brake: Brake::new(&limits),
            complaints: RateLimiter::direct(Quota::per_minute(NonZeroU32::MIN)),
            limits,
        }
    }

    /// Forgets addresses that have not asked for a while, until it is told to stop.
    pub(crate) async fn forget_idle(self: Arc<Self>, stop: CancellationToken) {
        let mut tick = tokio::time::interval(FORGET);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => {}
            }
            for door in [&self.strangers, &self.staff, &self.machines] {
                door.rates.retain_recent();
                door.rates.shrink_to_fit();
            }
            self.brake.forget_idle();
        }
    }

    /// Whether this address opens one connection too many for the time being.
    pub(crate) fn is_hasty(&self, source: Source) -> bool {
        self.brake.is_hasty(source)
    }

    /// What staff and machines ask for takes from what is kept back for them.
    fn door(&self, path: &str) -> (&Door, bool) {
        let is_among = |beginnings: &[&str]| {
            beginnings
                .iter()
                .any(|beginning| path.starts_with(beginning))
        };
        if PROBES.contains(&path) || is_among(&self.paths.machines) {
            (&self.machines, true)
        } else if is_among(&self.paths.staff) {
            (&self.staff, true)
        } else {
            (&self.strangers, false)
        }
    }

    /// Lets a request in with what it may take, or says why not.
    fn enter(&self, mut request: Request) -> Result<(Request, BodyShare, Visit), ApiError> {
        let peer = peer_of(&request);
        let source = Source::from(peer);
        let line = line_of(&request).cloned();
        let busy = line.as_ref().map(|line| line.busy());
        let (door, has_reserve) = self.door(request.uri().path());
        door.rates.check_key(&source).map_err(|early| {
            let wait = early.wait_time_from(DefaultClock::default().now());
            ApiError::from(Code::TooManyRequests).retry_after(wait)
        })?;
        if request.extensions().get::<Unnamed>().is_some() {
            if self.complaints.check().is_ok() {
                tracing::warn!(proxy = %peer, "a trusted proxy does not say for whom it asks");
            }
            return Err(Code::InvalidForwarding.into());
        }
        if line.is_some_and(|line| line.is_refused) {
            return Err(too_many("connections"));
        }
        let under_way = door.under_way.take(source);
        let under_way = under_way.ok_or_else(|| too_many("requests under way"))?;
        let memory = door.memory_of_each.share(source);
        let announced = announced_length(request.headers());
        // A body that is too large anyway is told so when it is read.
        let needed = announced.filter(|length| *length <= self.limits.body_bytes as u64);
        if let Some(length) = needed {
            if length > door.memory.available() as u64 {
                return Err(Code::Overloaded.into());
            }
            if length > memory.available_permits() as u64 {
                return Err(too_many("bytes under way"));
            }
        }
        let share = door.memory.share(memory);
        request.extensions_mut().insert(share.clone());
        let (parts, body) = request.into_parts();
        let (body, late) = Paced::body(body, &self.limits);
        let mut request = Request::from_parts(parts, body);
        request.extensions_mut().insert(late);
        let queue = self.turn.map(|lasts| Queue {
            turns: door.turns.share(source),
            lasts,
        });
        let visit = Visit {
            has_reserve,
            queue,
            under_way: Some(under_way),
            _busy: busy,
        };
        Ok((request, share, visit))
    }
}

impl Door {
    fn new(limits: &Limits, memory: usize) -> Self {
        let rate = limits.requests_per_second;
        let burst = rate.saturating_mul(NonZeroU32::MIN.saturating_add(BURST - 1));
        Self {
            rates: RateLimiter::keyed(Quota::per_second(rate).allow_burst(burst)),
            under_way: Shares::of(limits.connections_of_an_address()),
            turns: Shares::of(TURNS),
            memory: BodyBudget::of(memory),
            memory_of_each: Shares::of(limits.body_bytes_of_an_address(memory)),
        }
    }
}

/// How long a turn lasts. However long requests take, an address may go on beginning as many a second as it may send.
fn turn(limits: &Limits) -> Option<Duration> {
    let rate = limits.requests_per_second.get();
    let lasts = Duration::from_secs(TURNS as u64) / rate;
    (lasts >= SHORTEST_TURN).then_some(lasts.min(LONGEST_TURN))
}

fn peer_of(request: &Request) -> IpAddr {
    let peer = request.extensions().get::<Peer>();
    peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0)
}

/// None of a connection that is not in the book.
fn line_of(request: &Request) -> Option<&Arc<Line>> {
    let origin = request.extensions().get::<ConnectInfo<Origin>>()?;
    origin.0.line.as_ref()
}

fn too_many(what: &str) -> ApiError {
    let detail = format!("This address has too many {what}; wait as long as Retry-After says.");
    ApiError::new(Code::TooManyRequests, detail)
}

/// A request until its answer is through.
struct Visit {
    /// Whether its queries may take of the connections that are kept back.
    has_reserve: bool,
    /// Where it waits for its turn. None once it does.
    queue: Option<Queue>,
    /// None once it is refused.
    under_way: Option<OwnedSemaphorePermit>,
    _busy: Option<Busy>,
}

/// The turns of an address, which go to those who came first.
struct Queue {
    turns: Arc<Semaphore>,
    lasts: Duration,
}

/// Does this when its turn has come.
async fn by_turns<F: Future>(queue: Option<Queue>, work: F) -> F::Output {
    let Some(Queue { turns, lasts }) = queue else {
        return work.await;
    };
    let turn = turns.acquire_owned().await;
    let turn = turn.expect("nobody closes it; qed");
    let mut work = pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return done,
        () = tokio::time::sleep(lasts) => {}
    }
    drop(turn);
    work.await
}

/// Lets a request in, and keeps what its body takes until it is answered, and its place until the answer is through.
pub(crate) async fn admit(
    State(doors): State<Arc<Doors>>,
    request: Request,
    next: Next,
) -> Response {
    match doors.enter(request) {
        Ok((request, share, mut visit)) => {
            let answering = by_turns(visit.queue.take(), next.run(request));
            let answer = match visit.has_reserve {
                true => with_reserve(answering).await,
                false => answering.await,
            };
            drop(share);
            if answer.status() == StatusCode::TOO_MANY_REQUESTS {
                // It may be held back, and others of this address do not wait for that.
                drop(visit.under_way.take());
            }
            answer.map(|body| Body::new(Attended { body, visit }))
        }
        Err(refusal) => {
            let mut answer = refusal.into_response();
            // Its body is not read, so nothing can follow.
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(header::CONNECTION, close);
            answer
        }
    }
}

/// Keeps a refusal back for a while where the address has had enough of them, whoever refused it and why.
pub(crate) async fn hold_back(
    State(doors): State<Arc<Doors>>,
    request: Request,
    next: Next,
) -> Response {
    let source = Source::from(peer_of(&request));
    // Those beside the others are few, and each has to make room for the next.
    let is_beside = line_of(&request).is_some_and(|line| line.is_refused);
    let answer = next.run(request).await;
    if answer.status() == StatusCode::TOO_MANY_REQUESTS && !is_beside {
        doors.brake.refuse(source).await;
    }
    answer
}

/// The body of an answer, and what is given back when it is through.
struct Attended {
    body: Body,
    #[expect(dead_code, reason = "it is kept for what it does when it is dropped")]
    visit: Visit,
}

impl HttpBody for Attended {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
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
    use std::future::pending;

    use futures::future::join_all;
    use futures::poll;

    use super::*;

    fn with_rate(rate: u32) -> Limits {
        Limits {
            requests_per_second: NonZeroU32::new(rate).unwrap(),
            ..Limits::default()
        }
    }

    #[test]
    fn an_address_may_go_on_beginning_as_many_requests_as_it_may_send() {
        let millis = |rate: u32| turn(&with_rate(rate)).map(|turn| turn.as_millis());
        assert_eq!(millis(1), Some(100));
        assert_eq!(millis(200), Some(40));
        assert_eq!(millis(8_000), Some(1));
        assert_eq!(millis(8_001), None);
        assert_eq!(millis(u32::MAX), None);
    }

    #[tokio::test]
    async fn requests_of_an_address_take_turns_and_what_waits_gives_its_turn_up() {
        let doors = Doors::new(Paths::default(), Limits::default());
        let queue_of = |last: u8| {
            let source = Source::from(IpAddr::from([192, 0, 2, last]));
            doors.turn.map(|lasts| Queue {
                turns: doors.strangers.turns.share(source),
                lasts,
            })
        };
        let slow = (0..TURNS).map(|_| by_turns(queue_of(1), pending::<()>()));
        let mut slow = pin!(join_all(slow));
        assert!(poll!(&mut slow).is_pending());
        let mut next = pin!(by_turns(queue_of(1), async { 7 }));
        assert!(poll!(&mut next).is_pending());
        // Nobody else waits for them.
        let mut other = pin!(by_turns(queue_of(2), async { 8 }));
        assert!(poll!(&mut other).is_ready());
        tokio::select! {
            _ = slow => panic!("these never end"),
            found = next => assert_eq!(found, 7),
        }
    }
}
