// SPDX-License-Identifier: Apache-2.0

//! What an organisation hands to the others: the public halves of its keys, signed by its account.

use std::path::Path;
use std::str::FromStr;

use hashchain::{encoding, Native};
use mhealth_chain_client::{is_statement_of, Account, AccountId32};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::files;

/// The form of the file.
const FORMAT: &str = "mhealth-member/1";
/// Most characters of a name or an address.
const LONGEST: usize = 256;

/// The public halves of a member's keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Member {
    format: String,
    /// Name of the organisation, for people.
    pub(crate) name: String,
    /// Its account, which is member and validator.
    account: String,
    /// Public Aura key (sr25519), 0x and 64 digits.
    aura: String,
    /// Public GRANDPA key (Ed25519), 0x and 64 digits.
    grandpa: String,
    /// Addresses at which other nodes reach its node, each ending with the node's network identity.
    pub(crate) addresses: Vec<String>,
    /// The account's signature over all of this.
    signature: String,
}

/// The keys of a member, read and checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MemberKeys {
    pub(crate) account: [u8; 32],
    pub(crate) aura: [u8; 32],
    pub(crate) grandpa: [u8; 32],
}

impl Member {
    /// Makes and signs it.
    pub(crate) fn sign(
        name: &str,
        account: &Account,
        aura: [u8; 32],
        grandpa: [u8; 32],
        addresses: Vec<String>,
    ) -> Self {
        let mut member = Member {
            format: FORMAT.to_owned(),
            name: name.to_owned(),
            account: account.id().to_string(),
            aura: digits(&aura),
            grandpa: digits(&grandpa),
            addresses,
            signature: String::new(),
        };
        let keys = MemberKeys {
            account: account.public_key(),
            aura,
            grandpa,
        };
        member.signature = digits(&account.sign_statement(&member.statement(&keys)));
        member
    }

    /// Reads it from a file, and refuses one that its account did not sign.
    pub(crate) fn read(path: &Path) -> Result<(Self, MemberKeys), Failure> {
        let text = files::read(path)?;
        let unusable = |what: &str| {
            Failure::input(
                "not_a_member",
                format!("{} is not what a member hands out: {what}.", path.display()),
            )
        };
        let member: Member =
            serde_json::from_str(&text).map_err(|error| unusable(&error.to_string()))?;
        let keys = member.keys().map_err(|what| unusable(&what))?;
        Ok((member, keys))
    }

    pub(crate) fn json(&self) -> String {
        let text = serde_json::to_string_pretty(self).expect("strings are JSON; qed");
        format!("{text}\n")
    }

    fn keys(&self) -> Result<MemberKeys, String> {
        if self.format != FORMAT {
            return Err(format!("its format is not {FORMAT}"));
        }
        let mut words = self.addresses.iter().chain([&self.name]);
        if words.any(|word| word.len() > LONGEST || word.chars().any(char::is_control)) {
            return Err("its name or an address is too long, or has signs that do not show".into());
        }
        if let Some(address) = self.addresses.iter().find(|address| !is_address(address)) {
            return Err(format!(
                "{address} is not an address of a node like /dns/node.example.org/tcp/30333/p2p/12D3KooW…"
            ));
        }
        let account = AccountId32::from_str(&self.account)
            .map_err(|_| "its account is not an address like 5…".to_owned())?;
        let keys = MemberKeys {
            account: account.0,
            aura: bytes(&self.aura)?,
            grandpa: bytes(&self.grandpa)?,
        };
        let signature = bytes(&self.signature)?;
        if !is_statement_of(&keys.account, &self.statement(&keys), &signature) {
            return Err(
                "its account did not sign it; ask the organisation for the file as it was made"
                    .into(),
            );
        }
        Ok(keys)
    }

    /// What the account signs: the hash of everything else.
    fn statement(&self, keys: &MemberKeys) -> [u8; 32] {
        let mut parts = vec![
            self.name.as_bytes(),
            &keys.account,
            &keys.aura,
            &keys.grandpa,
        ];
        parts.extend(self.addresses.iter().map(|address| address.as_bytes()));
        encoding::hash::<Native>("member", &parts)
    }
}

/// Whether it looks like a multiaddress with a network identity; the node reads it in full.
fn is_address(address: &str) -> bool {
    address.starts_with('/') && address.contains("/p2p/") && !address.contains(char::is_whitespace)
}

/// 0x and the digits.
pub(crate) fn digits(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

fn bytes<const N: usize>(digits: &str) -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    let read = digits
        .strip_prefix("0x")
        .map(|digits| hex::decode_to_slice(digits, &mut bytes));
    match read {
        Some(Ok(())) => Ok(bytes),
        _ => Err(format!("{digits:?} is not 0x and {} digits", 2 * N)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member() -> Member {
        let account = Account::from_secret_uri("//Hospital").expect("a secret");
        let address = "/ip4/192.0.2.1/tcp/30333/p2p/12D3KooW".to_owned();
        Member::sign("Hospital", &account, [2; 32], [3; 32], vec![address])
    }

    fn read(text: &str) -> Result<(Member, MemberKeys), Failure> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("member.json");
        files::write_public(&path, text).expect("written");
        Member::read(&path)
    }

    #[test]
    fn what_a_member_hands_out_is_read_as_it_was_made() {
        let member = member();
        let (read, keys) = read(&member.json()).expect("it is one");
        assert_eq!(read, member);
        assert_eq!((keys.aura, keys.grandpa), ([2; 32], [3; 32]));
    }

    #[test]
    fn whatever_is_changed_on_its_way_is_refused() {
        let text = member().json();
        let other = Account::from_secret_uri("//Other").expect("a secret").id();
        let own = Account::from_secret_uri("//Hospital")
            .expect("a secret")
            .id();
        for (old, new) in [
            ("\"Hospital\"", "\"Clinic\""),
            (&own.to_string(), &*other.to_string()),
            (&digits(&[2; 32]), &*digits(&[4; 32])),
            (&digits(&[3; 32]), &*digits(&[4; 32])),
            ("192.0.2.1", "192.0.2.2"),
            ("mhealth-member/1", "mhealth-member/2"),
            (
                "12D3KooW\"",
                "12D3KooW\", \"/ip4/192.0.2.9/tcp/1/p2p/12D3KooW\"",
            ),
        ] {
            let changed = text.replace(old, new);
            assert_ne!(changed, text, "{old}");
            let refused = read(&changed).expect_err(new);
            assert_eq!(refused.code(), "not_a_member", "{refused}");
        }
    }
}
