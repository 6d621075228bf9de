// SPDX-License-Identifier: Apache-2.0

//! Whom a proxy in front of the server speaks for.
//!
//! A header says where a request comes from, and everybody can write one. So it is read only when the connection comes from a
//! proxy that the operator trusts, and from right to left: every proxy appends the address that it was asked from, so what
//! stands to the left of the first address that is no trusted proxy's is hearsay.
//!
//! Only the header that the operator names is read. A proxy that writes one of them passes the other on as a client wrote it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use axum::http::HeaderMap;
use ipnet::IpNet;
use mhealth_api::Code;

use crate::ApiError;

/// Proxies one behind the other that are looked past. Nobody has more.
const MOST_HOPS: usize = 32;
const X_FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED: &str = "forwarded";

/// An address, or a network, from which proxies speak: `10.0.0.7`, `10.0.0.0/24`, `2001:db8::/64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustedProxy(IpNet);

impl FromStr for TrustedProxy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(address.to_canonical().into()));
        }
        let network: IpNet = text.parse().map_err(|_| {
            "give an address or a network, such as 10.0.0.7 or 10.0.0.0/24".to_owned()
        })?;
        if network.prefix_len() == 0 {
            return Err("this network is the whole Internet: everybody could say anything".into());
        }
        if network.trunc() != network {
            return Err(format!(
                "{network} has bits beyond its network; {} is the network, {} the address",
                network.trunc(),
                network.addr()
            ));
        }
        match network.addr() {
            IpAddr::V6(address) if address.to_ipv4_mapped().is_some() => {
                Err("write networks of IPv4 as such, without ::ffff:".into())
            }
            _ => Ok(Self(network)),
        }
    }
}

impl fmt::Display for TrustedProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The header in which a proxy says for whom it asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ForwardedBy {
    /// `X-Forwarded-For`: addresses, with commas between them.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239): the parameters `for`.
    Forwarded,
}

/// The proxies that are believed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies {
    trusted: Vec<TrustedProxy>,
    header: ForwardedBy,
}

impl Proxies {
    pub(crate) fn new(trusted: Vec<TrustedProxy>, header: ForwardedBy) -> Self {
        Self { trusted, header }
    }

    /// Those of this machine.
    pub(crate) fn of_this_machine(header: ForwardedBy) -> Self {
        let v4 = IpNet::new_assert(Ipv4Addr::new(127, 0, 0, 0).into(), 8);
        let v6 = IpNet::from(IpAddr::from(Ipv6Addr::LOCALHOST));
        Self::new(vec![TrustedProxy(v4), TrustedProxy(v6)], header)
    }

    /// Whether this is the address of one of them.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|proxy| proxy.0.contains(&address))
    }

    /// Who asks: whoever is connected, or whom the proxies speak for. `invalid_forwarding` when a trusted proxy says something
    /// that is no address. A proxy that says nothing asks for itself, as load balancers do that look whether the server lives.
    pub(crate) fn client(
        &self,
        connected: IpAddr,
        headers: &HeaderMap,
    ) -> Result<IpAddr, ApiError> {
        let mut client = connected.to_canonical();
        if !self.trusts(client) {
            return Ok(client);
        }
        let name = match self.header {
            ForwardedBy::XForwardedFor => X_FORWARDED_FOR,
            ForwardedBy::Forwarded => FORWARDED,
        };
        let lines = headers.get_all(name).iter().rev();
        let hops = lines.flat_map(|line| parts(line.as_bytes(), b','));
        for hop in hops.take(MOST_HOPS) {
            let node = match self.header {
                ForwardedBy::XForwardedFor => Some(hop.trim_ascii()),
                ForwardedBy::Forwarded => node(hop),
            };
            client = node.and_then(address).ok_or(Code::InvalidForwarding)?;
            if !self.trusts(client) {
                break;
            }
        }
        Ok(client)
    }
}

/// The parameter `for` of an element of `Forwarded`; none when it has none, or several.
fn node(element: &[u8]) -> Option<&[u8]> {
    let mut nodes = parts(element, b';').filter_map(|pair| {
        let sign = pair.iter().position(|letter| *letter == b'=')?;
        let (name, value) = (pair[..sign].trim_ascii(), pair[sign + 1..].trim_ascii());
        let quoted = value.strip_prefix(b"\"");
        let bare = quoted.and_then(|value| value.strip_suffix(b"\""));
        name.eq_ignore_ascii_case(b"for")
            .then(|| bare.unwrap_or(value))
    });
    let node = nodes.next()?;
    nodes.next().is_none().then_some(node)
}

/// The parts of a text between these signs, as far as they do not stand in a quoted string; the last one first.
///
/// Read from right to left: a proxy ends its own quoted strings, and one that a client leaves open to the left of it begins and
/// ends nothing of what the proxy wrote.
fn parts(text: &[u8], sign: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        let mut is_quoted = false;
        let cut = (0..text.len()).rev().find(|at| {
            if text[*at] == b'"' {
                // Within a quoted string, one after a backslash is a letter like others.
                is_quoted = !is_quoted || is_escaped(&text[..*at]);
            }
            text[*at] == sign && !is_quoted
        });
        let Some(cut) = cut else {
            return Some(text);
        };
        rest = Some(&text[..cut]);
        Some(&text[cut + 1..])
    })
}

/// Whether what follows this text is a letter like others: after one backslash it is, and after two the second one is.
fn is_escaped(before: &[u8]) -> bool {
    let backslashes = before.iter().rev().take_while(|letter| **letter == b'\\');
    backslashes.count() % 2 == 1
}

/// An address as proxies write it: alone, in brackets, or with a port.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let bare = text.parse::<IpAddr>().ok();
    let with_port = || Some(text.parse::<SocketAddr>().ok()?.ip());
    let bracketed = || {
        let inner = text.strip_prefix('[')?.strip_suffix(']')?;
        Some(IpAddr::from(inner.parse::<Ipv6Addr>().ok()?))
    };
    let address = bare.or_else(with_port).or_else(bracketed)?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn proxies(trusted: &[&str], header: ForwardedBy) -> Proxies {
        let trusted = trusted.iter().map(|text| text.parse().unwrap());
        Proxies::new(trusted.collect(), header)
    }

    /// Who asks, when these header lines come from this address.
    fn client(proxies: &Proxies, connected: &str, lines: &[(&str, &str)]) -> Result<String, Code> {
        let lines = lines.iter().map(|(name, line)| (*name, line.as_bytes()));
        client_of(proxies, connected, &lines.collect::<Vec<_>>())
    }

    /// The same with lines that may be no text.
    fn client_of(
        proxies: &Proxies,
        connected: &str,
        lines: &[(&str, &[u8])],
    ) -> Result<String, Code> {
        let mut headers = HeaderMap::new();
        for (name, line) in lines {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_bytes(line).unwrap());
        }
        let client = proxies.client(connected.parse().unwrap(), &headers);
        client
            .map(|address| address.to_string())
            .map_err(|error| error.problem().known_code().unwrap())
    }

    #[test]
    fn the_rightmost_address_that_is_no_trusted_proxys_is_the_clients() {
        let proxies = proxies(&["10.0.0.0/8", "2001:db8:1::/48"], ForwardedBy::default());
        for (connected, lines, expected) in [
            // Nobody else is believed.
            ("192.0.2.1", &["198.51.100.7"][..], "192.0.2.1"),
            ("10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
            // A chain of proxies, and lines that each of them added.
            (
                "10.0.0.1",
                &["203.0.113.9, 198.51.100.7, 10.9.9.9"],
                "198.51.100.7",
            ),
            (
                "10.0.0.1",
                &["203.0.113.9", "198.51.100.7", "10.9.9.9"],
                "198.51.100.7",
            ),
            // What a client wrote does not matter, whatever it is.
            ("10.0.0.1", &["nonsense, , 198.51.100.7"], "198.51.100.7"),
            // A proxy that asks for itself, or for another.
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["10.2.2.2, 10.3.3.3"], "10.2.2.2"),
            // Ports, brackets, both kinds of address.
            ("10.0.0.1", &["198.51.100.7:4711"], "198.51.100.7"),
            ("2001:db8:1::5", &["2001:db8:2::7"], "2001:db8:2::7"),
            ("2001:db8:1::5", &["[2001:db8:2::7]:443"], "2001:db8:2::7"),
            ("::ffff:10.0.0.1", &["::ffff:198.51.100.7"], "198.51.100.7"),
        ] {
            let lines: Vec<_> = lines
                .iter()
                .map(|line| ("x-forwarded-for", *line))
                .collect();
            let found = client(&proxies, connected, &lines);
            assert_eq!(found.as_deref(), Ok(expected), "{connected} {lines:?}");
        }
        for wrong in [
            "unknown",
            "",
            "198.51.100.7,",
            "198.51.100",
            "_hidden",
            "a b",
        ] {
            let found = client(&proxies, "10.0.0.1", &[("x-forwarded-for", wrong)]);
            assert_eq!(found, Err(Code::InvalidForwarding), "{wrong:?}");
            // Of strangers it is not even read.
            let found = client(&proxies, "192.0.2.1", &[("x-forwarded-for", wrong)]);
            assert_eq!(found.as_deref(), Ok("192.0.2.1"));
        }
    }

    #[test]
    fn only_the_header_that_was_named_is_read() {
        let both = [
            ("x-forwarded-for", "198.51.100.7"),
            ("forwarded", "for=203.0.113.9"),
        ];
        let of = |header| client(&proxies(&["10.0.0.0/8"], header), "10.0.0.1", &both);
        assert_eq!(of(ForwardedBy::XForwardedFor).unwrap(), "198.51.100.7");
        assert_eq!(of(ForwardedBy::Forwarded).unwrap(), "203.0.113.9");
    }

    #[test]
    fn rfc_7239_is_read_as_it_is_written() {
        let proxies = proxies(&["10.0.0.0/8"], ForwardedBy::Forwarded);
        for (line, expected) in [
            ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
            ("For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
            ("proto=https ; FOR = 192.0.2.43", "192.0.2.43"),
            ("for=192.0.2.43, for=198.51.100.17", "198.51.100.17"),
            ("for=192.0.2.43, for=\"10.0.0.9:80\"", "192.0.2.43"),
            ("for=\"1,2;3\\\",x\", for=198.51.100.17", "198.51.100.17"),
        ] {
            let found = client(&proxies, "10.0.0.1", &[("forwarded", line)]);
            assert_eq!(found.as_deref(), Ok(expected), "{line}");
        }
        for wrong in [
            "for=unknown",
            "for=_hidden",
            "proto=https",
            "",
            "for",
            "for=198.51.100.7;for=203.0.113.9",
            "for=\"198.51.100.7",
        ] {
            let found = client(&proxies, "10.0.0.1", &[("forwarded", wrong)]);
            assert_eq!(found, Err(Code::InvalidForwarding), "{wrong:?}");
        }
    }

    #[test]
    fn what_a_client_wrote_takes_in_nothing_that_a_proxy_appends() {
        let by = |header| proxies(&["10.0.0.0/8"], header);
        let (addresses, elements) = (by(ForwardedBy::XForwardedFor), by(ForwardedBy::Forwarded));
        for wrote in [
            &b"for=203.0.113.9;x=\""[..],
            b"for=203.0.113.9;x=\"\\",
            b"for=203.0.113.9;x=\"\\\\",
            b"for=203.0.113.9;x=\"y\\\"",
            b"for=\"203.0.113.9",
            b"for=203.0.113.9;x=\"\", \"",
            b"\"",
            b"\\",
            b"\xff",
            b"203.0.113.9, \xff\xfe",
        ] {
            for (proxies, name, appended, expected) in [
                (&elements, FORWARDED, "for=198.51.100.7", "198.51.100.7"),
                (
                    &elements,
                    FORWARDED,
                    "for=\"[2001:db8::7]:1\"",
                    "2001:db8::7",
                ),
                (
                    &elements,
                    FORWARDED,
                    "for=\"198.51.100.7:1\", for=\"10.0.0.2:1\"",
                    "198.51.100.7",
                ),
                (&addresses, X_FORWARDED_FOR, "198.51.100.7", "198.51.100.7"),
                (
                    &addresses,
                    X_FORWARDED_FOR,
                    "198.51.100.7, 10.0.0.2",
                    "198.51.100.7",
                ),
            ] {
                // The proxy may append to the client's line, or add one of its own.
                let line = [wrote, b", ", appended.as_bytes()].concat();
                let one: &[(&str, &[u8])] = &[(name, line.as_slice())];
                let two: &[(&str, &[u8])] = &[(name, wrote), (name, appended.as_bytes())];
                for lines in [one, two] {
                    let found = client_of(proxies, "10.0.0.1", lines);
                    assert_eq!(found.as_deref(), Ok(expected), "{lines:?}");
                }
            }
        }
    }

    #[test]
    fn a_network_is_said_without_doubt() {
        for (text, shown) in [
            ("10.0.0.7", "10.0.0.7/32"),
            ("::ffff:10.0.0.7", "10.0.0.7/32"),
            ("10.0.0.0/24", "10.0.0.0/24"),
            ("2001:db8::/64", "2001:db8::/64"),
        ] {
            assert_eq!(text.parse::<TrustedProxy>().unwrap().to_string(), shown);
        }
        for (text, says) in [
            ("0.0.0.0/0", "everybody"),
            ("::/0", "everybody"),
            ("10.0.0.7/24", "10.0.0.0/24"),
            ("::ffff:10.0.0.0/104", "IPv4"),
            ("proxy.example", "10.0.0.0/24"),
            ("10.0.0.0/33", "10.0.0.0/24"),
            ("", "10.0.0.0/24"),
        ] {
            let error = text.parse::<TrustedProxy>().unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn a_long_list_costs_little_and_is_not_followed_for_ever() {
        let proxies = proxies(&["10.0.0.0/8"], ForwardedBy::default());
        let list = vec!["10.0.0.2"; 1_000].join(",");
        let found = client(&proxies, "10.0.0.1", &[("x-forwarded-for", &list)]);
        assert_eq!(found.as_deref(), Ok("10.0.0.2"));
    }
}
