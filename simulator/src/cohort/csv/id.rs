// SPDX-License-Identifier: Apache-2.0

//! Names of people in a table: text, which programs on the way like to take for numbers.

use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

use super::RowProblem;

/// Bytes of the longest accepted name.
pub(super) const LONGEST: usize = 64;

/// What programs write where there is nothing.
const NOTHING: [&str; 6] = ["NAN", "NULL", "#N/A", "#REF!", "#VALUE!", "#NAME?"];

/// Checks a name.
pub fn check_id(id: &str) -> Result<(), RowProblem> {
    let printable = !id.chars().any(char::is_control);
    let nothing =
        NOTHING.contains(&id.to_ascii_uppercase().as_str()) || id.bytes().all(|byte| byte == b'#');
    if id.is_empty() || id.len() > LONGEST || !printable || nothing || likeness(id).is_empty() {
        return Err(RowProblem::BadId);
    }
    match is_rounded(id) {
        true => Err(RowProblem::RoundedId),
        false => Ok(()),
    }
}

/// Whether a spreadsheet took the name for a number and rounded it: `1.50396E+09`. The sign is always there.
fn is_rounded(id: &str) -> bool {
    let Some((digits, power)) = id.split_once(['E', 'e']) else {
        return false;
    };
    let digit = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = digits.split_once(['.', ',']).unwrap_or((digits, "0"));
    digit(whole.trim_start_matches(['-', '+']))
        && digit(fraction)
        && power.strip_prefix(['+', '-']).is_some_and(digit)
}

/// What is left of a name without zeroes before a number, blanks, and what nobody sees: names with the same likeness look
/// alike, or were alike before some program took them for numbers (`007`, `7`, `7.0`, `="007"`).
pub fn likeness(id: &str) -> String {
    let seen: String = id.nfkc().filter(|c| is_seen(*c)).collect();
    let quoted = seen
        .strip_prefix("=\"")
        .and_then(|rest| rest.strip_suffix('"'));
    let text = quoted.unwrap_or(&seen);
    let text = text.strip_prefix('\'').unwrap_or(text);
    let text = match text.split_once('.') {
        Some((whole, zeroes)) if is_number(whole) && zeroes.bytes().all(|byte| byte == b'0') => {
            whole
        }
        _ => text,
    };
    let mut likeness = String::new();
    let mut characters = text.chars().peekable();
    let mut in_number = false;
    while let Some(c) = characters.next() {
        let leads = c == '0' && !in_number && characters.peek().is_some_and(char::is_ascii_digit);
        in_number = c.is_ascii_digit() && !leads;
        if !leads {
            likeness.push(c);
        }
    }
    likeness
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a character leaves a mark on paper.
fn is_seen(c: char) -> bool {
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
    !(fillers.contains(&c) || selectors || other || c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_a_spreadsheet_rounded_is_refused_and_others_that_look_like_it_are_not() {
        for id in ["1.50396E+09", "1,50396E+09", "2E+10", "1.5e+12", "-3.1E-05"] {
            assert_eq!(check_id(id), Err(RowProblem::RoundedId), "{id}");
        }
        for id in ["1503960366", "12E4", "E+09", "AE+09", "1.5E+", "S1E+2a"] {
            assert_eq!(check_id(id), Ok(()), "{id}");
        }
    }

    #[test]
    fn what_programs_write_for_nothing_is_no_name() {
        for id in [
            "", "NaN", "null", "#N/A", "#REF!", "########", "\u{200b}", "\u{3164}", "a\u{7}",
        ] {
            assert_eq!(check_id(id), Err(RowProblem::BadId), "{id:?}");
        }
        assert_eq!(check_id(&"x".repeat(65)), Err(RowProblem::BadId));
        assert_eq!(check_id("0"), Ok(()));
    }

    #[test]
    fn names_that_differ_by_zeroes_blanks_or_what_nobody_sees_have_one_likeness() {
        for (one, other) in [
            ("007", "7"),
            ("7.0", "7"),
            ("7.", "7"),
            ("P007", "P7"),
            ("S-01-0002", "S-1-2"),
            ("00", "0"),
            ("a b", "ab"),
            ("ab\u{200b}", "ab"),
            ("ab\u{feff}", "ab"),
            ("a\u{ad}b", "ab"),
            ("a\u{a0}b", "ab"),
            ("\u{202d}ab\u{202c}", "ab"),
            ("ab\u{fe0f}", "ab"),
            ("７", "7"),
            ("e\u{301}", "\u{e9}"),
            ("=\"007\"", "7"),
            ("'007", "7"),
        ] {
            assert_eq!(likeness(one), likeness(other), "{one:?} {other:?}");
        }
        for (one, other) in [
            ("70", "7"),
            ("7", "8"),
            ("a1", "A1"),
            ("7.1", "7"),
            ("1007", "17"),
            ("P7", "7"),
        ] {
            assert_ne!(likeness(one), likeness(other), "{one:?} {other:?}");
        }
    }
}
