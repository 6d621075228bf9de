// SPDX-License-Identifier: Apache-2.0

//! A code as people read, type and dictate it: 128 random bits in Crockford's base32, in groups.

use std::fmt;
use std::str::FromStr;

use rand::TryRngCore;
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

/// No I, L, O and U: they are mistaken for 1, 0 and V.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// 26 letters hold 130 bits.
const LETTERS: usize = 26;

/// The secret of an enrolment code. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct CodeSecret([u8; 16]);

/// Not a code: of another length, or with other letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not an enrolment code")]
pub struct NotACode;

impl CodeSecret {
    /// A new one, of the operating system's randomness.
    pub fn random() -> Result<Self, rand::rand_core::OsError> {
        let mut bytes = [0; 16];
        rand::rngs::OsRng.try_fill_bytes(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// What the database keeps.
    pub fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.0).to_vec()
    }

    /// The code as it is handed out: `XXXXX-XXXXX-XXXXX-XXXXX-XXXXXX`.
    pub fn reveal(&self) -> String {
        let number = u128::from_be_bytes(self.0);
        let mut text = String::with_capacity(LETTERS + 4);
        for place in 0..LETTERS {
            if place % 5 == 0 && (5..=20).contains(&place) {
                text.push('-');
            }
            // The first letter has the top three bits.
            let shift = 5 * (LETTERS - 1 - place);
            text.push(char::from(ALPHABET[(number >> shift) as usize & 31]));
        }
        text
    }
}

/// Takes lower case, spaces, missing hyphens, and letters that were mistaken.
impl FromStr for CodeSecret {
    type Err = NotACode;

    fn from_str(text: &str) -> Result<Self, NotACode> {
        let mut number = 0u128;
        let mut letters = 0;
        for letter in text.chars().filter(|letter| !matches!(letter, '-' | ' ')) {
            let letter = match letter.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                letter => letter,
            };
            let value = ALPHABET
                .iter()
                .position(|known| char::from(*known) == letter)
                .ok_or(NotACode)?;
            if letters == LETTERS || (letters == 0 && value > 7) {
                return Err(NotACode);
            }
            number = number << 5 | value as u128;
            letters += 1;
        }
        match letters {
            LETTERS => Ok(Self(number.to_be_bytes())),
            _ => Err(NotACode),
        }
    }
}

impl fmt::Debug for CodeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeSecret(secret)")
    }
}

impl Drop for CodeSecret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_code_is_read_back_however_it_was_typed(bytes: [u8; 16]) {
            let code = CodeSecret(bytes);
            let text = code.reveal();
            prop_assert_eq!(text.len(), 30);
            prop_assert_eq!(&text.parse::<CodeSecret>().unwrap(), &code);
            let typed = text.replace('-', " ").replace('0', "o").replace('1', "l").to_lowercase();
            prop_assert_eq!(typed.parse::<CodeSecret>().unwrap(), code);
        }

        #[test]
        fn no_text_makes_the_reader_panic(text: String) {
            let _ = text.parse::<CodeSecret>();
        }
    }

    #[test]
    fn another_length_other_letters_and_too_large_a_number_are_no_codes() {
        let code = CodeSecret([0xff; 16]).reveal();
        assert_eq!(code, "7ZZZZ-ZZZZZ-ZZZZZ-ZZZZZ-ZZZZZZ");
        for bad in [
            "",
            "7ZZZZ",
            &code[1..],
            &format!("{code}Z"),
            &code.replace('7', "8"),
            &code.replace('Z', "U"),
            "é",
        ] {
            assert_eq!(bad.parse::<CodeSecret>(), Err(NotACode), "{bad}");
        }
    }

    #[test]
    fn debug_shows_nothing_of_the_code() {
        assert_eq!(format!("{:?}", CodeSecret([7; 16])), "CodeSecret(secret)");
    }
}
