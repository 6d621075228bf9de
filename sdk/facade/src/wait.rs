// SPDX-License-Identifier: Apache-2.0

//! Runs a phone's futures on the thread that called, with threads for what the host does meanwhile. Needs no executor.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{poll_fn, Future};
use std::pin::{pin, Pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// When a pause ends, and which one it is.
type Alarm = (Instant, u64);

thread_local! {
    /// Whom the pauses of the future that runs on this thread wake. Where many futures are polled as one, each is polled again
    /// only when its own waker was called.
    static ALARMS: RefCell<BTreeMap<Alarm, Waker>> = const { RefCell::new(BTreeMap::new()) };
}

/// Who waits, and whether somebody woke it since it looked last. The thread's own mark is not enough: a wait within this one may
/// take that.
struct Caller {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Caller {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// Waits on this thread until a future is ready.
pub(crate) fn until_ready<F: Future>(future: F) -> F::Output {
    let _others = Alarms::begin();
    let mut future = pin!(future);
    let caller = Arc::new(Caller {
        thread: thread::current(),
        woken: AtomicBool::new(false),
    });
    let waker = Waker::from(caller.clone());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        while !caller.woken.swap(false, Ordering::Acquire) {
            match next_alarm() {
                Some(alarm) => {
                    thread::park_timeout(alarm.saturating_duration_since(Instant::now()));
                }
                None => thread::park(),
            }
            ring(Instant::now());
        }
    }
}

/// Ends waits from any thread.
#[derive(Default)]
pub(crate) struct Ending(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    ended: bool,
    /// By the numbers of the waits.
    wakers: BTreeMap<u64, Waker>,
}

impl Ending {
    /// Ends the waits that know of it, also those that begin later.
    pub(crate) fn end(&self) {
        let wakers = {
            let mut waiting = held(&self.0);
            waiting.ended = true;
            std::mem::take(&mut waiting.wakers)
        };
        wakers.into_values().for_each(Waker::wake);
    }

    /// Whether it is there; if not, this wait hears of it.
    fn is_there(&self, wait: u64, waker: &Waker) -> bool {
        let mut waiting = held(&self.0);
        waiting.wakers.insert(wait, waker.clone());
        waiting.ended
    }

    fn forget(&self, wait: u64) {
        held(&self.0).wakers.remove(&wait);
    }
}

/// Waits on this thread until a future is ready, or somebody ends that: none then, and the future is dropped.
pub(crate) fn until_ready_or<F: Future>(ending: &Ending, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let wait = next_number();
    let output = until_ready(poll_fn(|context| {
        match ending.is_there(wait, context.waker()) {
            true => Poll::Ready(None),
            false => future.as_mut().poll(context).map(Some),
        }
    }));
    ending.forget(wait);
    output
}

/// Tells pauses and waits apart.
fn next_number() -> u64 {
    static NUMBERS: AtomicU64 = AtomicU64::new(0);
    NUMBERS.fetch_add(1, Ordering::Relaxed)
}

/// The alarms of whoever waits on this thread already: a host that is asked in the middle of something may wait for another
/// phone.
struct Alarms(BTreeMap<Alarm, Waker>);

impl Alarms {
    fn begin() -> Self {
        Self(ALARMS.take())
    }
}

impl Drop for Alarms {
    fn drop(&mut self) {
        ALARMS.set(std::mem::take(&mut self.0));
    }
}

fn next_alarm() -> Option<Instant> {
    ALARMS.with_borrow(|alarms| alarms.first_key_value().map(|((at, _), _)| *at))
}

/// Wakes those whose pauses are over.
fn ring(now: Instant) {
    let due = ALARMS.with_borrow_mut(|alarms| {
        let later = alarms.split_off(&(now, u64::MAX));
        std::mem::replace(alarms, later)
    });
    due.into_values().for_each(Waker::wake);
}

/// A pause. Works on a thread that is in [`until_ready`].
pub(crate) struct Pause(Alarm);

impl Pause {
    pub(crate) fn of(time: Duration) -> Self {
        // Some platforms cannot add years to a moment; nobody waits for so long.
        const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
        Self((Instant::now() + time.min(LONGEST), next_number()))
    }
}

impl Future for Pause {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let (at, _) = self.0;
        if Instant::now() >= at {
            return Poll::Ready(());
        }
        ALARMS.with_borrow_mut(|alarms| alarms.insert(self.0, context.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        // A thread that ends has nobody to wake.
        let _ = ALARMS.try_with(|alarms| alarms.borrow_mut().remove(&self.0));
    }
}

struct Shared<T> {
    outcome: Option<T>,
    waker: Option<Waker>,
}

/// Work on a thread of its own. Dropped before it is ready, the work goes on to its end and nobody hears of it.
pub(crate) struct Elsewhere<T>(Arc<Mutex<Shared<T>>>);

impl<T: Send + 'static> Elsewhere<T> {
    /// Begins the work. None when the system gives no thread.
    pub(crate) fn begin(work: impl FnOnce() -> T + Send + 'static) -> Option<Self> {
        let shared = Arc::new(Mutex::new(Shared {
            outcome: None,
            waker: None,
        }));
        let done = shared.clone();
        let named = thread::Builder::new().name("mhealth-request".into());
        named
            .spawn(move || {
                let outcome = work();
                let mut shared = held(&done);
                shared.outcome = Some(outcome);
                if let Some(waker) = shared.waker.take() {
                    waker.wake();
                }
            })
            .ok()?;
        Some(Self(shared))
    }
}

impl<T> Future for Elsewhere<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut shared = held(&self.0);
        match shared.outcome.take() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                shared.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Nothing is done with the lock held that could panic half-way.
fn held<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{stream::FuturesUnordered, StreamExt};
    use std::sync::mpsc;

    #[test]
    fn what_is_done_elsewhere_is_heard_of() {
        let work = Elsewhere::begin(|| 7).expect("a thread");
        assert_eq!(until_ready(work), 7);
    }

    #[test]
    fn a_pause_that_ends_first_ends_the_waiting_while_the_work_goes_on() {
        let (end, ended) = mpsc::channel::<()>();
        let mut work = Elsewhere::begin(move || ended.recv().is_ok()).expect("a thread");
        let mut pause = Pause::of(Duration::from_millis(1));
        let first = std::future::poll_fn(|context| {
            if Pin::new(&mut work).poll(context).is_ready() {
                return Poll::Ready("work");
            }
            Pin::new(&mut pause).poll(context).map(|()| "pause")
        });
        assert_eq!(until_ready(first), "pause");
        end.send(()).expect("the work goes on");
        assert!(until_ready(work));
    }

    #[test]
    fn pauses_among_many_futures_end_each_at_its_time() {
        let begun = Instant::now();
        let pause = |name: &'static str, milliseconds| async move {
            // Two in a row: the second begins only when this future is polled again.
            Pause::of(Duration::from_millis(milliseconds)).await;
            Pause::of(Duration::from_millis(milliseconds)).await;
            name
        };
        let late = Duration::from_secs(10);
        let mut deadline = pin!(Pause::of(late));
        let mut many = FuturesUnordered::new();
        many.push(pause("second", 40));
        many.push(pause("first", 10));
        let both = async {
            let first = many.next().await;
            (first, many.next().await)
        };
        let mut both = pin!(both);
        let outcome = until_ready(std::future::poll_fn(|context| {
            if deadline.as_mut().poll(context).is_ready() {
                return Poll::Ready((None, None));
            }
            both.as_mut().poll(context)
        }));
        assert_eq!(outcome, (Some("first"), Some("second")));
        assert!(begun.elapsed() < late / 2, "{:?}", begun.elapsed());
    }

    #[test]
    fn a_wait_ends_when_somebody_ends_it_and_not_before() {
        let (ending, other) = (Ending::default(), Ending::default());
        let pause = |milliseconds| Pause::of(Duration::from_millis(milliseconds));
        assert_eq!(until_ready_or(&ending, pause(1)), Some(()));
        assert!(held(&ending.0).wakers.is_empty());
        let begun = Instant::now();
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(20));
                other.end();
                ending.end();
            });
            assert_eq!(until_ready_or(&ending, pause(10_000)), None);
        });
        assert_eq!(until_ready_or(&ending, pause(10_000)), None);
        assert!(begun.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn whoever_waits_within_a_wait_wakes_nobody_else() {
        let outer = async {
            let mut pause = pin!(Pause::of(Duration::from_millis(20)));
            std::future::poll_fn(|context| {
                let polled = pause.as_mut().poll(context);
                until_ready(Pause::of(Duration::from_millis(1)));
                polled
            })
            .await;
        };
        until_ready(outer);
        assert_eq!(next_alarm(), None);
    }
}
