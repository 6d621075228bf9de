// SPDX-License-Identifier: Apache-2.0

//! Auditors and their export.

use mhealth_server::credentials::{self, Change, CredentialError};
use mhealth_server::SecretText;

use super::*;
use crate::testing::TestDevice;

pub(super) async fn export_resumes(scratch: Scratch) {
    let store = &scratch.store;
    let mut uploads = Vec::new();
    for number in 0..20 {
        let mut device = TestDevice::new(number);
        let genesis = device.genesis();
        let upload = device.run(2);
        accept(store, &[candidate(device.check(upload.clone()), genesis)]).await;
        uploads.push(upload);
    }
    let mut query = ExportQuery {
        study: StudyId(0),
        after: 0,
    };
    let mut exported = Vec::new();
    loop {
        let page = store.export(query).await.unwrap();
        let Some(last) = page.last() else { break };
        query.after = last.cursor;
        exported.extend(page);
    }
    assert!(exported.is_sorted_by_key(|run| run.cursor));
    let entries: Vec<_> = exported.iter().map(|run| run.entries.clone()).collect();
    let expected: Vec<_> = uploads.iter().map(|run| run.entries.clone()).collect();
    assert_eq!(entries, expected);
    assert_eq!(exported[0].signature, uploads[0].signature);
    assert_eq!(exported[0].received_at, 1_000_000);
    let other_study = ExportQuery {
        after: 0,
        study: StudyId(5),
    };
    assert!(store.export(other_study).await.unwrap().is_empty());
}

pub(super) async fn auditors(scratch: Scratch) {
    let store = &scratch.store;
    let made = store.change_auditor(Change::Add("eva")).await.unwrap();
    let credential = made.unwrap();
    assert!(matches!(
        store.change_auditor(Change::Add("eva")).await,
        Err(CredentialError::NameInUse(_))
    ));
    let auditor = async |credential: &SecretText| store.auditor(credential.expose()).await.unwrap();
    assert_eq!(auditor(&credential).await.as_deref(), Some("eva"));
    assert_eq!(store.auditor("mhealth-auditor-00").await.unwrap(), None);
    let listed = credentials::list(store.database()).await.unwrap();
    assert_eq!((&*listed[0].name, listed[0].since), ("eva", 1_000_000));
    let (kept,): (Vec<u8>,) = sqlx::query_as("SELECT hash FROM credentials")
        .fetch_one(store.database().pool())
        .await
        .unwrap();
    assert_eq!(kept.len(), 32);
    let made = store.change_auditor(Change::Rotate("eva")).await.unwrap();
    assert_eq!(auditor(&credential).await, None);
    let credential = made.unwrap();
    assert_eq!(auditor(&credential).await.as_deref(), Some("eva"));
    store.change_auditor(Change::Remove("eva")).await.unwrap();
    assert!(matches!(
        store.change_auditor(Change::Remove("eva")).await,
        Err(CredentialError::UnknownName(_))
    ));
    assert_eq!(auditor(&credential).await, None);
}
