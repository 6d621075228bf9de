// SPDX-License-Identifier: Apache-2.0

//! Pseudonyms: what can be one, and which of them are taken for one another.

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

use crate::error::DataError;

/// Most bytes of a pseudonym.
const LONGEST: usize = 64;
/// What a spreadsheet takes for the beginning of a formula.
const FORMULA: [char; 4] = ['=', '+', '-', '@'];

/// Fails unless a participant can be called so.
pub(crate) fn check_pseudonym(participant: &str) -> Result<(), DataError> {
    let is_one = (1..=LONGEST).contains(&participant.len())
        && participant.chars().all(is_seen)
        && !participant.starts_with(FORMULA)
        && !mixes_alphabets(participant);
    match is_one {
        true => Ok(()),
        false => Err(DataError::BadPseudonym(participant.into())),
    }
}

/// Pseudonyms, each found by all that look like it.
#[derive(Debug, Default)]
pub(crate) struct Names(HashMap<String, String>);

impl Names {
    pub(crate) fn of<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut all = Names::default();
        names.for_each(|name| all.add(name));
        all
    }

    pub(crate) fn add(&mut self, name: &str) {
        self.0.insert(likeness(name), name.to_owned());
    }

    /// The one that looks like this, or is this.
    pub(crate) fn alike(&self, name: &str) -> Option<&str> {
        self.0.get(&likeness(name)).map(String::as_str)
    }

    /// Fails if another one looks like this.
    pub(crate) fn check(&self, name: &str) -> Result<(), DataError> {
        match self.alike(name).filter(|other| *other != name) {
            Some(other) => Err(DataError::LooksAlike {
                name: name.to_owned(),
                other: other.to_owned(),
            }),
            None => Ok(()),
        }
    }

    /// Whether one of them is this, or looks like it.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.alike(name).is_some()
    }
}

/// What names have in common that look alike, or that some programs do not tell apart: to REDCap `p-17` is `P-17`.
fn likeness(name: &str) -> String {
    let seen: String = name.nfkc().filter(|c| is_seen(*c)).collect();
    seen.to_uppercase().to_lowercase()
}

/// Whether Latin letters stand beside those of an alphabet that has the same shapes, as the Cyrillic `\u{43e}` beside `P`.
fn mixes_alphabets(name: &str) -> bool {
    let is_latin =
        |c: char| c.is_alphabetic() && matches!(c, ..'\u{250}' | '\u{1e00}'..='\u{1eff}');
    // Greek, Cyrillic and Armenian; Cherokee; Coptic; and what was added to them later.
    let is_alike = |c: char| {
        matches!(c,
            '\u{370}'..='\u{58f}' | '\u{13a0}'..='\u{13ff}' | '\u{1c80}'..='\u{1c8f}' | '\u{1f00}'..='\u{1fff}'
            | '\u{2c80}'..='\u{2cff}' | '\u{2de0}'..='\u{2dff}' | '\u{a640}'..='\u{a69f}' | '\u{ab70}'..='\u{abbf}')
    };
    name.nfkc().any(is_latin) && name.nfkc().any(is_alike)
}

/// Whether a character leaves a mark on paper, and steers nothing.
pub(crate) fn is_seen(c: char) -> bool {
    // Unicode calls these letters, symbols and marks.
    let fillers = [
        '\u{34f}', '\u{115f}', '\u{1160}', '\u{17b4}', '\u{17b5}', '\u{2800}', '\u{3164}',
        '\u{ffa0}',
    ];
    let selectors =
        matches!(c, '\u{180b}'..='\u{180f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}');
    let other = matches!(
        c.general_category_group(),
        GeneralCategoryGroup::Separator | GeneralCategoryGroup::Other
    );
    !(fillers.contains(&c) || selectors || other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pseudonym_can_be_seen_and_is_no_formula() {
        for good in [
            "P-17",
            "07001",
            "Zoë.",
            "../../etc/passwd",
            "П-17",
            "患者17",
            "ผู้ป่วย",
        ] {
            check_pseudonym(good).expect(good);
        }
        let long = "x".repeat(65);
        for bad in [
            "",
            &long,
            "a b",
            "a\nb",
            "a\u{a0}b",
            "P-bob\u{200b}",
            "P\u{202e}17",
            "P\u{e000}",
            "P\u{3164}",
            "=1+1",
            "+1",
            "-1",
            "@a",
            "P-b\u{43e}b",
            "P-\u{391}",
        ] {
            let refused = check_pseudonym(bad).expect_err(bad);
            assert_eq!(refused.code(), "bad_pseudonym", "{bad:?}");
        }
    }

    #[test]
    fn names_that_are_taken_for_one_another_are_alike_and_others_are_not() {
        let names = Names::of(["P-bob", "Zo\u{eb}", "Straße"].into_iter());
        for (alike, name) in [
            ("P-bob", "P-bob"),
            ("p-BOB", "P-bob"),
            ("P-bob\u{200b}", "P-bob"),
            ("Ｐ-bob", "P-bob"),
            ("zoe\u{308}", "Zo\u{eb}"),
            ("STRASSE", "Straße"),
        ] {
            assert_eq!(names.alike(alike), Some(name), "{alike}");
        }
        for other in ["P-bo", "P-b0b", "Zoe", "P_bob", ""] {
            assert!(!names.has(other), "{other}");
        }
    }
}
