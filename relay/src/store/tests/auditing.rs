// SPDX-License-Identifier: Apache-2.0

//! Auditors and their export.

use mhealth_server::credentials::{self, Change, CredentialError};
use mhealth_server::{Scopes, SecretText};

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
    let (first, second): (Scopes, Scopes) = (
        "study=0 may=export".parse().unwrap(),
        "study=1,2 may=export".parse().unwrap(),
    );
    let made = store.change_auditor(Change::Add("eva", &first)).await;
    let credential = made.unwrap().unwrap();
    assert!(matches!(
        store.change_auditor(Change::Add("eva", &second)).await,
        Err(CredentialError::NameInUse(_))
    ));
    let auditor = async |credential: &SecretText| {
        let found = store.auditor(credential.expose()).await.unwrap();
        found.map(|holder| (holder.name, holder.scopes))
    };
    let eva = |scopes: &Scopes| Some(("eva".to_owned(), scopes.clone()));
    assert_eq!(auditor(&credential).await, eva(&first));
    assert_eq!(store.auditor("mhealth-auditor-00").await.unwrap(), None);
    let listed = credentials::list(store.database()).await.unwrap();
    assert_eq!((&*listed[0].name, listed[0].since), ("eva", 1_000_000));
    let (kept,): (Vec<u8>,) = sqlx::query_as("SELECT hash FROM credentials")
        .fetch_one(store.database().pool())
        .await
        .unwrap();
    assert_eq!(kept.len(), 32);
    store
        .change_auditor(Change::Grant("eva", &second))
        .await
        .unwrap();
    assert_eq!(auditor(&credential).await, eva(&second));
    let made = store.change_auditor(Change::Rotate("eva")).await.unwrap();
    assert_eq!(auditor(&credential).await, None);
    let credential = made.unwrap();
    assert_eq!(auditor(&credential).await, eva(&second));
    store.change_auditor(Change::Remove("eva")).await.unwrap();
    for gone in [Change::Remove("eva"), Change::Grant("eva", &first)] {
        assert!(matches!(
            store.change_auditor(gone).await,
            Err(CredentialError::UnknownName(_))
        ));
    }
    assert_eq!(auditor(&credential).await, None);
}
