// SPDX-License-Identifier: Apache-2.0

//! Runs a phone's futures on the thread that called, with threads for what the host does meanwhile. Needs no executor.

use std::cell::Cell;
use std::future::Future;
use std::pin::{pin, Pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

thread_local! {
    /// When the future that runs on this thread wants to be asked again at the latest.
    static ALARM: Cell<Option<Instant>> = const { Cell::new(None) };
}

struct Caller(Thread);

impl Wake for Caller {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits on this thread until a future is ready.
pub(crate) fn until_ready<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Caller(thread::current())));
    loop {
        ALARM.set(None);
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        match ALARM.get() {
            Some(alarm) => thread::park_timeout(alarm.saturating_duration_since(Instant::now())),
            None => thread::park(),
        }
    }
}

/// A pause. Works on a thread that is in [`until_ready`].
pub(crate) struct Pause(Instant);

impl Pause {
    pub(crate) fn of(time: Duration) -> Self {
        // Some platforms cannot add years to a moment; nobody waits for so long.
        const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
        Self(Instant::now() + time.min(LONGEST))
    }
}

impl Future for Pause {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.0 {
            return Poll::Ready(());
        }
        let sooner = ALARM.get().map_or(self.0, |alarm| alarm.min(self.0));
        ALARM.set(Some(sooner));
        Poll::Pending
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
fn held<T>(shared: &Mutex<Shared<T>>) -> MutexGuard<'_, Shared<T>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
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
}
