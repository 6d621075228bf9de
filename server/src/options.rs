// SPDX-License-Identifier: Apache-2.0

//! The options that every server has.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use crate::proxies::Proxies;
use crate::{
    AllowedOrigin, DatabaseUrl, ForwardedBy, Limits, SecretText, SetupFault, StaffAddress,
    TrustedProxy, LIST_DELIMITER,
};

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

    /// Where metrics and probes are served, and an authentication server's staff, and nowhere else then: `127.0.0.1:PORT`, or
    /// `unix:PATH` for a socket that only the server's user can open. Without it the public address serves them, too.
    #[arg(long, value_name = "PLACE", env = "MHEALTH_ADMIN_LISTEN")]
    pub admin_listen: Option<StaffAddress>,

    /// Where to keep data: `sqlite:PATH` or `postgres://USER:PASSWORD@HOST/DATABASE`. With a password in it, give it by
    /// the environment or by --database-url-file.
    #[arg(
        long,
        value_name = "URL",
        env = "MHEALTH_DATABASE",
        hide_env_values = true,
        default_value = "sqlite:mhealth.db"
    )]
    pub database: DatabaseUrl,

    /// File that holds the address of the database, instead of --database. Nobody but its owner may be able to read it.
    #[arg(
        long,
        value_name = "FILE",
        env = "MHEALTH_DATABASE_URL_FILE",
        conflicts_with = "database"
    )]
    pub database_url_file: Option<PathBuf>,

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

    /// A proxy in front of this server speaks TLS: listen with plain HTTP on any address. Only for servers that nobody but the
    /// proxy can reach. Name it by --trusted-proxy, unless it is on this machine.
    #[arg(long, env = "MHEALTH_BEHIND_TLS_PROXY")]
    pub behind_tls_proxy: bool,

    /// Address or network (10.0.0.0/24) of proxies and load balancers that are believed when they say for whom they ask. From
    /// anybody else the header is not read. May be given several times; in the environment separated by spaces. Default with
    /// --behind-tls-proxy: this machine.
    #[arg(
        long = "trusted-proxy",
        value_name = "CIDR",
        env = "MHEALTH_TRUSTED_PROXIES",
        value_delimiter = LIST_DELIMITER
    )]
    pub trusted_proxies: Vec<TrustedProxy>,

    /// The header in which trusted proxies say for whom they ask. The other one is not read: they pass it on as a client wrote it.
    #[arg(
        long,
        value_name = "HEADER",
        env = "MHEALTH_FORWARDED_BY",
        default_value = "x-forwarded-for"
    )]
    pub forwarded_by: ForwardedBy,

    /// Origin of web pages that may use the server from a browser, such as `https://app.example`. May be given several times; in
    /// the environment separated by spaces. What staff and auditors use stays closed to pages.
    #[arg(
        long = "allowed-origin",
        value_name = "ORIGIN",
        env = "MHEALTH_ALLOWED_ORIGINS",
        value_delimiter = LIST_DELIMITER
    )]
    pub allowed_origins: Vec<AllowedOrigin>,

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

    /// Seconds that the latest final block may be old before the server is not ready. 0: however old, as where blocks are
    /// made only when there is something to put into them.
    #[arg(
        long,
        value_name = "SECONDS",
        env = "MHEALTH_READY_HEAD_AGE",
        default_value_t = 120
    )]
    pub ready_head_age: u64,

    /// Seconds that a run, or an order of an authentication server, may wait for the chain before the server is not ready. 0:
    /// however long.
    #[arg(
        long,
        value_name = "SECONDS",
        env = "MHEALTH_READY_QUEUE_AGE",
        default_value_t = 600
    )]
    pub ready_queue_age: u64,

    /// Bytes that must be left where an SQLite database is, or the server is not ready.
    #[arg(
        long,
        value_name = "BYTES",
        env = "MHEALTH_READY_FREE_DISK",
        default_value_t = 64 * 1024 * 1024
    )]
    pub ready_free_disk: u64,

    /// Which logs are written, such as `info` or `warn,mhealth_relay=debug`. RUST_LOG goes before it.
    #[arg(long, value_name = "FILTER", env = "MHEALTH_LOG")]
    pub log: Option<String>,

    /// How logs are written to standard error.
    #[arg(
        long,
        value_name = "FORMAT",
        env = "MHEALTH_LOG_FORMAT",
        default_value = "text"
    )]
    pub log_format: LogFormat,
}

impl ServerOptions {
    /// Where an SQLite database is; none for PostgreSQL, which tells nobody how much it has left.
    pub fn database_folder(&self) -> anyhow::Result<Option<PathBuf>> {
        let file = self.database_url()?.file();
        Ok(file.and_then(|file| file.parent().map(PathBuf::from)))
    }

    /// The address of the database.
    pub fn database_url(&self) -> anyhow::Result<DatabaseUrl> {
        let Some(file) = &self.database_url_file else {
            return Ok(self.database.clone());
        };
        let url = SecretText::from_file(file)?;
        let option = "--database-url-file";
        let fault = |why| SetupFault::InvalidOption { option, why };
        Ok(url.expose().parse().map_err(fault)?)
    }

    /// The proxies that are believed.
    pub(crate) fn proxies(&self) -> Result<Proxies, SetupFault> {
        let header = self.forwarded_by;
        match (self.behind_tls_proxy, self.trusted_proxies.is_empty()) {
            (true, true) if self.listen.ip().is_loopback() => Ok(Proxies::of_this_machine(header)),
            (true, true) => Err(SetupFault::NoTrustedProxy {
                listen: self.listen,
            }),
            _ => Ok(Proxies::new(self.trusted_proxies.clone(), header)),
        }
    }

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
