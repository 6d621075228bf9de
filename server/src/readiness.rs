// SPDX-License-Identifier: Apache-2.0

//! Whether a server can do all of its work, part by part: for `/readyz`, and as metrics for alarms.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use mhealth_api::{Code, Problem};
use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};

use crate::ApiError;

/// How long a part may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long the chain may take to answer when an operator asks whether a server is ready.
const CHAIN_PATIENCE: Duration = Duration::from_secs(3);
/// How far this machine's clock may be behind the chain's.
const BEHIND: u64 = 30;

type Look = Arc<
    dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), ApiError>> + Send>> + Send + Sync + 'static,
>;

/// The parts that a server cannot do without. Cheap to clone.
#[derive(Clone)]
pub struct Readiness {
    parts: Vec<(&'static str, Look)>,
    ready: IntGaugeVec,
    head_age: IntGauge,
}

impl Readiness {
    /// Nothing is looked at yet.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let help = "1 while this part of the server is as it should be, 0 while it is not; /readyz says why.";
        let ready = IntGaugeVec::new(Opts::new("mhealth_ready", help), &["part"])?;
        let help = "Age of the latest final block by this machine's clock; below 0 when the clock is behind.";
        let head_age = IntGauge::new("mhealth_chain_head_age_seconds", help)?;
        registry.register(Box::new(ready.clone()))?;
        registry.register(Box::new(head_age.clone()))?;
        Ok(Self {
            parts: Vec::new(),
            ready,
            head_age,
        })
    }

    /// Adds a part, and how to see whether it is as it should be.
    pub fn part<C, F>(mut self, name: &'static str, look: C) -> Self
    where
        C: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), ApiError>> + Send + 'static,
    {
        self.parts.push((name, Arc::new(move || Box::pin(look()))));
        self
    }

    /// Age of the latest final block, as [`chain_clock`] writes it down.
    pub fn head_age(&self) -> IntGauge {
        self.head_age.clone()
    }

    /// Looks at all parts. The problem has the code of the first that is not as it should be, and names all of them.
    pub async fn look(&self) -> Result<(), ApiError> {
        let looks = self.parts.iter().map(|(name, look)| async move {
            let seen = tokio::time::timeout(PATIENCE, look()).await;
            let seen = seen.unwrap_or_else(|_| Err(not_ready("It does not answer.")));
            self.ready
                .with_label_values(&[*name])
                .set(seen.is_ok().into());
            seen.err().map(|error| (*name, error))
        });
        let faults: Vec<_> = join_all(looks).await.into_iter().flatten().collect();
        let Some((_, first)) = faults.first() else {
            return Ok(());
        };
        let reasons: Vec<String> = faults
            .iter()
            .map(|(name, error)| format!("{name}: {}", error.problem().detail))
            .collect();
        Err(ApiError::from(Problem {
            detail: reasons.join(" "),
            ..first.problem().clone()
        }))
    }
}

/// `not_ready`, with a sentence that says what is missing.
pub fn not_ready(detail: impl Into<String>) -> ApiError {
    ApiError::new(Code::NotReady, detail)
}

/// Whether the chain answers a question, whichever it is.
pub async fn chain_answers<T, E>(
    question: impl Future<Output = Result<T, E>>,
) -> Result<T, ApiError> {
    match tokio::time::timeout(CHAIN_PATIENCE, question).await {
        Ok(Ok(answer)) => Ok(answer),
        _ => Err(Code::ChainUnavailable.into()),
    }
}

/// Whether the time of the latest final block, in seconds since 1970, fits this machine's clock: it is at most so old, and not
/// in the future. Zero: however old it is. None for a block whose time says nothing.
pub fn chain_clock(
    head: Option<u64>,
    now: u64,
    oldest: u64,
    age: &IntGauge,
) -> Result<(), ApiError> {
    let Some(head) = head else {
        return Ok(());
    };
    age.set(now as i64 - head as i64);
    if head > now + BEHIND {
        return Err(not_ready(format!(
            "This machine's clock is {} seconds behind the chain's.",
            head - now
        )));
    }
    if oldest > 0 && now > head + oldest {
        return Err(not_ready(format!(
            "The latest final block is {} seconds old: the node does not keep up, the chain stands still, or this machine's clock \
             is ahead.",
            now - head
        )));
    }
    Ok(())
}

/// Whether what has waited for longest, such as "A run", has done so for no more than so many seconds. 0: however long.
pub fn queue(what: &str, age: u64, most: u64) -> Result<(), ApiError> {
    match most > 0 && age > most {
        true => Err(not_ready(format!("{what} has waited for {age} seconds."))),
        false => Ok(()),
    }
}

/// Whether a folder has so many bytes left.
pub fn disk(folder: &Path, least: u64) -> Result<(), ApiError> {
    let free = free_bytes(folder)
        .map_err(|error| not_ready(format!("What is left of it cannot be read: {error}.")))?;
    match free >= least {
        true => Ok(()),
        false => Err(not_ready(format!(
            "{} MiB are left, and {} are wanted.",
            free >> 20,
            least >> 20
        ))),
    }
}

/// Bytes that are left where a folder is, for those who are not root.
pub fn free_bytes(folder: &Path) -> std::io::Result<u64> {
    // A name without a folder is in this one.
    let folder = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    let room = rustix::fs::statvfs(folder)?;
    Ok(room.f_bavail.saturating_mul(room.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(seen: Result<(), ApiError>) -> Option<Code> {
        seen.err().and_then(|error| error.problem().known_code())
    }

    #[tokio::test]
    async fn every_part_that_is_missing_is_named_and_counted() {
        let registry = Registry::new();
        let readiness = Readiness::register(&registry)
            .unwrap()
            .part("one", || async { Ok(()) })
            .part("two", || async { Err(not_ready("It is away.")) })
            .part("three", || async { Err(Code::ChainUnavailable.into()) });
        let problem = readiness.look().await.unwrap_err().problem().clone();
        assert_eq!(problem.known_code(), Some(Code::NotReady));
        let expected = "two: It is away. three: The chain cannot be reached at present.";
        assert_eq!(problem.detail, expected);
        let counted = prometheus::TextEncoder::new().encode_to_string(&registry.gather());
        let counted = counted.unwrap();
        for (part, ready) in [("one", 1), ("two", 0), ("three", 0)] {
            let line = format!("mhealth_ready{{part=\"{part}\"}} {ready}\n");
            assert!(counted.contains(&line), "{counted}");
        }
    }

    #[test]
    fn a_clock_that_is_ahead_or_behind_is_noticed_both_ways() {
        let age = IntGauge::new("age", "Age.").unwrap();
        let judged = |head: u64, oldest: u64| code(chain_clock(Some(head), 1_000, oldest, &age));
        assert_eq!(judged(1_000, 120), None);
        assert_eq!(judged(880, 120), None);
        assert_eq!(judged(1_030, 120), None);
        assert_eq!(judged(879, 120), Some(Code::NotReady));
        assert_eq!(age.get(), 121);
        assert_eq!(judged(1_031, 120), Some(Code::NotReady));
        assert_eq!(judged(1_031, 0), Some(Code::NotReady));
        assert_eq!(age.get(), -31);
        assert_eq!(judged(1, 0), None);
        assert_eq!(code(chain_clock(None, 1_000, 120, &age)), None);
    }

    #[test]
    fn a_full_disk_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(code(disk(folder.path(), 1)), None);
        assert_eq!(code(disk(folder.path(), u64::MAX)), Some(Code::NotReady));
        assert_eq!(
            code(disk(&folder.path().join("none"), 1)),
            Some(Code::NotReady)
        );
        assert_eq!(code(disk(Path::new(""), 1)), None);
    }
}
