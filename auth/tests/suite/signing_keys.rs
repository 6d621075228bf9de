// SPDX-License-Identifier: Apache-2.0

//! The keys that sign tokens.

use jsonwebtoken::decode_header;
use mhealth_auth::keys::KeyRing;
use mhealth_server::Clock;
use serde_json::json;

use crate::support::{on_both_databases, Setting, USUAL};
use crate::tokens::{key_set, verified};

on_both_databases! {
    keys_rotate_and_the_old_one_stays_as_long_as_its_tokens
    revoked_keys_are_gone_at_once
    who_knows_the_old_secret_opens_no_key_that_is_made_after_it_was_changed
    signing_keys_are_encrypted_and_replaced_when_the_secret_changes
}

async fn keys_rotate_and_the_old_one_stays_as_long_as_its_tokens(setting: Setting) {
    let (phone, enrolled) = setting.enrolled().await;
    let old = setting.token(&phone, enrolled.device).await.unwrap().token;
    let before = key_set(&setting).await;
    assert_eq!(before.keys.len(), 1);
    assert!(
        before.keys[0].alg.as_deref() == Some("EdDSA")
            && before.keys[0].usage.as_deref() == Some("sig")
    );
    let answer = setting
        .admin_post("/v1/admin/keys/rotate", json!({ "why": "every quarter" }))
        .await;
    assert_eq!(answer.status(), 201);
    let new = setting.token(&phone, enrolled.device).await.unwrap().token;
    let both = key_set(&setting).await;
    assert_eq!(both.keys.len(), 2);
    assert_ne!(
        decode_header(&old).unwrap().kid,
        decode_header(&new).unwrap().kid
    );
    assert_eq!(both.keys[0].kid, decode_header(&new).unwrap().kid);
    assert!(verified(&old, &both).is_some() && verified(&new, &both).is_some());
    // 600 seconds of life and 120 of skew.
    setting.clock.advance(719);
    assert!(verified(&old, &key_set(&setting).await).is_some());
    setting.clock.advance(1);
    let after = key_set(&setting).await;
    assert_eq!(after.keys.len(), 1);
    assert!(verified(&old, &after).is_none() && verified(&new, &after).is_some());
}

async fn revoked_keys_are_gone_at_once(setting: Setting) {
    let (phone, enrolled) = setting.enrolled().await;
    let stolen = setting.token(&phone, enrolled.device).await.unwrap().token;
    let rotate = json!({ "why": "every quarter" });
    setting.admin_post("/v1/admin/keys/rotate", rotate).await;
    let seen = setting.token(&phone, enrolled.device).await.unwrap().token;
    assert_eq!(key_set(&setting).await.keys.len(), 2);
    let revoke = json!({ "why": "a copy of the database is in other hands" });
    let made = setting.admin_post("/v1/admin/keys/revoke", revoke).await;
    assert_eq!(made.status(), 201);
    let keys = key_set(&setting).await;
    assert_eq!(keys.keys.len(), 1);
    assert!(verified(&stolen, &keys).is_none() && verified(&seen, &keys).is_none());
    let new = setting.token(&phone, enrolled.device).await.unwrap().token;
    assert!(verified(&new, &keys).is_some());
}

async fn who_knows_the_old_secret_opens_no_key_that_is_made_after_it_was_changed(setting: Setting) {
    let (phone, enrolled) = setting.enrolled().await;
    let stolen = setting.token(&phone, enrolled.device).await.unwrap().token;
    let ring = |secret: &str| KeyRing::new(setting.store.clone(), &secret.to_owned().into());
    let (thief, owner) = (ring("//Charlie"), ring("another"));
    assert!(thief.signing().await.is_ok());
    // As the runbook says: the new secret first.
    let revoked = owner.revoke("a thief has the machine", "operator", setting.clock.now());
    revoked.await.unwrap();
    assert!(thief.signing().await.is_err());
    let usual = [USUAL, &["--key-secret=another"]].concat();
    let setting = setting.restart(&usual).await;
    let keys = key_set(&setting).await;
    assert_eq!(keys.keys.len(), 1);
    assert!(verified(&stolen, &keys).is_none());
    let new = setting.token(&phone, enrolled.device).await.unwrap().token;
    assert!(verified(&new, &keys).is_some());
}

async fn signing_keys_are_encrypted_and_replaced_when_the_secret_changes(setting: Setting) {
    let before = key_set(&setting).await;
    let wrapped = "SELECT wrapped FROM signing_keys ORDER BY id DESC LIMIT 1";
    let (sealed,): (Vec<u8>,) = sqlx::query_as(wrapped)
        .fetch_one(setting.database.pool())
        .await
        .unwrap();
    // Nonce, key, tag.
    assert_eq!(sealed.len(), 12 + 32 + 16);
    let setting = setting.restart(&[]).await;
    assert_eq!(key_set(&setting).await, before);
    let setting = setting.restart(&["--key-secret=another"]).await;
    let after = key_set(&setting).await;
    assert_eq!(after.keys.len(), 2);
    assert_eq!(after.keys[1], before.keys[0]);
    let forgotten = "SELECT COUNT(*) FROM signing_keys WHERE wrapped IS NOT NULL";
    let (kept,): (i64,) = sqlx::query_as(forgotten)
        .fetch_one(setting.database.pool())
        .await
        .unwrap();
    assert_eq!(kept, 1);
}
