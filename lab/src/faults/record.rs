// SPDX-License-Identifier: Apache-2.0

//! What the servers acknowledged, taken down on its way to the devices.
//!
//! A server is bound by what it said, whether or not the device heard it. So an acknowledgement counts when it has left
//! the server completely, even when the connection is cut before it arrives.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use anyhow::{Context, Result};
use hashchain::{DeviceId, LinkHash};
use mhealth_api::{Code, Enrolled, Hash, Problem, RunState, RunStatus};
use serde::Serialize;
use tokio::sync::watch;

use crate::exchange::{Answered, Exchange};

/// Who is bound by an acknowledgement: all processes that share one database.
pub(crate) type Keeper = usize;

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
    /// Who said so.
    pub(crate) keepers: HashMap<Hash, BTreeSet<Keeper>>,
    /// Runs of which a relay said first that it has them, and later that it has not. The device's next attempt mends
    /// that; the promise was broken all the same.
    pub(crate) forgotten: HashSet<Hash>,
    /// Devices that an authentication server says it has enrolled, with link 0.
    pub(crate) enrolled: HashMap<DeviceId, LinkHash>,
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
    pub(crate) device: DeviceId,
    pub(crate) sequence: u64,
    pub(crate) entries: u32,
    /// Link of the last entry.
    pub(crate) head: LinkHash,
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

    /// Reads the next bytes that a device sent on a connection.
    pub(crate) fn observe_request(&self, exchange: &mut Exchange, bytes: &[u8]) -> Result<()> {
        let read = exchange.asks(bytes);
        read.inspect_err(|error| self.lock().said.unreadable.push(format!("{error:#}")))
    }

    /// Reads the next bytes that a server sent on a connection.
    pub(crate) fn observe_answer(
        &self,
        keeper: Keeper,
        exchange: &mut Exchange,
        bytes: &[u8],
    ) -> Result<()> {
        let read = exchange.answers(bytes);
        let complete =
            read.inspect_err(|error| self.lock().said.unreadable.push(format!("{error:#}")))?;
        complete.iter().for_each(|answer| self.note(keeper, answer));
        Ok(())
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

    fn note(&self, keeper: Keeper, answer: &Answered) {
        let mut inner = self.lock();
        *inner.said.statuses.entry(answer.status).or_default() += 1;
        if !(200..300).contains(&answer.status) {
            inner.note_problem(keeper, answer);
            return;
        }
        // These messages refuse members that they do not know, so none passes for another.
        if let Ok(status) = serde_json::from_slice::<RunStatus>(&answer.body) {
            inner.note_run(keeper, status);
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
    fn note_problem(&mut self, keeper: Keeper, answer: &Answered) {
        let run = answer.path.strip_prefix("/v1/runs/");
        let Some(Ok(run)) = run.map(str::parse::<Hash>) else {
            return;
        };
        let problem = serde_json::from_slice::<Problem>(&answer.body).ok();
        let is_unknown = problem.and_then(|problem| problem.known_code()) == Some(Code::UnknownRun);
        let keepers = self.said.keepers.get(&run);
        if is_unknown && keepers.is_some_and(|keepers| keepers.contains(&keeper)) {
            self.said.forgotten.insert(run);
        }
    }

    fn note_run(&mut self, keeper: Keeper, status: RunStatus) {
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
        self.said
            .keepers
            .entry(status.run)
            .or_default()
            .insert(keeper);
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
            device: DeviceId(3),
            sequence: 5,
            entries: 4,
            head: LinkHash([2; 32]),
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

    fn record() -> (Record, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let record = Record::new(&folder.path().join("log")).expect("it is written");
        (record, folder)
    }

    fn unknown(exchange: &mut Exchange, record: &Record) -> Vec<u8> {
        let question = format!("GET /v1/runs/{} HTTP/1.1\r\n\r\n", Hash([1; 32]));
        record
            .observe_request(exchange, question.as_bytes())
            .expect("it is HTTP");
        let body = serde_json::to_string(&Problem::new(Code::UnknownRun)).expect("it is JSON");
        let length = body.len();
        format!("HTTP/1.1 404 Not Found\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
    }

    #[test]
    fn a_run_counts_once_however_often_it_is_acknowledged() {
        let (record, _folder) = record();
        let mut exchange = Exchange::default();
        for state in [RunState::Pending, RunState::Submitted, RunState::Finalised] {
            record
                .observe_answer(0, &mut exchange, &status(state))
                .expect("it is HTTP");
        }
        let said = record.said();
        let runs: Vec<_> = said.runs.values().collect();
        assert_eq!(
            (runs[0].device, runs[0].last(), runs.len()),
            (DeviceId(3), 8, 1)
        );
        assert_eq!(*record.count().borrow(), 1);
        assert_eq!(said.statuses[&202], 3);
    }

    #[test]
    fn a_refused_run_is_no_acknowledgement_and_a_broken_one_neither() {
        let (record, _folder) = record();
        let observe = |bytes: &[u8]| record.observe_answer(0, &mut Exchange::default(), bytes);
        let whole = status(RunState::Pending);
        observe(&whole[..whole.len() - 1]).expect("it is HTTP");
        observe(&status(RunState::Refused)).expect("it is HTTP");
        let said = record.said();
        assert!(said.runs.is_empty());
        assert_eq!(said.refused.len(), 1);
        assert!(observe(b"nonsense\r\n\r\n").is_err());
        assert_eq!(record.said().unreadable.len(), 1);
    }

    #[test]
    fn only_who_has_acknowledged_a_run_can_forget_it() {
        let (record, _folder) = record();
        let mut exchange = Exchange::default();
        let answer = unknown(&mut exchange, &record);
        record
            .observe_answer(0, &mut exchange, &answer)
            .expect("it is HTTP");
        record
            .observe_answer(0, &mut Exchange::default(), &status(RunState::Pending))
            .expect("it is HTTP");
        let answer = unknown(&mut exchange, &record);
        record
            .observe_answer(1, &mut exchange, &answer)
            .expect("it is HTTP");
        assert!(record.said().forgotten.is_empty());
        let answer = unknown(&mut exchange, &record);
        record
            .observe_answer(0, &mut exchange, &answer)
            .expect("it is HTTP");
        assert_eq!(record.said().forgotten.len(), 1);
    }
}
