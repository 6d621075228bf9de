// SPDX-License-Identifier: Apache-2.0

//! Auditors and their export.

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
    let mut query = ExportQuery::default();
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
        study: Some(5),
    };
    assert!(store.export(other_study).await.unwrap().is_empty());
}

pub(super) async fn auditors(scratch: Scratch) {
    let store = &scratch.store;
    let credential = store.add_auditor("eva").await.unwrap().unwrap();
    assert!(store.add_auditor("eva").await.unwrap().is_none());
    assert_eq!(
        store.auditor(&credential).await.unwrap().as_deref(),
        Some("eva")
    );
    assert_eq!(store.auditor("mhealth-auditor-00").await.unwrap(), None);
    assert_eq!(
        store.auditors().await.unwrap(),
        [("eva".to_owned(), 1_000_000)]
    );
    let (kept,): (Vec<u8>,) = sqlx::query_as("SELECT credential FROM auditors")
        .fetch_one(store.database().pool())
        .await
        .unwrap();
    assert_eq!(kept.len(), 32);
    assert!(store.remove_auditor("eva").await.unwrap());
    assert!(!store.remove_auditor("eva").await.unwrap());
    assert_eq!(store.auditor(&credential).await.unwrap(), None);
}
