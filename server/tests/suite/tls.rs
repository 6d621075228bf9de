// SPDX-License-Identifier: Apache-2.0

//! HTTPS with a certificate of our own.

use std::io::Write;
use std::path::PathBuf;

use crate::support::{options, Running};
use mhealth_chain_client::create_private;
use mhealth_server::Limits;
use tempfile::TempDir;

struct Identity {
    certificate: PathBuf,
    key: PathBuf,
    pem: String,
    _directory: TempDir,
}

fn identity() -> Identity {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = (
        directory.path().join("certificate.pem"),
        directory.path().join("key.pem"),
    );
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    let mut file = create_private(&key).unwrap();
    file.write_all(made.signing_key.serialize_pem().as_bytes())
        .unwrap();
    Identity {
        certificate,
        key,
        pem: made.cert.pem(),
        _directory: directory,
    }
}

fn text(path: &std::path::Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn a_client_that_trusts_the_certificate_is_served_and_another_is_not() {
    let identity = identity();
    let arguments = [
        "--tls-certificate",
        text(&identity.certificate),
        "--tls-key",
        text(&identity.key),
    ];
    let server = Running::with(Limits::default(), &arguments, true).await;
    assert!(
        server.base_url.starts_with("https://127.0.0.1:"),
        "{}",
        server.base_url
    );
    let trusted = reqwest::Certificate::from_pem(identity.pem.as_bytes()).unwrap();
    let client = reqwest::Client::builder()
        .tls_certs_only([trusted])
        .build()
        .unwrap();
    assert_eq!(
        client
            .get(server.url("/healthz"))
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
    let stranger = reqwest::Certificate::from_pem(self::identity().pem.as_bytes()).unwrap();
    let client = reqwest::Client::builder()
        .tls_certs_only([stranger])
        .build()
        .unwrap();
    assert!(client.get(server.url("/healthz")).send().await.is_err());
    let plain = server.url("/healthz").replace("https", "http");
    assert!(reqwest::get(plain).await.is_err());
}

#[tokio::test]
async fn what_is_no_certificate_and_a_key_of_another_are_refused_at_start() {
    let (one, other) = (identity(), identity());
    for (certificate, key) in [
        (&one.certificate, &other.key),
        (&one.key, &one.key),
        (&one.certificate, &one.certificate),
    ] {
        let arguments = [
            "--tls-certificate",
            text(certificate),
            "--tls-key",
            text(key),
        ];
        let error = options(&arguments)
            .bind()
            .await
            .err()
            .expect("it does not fit");
        assert!(!format!("{error:#}").contains("PRIVATE"), "{error:#}");
    }
}

/// Puts another identity where one is.
fn replace(one: &Identity, by: &Identity) {
    std::fs::copy(&by.certificate, &one.certificate).unwrap();
    std::fs::copy(&by.key, &one.key).unwrap();
}

fn client_of(identity: &Identity) -> reqwest::Client {
    let trusted = reqwest::Certificate::from_pem(identity.pem.as_bytes()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([trusted]);
    // A connection of its own for each request.
    client.pool_max_idle_per_host(0).build().unwrap()
}

/// Waits until a client is served.
async fn served(client: &reqwest::Client, url: &str) -> reqwest::Response {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        match client.get(url).send().await {
            Ok(answer) => return answer,
            Err(error) => assert!(std::time::Instant::now() < deadline, "{error:?}"),
        }
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_up_and_a_broken_one_is_not() {
    let (used, renewed) = (identity(), identity());
    let arguments = [
        "--tls-certificate",
        text(&used.certificate),
        "--tls-key",
        text(&used.key),
    ];
    let server = Running::with(Limits::default(), &arguments, true).await;
    let metrics = server.url("/metrics");
    served(&client_of(&used), &metrics).await;
    replace(&used, &renewed);
    let told = served(&client_of(&renewed), &metrics)
        .await
        .text()
        .await
        .unwrap();
    assert!(told.contains("mhealth_tls_certificate_fresh 1"), "{told}");
    assert!(
        told.contains("mhealth_tls_certificate_expires_timestamp_seconds"),
        "{told}"
    );
    assert!(client_of(&used).get(&metrics).send().await.is_err());
    // One that does not fit its key, and none at all: the one before stays, and the alarm is told.
    std::fs::write(&used.certificate, identity().pem).unwrap();
    let client = client_of(&renewed);
    loop {
        let told = served(&client, &metrics).await.text().await.unwrap();
        if told.contains("mhealth_tls_certificate_fresh 0") {
            break;
        }
    }
    std::fs::write(&used.certificate, "").unwrap();
    served(&client, &metrics).await;
    replace(&used, &renewed);
    loop {
        let told = served(&client, &metrics).await.text().await.unwrap();
        if told.contains("mhealth_tls_certificate_fresh 1") {
            break;
        }
    }
}
