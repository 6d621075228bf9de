// SPDX-License-Identifier: Apache-2.0

//! What every server does beside answering, and what happens when that ends.

use clap::Parser;

use super::*;
use crate::staff::StaffListener;
use crate::{install_crypto, PartDied, ServerOptions};

#[derive(Parser)]
struct Options {
    #[command(flatten)]
    server: ServerOptions,
}

#[tokio::test]
async fn a_server_whose_staff_are_not_served_any_more_ends() {
    install_crypto();
    let options = Options::parse_from(["test"]).server;
    let mut bound = options.bind().await.expect("a port is free");
    bound.staff = Some(StaffListener::gone());
    let server = Server::new("test", "A server for tests.", bound);
    let stop = CancellationToken::new();
    let ended = tokio::time::timeout(Duration::from_secs(60), server.serve(stop.clone())).await;
    let error = ended.expect("it does not go on").expect_err("a part died");
    assert_eq!(error.downcast_ref(), Some(&PartDied("staff")));
    assert!(stop.is_cancelled());
}
