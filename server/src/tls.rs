// SPDX-License-Identifier: Apache-2.0

//! TLS by rustls, with the cryptography of ring. Certificates are renewed while the server runs.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum_server::tls_rustls::RustlsConfig;
use mhealth_chain_client::read_secret;
use prometheus::{IntGauge, Registry};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::ServerConfig;
use tokio::signal::unix::{signal, SignalKind};
use tokio_util::sync::CancellationToken;
use x509_parser::parse_x509_certificate;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// Makes ring the cryptography of every TLS connection of this process, those of HTTP clients included. A second call
/// changes nothing.
pub fn install_crypto() {
    // Fails when there is one already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A certificate and its key, which others may replace on disk at any time.
pub(crate) struct Identity {
    certificate: PathBuf,
    key: PathBuf,
    config: RustlsConfig,
    expires_at: i64,
    /// What the files looked like that are in use.
    stamp: Option<[Stamp; 2]>,
}

/// What changes when a file does: folder entry, size, time.
type Stamp = (u64, u64, i64, i64);

impl Identity {
    /// Reads certificate chain and key.
    pub(crate) fn load(certificate: &Path, key: &Path) -> anyhow::Result<Self> {
        let stamp = stamps(certificate, key);
        let (config, expires_at) = server_config(certificate, key)?;
        Ok(Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            config: RustlsConfig::from_config(config),
            expires_at,
            stamp,
        })
    }

    /// When the certificate expires, in seconds since 1970.
    pub(crate) fn expires_at(&self) -> i64 {
        self.expires_at
    }

    /// What new connections are served with, now and after a renewal.
    pub(crate) fn config(&self) -> RustlsConfig {
        self.config.clone()
    }

    /// Takes a new certificate up when the files change, and at once on SIGHUP. One that cannot be used changes nothing, and is
    /// told until it is mended.
    pub(crate) async fn keep_fresh(mut self, metrics: TlsMetrics, stop: CancellationToken) {
        metrics.expires_at.set(self.expires_at);
        metrics.fresh.set(1);
        let mut hangups = signal(SignalKind::hangup()).ok();
        let mut failed: Option<Option<[Stamp; 2]>> = None;
        loop {
            let hangup = async {
                match &mut hangups {
                    Some(hangups) => hangups.recv().await,
                    None => std::future::pending().await,
                }
            };
            let is_asked = tokio::select! {
                () = stop.cancelled() => return,
                Some(()) = hangup => true,
                () = tokio::time::sleep(LOOK) => false,
            };
            let stamp = stamps(&self.certificate, &self.key);
            if stamp == self.stamp && !is_asked {
                continue;
            }
            match server_config(&self.certificate, &self.key) {
                Ok((config, expires_at)) => {
                    self.config.reload_from_config(config);
                    (self.stamp, failed) = (stamp, None);
                    metrics.expires_at.set(expires_at);
                    metrics.fresh.set(1);
                    tracing::info!(
                        certificate = %self.certificate.display(),
                        expires_at,
                        "a new certificate is in use"
                    );
                }
                Err(error) => {
                    metrics.fresh.set(0);
                    // A key may be written a moment after its certificate: the files are looked at again.
                    if is_asked || failed != Some(stamp) {
                        tracing::error!(
                            certificate = %self.certificate.display(),
                            error = format!("{error:#}"),
                            "the new certificate cannot be used; the one before stays in use"
                        );
                    }
                    failed = Some(stamp);
                }
            }
        }
    }
}

/// For alarms.
#[derive(Clone)]
pub(crate) struct TlsMetrics {
    fresh: IntGauge,
    expires_at: IntGauge,
}

impl TlsMetrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            prometheus::Result::Ok(gauge)
        };
        Ok(Self {
            fresh: gauge(
                "mhealth_tls_certificate_fresh",
                "1 while the certificate on disk is the one in use, 0 while it cannot be used.",
            )?,
            expires_at: gauge(
                "mhealth_tls_certificate_expires_timestamp_seconds",
                "When the certificate in use expires, in seconds since 1970.",
            )?,
        })
    }
}

fn stamps(certificate: &Path, key: &Path) -> Option<[Stamp; 2]> {
    let stamp = |path: &Path| {
        let seen = std::fs::metadata(path).ok()?;
        Some((seen.ino(), seen.size(), seen.mtime(), seen.mtime_nsec()))
    };
    Some([stamp(certificate)?, stamp(key)?])
}

/// Reads certificate chain and key; says when the certificate expires, in seconds since 1970.
fn server_config(certificate: &Path, key: &Path) -> anyhow::Result<(Arc<ServerConfig>, i64)> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("cannot read certificates from {}", certificate.display()))?;
    let expires_at = expiry(&chain)
        .with_context(|| format!("{} holds no certificate", certificate.display()))?;
    let pem = read_secret(key)?;
    let key = PrivateKeyDer::from_pem_slice(&pem)
        .with_context(|| format!("cannot read a private key from {}", key.display()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("certificate and key do not match")?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((Arc::new(config), expires_at))
}

/// When the first certificate of a chain expires.
fn expiry(chain: &[CertificateDer<'_>]) -> Option<i64> {
    let (_, certificate) = parse_x509_certificate(chain.first()?).ok()?;
    Some(certificate.validity().not_after.timestamp())
}
