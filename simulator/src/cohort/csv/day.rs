// SPDX-License-Identifier: Apache-2.0

//! Days as people and programs write them.

use std::str::FromStr;

use time::{Date, Month};

use super::RowProblem;

/// Years in which a night can lie. Empty dates of databases (`0000-00-00`, `-0001-11-30`, `1899-12-30`) do not.
const YEARS: std::ops::RangeInclusive<u32> = 1970..=2100;

/// The order of day, month and year in dates that do not begin with the year. It is never guessed: `3/4/2026` is a day in
/// March to some and in April to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateFormat {
    /// Only dates that begin with the year.
    YearMonthDay,
    /// Month, day, year: `3/14/2026`.
    MonthDayYear,
    /// Day, month, year: `14.3.2026`.
    DayMonthYear,
}

impl FromStr for DateFormat {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "ymd" => Ok(Self::YearMonthDay),
            "mdy" => Ok(Self::MonthDayYear),
            "dmy" => Ok(Self::DayMonthYear),
            _ => Err("not one of ymd, mdy and dmy"),
        }
    }
}

/// A day: three numbers with `-`, `/` or `.` between them, the year with four digits. Midnight may follow, as programs
/// write it that keep days as instants; another time of day may not.
pub fn parse_day(text: &str, format: Option<DateFormat>) -> Result<Date, RowProblem> {
    let (day, time) = match text.find([' ', 'T', '\u{a0}', '\u{202f}']) {
        Some(at) => (&text[..at], Some(text[at..].trim_start_matches('T').trim())),
        None => (text, None),
    };
    let unsigned = day.strip_prefix(['-', '+']);
    let Some(numbers) = numbers(unsigned.unwrap_or(day)) else {
        return Err(RowProblem::BadDate);
    };
    if unsigned.is_some() {
        return Err(RowProblem::ImpossibleYear);
    }
    let year_first = numbers[0].1 == 4;
    let [year, month, day] = match (year_first, numbers[2].1 == 4, format) {
        (true, false, _) => numbers,
        (false, true, Some(DateFormat::MonthDayYear)) => [numbers[2], numbers[0], numbers[1]],
        (false, true, Some(DateFormat::DayMonthYear)) => [numbers[2], numbers[1], numbers[0]],
        (false, true, None) => return Err(RowProblem::AmbiguousDate),
        _ => return Err(RowProblem::BadDate),
    };
    if month.1 > 2 || day.1 > 2 {
        return Err(RowProblem::BadDate);
    }
    if !YEARS.contains(&year.0) {
        return Err(RowProblem::ImpossibleYear);
    }
    if time.is_some_and(|time| !is_midnight(time)) {
        return Err(RowProblem::TimeOfDay);
    }
    let small = |number: u32| u8::try_from(number).map_err(|_| RowProblem::BadDate);
    let month = Month::try_from(small(month.0)?).map_err(|_| RowProblem::BadDate)?;
    let year = i32::try_from(year.0).map_err(|_| RowProblem::ImpossibleYear)?;
    Date::from_calendar_date(year, month, small(day.0)?).map_err(|_| RowProblem::BadDate)
}

/// Three numbers and how many digits each has.
fn numbers(text: &str) -> Option<[(u32, usize); 3]> {
    let separator = text.chars().find(|c| !c.is_ascii_digit())?;
    if !matches!(separator, '-' | '/' | '.') {
        return None;
    }
    let mut numbers = [(0, 0); 3];
    let mut parts = text.split(separator);
    for number in &mut numbers {
        let part = parts.next()?;
        let digits = (1..=4).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        *number = (digits.then(|| part.parse().ok()).flatten()?, part.len());
    }
    parts.next().is_none().then_some(numbers)
}

/// `00:00`, `0:00:00.000`, `12:00:00 AM` and the like.
fn is_midnight(time: &str) -> bool {
    let time = time.to_ascii_uppercase();
    let (clock, hours) = match time.strip_suffix("AM") {
        Some(clock) => (clock.trim(), "12"),
        None => (time.strip_suffix('Z').unwrap_or(&time), "0"),
    };
    let mut parts = clock.split([':', '.']);
    let hour = parts.next().unwrap_or_default();
    let hour_fits = hour == hours || (hours == "0" && hour == "00");
    let mut rest = parts.peekable();
    hour_fits
        && rest.peek().is_some()
        && rest.all(|part| !part.is_empty() && part.bytes().all(|digit| digit == b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::date;

    #[test]
    fn a_date_that_begins_with_the_year_is_read_in_any_dialect() {
        for text in [
            "2026-03-01",
            "2026/03/01",
            "2026.3.1",
            "2026-03-01T00:00:00Z",
            "2026-03-01 00:00",
            "2026/3/1 12:00:00 AM",
            "2026-03-01 0:00:00.000",
        ] {
            for format in [
                None,
                Some(DateFormat::YearMonthDay),
                Some(DateFormat::DayMonthYear),
            ] {
                assert_eq!(parse_day(text, format), Ok(date!(2026 - 03 - 01)), "{text}");
            }
        }
    }

    #[test]
    fn month_and_day_are_never_guessed() {
        use DateFormat::*;
        for (text, month_first, day_first) in [
            (
                "3/4/2026 12:00:00 AM",
                Ok(date!(2026 - 03 - 04)),
                Ok(date!(2026 - 04 - 03)),
            ),
            (
                "3/14/2026",
                Ok(date!(2026 - 03 - 14)),
                Err(RowProblem::BadDate),
            ),
            (
                "14.03.2026",
                Err(RowProblem::BadDate),
                Ok(date!(2026 - 03 - 14)),
            ),
        ] {
            assert_eq!(
                parse_day(text, None),
                Err(RowProblem::AmbiguousDate),
                "{text}"
            );
            assert_eq!(
                parse_day(text, Some(YearMonthDay)),
                Err(RowProblem::BadDate),
                "{text}"
            );
            assert_eq!(parse_day(text, Some(MonthDayYear)), month_first, "{text}");
            assert_eq!(parse_day(text, Some(DayMonthYear)), day_first, "{text}");
        }
    }

    #[test]
    fn empty_dates_of_databases_and_other_impossible_days_are_refused() {
        for (text, problem) in [
            ("-0001-11-30", RowProblem::ImpossibleYear),
            ("0000-00-00", RowProblem::ImpossibleYear),
            ("1899-12-30", RowProblem::ImpossibleYear),
            ("+9999-01-01", RowProblem::ImpossibleYear),
            ("9999-12-31", RowProblem::ImpossibleYear),
            ("2026-02-30", RowProblem::BadDate),
            ("2026-13-01", RowProblem::BadDate),
            ("2026-03", RowProblem::BadDate),
            ("26-03-01", RowProblem::BadDate),
            ("2026-03/01", RowProblem::BadDate),
            ("2026-03-01-", RowProblem::BadDate),
            ("20260301", RowProblem::BadDate),
            ("٢٠٢٦-٠٣-٠١", RowProblem::BadDate),
            ("46082", RowProblem::BadDate),
            ("", RowProblem::BadDate),
            ("-", RowProblem::BadDate),
            ("2026-03-01 23:10", RowProblem::TimeOfDay),
            ("2026-03-01 12:00:00", RowProblem::TimeOfDay),
            ("2026-03-01 12:00:00 PM", RowProblem::TimeOfDay),
            ("2026-03-01 ", RowProblem::TimeOfDay),
        ] {
            assert_eq!(parse_day(text, None), Err(problem), "{text}");
        }
    }
}
