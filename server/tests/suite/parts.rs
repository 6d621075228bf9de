// SPDX-License-Identifier: Apache-2.0

//! What a server does beside answering, and what happens when that ends.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::options;
use mhealth_server::{install_crypto, CancellationToken, Limits, PartDied, Server};
use tokio::sync::Notify;

async fn server() -> Server {
    install_crypto();
    let bound = options(&[]).bind().await.expect("a port is free");
    let limits = Limits {
        stop_timeout: Duration::from_millis(500),
        ..Limits::default()
    };
    Server::new("test", "A server for tests.", bound).limits(limits)
}

/// Serves with a part that waits for this, and then does that; says how it ended.
async fn dies(end: impl Future<Output = ()> + Send + 'static) -> anyhow::Result<()> {
    let (die, stop) = (Arc::new(Notify::new()), CancellationToken::new());
    let dying = die.clone();
    let healthy = stop.clone();
    let server = server()
        .await
        .background("healthy", async move { healthy.cancelled().await })
        .background("sick", async move {
            dying.notified().await;
            end.await;
        });
    let url = server.base_url();
    let task = tokio::spawn(server.serve(stop.clone()));
    let answer = reqwest::get(format!("{url}/healthz")).await.unwrap();
    assert_eq!(answer.status(), 200);
    die.notify_one();
    let ended = tokio::time::timeout(Duration::from_secs(10), task).await;
    assert!(stop.is_cancelled());
    assert!(reqwest::get(format!("{url}/healthz")).await.is_err());
    ended.expect("the server ends").expect("it does not panic")
}

#[tokio::test]
async fn a_part_that_panics_ends_the_server_which_says_so() {
    let ended = dies(async { panic!("no more") }).await.unwrap_err();
    assert_eq!(ended.downcast_ref(), Some(&PartDied("sick")));
    assert!(ended.to_string().contains("sick"), "{ended}");
}

#[tokio::test]
async fn a_part_that_ends_without_being_told_to_ends_the_server_too() {
    let ended = dies(async {}).await.unwrap_err();
    assert_eq!(ended.downcast_ref(), Some(&PartDied("sick")));
}

#[tokio::test]
async fn a_server_that_is_told_to_stop_ends_well_and_waits_for_no_part_for_ever() {
    let stop = CancellationToken::new();
    let good = stop.clone();
    let server = server()
        .await
        .background("good", async move { good.cancelled().await })
        .background("stubborn", std::future::pending());
    let task = tokio::spawn(server.serve(stop.clone()));
    stop.cancel();
    let began = Instant::now();
    task.await.unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_secs(5));
}
