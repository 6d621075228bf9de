// SPDX-License-Identifier: Apache-2.0

//! Text whose every line ends in one line feed, so that lines can be counted.

use std::io::{BufRead, BufReader, Read};

/// Leaves out a carriage return before a line feed, and ends the last line.
pub(super) struct LineFeeds<R> {
    source: BufReader<R>,
    /// A carriage return was read, and what follows is not known yet.
    held: bool,
    last: u8,
}

impl<R: Read> LineFeeds<R> {
    pub(super) fn of(source: R) -> Self {
        Self {
            source: BufReader::new(source),
            held: false,
            last: b'\n',
        }
    }
}

impl<R: Read> Read for LineFeeds<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let mut written = 0;
        while written < out.len() {
            let next = match self.source.fill_buf() {
                Ok(bytes) => bytes.first().copied(),
                Err(error) if written == 0 => return Err(error),
                Err(_) => break, // It will fail again when there is nothing else to report.
            };
            if self.held && next != Some(b'\n') {
                self.held = false;
                self.last = b'\r';
            } else {
                match next {
                    None if self.last == b'\n' => break,
                    None => self.last = b'\n',
                    Some(byte) => {
                        self.source.consume(1);
                        self.held = byte == b'\r';
                        if self.held {
                            continue;
                        }
                        self.last = byte;
                    }
                }
            }
            out[written] = self.last;
            written += 1;
        }
        Ok(written)
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

    #[test]
    fn every_line_ends_in_one_line_feed() {
        for (text, lines) in [
            ("", ""),
            ("a", "a\n"),
            ("a\n", "a\n"),
            ("a\r\nb\r\n", "a\nb\n"),
            ("a\r\n\r\nb", "a\n\nb\n"),
            ("a\rb\r", "a\rb\r\n"),
            ("\r\r\n", "\r\n"),
        ] {
            let mut read = String::new();
            LineFeeds::of(text.as_bytes())
                .read_to_string(&mut read)
                .expect("text");
            assert_eq!(read, lines, "{text:?}");
            let mut read = String::new();
            LineFeeds::of(Drops(text.as_bytes()))
                .read_to_string(&mut read)
                .expect("text");
            assert_eq!(read, lines, "{text:?} byte by byte");
        }
    }
}
