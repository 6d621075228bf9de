// SPDX-License-Identifier: Apache-2.0

use mhealth_server::ManualClock;

use super::*;

#[test]
fn an_issuer_is_read_from_one_text() {
    let issuer: TrustedIssuer = "issuer=https://auth.example,study=3".parse().unwrap();
    assert_eq!(issuer.jwks, "https://auth.example/.well-known/jwks.json");
    assert_eq!(
        (issuer.issuer.as_str(), issuer.study),
        ("https://auth.example", StudyId(3))
    );
    let slash: TrustedIssuer = "issuer=HTTPS://Auth.Example:443/,study=3".parse().unwrap();
    assert_eq!(slash, issuer);
    let other: TrustedIssuer = "issuer=site-a,study=0,jwks=http://127.0.0.1:5/keys"
        .parse()
        .unwrap();
    assert_eq!(other.jwks, "http://127.0.0.1:5/keys");
    for bad in [
        "",
        "issuer=https://a.example",
        "study=1",
        "issuer=a,study=1",
        "issuer=http://auth.example,study=1",
        "issuer=https://a.example,study=x",
        "issuer=https://a.example,study=1,colour=red",
    ] {
        assert!(bad.parse::<TrustedIssuer>().is_err(), "{bad}");
    }
}

/// Keys at an address of this machine, and how often somebody asked for them.
async fn keys() -> (String, Arc<std::sync::atomic::AtomicUsize>) {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let asked = Arc::new(AtomicUsize::new(0));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/keys", listener.local_addr().unwrap());
    let counted = asked.clone();
    let answer = move || async move {
        counted.fetch_add(1, Ordering::SeqCst);
        axum::Json(serde_json::json!({ "keys": [] }))
    };
    let routes = axum::Router::new().route("/keys", axum::routing::get(answer));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (address, asked)
}

#[tokio::test]
async fn an_issuer_of_two_studies_is_asked_once_and_stays_known_when_one_of_them_goes() {
    let (address, asked) = keys().await;
    let of = |study: u32| -> TrustedIssuer {
        let text = format!("issuer=https://auth.example,study={study},jwks={address}");
        text.parse().unwrap()
    };
    let clock = ManualClock::at(1_000_000);
    let issuers = Issuers::new(vec![of(0), of(1)], crate::mutations::http(), clock);
    issuers.read().await;
    let asked = || asked.load(std::sync::atomic::Ordering::SeqCst);
    assert_eq!(asked(), 1);
    let name = "https://auth.example";
    assert_eq!(issuers.keys_known(), [(name.to_owned(), Some(0))]);
    let speaks_for =
        |issuers: &Issuers| [0, 1, 2].map(|study| issuers.speaks_for(name, StudyId(study)));
    assert_eq!(speaks_for(&issuers), [true, true, false]);
    issuers.replace(vec![of(1)]);
    assert_eq!(speaks_for(&issuers), [false, true, false]);
    assert_eq!(issuers.keys_known(), [(name.to_owned(), Some(0))]);
    assert_eq!(asked(), 1);
}

#[tokio::test]
async fn keys_grow_old_whatever_the_clock_is_set_to() {
    let (address, asked) = keys().await;
    let trusted = format!("issuer=https://auth.example,study=0,jwks={address}");
    let clock = ManualClock::at(1_000_000);
    let trusted = vec![trusted.parse().unwrap()];
    let issuers = Issuers::new(trusted, crate::mutations::http(), clock.clone());
    issuers.read().await;
    let asked = || asked.load(std::sync::atomic::Ordering::SeqCst);
    for step in [1_000, 9_000_000_000] {
        clock.set(step);
        issuers.read().await;
        assert_eq!((issuers.unknown().len(), asked()), (0, 1), "{step}");
    }
    clock.advance(STALE.as_secs());
    assert_eq!(issuers.unknown().len(), 1);
    issuers.read().await;
    assert_eq!((issuers.unknown().len(), asked()), (0, 2));
}
