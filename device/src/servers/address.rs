// SPDX-License-Identifier: Apache-2.0

//! Base addresses of servers.

use alloc::{borrow::ToOwned, string::String};
use core::{fmt, net::IpAddr, str::FromStr};

use fluent_uri::{component::Host, Uri};

/// Why an address is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not an http or https address of a server.
    #[error("{0} is not the base address of a server, such as https://relay.example.org")]
    NotAnAddress(String),
    /// Plain HTTP over a network, where everybody on the way reads tokens and codes.
    #[error("{0} is plain HTTP to another machine; tokens and codes go by https only")]
    PlainHttp(String),
}

/// Base address of a server, without a slash at the end: `https://relay.example.org`. Plain HTTP is for this machine
/// only.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address(String);

impl Address {
    /// The address as text. An authentication server's is what its tokens name as their issuer.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the same address, however it is written: the case of the host, a port that need not be named, and
    /// slashes at the end do not matter. Two names of one machine are two addresses.
    pub fn is(&self, other: &str) -> bool {
        let normal = |address: &str| {
            let parsed = Uri::parse(address.trim().trim_end_matches('/')).ok()?;
            Some(parsed.normalize().into_string())
        };
        let own = normal(&self.0);
        own.is_some() && own == normal(other)
    }

    /// An address below this one.
    pub(super) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let invalid = || AddressError::NotAnAddress(text.to_owned());
        let base = text.trim().trim_end_matches('/');
        let url = Uri::parse(base).map_err(|_| invalid())?.normalize();
        let authority = url.authority().ok_or_else(invalid)?;
        let bare = url.query().is_none()
            && url.fragment().is_none()
            && authority.userinfo().is_none()
            && !authority.host().is_empty();
        match url.scheme().as_str() {
            _ if !bare => Err(invalid()),
            "https" => Ok(Self(base.to_owned())),
            "http" if is_loopback(&authority.host_parsed()) => Ok(Self(base.to_owned())),
            "http" => Err(AddressError::PlainHttp(text.to_owned())),
            _ => Err(invalid()),
        }
    }
}

fn is_loopback(host: &Host<'_>) -> bool {
    let ip = match host {
        Host::Ipv4(ip) => IpAddr::from(*ip),
        Host::Ipv6(ip) => IpAddr::from(*ip),
        Host::RegName(name) => return name.as_str() == "localhost",
        _ => return false,
    };
    ip.is_loopback()
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_at_the_end_are_dropped_and_the_rest_stays() {
        let address: Address = "https://relay.example.org:8443/mhealth/".parse().unwrap();
        assert_eq!(address.as_str(), "https://relay.example.org:8443/mhealth");
        assert_eq!(
            address.at("/v1/runs"),
            "https://relay.example.org:8443/mhealth/v1/runs"
        );
    }

    #[test]
    fn one_address_is_written_in_several_ways_and_two_names_are_two_addresses() {
        let address: Address = "http://127.0.0.1:8080".parse().unwrap();
        assert!(address.is("http://127.0.0.1:8080/") && address.is("HTTP://127.0.0.1:8080"));
        for other in [
            "http://localhost:8080",
            "http://127.0.0.1",
            "https://127.0.0.1:8080",
            "http://127.0.0.1:8080/x",
            "",
        ] {
            assert!(!address.is(other), "{other}");
        }
        let address: Address = "https://auth.example.org".parse().unwrap();
        assert!(address.is("https://AUTH.example.org:443/"));
    }

    #[test]
    fn plain_http_is_for_this_machine_only() {
        for good in ["http://127.0.0.1:80", "http://[::1]:80", "http://localhost"] {
            assert!(good.parse::<Address>().is_ok(), "{good}");
        }
        for bad in [
            "http://relay.example.org",
            "http://10.0.0.1",
            "http://127.0.0.1.example.org",
        ] {
            let plain = AddressError::PlainHttp(bad.into());
            assert_eq!(bad.parse::<Address>(), Err(plain), "{bad}");
        }
    }

    #[test]
    fn what_is_no_base_address_is_refused() {
        for bad in [
            "",
            "relay",
            "ws://127.0.0.1",
            "https://a.org?b",
            "https://a.org#b",
            "https://me:pw@a.org",
        ] {
            let invalid = AddressError::NotAnAddress(bad.into());
            assert_eq!(bad.parse::<Address>(), Err(invalid), "{bad}");
        }
    }
}
