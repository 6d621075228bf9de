// SPDX-License-Identifier: Apache-2.0

//! REDCap: an import file, and the data dictionary that makes its project. A record is a participant, and a row an instance of
//! the repeating instrument `night`; of a night, one is `main`.
//!
//! An import writes over the instances of the same numbers, so a number is made of the place of its row alone: whatever else is in a
//! later dataset, the row has it there, too.

use std::collections::HashMap;

use hashchain::DeviceId;

use super::{Device, Table, Writer};
use crate::columns::{Kind, Value, COLUMNS};
use crate::error::DataError;
use crate::folder::Unfinished;
use crate::row::Row;

pub(crate) const DATA: &str = "redcap/nights.csv";
const DICTIONARY: &str = "redcap/data-dictionary.csv";
/// The heads of a dictionary's columns, as REDCap writes them.
const DICTIONARY_HEAD: [&str; 18] = [
    "Variable / Field Name",
    "Form Name",
    "Section Header",
    "Field Type",
    "Field Label",
    "Choices, Calculations, OR Slider Labels",
    "Field Note",
    "Text Validation Type OR Show Slider Number",
    "Text Validation Min",
    "Text Validation Max",
    "Identifier?",
    "Branching Logic (Show field only if...)",
    "Required Field?",
    "Custom Alignment",
    "Question Number (surveys only)",
    "Matrix Group Name",
    "Matrix Ranking?",
    "Field Annotation",
];

/// The largest number that an instance has in REDCap's database.
const MOST_INSTANCES: u64 = 32_767;

pub(super) struct Redcap {
    table: Table,
    /// The last phone of each participant so far, and how many came before it.
    phones: HashMap<String, (DeviceId, u32)>,
}

impl Redcap {
    pub(super) fn begin(folder: &Unfinished) -> Result<Self, DataError> {
        dictionary(folder)?;
        let mut table = Table::begin(folder, DATA)?;
        let head = [
            "record_id",
            "redcap_repeat_instrument",
            "redcap_repeat_instance",
        ];
        let columns = COLUMNS.iter().map(|column| column.name);
        table.line(head.into_iter().chain(columns).chain(["night_complete"]))?;
        Ok(Redcap {
            table,
            phones: HashMap::new(),
        })
    }

    /// How many phones of a participant come before this one. Phones come in the order in which the chain enrolled them.
    fn phones_before(&mut self, participant: &str, device: DeviceId) -> u32 {
        match self.phones.get_mut(participant) {
            Some((last, before)) => {
                *before += u32::from(*last != device);
                *last = device;
                *before
            }
            None => {
                self.phones.insert(participant.to_owned(), (device, 0));
                0
            }
        }
    }

    /// The record of a row, and its number there. No pseudonym has a blank.
    fn place(&mut self, row: &Row) -> (String, u64) {
        if !row.registered {
            // Several may claim one place.
            return (format!("unregistered {}", &row.link.to_string()[2..18]), 1);
        }
        let of_person = row.participant.as_ref().and_then(|participant| {
            let before = self.phones_before(participant, row.device);
            Some((participant.clone(), instance(before, row.sequence)?))
        });
        of_person.unwrap_or_else(|| by_device(row.device, row.sequence))
    }
}

/// The record of an entry that has no number in a participant's, and its number there.
fn by_device(device: DeviceId, sequence: u64) -> (String, u64) {
    let before = sequence.saturating_sub(1);
    let record = match before / MOST_INSTANCES {
        0 => format!("device {device}"),
        full => format!("device {device} part {}", full + 1),
    };
    (record, before % MOST_INSTANCES + 1)
}

/// The number of an entry among those of all phones of a participant: the first phone has the odd numbers, the next one the odd
/// numbers twice, and so on, so that no phone takes another's, however many entries come. What would have a larger number than there may be
/// has none.
fn instance(phones_before: u32, sequence: u64) -> Option<u64> {
    let odd = sequence.checked_mul(2)?.checked_sub(1)?;
    let number = odd.checked_mul(1_u64.checked_shl(phones_before)?)?;
    (number <= MOST_INSTANCES).then_some(number)
}

fn dictionary(folder: &Unfinished) -> Result<(), DataError> {
    let mut table = Table::begin(folder, DICTIONARY)?;
    table.line(DICTIONARY_HEAD)?;
    let mut field = |name: &str, form: &str, kind: &str, label: &str, note: &str, check: &str| {
        let mut line = [""; 18];
        (line[0], line[1], line[3], line[4]) = (name, form, kind, label);
        (line[6], line[7]) = (note, check);
        table.line(line)
    };
    field(
        "record_id",
        "participant",
        "text",
        "Participant's pseudonym",
        "With a blank: rows that are nobody's, as far as is known",
        "",
    )?;
    for column in COLUMNS {
        let (kind, check) = match column.kind {
            // Its fields for instants have no place for an offset.
            Kind::Text(_) | Kind::Time => ("text", ""),
            Kind::Integer => ("text", "integer"),
            Kind::Number => ("text", "number"),
            Kind::Boolean => ("yesno", ""),
            Kind::Date => ("text", "date_ymd"),
            Kind::Instant => ("text", "datetime_seconds_ymd"),
        };
        let note = match (column.unit, column.kind) {
            (Some(unit), _) => unit,
            (None, Kind::Instant) => "UTC",
            _ => "",
        };
        field(column.name, "night", kind, column.label, note, check)?;
    }
    table.end()
}

impl Writer for Redcap {
    fn device(&mut self, device: Device<'_>) -> Result<(), DataError> {
        // It counts before it has a row.
        if let Some(participant) = device.participant {
            self.phones_before(participant, device.number);
        }
        Ok(())
    }

    fn row(&mut self, row: &Row) -> Result<(), DataError> {
        let (record, instance) = self.place(row);
        let head = [record, "night".into(), instance.to_string()];
        let columns = COLUMNS.iter().map(|column| match (column.value)(row) {
            Value::Boolean(yes) => String::from(if yes { "1" } else { "0" }),
            instant @ Value::Instant(_) => instant.to_text().replace('T', " ").replace('Z', ""),
            other => other.to_text(),
        });
        // 2: complete.
        let fields = head.into_iter().chain(columns).chain(["2".into()]);
        self.table.line(fields)
    }

    fn end(self: Box<Self>) -> Result<(), DataError> {
        self.table.end()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_entries_of_a_participant_have_one_number() {
        assert_eq!([1, 2, 3].map(|it| instance(0, it)), [1, 3, 5].map(Some));
        assert_eq!([1, 2, 3].map(|it| instance(1, it)), [2, 6, 10].map(Some));
        let mut seen = HashSet::new();
        for phones_before in 0..20 {
            let numbers = (1..20_000).filter_map(|it| instance(phones_before, it));
            for number in numbers {
                assert!(seen.insert(number), "{number}");
            }
        }
        // All that there are, and none twice.
        assert_eq!(seen.len() as u64, MOST_INSTANCES);
        assert_eq!(seen.into_iter().max(), Some(MOST_INSTANCES));
        for (phones_before, last) in [(0, 16_384), (4, 1_024), (9, 32), (14, 1)] {
            assert!(instance(phones_before, last).is_some());
            assert_eq!(instance(phones_before, last + 1), None);
        }
        for (phones_before, sequence) in [(15, 1), (64, 1), (0, 0), (0, u64::MAX)] {
            assert_eq!(instance(phones_before, sequence), None);
        }
    }

    #[test]
    fn entries_beyond_them_have_records_of_their_device() {
        let device = |sequence| by_device(DeviceId(3), sequence);
        assert_eq!(device(1), ("device 3".to_owned(), 1));
        assert_eq!(device(32_767), ("device 3".to_owned(), 32_767));
        assert_eq!(device(32_768), ("device 3 part 2".to_owned(), 1));
        assert_eq!(device(65_535), ("device 3 part 3".to_owned(), 1));
    }
}
