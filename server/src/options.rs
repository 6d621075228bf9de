// SPDX-License-Identifier: Apache-2.0

//! The options that every server has.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::DatabaseUrl;

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

    /// How logs are written to standard error. RUST_LOG says which.
    #[arg(
        long,
        value_name = "FORMAT",
        env = "MHEALTH_LOG_FORMAT",
        default_value = "text"
    )]
    pub log_format: LogFormat,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object a line.
    Json,
}
