// SPDX-License-Identifier: Apache-2.0

//! Whether one account signed all of an export, answer by answer from the first run on.

use mhealth_api::ExportClosing;
use mhealth_chain_client::is_statement_of;
use sha2::{Digest, Sha256};

use super::{Expected, ExportFault, Reading};

/// How far the signatures reach.
#[derive(Default)]
pub(super) struct Closings {
    /// The lines since the last closing line.
    lines: Sha256,
    /// Whether there are any.
    open: bool,
    /// The first line since then whose run comes before the cursor from which the answer goes on, and the last run's cursor.
    runs: Option<Runs>,
    /// The last closing line that holds; 0 if there is none.
    line: u64,
    account: Option<[u8; 32]>,
    /// The cursor that was reached.
    reached: u64,
    more: bool,
    /// A closing line did not hold. From then on nobody answers for anything.
    void: bool,
}

/// Cursors of the runs of an answer, with their lines.
struct Runs {
    least: u64,
    greatest: u64,
    line: u64,
}

impl Closings {
    /// Bytes of lines that are not closing lines, line feeds included.
    pub(super) fn lines(&mut self, bytes: &[u8]) {
        self.open = true;
        self.lines.update(bytes);
    }

    /// A run that was read.
    pub(super) fn run(&mut self, line: u64, cursor: u64) {
        let runs = self.runs.get_or_insert(Runs {
            least: cursor,
            greatest: cursor,
            line,
        });
        runs.least = runs.least.min(cursor);
        runs.greatest = runs.greatest.max(cursor);
    }

    /// What came since the last closing line will come again.
    pub(super) fn restart(&mut self) {
        self.lines = Sha256::new();
        self.open = false;
        self.runs = None;
    }

    /// A closing line that cannot be read: nobody answers for the export.
    pub(super) fn give_up(&mut self) {
        self.void = true;
        self.restart();
    }

    /// The cursor from which the next answer goes on, if the relay says that there is one, and nothing was wrong so far.
    pub(super) fn next(&self) -> Option<u64> {
        (self.more && !self.void && !self.open).then_some(self.reached)
    }

    /// The cursor that was reached.
    pub(super) fn reached(&self) -> u64 {
        self.reached
    }

    /// Takes a closing line. Whether it holds for the lines since the one before.
    pub(super) fn close(
        &mut self,
        line: u64,
        closing: &ExportClosing,
        expected: &Expected,
        reading: &mut Reading,
    ) -> bool {
        let lines: [u8; 32] = std::mem::take(&mut self.lines).finalize().into();
        let runs = self.runs.take();
        self.open = false;
        if self.void {
            return false;
        }
        let (account, signature) = (&closing.account.0, &closing.signature.0);
        let fault = if !is_statement_of(account, &closing.statement(), signature) {
            Some(ExportFault::BadSignature { line })
        } else if closing.chain.0 != expected.chain {
            Some(ExportFault::AnotherChain { line })
        } else if closing.study != expected.study {
            Some(ExportFault::AnotherStudy { line })
        } else if self.account.is_some_and(|before| before != *account) {
            Some(ExportFault::AnotherAccount { line })
        } else if closing.after != self.reached || closing.reached < closing.after {
            Some(ExportFault::NotContiguous {
                line,
                expected: self.reached,
                found: closing.after,
            })
        } else if closing.lines.0 != lines {
            Some(ExportFault::LinesDiffer { line })
        } else {
            None
        };
        if let Some(fault) = fault {
            reading.fault(fault);
            self.void = true;
            return false;
        }
        if let Some(runs) = runs {
            // It signed cursors that do not fit its own.
            if runs.least <= closing.after || runs.greatest > closing.reached {
                reading.fault(ExportFault::OutOfOrder { line: runs.line });
            }
        }
        self.line = line;
        self.account = Some(*account);
        self.reached = closing.reached;
        self.more = closing.more;
        reading.answers += 1;
        reading.block = Some(closing.block);
        true
    }

    /// Says whose the export is, at its end.
    pub(super) fn end(&self, reading: &mut Reading) {
        if !self.void {
            if self.open || self.account.is_none() {
                reading.fault(ExportFault::Unsigned { line: self.line });
            } else if self.more && reading.is_complete() {
                reading.fault(ExportFault::EndsEarly);
            }
        }
        reading.account = self.account.filter(|_| !self.void);
        if self.void {
            reading.block = None;
        }
    }
}
