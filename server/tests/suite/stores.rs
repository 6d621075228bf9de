// SPDX-License-Identifier: Apache-2.0

//! What every server keeps, on both databases: whose the database is, who works with the chain, and credentials.

use std::time::Duration;

use mhealth_server::credentials::{self, Change, CredentialError};
use mhealth_server::{identity, Database, Lease, Scopes, SecretText, StoreError};
use mhealth_testing::postgres::Postgres;

const LEASE: Duration = Duration::from_secs(100);

/// Runs every claim on SQLite, and all of them on one PostgreSQL server.
macro_rules! on_both_databases {
    ($($name:ident)*) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                let folder = tempfile::tempdir().unwrap();
                let url = format!("sqlite:{}", folder.path().join("one.db").display());
                super::$name(super::open(&url).await).await;
            })*
        }

        #[tokio::test]
        async fn all_of_this_holds_on_postgresql() {
            let server = Postgres::start().expect("PostgreSQL is installed, as by scripts/setup");
            $({
                eprintln!("{}", stringify!($name));
                let database = open(&server.new_database().unwrap()).await;
                $name(database.clone()).await;
                database.close().await;
            })*
        }
    };
}

on_both_databases! {
    a_lease_has_one_holder_until_its_time_is_over
    a_clock_that_was_set_back_holds_no_lease_up
    whoever_lost_the_lease_can_no_longer_write_under_it
    a_database_belongs_to_whoever_claimed_it_first
    a_credential_is_found_by_itself_and_kept_as_a_hash
    a_name_has_one_credential_until_it_is_rotated_or_removed
    a_credential_is_good_for_what_was_granted_last_and_rotation_changes_nothing_of_it
    a_credential_of_unknown_scopes_is_good_for_nothing
}

async fn open(url: &str) -> Database {
    let database = Database::open(&url.parse().unwrap()).await.unwrap();
    database.migrate(&[]).await.unwrap();
    database
}

async fn take(database: &Database, holder: &str) -> Option<Lease> {
    Lease::take(database, holder, LEASE).await.unwrap()
}

/// As if so many seconds passed by the database's clock, and back if negative.
async fn pass(database: &Database, seconds: i64) {
    sqlx::query("UPDATE lease SET expires_at = expires_at - $1")
        .bind(seconds * 1_000)
        .execute(database.pool())
        .await
        .unwrap();
}

async fn a_lease_has_one_holder_until_its_time_is_over(database: Database) {
    let first = take(&database, "one").await.unwrap();
    assert_eq!(take(&database, "two").await, None);
    pass(&database, 90).await;
    first.renew(&database).await.unwrap();
    pass(&database, 90).await;
    assert_eq!(take(&database, "two").await, None);
    pass(&database, 20).await;
    let second = take(&database, "two").await.unwrap();
    assert_eq!(take(&database, "one").await, None);
    second.give_back(&database).await.unwrap();
    // The same holder, after its memory was lost, need not wait.
    let third = take(&database, "one").await.unwrap();
    assert_ne!(take(&database, "one").await, Some(third));
}

async fn a_clock_that_was_set_back_holds_no_lease_up(database: Database) {
    let first = take(&database, "one").await.unwrap();
    pass(&database, -3_600).await;
    assert!(take(&database, "two").await.is_some());
    assert!(matches!(
        first.renew(&database).await,
        Err(StoreError::Fenced)
    ));
}

async fn whoever_lost_the_lease_can_no_longer_write_under_it(database: Database) {
    let first = take(&database, "one").await.unwrap();
    first.check(&database).await.unwrap();
    pass(&database, 101).await;
    // Late, but nobody took it.
    first.renew(&database).await.unwrap();
    pass(&database, 101).await;
    take(&database, "two").await.unwrap();
    let mut transaction = database.begin().await.unwrap();
    let held = first.hold(&database, &mut transaction).await;
    assert!(matches!(held, Err(StoreError::Fenced)));
    drop(transaction);
    for late in [first.renew(&database).await, first.check(&database).await] {
        assert!(matches!(late, Err(StoreError::Fenced)));
    }
    // And what it gives back is not its own.
    first.give_back(&database).await.unwrap();
    assert_eq!(take(&database, "one").await, None);
}

async fn a_database_belongs_to_whoever_claimed_it_first(database: Database) {
    let claim = async |chain: &str, study: &str| {
        let owners = [("chain", chain.to_owned()), ("study", study.to_owned())];
        identity::claim(&database, &owners).await
    };
    assert_eq!(identity::claimed(&database, "chain").await.unwrap(), None);
    claim("0x01", "7").await.unwrap();
    claim("0x01", "7").await.unwrap();
    assert_eq!(
        claim("0x02", "7").await.unwrap_err().to_string(),
        "this database belongs to chain 0x01, and the server was started for chain 0x02"
    );
    assert!(matches!(
        claim("0x01", "8").await,
        Err(StoreError::Foreign { what: "study", .. })
    ));
    let chain = identity::claimed(&database, "chain").await.unwrap();
    assert_eq!(chain.as_deref(), Some("0x01"));
}

async fn change(
    database: &Database,
    change: Change<'_>,
) -> Result<Option<SecretText>, CredentialError> {
    let mut transaction = database.begin().await.unwrap();
    let made = credentials::change(&mut transaction, "clerk", change, 5).await?;
    transaction.commit().await.unwrap();
    Ok(made)
}

async fn holder(database: &Database, credential: &str) -> Option<String> {
    let holder = credentials::find(database, credential).await.unwrap();
    holder.map(|holder| holder.name)
}

async fn a_credential_is_found_by_itself_and_kept_as_a_hash(database: Database) {
    let eva = change(&database, Change::Add("eva", &Scopes::all())).await;
    let eva = eva.unwrap().unwrap();
    let adam = change(&database, Change::Add("adam", &Scopes::nothing())).await;
    let adam = adam.unwrap().unwrap();
    assert!(eva.expose().starts_with("mhealth-clerk-"));
    assert_eq!(eva.expose().len(), "mhealth-clerk-".len() + 43);
    assert_eq!(holder(&database, eva.expose()).await.unwrap(), "eva");
    assert_eq!(holder(&database, adam.expose()).await.unwrap(), "adam");
    for wrong in ["", "eva", &eva.expose()[1..], &eva.expose().to_lowercase()] {
        assert_eq!(holder(&database, wrong).await, None, "{wrong}");
    }
    let listed = credentials::list(&database).await.unwrap();
    let listed: Vec<_> = listed
        .iter()
        .map(|holder| (&*holder.name, holder.scopes.clone(), holder.since))
        .collect();
    let expected = [("adam", Scopes::nothing(), 5), ("eva", Scopes::all(), 5)];
    assert_eq!(listed, expected);
    let kept: Vec<(Vec<u8>,)> = sqlx::query_as("SELECT hash FROM credentials")
        .fetch_all(database.pool())
        .await
        .unwrap();
    assert!(kept.iter().all(|(hash,)| hash.len() == 32));
}

async fn a_name_has_one_credential_until_it_is_rotated_or_removed(database: Database) {
    let first = change(&database, Change::Add("eva", &Scopes::all())).await;
    let first = first.unwrap().unwrap();
    assert!(matches!(
        change(&database, Change::Add("eva", &Scopes::all())).await,
        Err(CredentialError::NameInUse(_))
    ));
    assert_eq!(holder(&database, first.expose()).await.unwrap(), "eva");
    let second = change(&database, Change::Rotate("eva")).await;
    let second = second.unwrap().unwrap();
    assert_eq!(holder(&database, first.expose()).await, None);
    assert_eq!(holder(&database, second.expose()).await.unwrap(), "eva");
    assert_eq!(
        change(&database, Change::Remove("eva")).await.unwrap(),
        None
    );
    assert_eq!(holder(&database, second.expose()).await, None);
    for gone in [Change::Remove("eva"), Change::Rotate("eva")] {
        assert!(matches!(
            change(&database, gone).await,
            Err(CredentialError::UnknownName(_))
        ));
    }
    for bad in ["", "two words", "é", "a\0", &"x".repeat(65)] {
        assert!(matches!(
            change(&database, Change::Add(bad, &Scopes::all())).await,
            Err(CredentialError::InvalidName)
        ));
    }
}

async fn a_credential_is_good_for_what_was_granted_last_and_rotation_changes_nothing_of_it(
    database: Database,
) {
    let [codes, keys]: [Scopes; 2] =
        ["study=0 may=codes", "study=1,2 may=keys,log"].map(|text| text.parse().unwrap());
    let scopes = async |credential: &SecretText| {
        let found = credentials::find(&database, credential.expose()).await;
        found.unwrap().map(|holder| holder.scopes)
    };
    let made = change(&database, Change::Add("eva", &codes)).await;
    let first = made.unwrap().unwrap();
    assert_eq!(scopes(&first).await, Some(codes));
    let granted = change(&database, Change::Grant("eva", &keys)).await;
    assert_eq!(granted.unwrap(), None, "the credential stays");
    assert_eq!(scopes(&first).await, Some(keys.clone()));
    let made = change(&database, Change::Rotate("eva")).await;
    let second = made.unwrap().unwrap();
    assert_eq!(scopes(&first).await, None);
    assert_eq!(scopes(&second).await, Some(keys.clone()));
    assert!(matches!(
        change(&database, Change::Grant("adam", &keys)).await,
        Err(CredentialError::UnknownName(_))
    ));
}

async fn a_credential_of_unknown_scopes_is_good_for_nothing(database: Database) {
    let made = change(&database, Change::Add("eva", &Scopes::all())).await;
    let made = made.unwrap().unwrap();
    for unknown in ["all", "study 3", "study=0 may=codes,fly"] {
        sqlx::query("UPDATE credentials SET scopes = $1")
            .bind(unknown)
            .execute(database.pool())
            .await
            .unwrap();
        let found = credentials::find(&database, made.expose()).await;
        assert_eq!(found.unwrap().unwrap().scopes, Scopes::nothing());
        let listed = credentials::list(&database).await.unwrap();
        assert_eq!(listed[0].scopes.to_string(), "study=none may=none");
    }
}
