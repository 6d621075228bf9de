// SPDX-License-Identifier: Apache-2.0

//! Base addresses of servers, in one form for each, so that they can be compared.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use fluent_uri::component::Host;
use fluent_uri::Uri;

/// Why something is no base address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected the base address of a server, such as https://relay.example.org; http is for this machine only"
)]
pub struct NoBaseAddress;

/// The base address of a server, in normal form (RFC 3986, sections 6.2.2 and 6.2.3) and without a slash at the end:
/// `https://relay.example.org`. Plain HTTP is for this machine only.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct BaseAddress(String);

impl BaseAddress {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this names what stands at a path below, whatever query and fragment it has. Different ways of writing the
    /// same address are equal (RFC 9449, section 4.3).
    pub fn names(&self, address: &str, path: &str) -> bool {
        let end = address.find(['?', '#']).unwrap_or(address.len());
        let address = &address[..end];
        // As it nearly always is.
        if address.strip_prefix(self.as_str()) == Some(path) {
            return true;
        }
        let expected = normal(&format!("{self}{path}"));
        expected.is_some() && normal(address) == expected
    }
}

fn normal(address: &str) -> Option<String> {
    Some(Uri::parse(address).ok()?.normalize().into_string())
}

impl FromStr for BaseAddress {
    type Err = NoBaseAddress;

    fn from_str(text: &str) -> Result<Self, NoBaseAddress> {
        let text = text.trim().trim_end_matches('/');
        let address = Uri::parse(text).map_err(|_| NoBaseAddress)?.normalize();
        let authority = address.authority().ok_or(NoBaseAddress)?;
        let is_bare = address.query().is_none()
            && address.fragment().is_none()
            && authority.userinfo().is_none()
            && !authority.host().is_empty();
        let is_good = match address.scheme().as_str() {
            "https" => true,
            "http" => is_this_machine(&authority.host_parsed()),
            _ => false,
        };
        match is_bare && is_good {
            true => Ok(Self(address.as_str().trim_end_matches('/').to_owned())),
            false => Err(NoBaseAddress),
        }
    }
}

pub(crate) fn is_this_machine(host: &Host<'_>) -> bool {
    let ip = match host {
        Host::Ipv4(ip) => IpAddr::from(*ip),
        Host::Ipv6(ip) => IpAddr::from(*ip),
        Host::RegName(name) => return name.as_str() == "localhost",
        _ => return false,
    };
    ip.is_loopback()
}

impl fmt::Display for BaseAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BaseAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_has_one_address_however_it_is_written() {
        for (text, expected) in [
            ("https://relay.example.org", "https://relay.example.org"),
            (
                "HTTPS://Relay.Example.ORG:443/",
                "https://relay.example.org",
            ),
            (
                "https://a.example:8443/x/./y/../",
                "https://a.example:8443/x",
            ),
            ("https://a.example/%7euser", "https://a.example/~user"),
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
            ("http://[0:0:0:0:0:0:0:1]:80", "http://[::1]"),
            ("http://localhost", "http://localhost"),
        ] {
            let address: BaseAddress = text.parse().unwrap();
            assert_eq!(address.as_str(), expected);
            assert_eq!(expected.parse(), Ok(address));
        }
    }

    #[test]
    fn what_is_no_base_address_is_refused() {
        for text in [
            "",
            "relay",
            "//a.example",
            "https://",
            "https:a.example",
            "ws://127.0.0.1",
            "http://a.example",
            "http://10.0.0.1",
            "http://127.0.0.1.example.org",
            "https://me@a.example",
            "https://a.example?b",
            "https://a.example#b",
            "https://a example",
        ] {
            assert_eq!(text.parse::<BaseAddress>(), Err(NoBaseAddress), "{text}");
        }
    }

    #[test]
    fn an_address_is_compared_in_normal_form() {
        let base: BaseAddress = "https://relay.example.org/mhealth".parse().unwrap();
        for same in [
            "https://relay.example.org/mhealth/v1/runs",
            "https://relay.example.org/mhealth/v1/runs?a=b#c",
            "HTTPS://RELAY.example.org:443/mhealth/v1/runs",
            "https://relay.example.org:/mhealth/v1/runs",
            "https://relay.example.org/mhealth/x/../v1/%72uns",
        ] {
            assert!(base.names(same, "/v1/runs"), "{same}");
        }
        for other in [
            "",
            "/v1/runs",
            "https://relay.example.org/v1/runs",
            "https://relay.example.org/mhealth/v1/runs/",
            "https://relay.example.org/mhealth/v1/records",
            "https://relay.example.org/mhealth/v1/RUNS",
            "https://relay.example.org:8443/mhealth/v1/runs",
            "http://relay.example.org/mhealth/v1/runs",
            "https://relay.example.org.evil.example/mhealth/v1/runs",
            "https://me@relay.example.org/mhealth/v1/runs",
            "https://relay.example.org/mhealth/v1/runs%20",
            "https://relay.example.org/mhealth/v1/runs \u{e9}",
        ] {
            assert!(!base.names(other, "/v1/runs"), "{other}");
        }
    }
}
