// SPDX-License-Identifier: Apache-2.0

//! The address at which browsers reach a node by WebRTC. `tests/clients` has a browser that does.

use anyhow::{Context, Result};
use mhealth_testing::node::{self, Launch, Node};
use mhealth_testing::rpc::JsonRpc;

const LISTEN: &str = "--listen-addr=/ip4/127.0.0.1/udp/0/webrtc-direct";

/// Where a node listens for others.
async fn addresses(node: &Node) -> Result<Vec<String>> {
    let client = JsonRpc::connect(&node.url()).await?;
    Ok(client.request("system_localListenAddresses", &[]).await?)
}

/// What the address says of the node behind its port: the certificate's hash, and who the node is.
async fn identity(node: &Node) -> Result<String> {
    let addresses = addresses(node).await?;
    let identity = addresses
        .iter()
        .find_map(|address| address.split_once("/webrtc-direct/"));
    let (_, identity) = identity.context("the node has no address for WebRTC")?;
    Ok(identity.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_for_browsers_names_the_same_certificate_after_a_restart() {
    let mut node = Launch::instant().arg(LISTEN).start().expect("it starts");
    let before = identity(&node).await.expect("it listens");
    assert!(before.starts_with("certhash/uEi"), "{before}");
    assert!(before.contains("/p2p/12D3KooW"), "{before}");
    node.stop().expect("it stops");
    node.start_again().expect("it starts");
    assert_eq!(identity(&node).await.expect("it listens"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_listens_for_browsers_only_when_it_is_told_to() {
    let for_browsers = async |launch: Launch| {
        let node = launch.start().expect("it starts");
        let addresses = addresses(&node).await.expect("it answers");
        assert!(!addresses.is_empty(), "it listens nowhere");
        let has = |address: &String| address.contains("/webrtc-direct");
        addresses.iter().any(has)
    };
    // Not a validator, at a free port.
    let launch = || {
        let launch = Launch::bare().listening_as_usual();
        launch.arg("--chain=local").arg("--port=0")
    };

    assert!(!for_browsers(launch()).await);
    assert!(for_browsers(launch().arg("--force-enable-webrtc")).await);
}

#[test]
fn an_address_for_browsers_that_cannot_be_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let base = format!("--base-path={}", folder.path().display());
    let refusal = |options: [&str; 2]| {
        let arguments = ["--dev", &base].into_iter().chain(options);
        let refused = node::subcommand(arguments).expect_err("it must not start");
        format!("{refused:#}")
    };

    let other_library = refusal(["--network-backend=libp2p", LISTEN]);
    assert!(
        other_library.contains("only supported by the litep2p network backend"),
        "{other_library}"
    );
    let with_more = refusal(["--no-mdns", &format!("{LISTEN}/ws")]);
    assert!(with_more.contains("nothing after it"), "{with_more}");
    let nobody_listens = refusal([
        "--listen-addr=/ip4/127.0.0.1/tcp/0",
        "--public-addr=/ip4/192.0.2.7/udp/30333/webrtc-direct",
    ]);
    assert!(
        nobody_listens.contains("does not listen on any `webrtc-direct` address"),
        "{nobody_listens}"
    );
}
