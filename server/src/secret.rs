// SPDX-License-Identifier: Apache-2.0

//! Secrets among the options.

use std::convert::Infallible;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use mhealth_chain_client::{read_secret_text, SecretFileError};
use zeroize::Zeroizing;

/// A secret as text. `Debug` and `--help` show nothing of it, and it is erased when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Reads it from a file that nobody but its owner can read; white space at the end does not count.
    pub fn from_file(path: &Path) -> Result<Self, SecretFileError> {
        Ok(Self(read_secret_text(path)?))
    }

    /// The secret itself. Whoever calls this must not log it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for SecretText {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(Zeroizing::new(text.to_owned())))
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_the_secret() {
        let secret: SecretText = "//Charlie".parse().unwrap();
        assert_eq!(format!("{secret:?}"), "SecretText(secret)");
    }
}
