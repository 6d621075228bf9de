// SPDX-License-Identifier: Apache-2.0

//! What a program prints, line by line, to be waited for.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail, Result};

/// Lines of a log that are kept to be shown when something fails.
const LOG_LINES: usize = 2_000;

/// The last lines of a program. Clones see the same lines.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<(Mutex<Lines>, Condvar)>);

#[derive(Default)]
struct Lines {
    lines: VecDeque<String>,
    ended: bool,
    /// Gets every line, the old ones too.
    file: Option<File>,
}

impl Log {
    /// A log that is also appended to this file, if there is one.
    pub(crate) fn kept(file: Option<&Path>) -> Result<Self> {
        let log = Self::default();
        if let Some(file) = file {
            let file = File::options().create(true).append(true).open(file)?;
            log.lock().file = Some(file);
        }
        Ok(log)
    }

    /// Reads what a program prints, until it closes it, in a thread of its own. The log ends with it.
    pub(crate) fn read(&self, source: impl Read + Send + 'static) {
        let log = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(source).lines().map_while(Result::ok) {
                log.push(line);
            }
            log.end();
        });
    }

    /// All lines that are kept.
    pub(crate) fn text(&self) -> String {
        let log = self.lock();
        log.lines
            .iter()
            .fold(String::new(), |text, line| text + line + "\n")
    }

    /// Waits for a line that contains this text and returns it. `who` stands in the message when it never comes.
    pub(crate) fn wait_for(&self, who: &str, text: &str, patience: Duration) -> Result<String> {
        let deadline = Instant::now() + patience;
        let mut log = self.lock();
        loop {
            if let Some(line) = log.lines.iter().find(|line| line.contains(text)) {
                return Ok(line.clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if log.ended || left.is_zero() {
                let why = if log.ended { "ended" } else { "went on" };
                drop(log);
                bail!("{who} {why} without logging {text:?}:\n{}", self.text());
            }
            let waited = self.0 .1.wait_timeout(log, left);
            log = waited.map_err(|_| anyhow!("the log's reader panicked"))?.0;
        }
    }

    fn push(&self, line: String) {
        let mut log = self.lock();
        if log.lines.len() == LOG_LINES {
            log.lines.pop_front();
        }
        if let Some(file) = &mut log.file {
            // For people who look into it later. What waits for a line has it all the same.
            let _ = writeln!(file, "{line}");
        }
        log.lines.push_back(line);
        self.0 .1.notify_all();
    }

    fn end(&self) {
        let mut log = self.lock();
        log.ended = true;
        self.0 .1.notify_all();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Lines> {
        self.0
             .0
            .lock()
            .expect("no holder of this lock panics; qed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn waiting_for_a_line_ends_when_the_log_does() {
        let log = Log::default();
        log.push("one line".into());
        log.end();
        let line = log.wait_for("it", "one", PATIENCE);
        assert_eq!(line.expect("it is there"), "one line");
        let error = log.wait_for("it", "two", PATIENCE);
        let error = error.expect_err("it never comes");
        assert!(error.to_string().contains("one line"), "{error}");
    }

    #[test]
    fn what_is_read_is_there_even_when_the_source_has_ended() {
        let log = Log::default();
        log.read("early\nlate\n".as_bytes());
        assert!(log.wait_for("it", "late", PATIENCE).is_ok());
        assert!(log.wait_for("it", "never", PATIENCE).is_err());
    }
}
