// SPDX-License-Identifier: Apache-2.0

//! Lines of a file that somebody else wrote: counted, with any line end, in bounded memory.

use std::io::{BufRead, BufReader, Read};

/// Bytes of the longest line that is read. Of a longer one the rest is skipped.
pub(super) const LONGEST: usize = 64 * 1024;

/// Reads lines that end in a line feed, a carriage return, or both.
pub(super) struct Lines<R> {
    source: BufReader<R>,
    number: u64,
    /// A carriage return ended the last line. A line feed right after it belongs to it.
    returned: bool,
}

/// How a line was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// All of it.
    Whole,
    /// Its first [`LONGEST`] bytes.
    Cut,
}

impl<R: Read> Lines<R> {
    pub(super) fn of(source: R) -> Self {
        Self {
            source: BufReader::new(source),
            number: 0,
            returned: false,
        }
    }

    /// Number of the last line, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Puts the next line into `into`, without its end; `None` after the last one. A mark of the byte order before the
    /// first line is left out.
    pub(super) fn read(&mut self, into: &mut Vec<u8>) -> std::io::Result<Option<Line>> {
        into.clear();
        let mut line = Line::Whole;
        let mut begun = false;
        loop {
            let bytes = match self.source.fill_buf() {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            let Some(first) = bytes.first() else {
                break;
            };
            if std::mem::take(&mut self.returned) && *first == b'\n' {
                self.source.consume(1);
                continue;
            }
            begun = true;
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let content = &bytes[..end.unwrap_or(bytes.len())];
            let room = LONGEST - into.len();
            if content.len() > room {
                line = Line::Cut;
            }
            into.extend_from_slice(&content[..content.len().min(room)]);
            self.returned = end.is_some_and(|end| bytes[end] == b'\r');
            let used = end.map_or(bytes.len(), |end| end + 1);
            self.source.consume(used);
            if end.is_some() {
                break;
            }
        }
        if !begun {
            return Ok(None);
        }
        self.number += 1;
        if self.number == 1 && into.starts_with("\u{feff}".as_bytes()) {
            into.drain(..3);
        }
        Ok(Some(line))
    }
}

/// What a file is instead of text, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotText {
    /// Two bytes a character, as spreadsheets write "Unicode text".
    #[error("it is in UTF-16; save it in UTF-8")]
    Utf16,
    /// A workbook of a spreadsheet program, or another archive.
    #[error("it is a workbook or an archive; save the table itself as text")]
    Archive,
    /// Compressed by gzip.
    #[error("it is compressed by gzip; unpack it")]
    Gzip,
}

impl NotText {
    /// Looks at the first line.
    pub(super) fn of(first_line: &[u8]) -> Option<Self> {
        match first_line {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some(Self::Utf16),
            [b'P', b'K', 3, 4, ..] | [0xd0, 0xcf, 0x11, 0xe0, ..] => Some(Self::Archive),
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            // Without a mark of the byte order, every other byte of Latin letters is zero.
            line if line.contains(&0) => Some(Self::Utf16),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source that gives one byte at a time.
    struct Drops<'a>(&'a [u8]);

    impl Read for Drops<'_> {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            let some = out.len().min(1);
            Read::read(&mut self.0, &mut out[..some])
        }
    }

    fn lines(source: impl Read) -> Vec<(String, Line)> {
        let (mut lines, mut line, mut read) = (Lines::of(source), Vec::new(), Vec::new());
        while let Some(how) = lines.read(&mut line).expect("readable") {
            read.push((String::from_utf8_lossy(&line).into_owned(), how));
            assert_eq!(lines.number(), read.len() as u64);
        }
        read
    }

    #[test]
    fn lines_end_in_a_line_feed_a_carriage_return_or_both() {
        for (text, expected) in [
            ("", &[][..]),
            ("a", &["a"]),
            ("a\n", &["a"]),
            ("a\r\nb\r\n", &["a", "b"]),
            ("a\r\n\r\nb", &["a", "", "b"]),
            ("a\rb\r", &["a", "b"]),
            ("a\r\rb\n\nc", &["a", "", "b", "", "c"]),
            ("\u{feff}a\n\u{feff}b", &["a", "\u{feff}b"]),
        ] {
            let whole: Vec<_> = expected
                .iter()
                .map(|line| (line.to_string(), Line::Whole))
                .collect();
            assert_eq!(lines(text.as_bytes()), whole, "{text:?}");
            assert_eq!(
                lines(Drops(text.as_bytes())),
                whole,
                "{text:?} byte by byte"
            );
        }
    }

    #[test]
    fn a_line_without_end_takes_no_more_memory_than_the_longest() {
        let endless = std::io::repeat(b'x').take(40 * LONGEST as u64);
        let text = endless.chain(&b"\nnext"[..]);
        let read = lines(text);
        assert_eq!(read.len(), 2);
        assert_eq!((read[0].0.len(), read[0].1), (LONGEST, Line::Cut));
        assert_eq!(read[1], ("next".into(), Line::Whole));
    }
}
