// SPDX-License-Identifier: Apache-2.0

//! How many work at a time, and how many wait for it.

use std::sync::{Condvar, Mutex, MutexGuard};

/// How many are at work at a time.
const AT_WORK: usize = 2;
/// How many may wait, each with a thread of its own. Whoever makes evidence asks for sixteen blocks at once.
const WAITING: usize = 30;

/// Who is at work, and who waits.
#[derive(Default)]
pub(super) struct Turns {
    now: Mutex<Now>,
    free: Condvar,
}

#[derive(Default)]
struct Now {
    at_work: usize,
    waiting: usize,
}

/// Somebody is at work until this is dropped.
pub(super) struct Turn<'a>(&'a Turns);

impl Turns {
    /// Waits for a turn. None, at once, when as many wait as may.
    pub(super) fn take(&self) -> Option<Turn<'_>> {
        let mut now = self.now();
        if now.at_work >= AT_WORK {
            if now.waiting >= WAITING {
                return None;
            }
            now.waiting += 1;
            now = self
                .free
                .wait_while(now, |now| now.at_work >= AT_WORK)
                .expect("no holder of this lock panics; qed");
            now.waiting -= 1;
        }
        now.at_work += 1;
        Some(Turn(self))
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        let now = self.now.lock();
        now.expect("no holder of this lock panics; qed")
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.now().at_work -= 1;
        self.0.free.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_few_work_some_wait_and_the_rest_is_turned_away_at_once() {
        let turns = Turns::default();
        let first: Vec<_> = (0..AT_WORK).map(|_| turns.take()).collect();
        assert!(first.iter().all(Option::is_some));
        thread::scope(|scope| {
            let waiting: Vec<_> = (0..WAITING)
                .map(|_| scope.spawn(|| turns.take().is_some()))
                .collect();
            while turns.now().waiting < WAITING {
                thread::yield_now();
            }
            assert_eq!(turns.now().at_work, AT_WORK);
            assert!(turns.take().is_none());
            drop(first);
            for waited in waiting {
                assert!(waited.join().expect("it does not panic"));
            }
        });
        let now = turns.now();
        assert_eq!((now.at_work, now.waiting), (0, 0));
    }
}
