// SPDX-License-Identifier: Apache-2.0

//! What the servers acknowledged, taken down on its way to the devices.
//!
//! A server is bound by what it said, whether or not the device heard it. So an acknowledgement counts when it has left
//! the server completely, even when the connection is cut before it arrives.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use anyhow::{Context, Result};
use mhealth_api::{Enrolled, Hash, RunState, RunStatus};
use serde::Serialize;
use tokio::sync::watch;

use crate::answers::{Answer, Answers};

/// All acknowledgements of a fault run.
pub(crate) struct Record {
    inner: Mutex<Inner>,
    runs: watch::Sender<u64>,
}

struct Inner {
    said: Said,
    log: BufWriter<File>,
}

/// What servers said, each thing once.
#[derive(Clone, Default)]
pub(crate) struct Said {
    /// Runs that a relay says it has, by their names.
    pub(crate) runs: HashMap<Hash, Acknowledged>,
    /// Devices that an authentication server says it has enrolled, with link 0.
    pub(crate) enrolled: HashMap<u32, Hash>,
    /// Runs of which a relay said that the chain refused them.
    pub(crate) refused: HashMap<Hash, RunStatus>,
    /// Answers by their status.
    pub(crate) statuses: HashMap<u16, u64>,
    /// Connections that could not be read to their end.
    pub(crate) unreadable: Vec<String>,
}

/// A run that a relay acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Acknowledged {
    pub(crate) device: u32,
    pub(crate) sequence: u64,
    pub(crate) entries: u32,
    /// Link of the last entry.
    pub(crate) head: Hash,
}

impl Acknowledged {
    /// Sequence of the last entry.
    pub(crate) fn last(&self) -> u64 {
        self.sequence + u64::from(self.entries) - 1
    }
}

impl Record {
    /// An empty record, which is also written to this file, one acknowledgement a line.
    pub(crate) fn new(file: &Path) -> Result<Self> {
        let file =
            File::create(file).with_context(|| format!("{} cannot be written", file.display()))?;
        let inner = Inner {
            said: Said::default(),
            log: BufWriter::new(file),
        };
        Ok(Self {
            inner: Mutex::new(inner),
            runs: watch::Sender::new(0),
        })
    }

    /// Reads the next bytes that a server sent on a connection.
    pub(crate) fn observe(&self, answers: &mut Answers, bytes: &[u8]) -> Result<()> {
        match answers.feed(bytes) {
            Ok(complete) => {
                complete.iter().for_each(|answer| self.note(answer));
                Ok(())
            }
            Err(error) => {
                self.lock().said.unreadable.push(format!("{error:#}"));
                Err(error)
            }
        }
    }

    /// A copy of everything up to now.
    pub(crate) fn said(&self) -> Said {
        let mut inner = self.lock();
        // It is for people to look at; the run is judged by what is in memory.
        let _ = inner.log.flush();
        inner.said.clone()
    }

    /// Counts acknowledged runs, to be waited for.
    pub(crate) fn count(&self) -> watch::Receiver<u64> {
        self.runs.subscribe()
    }

    fn note(&self, answer: &Answer) {
        let mut inner = self.lock();
        *inner.said.statuses.entry(answer.status).or_default() += 1;
        if !(200..300).contains(&answer.status) {
            return;
        }
        // These messages refuse members that they do not know, so none passes for another.
        if let Ok(status) = serde_json::from_slice::<RunStatus>(&answer.body) {
            inner.note_run(status);
            let runs = inner.said.runs.len() as u64;
            drop(inner);
            self.runs.send_replace(runs);
        } else if let Ok(enrolled) = serde_json::from_slice::<Enrolled>(&answer.body) {
            inner
                .said
                .enrolled
                .insert(enrolled.device, enrolled.genesis);
            inner.write(&enrolled);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner
            .lock()
            .expect("no holder of this lock panics; qed")
    }
}

impl Inner {
    fn note_run(&mut self, status: RunStatus) {
        if let RunState::Refused | RunState::Conflicting = status.state {
            self.said.refused.insert(status.run, status);
            return;
        }
        let run = Acknowledged {
            device: status.device,
            sequence: status.sequence,
            entries: status.entries,
            head: status.head,
        };
        if self.said.runs.insert(status.run, run).is_none() {
            self.write(&run);
        }
    }

    fn write(&mut self, line: &impl Serialize) {
        // See `said`.
        let _ = serde_json::to_writer(&mut self.log, line);
        let _ = writeln!(self.log);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: RunState) -> Vec<u8> {
        let status = RunStatus {
            run: Hash([1; 32]),
            device: 3,
            sequence: 5,
            entries: 4,
            head: Hash([2; 32]),
            state,
            block: None,
            extrinsic_index: None,
            reason: None,
        };
        let body = serde_json::to_string(&status).expect("it is JSON");
        format!(
            "HTTP/1.1 202 Accepted\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    #[test]
    fn a_run_counts_once_however_often_it_is_acknowledged() {
        let folder = tempfile::tempdir().expect("a folder");
        let record = Record::new(&folder.path().join("log")).expect("it is written");
        let mut answers = Answers::default();
        for state in [RunState::Pending, RunState::Submitted, RunState::Finalised] {
            record
                .observe(&mut answers, &status(state))
                .expect("it is HTTP");
        }
        let said = record.said();
        let runs: Vec<_> = said.runs.values().collect();
        assert_eq!((runs[0].device, runs[0].last(), runs.len()), (3, 8, 1));
        assert_eq!(*record.count().borrow(), 1);
        assert_eq!(said.statuses[&202], 3);
    }

    #[test]
    fn a_refused_run_is_no_acknowledgement_and_a_broken_one_neither() {
        let folder = tempfile::tempdir().expect("a folder");
        let record = Record::new(&folder.path().join("log")).expect("it is written");
        let mut answers = Answers::default();
        let whole = status(RunState::Pending);
        record
            .observe(&mut answers, &whole[..whole.len() - 1])
            .expect("it is HTTP");
        record
            .observe(&mut Answers::default(), &status(RunState::Refused))
            .expect("it is HTTP");
        let said = record.said();
        assert!(said.runs.is_empty());
        assert_eq!(said.refused.len(), 1);
        assert!(record
            .observe(&mut Answers::default(), b"nonsense\r\n\r\n")
            .is_err());
        assert_eq!(record.said().unreadable.len(), 1);
    }
}
