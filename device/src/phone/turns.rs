// SPDX-License-Identifier: Apache-2.0

//! Who may use a phone's book, and who may ask the chain.

use core::{
    future::{poll_fn, Future},
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
};

use crate::lock::Mutex;

/// Work on a phone's book, one piece at a time. What is awaited is polled under the lock, and the lock is free in between: the rules
/// of this library never leave a list of writes open across an await.
#[derive(Default)]
pub(super) struct Turns {
    book: Mutex<()>,
    busy: AtomicBool,
}

/// That somebody asks the chain. Ends when it is dropped.
pub(super) struct Busy<'a>(&'a AtomicBool);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Turns {
    /// Does something at once, alone.
    pub(super) fn alone<T>(&self, work: impl FnOnce() -> T) -> T {
        let _turn = self.book.lock();
        work()
    }

    /// Does something that waits, alone whenever it does not.
    pub(super) async fn in_turns<F: Future>(&self, work: F) -> F::Output {
        let mut work = pin!(work);
        poll_fn(|context| {
            let _turn = self.book.lock();
            work.as_mut().poll(context)
        })
        .await
    }

    /// Leave to ask the chain, if nobody does.
    pub(super) fn ask(&self) -> Option<Busy<'_>> {
        let free = self
            .busy
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed);
        free.is_ok().then(|| Busy(&self.busy))
    }
}
