// SPDX-License-Identifier: Apache-2.0

//! Secrets among the options.

use std::convert::Infallible;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use anyhow::Context;
use zeroize::Zeroizing;

/// A secret as text. `Debug` and `--help` show nothing of it, and it is erased when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Reads it from a file; white space at the end does not count.
    pub fn from_file(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .map(Zeroizing::new)
            .with_context(|| format!("cannot read the secret in {}", path.display()))?;
        Ok(Self(Zeroizing::new(text.trim_end().to_owned())))
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

    #[test]
    fn a_secret_is_read_from_a_file_without_its_line_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, "//Charlie\n").unwrap();
        assert_eq!(SecretText::from_file(&path).unwrap().expose(), "//Charlie");
        assert!(SecretText::from_file(&directory.path().join("none")).is_err());
    }
}
