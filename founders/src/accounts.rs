// SPDX-License-Identifier: Apache-2.0

//! Accounts, as people name them: by address, by key, or by the file that its holder handed out.

use std::path::Path;
use std::str::FromStr;

use mhealth_chain_client::{Account, AccountId32};
use serde_json::Value;

use crate::failure::Failure;
use crate::files;

/// The form of the file with one account's public half.
pub(crate) const FORMAT: &str = "mhealth-account/1";

/// An account on the command line: its address, its key, or a file that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named(String);

impl From<&str> for Named {
    fn from(text: &str) -> Self {
        Named(text.to_owned())
    }
}

impl Named {
    /// The account.
    pub(crate) fn id(&self) -> Result<AccountId32, Failure> {
        let Named(text) = self;
        let wrong = |what: &str| {
            let message = format!("{text:?} names no account: {what}.");
            Failure::input("not_an_account", message)
        };
        if let Some(digits) = text.strip_prefix("0x") {
            let mut key = [0; 32];
            return hex::decode_to_slice(digits, &mut key)
                .map(|()| AccountId32(key))
                .map_err(|_| wrong("a key is 0x and 64 digits"));
        }
        if let Ok(account) = AccountId32::from_str(text) {
            return Ok(account);
        }
        let neither = "it is neither an address like 5… nor a file with one";
        let file = std::fs::read_to_string(text).map_err(|_| wrong(neither))?;
        let half: Value = serde_json::from_str(&file).map_err(|_| wrong(neither))?;
        let account = half["account"].as_str().unwrap_or_default();
        AccountId32::from_str(account).map_err(|_| wrong("the file has none"))
    }
}

/// The account whose secret is in this file.
pub(crate) fn secret(path: &Path) -> Result<Account, Failure> {
    Ok(Account::from_secret_uri(&files::read_secret(path)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHARLIE: &str = "5FLSigC9HGRKVhB9FiEo4Y3koPsNmBmLJbpXg2mp1hXcS59Y";

    #[test]
    fn an_account_is_named_by_address_key_or_file() {
        let charlie = Account::from_secret_uri("//Charlie")
            .expect("well known")
            .id();
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("charlie.json");
        let half = format!(r#"{{"format":"{FORMAT}","name":"Charlie","account":"{CHARLIE}"}}"#);
        files::write_public(&file, &half).expect("written");
        let key = format!("0x{}", hex::encode(charlie.0));
        for name in [CHARLIE, &key, file.to_str().expect("ASCII")] {
            assert_eq!(Named::from(name).id().expect(name), charlie);
        }
    }

    #[test]
    fn a_mistyped_address_is_refused() {
        for wrong in [
            CHARLIE.replace("FLS", "FLT"),
            "0x12".into(),
            "nobody".into(),
        ] {
            let refused = Named::from(&*wrong).id().expect_err("no account");
            assert_eq!(refused.code(), "not_an_account", "{wrong}");
        }
    }
}
