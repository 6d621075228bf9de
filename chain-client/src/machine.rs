// SPDX-License-Identifier: Apache-2.0

//! Which addresses stay on this machine, where nobody else can read or change what is said.

use fluent_uri::component::Host;
use fluent_uri::Uri;

/// Whether an address such as `ws://127.0.0.1:9944` or `http://localhost:8080/x` names this machine: a loopback address or
/// the name `localhost`. What is no address names nothing.
pub fn is_on_this_machine(address: &str) -> bool {
    let Ok(uri) = Uri::parse(address) else {
        return false;
    };
    let Some(authority) = uri.authority() else {
        return false;
    };
    match authority.host_parsed() {
        Host::Ipv4(ip) => ip.is_loopback(),
        Host::Ipv6(ip) => ip.is_loopback(),
        Host::RegName(name) => name.as_str().eq_ignore_ascii_case("localhost"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_addresses_and_localhost_are_this_machine() {
        for here in [
            "ws://127.0.0.1:9944",
            "ws://127.1.2.3",
            "http://[::1]:80/x?y#z",
            "http://LocalHost",
            "ws://me@localhost:1",
        ] {
            assert!(is_on_this_machine(here), "{here}");
        }
        for elsewhere in [
            "",
            "localhost",
            "ws://",
            "ws://10.0.0.1",
            "ws://0.0.0.0",
            "ws://node.example",
            "ws://localhost.example",
            "ws://127.0.0.1.example",
            "ws://127.0.0.1@node.example",
            "ws://node.example/@127.0.0.1",
            "ws://node.example\\@127.0.0.1",
            "ws://[::2]",
        ] {
            assert!(!is_on_this_machine(elsewhere), "{elsewhere}");
        }
    }
}
