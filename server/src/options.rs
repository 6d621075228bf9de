// SPDX-License-Identifier: Apache-2.0

//! The options that every server has.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use crate::{DatabaseUrl, Limits};

/// Options that every server has. A server's own options go beside them, with `#[command(flatten)]`.
#[derive(Clone, Debug, clap::Args)]
pub struct ServerOptions {
    /// Configuration file (TOML): every option by its long name. The command line and the environment override it, and
    /// it must not contain secrets.
    #[arg(long, value_name = "FILE", env = "MHEALTH_CONFIG")]
    pub config: Option<PathBuf>,

    /// Address and port to listen on. Port 0 takes a free one, which the line `listening on …` names.
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "MHEALTH_LISTEN",
        default_value = "127.0.0.1:0"
    )]
    pub listen: SocketAddr,

    /// Where to keep data: `sqlite:PATH` or `postgres://USER:PASSWORD@HOST/DATABASE`. With a password in it, give it by
    /// the environment.
    #[arg(
        long,
        value_name = "URL",
        env = "MHEALTH_DATABASE",
        hide_env_values = true,
        default_value = "sqlite:mhealth.db"
    )]
    pub database: DatabaseUrl,

    /// Certificate chain (PEM) to serve HTTPS with. Without it the server listens on the loopback interface only.
    #[arg(
        long,
        value_name = "FILE",
        env = "MHEALTH_TLS_CERTIFICATE",
        requires = "tls_key"
    )]
    pub tls_certificate: Option<PathBuf>,

    /// Private key (PEM) of the certificate.
    #[arg(
        long,
        value_name = "FILE",
        env = "MHEALTH_TLS_KEY",
        requires = "tls_certificate"
    )]
    pub tls_key: Option<PathBuf>,

    /// A proxy in front of this server speaks TLS: listen with plain HTTP on any address, and take the client's address
    /// from the last X-Forwarded-For. Only for servers that nobody but the proxy can reach.
    #[arg(long, env = "MHEALTH_BEHIND_TLS_PROXY")]
    pub behind_tls_proxy: bool,

    /// Requests per second from one address (of IPv6, from one /64 network); ten times as many in a burst. What staff, probes
    /// and other servers ask for is counted apart from what phones and strangers do.
    #[arg(
        long,
        value_name = "NUMBER",
        env = "MHEALTH_REQUESTS_PER_SECOND",
        default_value = "200"
    )]
    pub requests_per_second: NonZeroU32,

    /// What one address may have of the connections, of the requests under way and of the memory for bodies, in percent.
    #[arg(long, value_name = "PERCENT", env = "MHEALTH_ADDRESS_SHARE", default_value = "25",
        value_parser = clap::value_parser!(u32).range(1..=100))]
    pub address_share: u32,

    /// How logs are written to standard error. RUST_LOG says which.
    #[arg(
        long,
        value_name = "FORMAT",
        env = "MHEALTH_LOG_FORMAT",
        default_value = "text"
    )]
    pub log_format: LogFormat,
}

impl ServerOptions {
    /// The usual limits, as far as no option has others.
    pub fn limits(&self) -> Limits {
        Limits {
            requests_per_second: self.requests_per_second,
            address_share: self.address_share,
            ..Limits::default()
        }
    }
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object a line.
    Json,
}
