// SPDX-License-Identifier: Apache-2.0

//! Submitter and follower against a node that misbehaves on demand.

mod connecting;
mod entries;
mod errors;
mod following;
mod rotations;
mod stalled;
mod submitting;

use std::future::Future;
use std::time::Duration;

/// Long enough for anything in memory, so that a test that hangs fails.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    let patience = Duration::from_secs(20);
    let done = tokio::time::timeout(patience, future).await;
    done.expect("it did not happen")
}

/// Waits until the condition holds, giving the other tasks the word in between.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    soon(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}
