// SPDX-License-Identifier: Apache-2.0

//! One question for all who ask the same at the same time.

use std::future::Future;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// Asks once for all who ask at the same time, and not too often. Nobody is given an answer to a question that was put before they
/// came, so what they hear is as fresh as if each had asked alone; it may come a little later. What a question costs, such as a
/// node's time, has a bound by that, however many ask.
#[derive(Debug)]
pub struct Together<T> {
    /// Between the beginnings of two questions.
    apart: Duration,
    /// Held by whoever asks, while the others wait.
    last: Mutex<Option<Heard<T>>>,
}

#[derive(Debug)]
struct Heard<T> {
    asked: Instant,
    answer: T,
}

impl<T: Clone> Together<T> {
    /// Questions begin at least so long one after the other.
    pub fn new(apart: Duration) -> Self {
        Self {
            apart,
            last: Mutex::new(None),
        }
    }

    /// The answer to this question, which is not put if another one that was put in the meantime has been answered. All questions
    /// must be the same.
    pub async fn ask(&self, question: impl Future<Output = T>) -> T {
        let came = Instant::now();
        let mut last = self.last.lock().await;
        if let Some(heard) = last.as_ref() {
            if heard.asked >= came {
                return heard.answer.clone();
            }
            let next = heard.asked + self.apart;
            if Instant::now() < next {
                tokio::time::sleep_until(next).await;
            }
        }
        let asked = Instant::now();
        let answer = question.await;
        *last = Some(Heard {
            asked,
            answer: answer.clone(),
        });
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::future::join_all;
    use futures::poll;
    use tokio::sync::Notify;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn those_who_come_while_one_waits_share_the_next_answer() {
        let together = Together::new(Duration::ZERO);
        let (put, go_on) = (AtomicU32::new(0), Notify::new());
        let question = || async {
            let number = put.fetch_add(1, Ordering::Relaxed);
            go_on.notified().await;
            number
        };
        let mut first = pin!(together.ask(question()));
        assert!(poll!(&mut first).is_pending());
        // These come when the first question was put already, so its answer may be too old for them.
        let mut others = pin!(join_all((0..20).map(|_| together.ask(question()))));
        assert!(poll!(&mut others).is_pending());
        go_on.notify_one();
        assert_eq!(first.await, 0);
        assert!(poll!(&mut others).is_pending());
        go_on.notify_one();
        let others = timeout(Duration::from_secs(10), others).await;
        assert_eq!(others.expect("they share it"), [1; 20]);
        assert_eq!(put.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn whoever_comes_later_is_answered_anew_and_not_too_soon() {
        let apart = Duration::from_millis(100);
        let together = Together::new(apart);
        let put = AtomicU32::new(0);
        let began = Instant::now();
        for expected in 0..4 {
            let question = async { put.fetch_add(1, Ordering::Relaxed) };
            assert_eq!(together.ask(question).await, expected);
        }
        assert!(began.elapsed() >= 3 * apart);
    }

    #[tokio::test]
    async fn who_leaves_keeps_nobody_waiting() {
        let together = Together::new(Duration::ZERO);
        {
            let mut gone = pin!(together.ask(std::future::pending::<u32>()));
            assert!(poll!(&mut gone).is_pending());
        }
        assert_eq!(together.ask(async { 7 }).await, 7);
    }
}
