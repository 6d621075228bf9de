// SPDX-License-Identifier: Apache-2.0

//! The passport as a page to print. `mhealth-auth` draws the sheets with enrolment codes in the same way (`auth/src/paper.rs`).

use maud::{html, PreEscaped, DOCTYPE};
use qrcode::render::svg;
use qrcode::QrCode;

use super::Content;
use crate::failure::Failure;

/// The page: all that matters in letters that can be compared by eye, and the file as a QR code.
pub(super) fn of(content: &Content, text: &str) -> Result<String, Failure> {
    let code = QrCode::new(text).map_err(|error| {
        Failure::input(
            "passport_too_long",
            format!("No QR code holds it: {error}."),
        )
    })?;
    let code = code
        .render::<svg::Color<'_>>()
        .min_dimensions(320, 320)
        .build();
    // What comes before the picture in a file of its own has no place in a page.
    let picture = code.find("<svg").map_or(&*code, |start| &code[start..]);
    let rows = [
        ("First block of the chain", grouped(&content.genesis)),
        ("Auditor's key", grouped(&content.auditor_key)),
        ("Policy", content.policy.clone()),
    ];
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { "Passport of study " (content.study) ": " (content.title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Passport of study " (content.study) }
                p.title { (content.title) }
                table {
                    @for (name, value) in &rows { tr { th { (name) } td { (value) } } }
                    @if let Some(server) = &content.authentication_server {
                        tr { th { "Authentication server" } td { (server) } }
                    }
                    @for relay in &content.relays { tr { th { "Relay" } td { (relay) } } }
                    @for account in &content.relay_accounts {
                        tr { th { "Relay's account" } td { (account) } }
                    }
                }
                (PreEscaped(picture))
                p { "Compare the first block and the auditor's key with a passport that you got by another way. Whoever shows "
                    "other ones speaks of another chain, or wants to read what is sealed to the auditor." }
            }
        }
    };
    Ok(page.into_string())
}

/// Digits in groups of eight, for the eye.
fn grouped(text: &str) -> String {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let groups: Vec<&str> = digits
        .as_bytes()
        .chunks(8)
        .filter_map(|group| std::str::from_utf8(group).ok())
        .collect();
    groups.join(" ")
}

/// Black on white, on one sheet.
const STYLE: &str = "body{font:11pt/1.4 sans-serif;margin:2cm auto;max-width:17cm}\
h1{margin:0}.title{font-size:13pt}table{border-collapse:collapse;margin:1em 0}\
th{text-align:left;vertical-align:top;padding:.2em 1em .2em 0;white-space:nowrap}\
td{font-family:monospace;word-break:break-word}svg{display:block;width:8cm;height:8cm}";

#[cfg(test)]
mod tests {
    use qrcode::Color;

    use super::*;
    use crate::files;
    use crate::passport::tests::content;
    use crate::passport::{make, LONGEST};

    /// The dark squares of the page's picture, by column and row.
    fn dark_squares(page: &str) -> Vec<(usize, usize)> {
        /// How many squares around the code stay light.
        const MARGIN: usize = 4;
        let path = page.split_once(" d=\"").expect("a path").1;
        let path = path.split_once('"').expect("its end").0;
        let number = |digits: &str| digits.parse::<usize>().expect("a number");
        let squares = path.split('M').skip(1).map(|square| {
            // As in M8 8h2v2H8V8.
            let (place, size) = square.split_once('h').expect("a width");
            let (x, y) = place.split_once(' ').expect("two numbers");
            let side = number(size.split_once('v').expect("a height").0);
            (number(x) / side - MARGIN, number(y) / side - MARGIN)
        });
        squares.collect()
    }

    /// The same of a code for this text.
    fn code_of(text: &str) -> Vec<(usize, usize)> {
        let code = QrCode::new(text).expect("it fits");
        let (width, colours) = (code.width(), code.to_colors());
        let squares = colours.into_iter().enumerate();
        let dark = squares.filter(|(_, colour)| *colour == Color::Dark);
        dark.map(|(at, _)| (at % width, at / width)).collect()
    }

    #[test]
    fn the_picture_is_the_file_up_to_the_longest_that_is_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut longest = content();
        longest.title.push('ö');
        let text = serde_json::to_string(&longest).expect("JSON");
        let missing = LONGEST - text.len();
        longest.title.push_str(&"x".repeat(missing));
        for (name, content) in [("usual", content()), ("longest", longest.clone())] {
            let file = folder.path().join(name);
            make(&content, &file).expect(name);
            let text = files::read(&file).expect("read");
            let page = files::read(&folder.path().join(format!("{name}.html")));
            let drawn = dark_squares(&page.expect("read"));
            assert!(drawn == code_of(text.trim_end()), "{name}");
        }
        longest.title.push('x');
        let file = folder.path().join("too-long");
        let refused = make(&longest, &file).expect_err("one byte more");
        assert_eq!(refused.code(), "passport_too_long");
    }
}
