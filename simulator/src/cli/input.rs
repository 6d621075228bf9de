// SPDX-License-Identifier: Apache-2.0

//! Files of nights: which one, in which dialect, and everything that is wrong with it before anything is sealed.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use clap::Args;
use mhealth_device_host::{store::Change, Store};
use mhealth_simulator::cohort::{
    csv::{CsvError, DateFormat, Dialect, NightRows, Rows},
    intake::review,
    omh::{DataPoints, OmhError},
    source::{Nights, SourceError},
    survey::Survey,
};

use super::Failure;

/// Options that make up a cohort, and have no place beside a file.
const MADE_UP: [&str; 4] = ["devices", "nights", "seed", "start"];

/// Bytes that are taken out of a pipe: they are copied onto the disk.
const MOST_PIPED: u64 = 8 << 30;

/// A file of nights, and how it is to be read.
#[derive(Debug, Args)]
pub(super) struct Input {
    /// Take the nights from this CSV file with the columns Id, Day (or SleepDay), TotalSleepRecords, TotalMinutesAsleep and
    /// TotalTimeInBed; - for standard input. Repeated rows are recognised.
    #[arg(long, value_name = "FILE", conflicts_with_all = MADE_UP)]
    csv: Option<PathBuf>,
    /// Order of day, month and year in dates that do not begin with the year: mdy for 3/14/2026, dmy for 14.3.2026. It is
    /// never guessed.
    #[arg(long, value_name = "ORDER", requires = "csv")]
    date_format: Option<DateFormat>,
    /// What a row of the CSV file is: all sleep of a day, or one sleep, the main one or a nap. A column IsMainSleep says
    /// which it is; without it, the longest one of a day is.
    #[arg(
        long,
        value_name = "day|sleep",
        requires = "csv",
        default_value = "day"
    )]
    rows: Rows,
    /// Take the nights from this file of data points of Open mHealth or IEEE 1752.1, one JSON document a line; - for standard
    /// input.
    #[arg(long, value_name = "FILE", conflicts_with = "csv", conflicts_with_all = MADE_UP)]
    omh: Option<PathBuf>,
    /// Whose the data points are, where their headers have no user_id.
    #[arg(long, value_name = "NAME", requires = "omh")]
    participant: Option<String>,
    /// Seal a night that was sealed before with other values as a new entry, which names the one that it corrects. Without
    /// this such a file is refused.
    #[arg(long)]
    corrections: bool,
}

/// An open file of nights.
pub(super) struct Source<'o> {
    options: &'o Input,
    path: &'o Path,
    file: File,
}

impl Input {
    /// What becomes of a night that was sealed before with other values.
    pub(super) fn change(&self) -> Change {
        match self.corrections {
            true => Change::Correct,
            false => Change::Refuse,
        }
    }

    /// Opens the file, once: it is read several times, and what comes out of a pipe comes once. So a pipe is copied into a
    /// file without a name beside the state file.
    pub(super) fn open(&self, state: &Path) -> Result<Option<Source<'_>>, Failure> {
        let Some(path) = self.csv.as_deref().or(self.omh.as_deref()) else {
            return Ok(None);
        };
        let folder = match state.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let opened = match path.to_str() {
            Some("-") => File::open("/dev/stdin"),
            _ => File::open(path),
        };
        let error = match opened.and_then(|file| whole(file, folder, MOST_PIPED)) {
            Ok(Some(file)) => {
                return Ok(Some(Source {
                    options: self,
                    path,
                    file,
                }))
            }
            Ok(None) => self.too_large(MOST_PIPED),
            Err(error) => self.unreadable(error),
        };
        Err(in_file(path, error.into()))
    }

    fn too_large(&self, most: u64) -> SourceError {
        match self.csv {
            Some(_) => CsvError::TooLarge { most }.into(),
            None => OmhError::TooLarge { most }.into(),
        }
    }

    fn unreadable(&self, error: std::io::Error) -> SourceError {
        match self.csv {
            Some(_) => CsvError::Unreadable(error).into(),
            None => OmhError::Unreadable(error).into(),
        }
    }
}

/// A file that can be read from its beginning again and again; none if more than so many bytes come out of a pipe.
fn whole(file: File, folder: &Path, most: u64) -> std::io::Result<Option<File>> {
    if file.metadata()?.is_file() {
        return Ok(Some(file));
    }
    let mut copy = tempfile::tempfile_in(folder)?;
    let copied = std::io::copy(&mut file.take(most + 1), &mut copy)?;
    Ok((copied <= most).then_some(copy))
}

fn in_file(path: &Path, failure: Failure) -> Failure {
    failure.and(&format!("({})", path.display()))
}

impl Source<'_> {
    /// The nights, from the first one on.
    pub(super) fn nights(&self) -> Result<Nights<&File>, Failure> {
        let mut file = &self.file;
        let rewound = file.seek(SeekFrom::Start(0));
        rewound.map_err(|error| in_file(self.path, self.options.unreadable(error).into()))?;
        if self.options.omh.is_some() {
            let participant = self.options.participant.clone();
            return Ok(Nights::Omh(DataPoints::new(file, participant)));
        }
        let dialect = Dialect {
            dates: self.options.date_format,
            rows: self.options.rows,
        };
        NightRows::new(file, dialect)
            .map(Nights::Csv)
            .map_err(|error| in_file(self.path, SourceError::from(error).into()))
    }

    /// What the file has to give. Fails with everything that is wrong with it.
    pub(super) fn survey(&self) -> Result<Survey, Failure> {
        let survey = Survey::of(self.nights()?);
        self.refuse(&survey, survey.rows)?;
        Ok(survey)
    }

    /// Fails with everything that does not fit what was sealed before.
    pub(super) fn review(&self, store: &Store, survey: &Survey) -> Result<(), Failure> {
        let mut differing = Survey::default();
        let nights = survey.placed(self.nights()?);
        review(store, nights, self.options.change(), &mut differing)?;
        self.refuse(&differing, survey.rows)
    }

    /// Fails with all that is wrong, in the order of the file.
    fn refuse(&self, survey: &Survey, rows: u64) -> Result<(), Failure> {
        let Some((last, before)) = survey.errors.split_last() else {
            return Ok(());
        };
        for error in before {
            eprintln!("error[{}]: {error}.", error.code());
        }
        let failure = Failure::input(last.code(), format!("{last}."));
        let counted = format!(
            "{} of {rows} rows are wrong; nothing was sealed.",
            survey.wrong
        );
        Err(in_file(self.path, failure).and(&counted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_without_an_end_is_read_to_the_bound() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let endless = File::open("/dev/zero").expect("it is there");
        let copied = whole(endless, folder.path(), 1 << 20).expect("it can be read");
        assert!(copied.is_none());
        let empty = File::open("/dev/null").expect("it is there");
        let copied = whole(empty, folder.path(), 0).expect("it can be read");
        assert_eq!(
            copied
                .expect("nothing fits")
                .metadata()
                .expect("read")
                .len(),
            0
        );
    }
}
