// SPDX-License-Identifier: Apache-2.0

//! A copy of the database, put in place of a lost one.

use mhealth_api::Code;
use mhealth_auth::log::{self, LogLine};
use mhealth_auth::store::Store;
use mhealth_server::backup::{backup, restore, CopyKind};
use mhealth_server::Database;
use serde_json::json;

use crate::support::{answer, code_of, on_both_databases, Phone, Running, Setting};

on_both_databases! {
    what_may_have_changed_since_a_copy_is_not_believed
}

async fn what_may_have_changed_since_a_copy_is_not_believed(mut setting: Setting) {
    let (phone, enrolled) = setting.enrolled().await;
    let open = setting.code().await;
    let token = setting.token(&phone, enrolled.device).await.unwrap().token;
    let file = setting.directory.path().join("copy");
    let url = setting.database_url.parse().unwrap();
    backup(&url, &file).await.unwrap();
    // After the copy: the open code is redeemed.
    let later = Phone::random();
    let request = setting.request(&later, &open.code);
    setting.enrol(&request).await.unwrap();

    let lost = setting.another_database();
    let url = lost.parse().unwrap();
    restore(&url, &file, CopyKind::Backup, Store::mend_copy)
        .await
        .unwrap();
    let (node, clock) = (setting.node_url.clone(), setting.clock.clone());
    let relays = ["--relay=http://127.0.0.1:1/", "--relay=http://127.0.0.1:2"];
    let again = Running::start(&lost, &node, clock, &relays).await.unwrap();
    std::mem::replace(&mut setting.auth, again).stop().await;
    setting.database = Database::open(&url).await.unwrap();

    // Nobody redeems it a second time, and a token that a thief of the copy could have signed is good for nothing.
    let code = json!({ "code": open.code });
    let terms = setting.post("/v1/code", &code).await;
    assert_eq!(code_of(terms).await, Code::CodeRevoked);
    let keys = setting
        .get("/.well-known/jwks.json")
        .await
        .text()
        .await
        .unwrap();
    let header = jsonwebtoken::decode_header(&token).unwrap();
    assert!(!keys.contains(&header.kid.unwrap()), "{keys}");
    // What it knew goes on, and the log says what happened.
    setting.token(&phone, enrolled.device).await.unwrap();
    let lines: Vec<LogLine> = answer(setting.admin_get("/v1/admin/log").await)
        .await
        .unwrap();
    log::verify(mhealth_api::Hash([0; 32]), &lines).unwrap();
    let told = lines
        .iter()
        .any(|line| line.action == "database restored from a copy");
    assert!(told, "{lines:?}");
}
