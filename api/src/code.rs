// SPDX-License-Identifier: Apache-2.0

//! Enrolment codes, as staff hand them out and people read, type and dictate them.
//!
//! A code has 40 symbols: 20 that are secret, 19 that pin the chain and the key to which the participant's data are sealed, and one that
//! tells when another was mistyped. `docs/protocol/device-api.md` has the bytes.

use alloc::{string::String, vec::Vec};
use core::fmt;
use core::str::FromStr;

use hashchain::{encoding, Native};
use zeroize::Zeroizing;

use crate::{Hash, Key};

/// Crockford's base32. No I, L, O and U: they are mistaken for 1, 0 and V.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Symbols of a code.
const SYMBOLS: usize = 40;
/// Symbols of its secret part: 100 bits.
const SECRET: usize = 20;
/// Symbols of the pin: 95 bits.
const PIN: usize = 19;
/// Symbols that stand together when it is written.
const GROUP: usize = 5;

/// An enrolment code. Whoever has it can enrol in the participant's name, so `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct EnrolmentCode(Zeroizing<[u8; SYMBOLS]>);

/// This cannot be an enrolment code: a symbol was left out, doubled or mistyped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not an enrolment code: a symbol is missing, mistyped, or one too many")]
pub struct MalformedCode;

impl EnrolmentCode {
    /// The code with this secret part, of which the last four bits are not used, for the chain whose first block has this hash, and for
    /// data that are sealed to this key; or to nobody.
    pub fn new(secret: &[u8; 13], chain: &Hash, participant_key: Option<&Key>) -> Self {
        let mut symbols = Zeroizing::new([0; SYMBOLS]);
        symbols[..SECRET].copy_from_slice(&*Zeroizing::new(symbols_of::<SECRET>(secret)));
        symbols[SECRET..SECRET + PIN].copy_from_slice(&pin(chain, participant_key));
        symbols[SYMBOLS - 1] = double(remainder(&symbols[..SYMBOLS - 1]));
        Self(symbols)
    }

    /// Whether it was made for the chain whose first block has this hash, and for data that are sealed to this key; or (none) to nobody.
    pub fn is_for(&self, chain: &Hash, participant_key: Option<&Key>) -> bool {
        self.0[SECRET..SECRET + PIN] == pin(chain, participant_key)
    }

    /// The code as it is handed out: eight groups of five symbols, with hyphens between them. Never log it.
    pub fn reveal(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(SYMBOLS + SYMBOLS / GROUP));
        for (place, symbol) in self.0.iter().enumerate() {
            if place > 0 && place % GROUP == 0 {
                text.push('-');
            }
            text.push(char::from(ALPHABET[usize::from(*symbol)]));
        }
        text
    }

    /// `H("code", symbols)`: what a server keeps of it.
    pub fn hash(&self) -> [u8; 32] {
        let symbols = self.0.iter();
        let letters = symbols.map(|symbol| ALPHABET[usize::from(*symbol)]);
        let letters = Zeroizing::new(letters.collect::<Vec<u8>>());
        encoding::hash::<Native>("code", &[&letters])
    }
}

/// Takes a code as a person types it from paper: in lower case, with letters that were mistaken, and with blanks, line ends and
/// dashes of every kind anywhere or nowhere.
impl FromStr for EnrolmentCode {
    type Err = MalformedCode;

    fn from_str(text: &str) -> Result<Self, MalformedCode> {
        let mut symbols = Zeroizing::new([0; SYMBOLS]);
        let mut count = 0;
        for letter in text.chars().filter(|letter| !is_between(*letter)) {
            let letter = match letter.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                letter => letter,
            };
            let symbol = ALPHABET
                .iter()
                .position(|known| char::from(*known) == letter)
                .ok_or(MalformedCode)?;
            *symbols.get_mut(count).ok_or(MalformedCode)? = symbol as u8;
            count += 1;
        }
        match count == SYMBOLS && remainder(&*symbols) == 0 {
            true => Ok(Self(symbols)),
            false => Err(MalformedCode),
        }
    }
}

impl fmt::Debug for EnrolmentCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnrolmentCode(redacted)")
    }
}

/// What people and their programs put between symbols, or at the ends, without meaning anything by it.
fn is_between(letter: char) -> bool {
    letter.is_whitespace()
        || matches!(
            letter,
            // Hyphens, dashes, the minus sign, and their wide and small forms.
            '-' | '\u{ad}' | '\u{2010}'..='\u{2015}' | '\u{2043}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}'
            // Blanks of no width, and marks that say in which direction and order bytes are to be read.
            | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}'
        )
}

/// The first 95 bits of `H("pin", chain, participant_key)`.
fn pin(chain: &Hash, participant_key: Option<&Key>) -> [u8; PIN] {
    let key = participant_key.map_or(&[][..], |key| key.0.as_slice());
    symbols_of(&encoding::hash::<Native>("pin", &[&chain.0, key]))
}

/// The first bits, five in a symbol, the topmost first.
fn symbols_of<const N: usize>(bytes: &[u8]) -> [u8; N] {
    core::array::from_fn(|place| {
        let bit = |number: usize| bytes[number / 8] >> (7 - number % 8) & 1;
        (0..5).fold(0, |symbol, number| symbol << 1 | bit(5 * place + number))
    })
}

/// Twice a symbol in the field of 32 elements whose polynomial is x⁵ + x² + 1.
fn double(symbol: u8) -> u8 {
    let shifted = symbol << 1;
    match shifted & 0b10_0000 {
        0 => shifted,
        _ => shifted ^ 0b10_0101,
    }
}

/// The symbols as a polynomial, at the point 2. It is zero of a code. As 2 makes all elements but zero of the field, every symbol
/// has another weight than its neighbours: a mistyped symbol changes it, and so do two that change places.
fn remainder(symbols: &[u8]) -> u8 {
    symbols
        .iter()
        .fold(0, |remainder, symbol| double(remainder) ^ symbol)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHAIN: Hash = Hash([1; 32]);

    fn code(seed: u8) -> EnrolmentCode {
        let key = Key([seed; 32]);
        EnrolmentCode::new(&[seed.wrapping_mul(37); 13], &CHAIN, Some(&key))
    }

    proptest! {
        #[test]
        fn a_code_is_read_back_however_it_was_typed(secret: [u8; 13], key: Option<[u8; 32]>) {
            let key = key.map(Key);
            let code = EnrolmentCode::new(&secret, &CHAIN, key.as_ref());
            let text = code.reveal();
            prop_assert_eq!(text.len(), 47);
            prop_assert_eq!(&text.parse::<EnrolmentCode>().unwrap(), &code);
            let typed = text.replace('0', "o").replace('1', "l").to_lowercase();
            for between in ["", " ", "\u{a0}", "\t", "\r\n", "\u{2013}", " \u{2014} ", "\u{2011}", "\u{202f}", "\u{200b}"] {
                let typed = format!("\u{feff} {}\n", typed.replace('-', between));
                prop_assert_eq!(&typed.parse::<EnrolmentCode>().unwrap(), &code);
            }
            prop_assert_eq!(text.replace('1', "I").parse::<EnrolmentCode>().unwrap(), code);
        }

        #[test]
        fn no_text_makes_the_reader_panic(text: String) {
            let _ = text.parse::<EnrolmentCode>();
        }
    }

    #[test]
    fn every_mistyped_symbol_is_found() {
        for seed in 0..=255 {
            let right: Vec<char> = code(seed).reveal().replace('-', "").chars().collect();
            for place in 0..SYMBOLS {
                for wrong in ALPHABET.iter().map(|symbol| char::from(*symbol)) {
                    let mut typed = right.clone();
                    typed[place] = wrong;
                    let read = typed.iter().collect::<String>().parse();
                    match wrong == right[place] {
                        true => assert_eq!(read, Ok(code(seed))),
                        false => assert_eq!(read, Err(MalformedCode), "{place} {wrong}"),
                    }
                }
            }
        }
    }

    #[test]
    fn every_two_neighbours_that_changed_places_are_found() {
        for seed in 0..=255 {
            let right: Vec<char> = code(seed).reveal().replace('-', "").chars().collect();
            for place in 1..SYMBOLS {
                let mut typed = right.clone();
                typed.swap(place - 1, place);
                let read = typed.iter().collect::<String>().parse::<EnrolmentCode>();
                assert_eq!(read.is_err(), typed != right, "{place}");
            }
        }
    }

    #[test]
    fn what_has_another_length_or_other_letters_is_no_code() {
        let right = code(7).reveal();
        for bad in [
            "",
            "hello",
            &right[1..],
            &right[..45],
            &format!("{}0", *right),
            &format!("{}{}", *right, *right),
            &right.replace(right.chars().next().unwrap(), "U"),
            &right.replace('-', "_"),
            &"0".repeat(10_000),
            "é",
        ] {
            assert_eq!(bad.parse::<EnrolmentCode>(), Err(MalformedCode), "{bad}");
        }
    }

    #[test]
    fn a_code_is_for_one_chain_and_for_one_key_or_none() {
        let keys = [
            None,
            Some(Key([0; 32])),
            Some(Key([1; 32])),
            Some(Key([2; 32])),
        ];
        let chains = [CHAIN, Hash([0; 32]), Hash([2; 32])];
        let all: Vec<_> = chains
            .into_iter()
            .flat_map(|chain| keys.map(|key| (chain, key)))
            .collect();
        for made in &all {
            let code = EnrolmentCode::new(&[9; 13], &made.0, made.1.as_ref());
            for asked in &all {
                assert_eq!(code.is_for(&asked.0, asked.1.as_ref()), made == asked);
            }
        }
    }

    #[test]
    fn another_secret_or_another_key_makes_another_hash() {
        let of = |secret: u8, key: u8| {
            let key = Key([key; 32]);
            EnrolmentCode::new(&[secret; 13], &CHAIN, Some(&key)).hash()
        };
        assert_eq!(of(16, 1), of(16, 1));
        assert_ne!(of(16, 1), of(32, 1));
        assert_ne!(of(16, 1), of(16, 2));
    }

    #[test]
    fn debug_shows_nothing_of_the_code() {
        assert_eq!(format!("{:?}", code(7)), "EnrolmentCode(redacted)");
    }
}
