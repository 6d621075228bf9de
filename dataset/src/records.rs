// SPDX-License-Identifier: Apache-2.0

//! Records in parts: one row for each, made of the rows of its parts. Nothing is dropped: parts that cannot be put together are one
//! row all the same, which says so, and are kept as they came.

use hashchain::parts::MAX_PARTS;
use hashchain::{
    BrokenBecause, BrokenRecord, Content, Found, Joiner, Native, Part, WholeRecord,
    MAX_RECORD_LENGTH, PART_MEDIA_TYPE,
};
use mhealth_auditor::Verdict;

use crate::owners::Names;
use crate::row::{InParts, Inside, Problem, Raw, Row};

/// Most bytes of parts that are kept until their record is whole: those of the longest record, and what each part says before its
/// piece.
const MOST: usize = MAX_RECORD_LENGTH + 64 * MAX_PARTS as usize;

/// A row that is ready, with what does not go into it.
pub(crate) struct Ready {
    pub(crate) row: Row,
    /// The payload, where it is kept as it came.
    pub(crate) raw: Option<Raw>,
    /// The rows of the parts, if it is a record in parts.
    pub(crate) parts: Vec<Row>,
    /// What each of these parts holds, if they cannot be put together.
    pub(crate) pieces: Vec<Raw>,
}

impl Ready {
    fn alone(row: Row, raw: Option<Raw>) -> Self {
        Ready {
            row,
            raw,
            parts: Vec::new(),
            pieces: Vec::new(),
        }
    }

    fn flagged(mut self, problem: Problem) -> Self {
        for row in self.parts.iter_mut().chain([&mut self.row]) {
            row.problem = Some(problem);
        }
        self
    }
}

/// Takes the rows of a device in the order of its entries. Keeps the parts of one record.
pub(crate) struct Records<'n> {
    names: &'n Names,
    joiner: Joiner,
    parts: Vec<Row>,
    pieces: Vec<Raw>,
    /// Bytes of the pieces.
    kept: usize,
}

impl<'n> Records<'n> {
    pub(crate) fn of(names: &'n Names) -> Self {
        Records {
            names,
            joiner: Joiner::default(),
            parts: Vec::new(),
            pieces: Vec::new(),
            kept: 0,
        }
    }

    /// Takes a row, and gives those that are ready by it.
    pub(crate) fn add(&mut self, mut row: Row, inside: Inside) -> Vec<Ready> {
        let mut ready = Vec::new();
        match inside {
            // It may be a part that lacks: the record's other parts go on behind it.
            Inside::Closed => ready.push(Ready::alone(row, None)),
            Inside::Record(raw) => {
                if row.registered {
                    ready.extend(self.end());
                }
                ready.push(Ready::alone(row, raw));
            }
            Inside::Part(raw) if row.registered => self.part(row, raw, &mut ready),
            // What is not registered has no neighbours.
            Inside::Part(raw) => {
                row.problem = Some(Problem::PartMissing);
                ready.push(Ready::alone(row, Some(raw)));
            }
        }
        ready
    }

    /// No row comes any more, or none of the record that is open.
    pub(crate) fn end(&mut self) -> Option<Ready> {
        let broken = self.joiner.finish()?;
        Some(self.broken(&broken))
    }

    fn part(&mut self, mut row: Row, raw: Raw, ready: &mut Vec<Ready>) {
        if self.kept + raw.payload.len() > MOST {
            let too_much = self.end();
            ready.extend(too_much.map(|record| record.flagged(Problem::PartsDiffer)));
        }
        let content =
            Content::new(PART_MEDIA_TYPE, &raw.payload).expect("the media type is good; qed");
        // Whether more is to come of this part's record.
        let goes_on = matches!(
            Part::parse(&content),
            Ok(Some(part)) if u64::from(part.number) <= row.sequence && part.number < part.of
        );
        let found = self.joiner.add::<Native>(row.sequence, content);
        let mut found: Vec<Result<WholeRecord, BrokenRecord>> = found
            .into_iter()
            .filter_map(|it| match it {
                Ok(Found::Record(record)) => Some(Ok(record)),
                Ok(Found::Entry { .. }) => None,
                Err(broken) => Some(Err(broken)),
            })
            .collect();
        let of_this = if goes_on { None } else { found.pop() };
        // What else there is to say is of the record before.
        for broken in found.into_iter().filter_map(Result::err) {
            ready.push(self.broken(&broken));
        }
        if let Some(Err(BrokenRecord { digest: None, .. })) = of_this {
            row.problem = Some(Problem::PartMalformed);
            ready.push(Ready::alone(row, Some(raw)));
            return;
        }
        self.kept += raw.payload.len();
        self.parts.push(row);
        self.pieces.push(raw);
        match of_this {
            Some(Ok(record)) => ready.push(self.whole(&record)),
            Some(Err(broken)) => ready.push(self.broken(&broken)),
            None => {}
        }
    }

    fn whole(&mut self, record: &WholeRecord) -> Ready {
        let (mut ready, _) = self.take(record.first, record.last);
        ready.raw = ready.row.take(&record.content(), self.names);
        ready
    }

    fn broken(&mut self, broken: &BrokenRecord) -> Ready {
        let (mut ready, pieces) = self.take(broken.first, broken.last);
        let problem = match broken.why {
            BrokenBecause::Missing(_) => Problem::PartMissing,
            BrokenBecause::Differs => Problem::PartsDiffer,
            BrokenBecause::Malformed => Problem::PartMalformed,
        };
        ready.pieces = pieces;
        ready.flagged(problem)
    }

    /// A row for the record of which the parts have come, and the parts.
    fn take(&mut self, first: u64, last: u64) -> (Ready, Vec<Raw>) {
        self.kept = 0;
        let parts = std::mem::take(&mut self.parts);
        let mut row = parts
            .last()
            .expect("a record is open from its first part on; qed")
            .clone();
        row.in_parts = Some(InParts {
            first,
            last,
            found: parts.len() as u64,
        });
        // It is valid if all of it is, and with whoever has all of it.
        let mut verdicts = parts.iter().map(|part| part.verdict);
        let bad = verdicts.find(|verdict| *verdict != Verdict::Valid);
        row.verdict = bad.unwrap_or(Verdict::Valid);
        let all = |name: &String| parts.iter().all(|part| part.held_by.contains(name));
        row.held_by.retain(all);
        let ready = Ready {
            parts,
            ..Ready::alone(row, None)
        };
        (ready, std::mem::take(&mut self.pieces))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use hashchain::RecordDigest;
    use serde_json::json;

    use super::*;
    use crate::audit::AuditedDevice;

    /// A row of a valid entry.
    pub(crate) fn row(sequence: u32) -> Row {
        let bytes = format!("0x{}", "07".repeat(32));
        let entry = json!({
            "sequence": sequence, "link": bytes, "digest": bytes, "registered": true, "verdict": "valid", "content": "sealed",
        });
        let device: AuditedDevice = serde_json::from_value(json!({
            "device": 1, "key": bytes, "enrolled_at": 1, "length": 9, "block_times": {}, "entries": [entry],
        }))
        .unwrap();
        Row::of(&device.entries[0], &device)
    }

    #[test]
    fn parts_that_are_together_longer_than_any_record_are_not_waited_for() {
        let piece = vec![0; MAX_RECORD_LENGTH / 4];
        let names = Names::default();
        let (mut records, mut ready) = (Records::of(&names), Vec::new());
        for number in 1..=5 {
            let part = Part {
                record: RecordDigest([4; 32]),
                number,
                of: 9,
                length: MAX_RECORD_LENGTH as u64,
                piece: &piece,
            };
            let raw = Raw {
                media_type: PART_MEDIA_TYPE.into(),
                payload: part.payload(),
            };
            ready.extend(records.add(row(number), Inside::Part(raw)));
            assert!(records.kept <= MOST);
        }
        ready.extend(records.end());
        let told: Vec<_> = ready
            .iter()
            .map(|it| (it.row.problem, it.parts.len(), it.pieces.len()))
            .collect();
        assert_eq!(
            told,
            [
                (Some(Problem::PartsDiffer), 4, 4),
                (Some(Problem::PartMissing), 1, 1)
            ]
        );
    }
}
