// SPDX-License-Identifier: Apache-2.0

//! A first pass over a whole file, before anything of it is sealed.

use std::{
    collections::{hash_map::Entry, HashMap},
    hash::{BuildHasher, Hash, RandomState},
    io::Read,
};

use time::Date;

use super::{
    csv::{likeness, CsvError, NightRow, RowProblem, Sleep},
    source::{Nights, SourceError, SourceNight},
};

/// What a first pass over a file found.
#[derive(Debug, Default)]
pub struct Survey {
    /// Nights read, wrong ones included.
    pub rows: u64,
    /// Nights that repeat an earlier one word for word.
    pub duplicates: u64,
    /// Empty rows that were passed over.
    pub blank: u64,
    /// What is wrong, at most [`Survey::MOST_ERRORS`] of it.
    pub errors: Vec<SourceError>,
    /// How many nights are wrong.
    pub wrong: u64,
    hashes: RandomState,
    /// By person and day, where rows are sleeps.
    sleeps: HashMap<(u64, Date), Day>,
}

/// The sleeps of a person's day.
#[derive(Clone, Copy, Debug, Default)]
struct Day {
    sleeps: u32,
    /// Minutes asleep of the longest one, which one that is, and whether another one is as long.
    longest: (u32, u32, bool),
    /// Whether the file says of any of them whether it is the main one, and that one of them is.
    says: (bool, bool),
}

impl Day {
    /// Whether the sleep of this number and these minutes is the main one: the file's word, or else the length. Nobody
    /// knows which of two equal ones is.
    fn is_main(&self, said: Option<bool>, number: u32, asleep: u32) -> Option<bool> {
        let (longest, which, tied) = self.longest;
        match said {
            _ if self.says.0 => said,
            _ if tied && asleep == longest => None,
            _ => Some(number == which),
        }
    }
}

impl Survey {
    /// Errors kept in full; further ones are counted.
    pub const MOST_ERRORS: usize = 20;

    /// Nights that are taken of one file: of ten thousand people for a year, and more.
    pub const MOST_ROWS: u64 = 5_000_000;

    /// Reads all nights once. Remembers some bytes a night and the names of the people, not the nights.
    pub fn of<R: Read>(nights: Nights<R>) -> Self {
        Self::of_at_most(Self::MOST_ROWS, nights)
    }

    /// The same of a file that may have so many nights. One that has more, or never ends, is wrong, and is read no further.
    pub fn of_at_most<R: Read>(most: u64, mut nights: Nights<R>) -> Self {
        let mut survey = Self::default();
        let mut seen: HashMap<(u64, u64), u64> = HashMap::new();
        let mut people: HashMap<String, (u64, u64)> = HashMap::new();
        while let Some(night) = nights.next() {
            if survey.rows == most {
                survey.note(nights.too_many(most));
                break;
            }
            survey.rows += 1;
            let checked = night.and_then(|(line, night)| {
                survey.look(line, &night, &mut people)?;
                survey.compare(line, night, &mut seen)
            });
            match checked {
                Ok(true) => survey.duplicates += 1,
                Ok(false) => {}
                Err(error) => survey.note(error),
            }
        }
        survey.blank = nights.blank();
        if survey.rows == 0 {
            survey.note(nights.nothing());
        }
        survey
    }

    /// Counts what is wrong, and keeps the first of it.
    pub fn note(&mut self, error: SourceError) {
        self.wrong += 1;
        if self.errors.len() < Self::MOST_ERRORS {
            self.errors.push(error);
        }
    }

    /// Whether the person has a name of its own.
    fn look(
        &self,
        line: u64,
        night: &SourceNight,
        people: &mut HashMap<String, (u64, u64)>,
    ) -> Result<(), SourceError> {
        let name = self.hash(night.person());
        match people.entry(likeness(night.person())) {
            Entry::Vacant(person) => {
                person.insert((name, line));
                Ok(())
            }
            Entry::Occupied(person) if person.get().0 == name => Ok(()),
            Entry::Occupied(person) => Err(SourceError::LooksAlike {
                line,
                other: Some(person.get().1),
            }),
        }
    }

    /// Whether the night was there before.
    fn compare(
        &mut self,
        line: u64,
        night: SourceNight,
        seen: &mut HashMap<(u64, u64), u64>,
    ) -> Result<bool, SourceError> {
        if let SourceNight::Measured(NightRow {
            day,
            minutes_asleep,
            sleep: Some(Sleep { is_main, .. }),
            ..
        }) = night
        {
            let key = (self.hash(night.person()), day);
            let day = self.sleeps.entry(key).or_default();
            day.sleeps += 1;
            let (longest, _, tied) = &mut day.longest;
            match minutes_asleep.cmp(longest) {
                _ if day.sleeps == 1 => day.longest = (minutes_asleep, 1, false),
                std::cmp::Ordering::Greater => day.longest = (minutes_asleep, day.sleeps, false),
                std::cmp::Ordering::Equal => *tied = true,
                std::cmp::Ordering::Less => {}
            }
            if is_main == Some(true) && day.says.1 {
                let problem = RowProblem::SecondMainSleep;
                return Err(CsvError::Row { line, problem }.into());
            }
            day.says.0 |= is_main.is_some();
            day.says.1 |= is_main == Some(true);
            return Ok(false);
        }
        let key = (self.hash(night.person()), self.hash(&night.source()));
        let content = self.hash(&night.content());
        match seen.entry(key) {
            Entry::Vacant(place) => {
                place.insert(content);
                Ok(false)
            }
            Entry::Occupied(earlier) if *earlier.get() == content => Ok(true),
            Entry::Occupied(_) => Err(night.contradiction(line)),
        }
    }

    /// The nights of the same file again, each sleep with its number among those of its day, and whether it is the main one.
    pub fn placed<'a, R: Read + 'a>(
        &'a self,
        nights: Nights<R>,
    ) -> impl Iterator<Item = Result<(u64, SourceNight), SourceError>> + 'a {
        let mut numbers: HashMap<(u64, Date), u32> = HashMap::new();
        nights.map(move |night| {
            let (line, mut night) = night?;
            if let SourceNight::Measured(row) = &mut night {
                if let Some(sleep) = &mut row.sleep {
                    let key = (self.hash(row.id.as_str()), row.day);
                    let number = numbers.entry(key).or_default();
                    *number += 1;
                    let day = self.sleeps.get(&key).copied().unwrap_or_default();
                    *sleep = Sleep {
                        number: *number,
                        is_main: day.is_main(sleep.is_main, *number, row.minutes_asleep),
                    };
                }
            }
            Ok((line, night))
        })
    }

    fn hash(&self, value: &(impl Hash + ?Sized)) -> u64 {
        self.hashes.hash_one(value)
    }
}
