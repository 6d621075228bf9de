// SPDX-License-Identifier: Apache-2.0

//! More phones enrol than the server has places for, finality stands still, and a stolen phone is suspended all the same.

use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

use mhealth_api::{Another, DeviceStatus, EnrolmentCode, Hash};
use mhealth_auth::codes::NewCode;
use mhealth_auth::store::{Admin, Redemption, Store};
use mhealth_chain_client::ChainClient;
use mhealth_server::{Clock, Database, Scopes};
use mhealth_testing::node::Launch;
use mhealth_testing::rpc::JsonRpc;
use serde_json::{json, Value};

use crate::processes::{enrol, issue, launch};
use crate::readiness::until_told;
use crate::support::{on_both_databases, Phone, Setting};

on_both_databases! {
    a_phone_is_suspended_however_many_others_enrol
}

/// More than the server has under way.
const PHONES: usize = 520;
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes a block, which is final if that is wished.
async fn seal(node: &JsonRpc, is_final: bool) {
    let params = [json!(true), json!(is_final)];
    let made: Result<Value, _> = node.request("engine_createBlock", &params).await;
    made.expect("the node makes a block");
}

/// Makes final blocks until this is done.
async fn with_finality<T>(node: &JsonRpc, what: impl Future<Output = T>) -> T {
    let mut what = pin!(what);
    loop {
        tokio::select! {
            done = &mut what => return done,
            () = seal(node, true) => {}
        }
    }
}

/// So many phones redeem codes that a clerk made for them.
async fn redeem(setting: &Setting, store: &Store, chain: [u8; 32]) {
    let chain = Hash(chain);
    let clerk = Admin {
        name: "clerk".into(),
        scopes: Scopes::all(),
    };
    let now = setting.clock.now();
    for number in 0..PHONES {
        let code = EnrolmentCode::new(&rand::random(), &chain, None);
        let new = NewCode {
            participant: format!("P-{number}"),
            participant_key: None,
            predecessor: None,
            expires_in: None,
            another: Some(Another::Additional),
        };
        let id = store.issue_code(&clerk, new, &code, now + 3_600, now).await;
        let id = id.unwrap().expect("the participant is new");
        let request = setting.request(&Phone::random(), &code.reveal());
        let redeemed = store.redeem(id, &request, now).await.unwrap();
        assert_eq!(redeemed, Redemption::Redeemed);
    }
}

async fn a_phone_is_suspended_however_many_others_enrol(mut setting: Setting) {
    let node = Launch::consensus().arg("--sealing=manual").start().unwrap();
    let chain = ChainClient::connect(&node.url()).await.unwrap();
    let hand = JsonRpc::connect(&node.url()).await.unwrap();
    setting.database_url = setting.another_database();
    let launch = launch(&setting, &node.url()).arg("--patience=600");
    setting.admin = launch.add_admin("nurse").unwrap();
    let auth = launch.start().unwrap();
    let url = auth.url();
    let code = issue(&setting, &url, "P").await;
    let request = setting.request(&Phone::random(), &code.code);
    let enrolled = with_finality(&hand, enrol(&setting, &url, &request)).await;
    let device = enrolled.unwrap().device;

    // From here on nothing becomes final, so each enrolment that is begun keeps its place.
    let database = Database::open(&setting.database_url.parse().unwrap()).await;
    let store = Store::open(database.unwrap()).await.unwrap();
    redeem(&setting, &store, chain.genesis_hash().0).await;
    let request = setting
        .http
        .post(format!("{url}/v1/admin/devices/{device}/suspend"))
        .bearer_auth(&setting.admin)
        .json(&json!({ "why": "reported stolen", "reason": "lost" }));
    let suspending = tokio::spawn(request.send());
    let deadline = Instant::now() + PATIENCE;
    loop {
        let best = chain.best_block().await.unwrap();
        let view = chain.at(best.hash).await.unwrap();
        let found = view.device(device).await.unwrap();
        if found.unwrap().status == DeviceStatus::Suspended {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "what staff order waits for phones"
        );
        seal(&hand, false).await;
    }
    // Those that wait are counted while no place is free, however many they are: nothing was final.
    let waiting = format!("mhealth_auth_orders_pending {}", PHONES + 1);
    until_told(&setting, &url, &waiting).await;
    let suspended = with_finality(&hand, suspending).await;
    assert_eq!(suspended.unwrap().unwrap().status(), 200);
}
