// SPDX-License-Identifier: Apache-2.0

//! What becomes of a relay of which a part dies.

use std::sync::atomic::{AtomicBool, Ordering};

use clap::Parser;
use mhealth_api::Code;
use mhealth_server::{install_crypto, BodyShare, Clock, PartDied};

use super::*;
use crate::directory::{Device, Found};
use crate::outbox::tests::chain::FakeChain;
use crate::testing::TestDevice;

/// A clock that breaks when it is told to.
#[derive(Default)]
struct Fragile(AtomicBool);

impl Clock for Fragile {
    fn now_millis(&self) -> u64 {
        assert!(!self.0.load(Ordering::SeqCst), "it is broken");
        1_800_000_000_000
    }

    fn passed(&self) -> Duration {
        SystemClock.passed()
    }
}

/// A relay on a chain in memory, whose database has a clock of its own.
struct Site {
    app: Arc<App>,
    server: Server,
    chain: FakeChain,
    clock: Arc<Fragile>,
    stop: CancellationToken,
    _files: tempfile::TempDir,
}

async fn site() -> Site {
    install_crypto();
    let files = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", files.path().join("relay.db").display());
    let arguments = ["mhealth-relay", "--database", &database, "--account=//Dave"];
    let options = Options::try_parse_from(arguments).unwrap();
    let (chain, clock) = (FakeChain::new(), Arc::new(Fragile::default()));
    let ground = Ground::lay(&options.server).await.unwrap();
    let store = Store::open(ground.database.clone(), clock.clone());
    let bound = options.server.bind().await.unwrap();
    let steady: SharedClock = Arc::new(SystemClock);
    let addresses = bound.known_as(Vec::new(), "--address").unwrap();
    let secret = options.chain.account_secret().unwrap();
    let proofs = Proofs::new(addresses.clone(), &secret, 30, steady.clone());
    let parts = Parts::new(
        &options.relay,
        store.await.unwrap(),
        (Arc::new(chain.clone()), None),
        (addresses, proofs),
        steady,
        Bounds::of(&options.server).unwrap(),
        &ground,
    )
    .unwrap();
    let stop = CancellationToken::new();
    Site {
        app: parts.app.clone(),
        server: parts.server(ground, bound, &stop),
        chain,
        clock,
        stop,
        _files: files,
    }
}

fn died(ended: anyhow::Result<()>) -> PartDied {
    let error = ended.expect_err("a part of it died");
    *error.downcast_ref().expect("it says which part")
}

#[tokio::test]
async fn a_relay_whose_outbox_dies_ends_and_says_so() {
    let site = site().await;
    site.chain.go_mad();
    drop(site.app);
    let serving = site.server.serve(site.stop);
    let ended = tokio::time::timeout(Duration::from_secs(20), serving).await;
    assert_eq!(died(ended.unwrap()), PartDied("outbox"));
}

#[tokio::test]
async fn a_relay_whose_writer_dies_ends_and_says_so_and_acknowledges_nothing_more() {
    let site = site().await;
    let mut device = TestDevice::new(1);
    site.chain.enrol(device.number(), device.genesis());
    let serving = tokio::spawn(site.server.serve(site.stop));
    let found = Found {
        number: device.number(),
        device: Device {
            study: hashchain::StudyId(0),
            key: device.key(),
            status: mhealth_api::DeviceStatus::Active,
        },
        head: Some(device.genesis()),
    };
    let app = site.app;
    let upload = async |run| {
        let share = BodyShare::of_nobody();
        app.intake.upload(found.clone(), run, share).await
    };
    upload(device.run(1)).await.unwrap();
    // The outbox has the same clock, and looks at it when it has something to send.
    site.chain.go_away(true);
    site.clock.0.store(true, Ordering::SeqCst);
    let run = device.run(1);
    let refused = upload(run.clone()).await.unwrap_err();
    assert_eq!(refused.problem().known_code(), Some(Code::ShuttingDown));
    let refused = upload(run).await.unwrap_err();
    assert_eq!(refused.problem().known_code(), Some(Code::ShuttingDown));
    let ended = tokio::time::timeout(Duration::from_secs(20), serving).await;
    assert_eq!(died(ended.unwrap().unwrap()), PartDied("writer"));
}
