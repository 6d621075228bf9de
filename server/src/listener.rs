// SPDX-License-Identifier: Apache-2.0

//! A bound address.

use std::net::SocketAddr;

use anyhow::{bail, Context as _};
use tokio::net::TcpListener;

use crate::origins::Origins;
use crate::proxies::Proxies;
use crate::staff::StaffListener;
use crate::tls::Identity;
use crate::{BaseAddress, ServerOptions};

/// An address that is bound, and on which nothing is answered yet.
pub struct Bound {
    pub(crate) listener: TcpListener,
    pub(crate) tls: Option<Identity>,
    /// Whether it is known to clients by the address of a proxy.
    behind_proxy: bool,
    pub(crate) proxies: Proxies,
    pub(crate) origins: Origins,
    pub(crate) staff: Option<StaffListener>,
    address: SocketAddr,
}

impl ServerOptions {
    /// Binds the address. Fails when it would speak plain HTTP to a network.
    pub async fn bind(&self) -> anyhow::Result<Bound> {
        let tls = match (&self.tls_certificate, &self.tls_key) {
            (Some(certificate), Some(key)) => Some(Identity::load(certificate, key)?),
            (None, None) => None,
            _ => bail!("--tls-certificate and --tls-key go together"),
        };
        if tls.is_none() && !self.behind_tls_proxy && !self.listen.ip().is_loopback() {
            bail!(
                "{} faces a network, and plain HTTP is for the loopback interface only: give --tls-certificate and \
                 --tls-key, or --behind-tls-proxy when a proxy speaks TLS",
                self.listen
            );
        }
        let proxies = self.proxies()?;
        let listener = TcpListener::bind(self.listen)
            .await
            .with_context(|| format!("cannot listen on {}", self.listen))?;
        let address = listener.local_addr()?;
        let staff = match &self.admin_listen {
            Some(place) => Some(place.bind().await?),
            None => None,
        };
        Ok(Bound {
            listener,
            tls,
            behind_proxy: self.behind_tls_proxy || !self.trusted_proxies.is_empty(),
            proxies,
            origins: Origins::of(&self.allowed_origins),
            staff,
            address,
        })
    }
}

impl Bound {
    /// The address, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The server's base address as this machine reaches it, without a slash at the end.
    pub fn base_url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }
}

impl Bound {
    /// By which base addresses clients reach the server: those that its operator names, or the one that is bound where it is
    /// for this machine only. What a request says in its header Host counts for nothing. `option` names the option.
    pub fn known_as(
        &self,
        named: Vec<BaseAddress>,
        option: &str,
    ) -> anyhow::Result<Vec<BaseAddress>> {
        if !named.is_empty() {
            return Ok(named);
        }
        if self.behind_proxy || !self.address.ip().is_loopback() {
            bail!("devices reach this server by an address that it cannot know: give {option}");
        }
        Ok(vec![self.base_url().parse()?])
    }
}
