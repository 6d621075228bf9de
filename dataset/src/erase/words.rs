// SPDX-License-Identifier: Apache-2.0

//! Words of others, to be shown on a terminal.

use crate::keys::is_seen;

/// Most characters that are shown of others' words.
const LONGEST: usize = 200;

/// Others' words on one line, without what steers a terminal, and not too many: a relay could write what this program says itself.
pub(super) fn plain(words: &str) -> String {
    let shown = |c: char| match is_seen(c) || c == ' ' {
        true => c,
        false => char::REPLACEMENT_CHARACTER,
    };
    let mut plain: String = words.chars().take(LONGEST).map(shown).collect();
    if words.chars().nth(LONGEST).is_some() {
        plain.push('…');
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_words_stay_on_their_line_and_steer_nothing() {
        let said = "This relay was not told.";
        assert_eq!(plain(said), said);
        let forged = "no\nThe receipt\u{1b}[1A\r\u{9b}2K\u{202e}\u{2028}\t.";
        assert_eq!(plain(forged), "no�The receipt�[1A��2K���.");
        let long = "é".repeat(LONGEST);
        assert_eq!(plain(&long), long);
        assert_eq!(plain(&format!("{long}é")), format!("{long}…"));
    }
}
