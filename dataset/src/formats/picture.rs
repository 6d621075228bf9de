// SPDX-License-Identifier: Apache-2.0

//! A picture of participants × nights: how long each slept. Of a large study, the first participants, and the days that show most.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use time::Date;

use super::{for_xml, Writer};
use crate::audit::Heading;
use crate::columns::iso;
use crate::error::DataError;
use crate::folder::{Out, Unfinished};
use crate::row::Row;

const DATA: &str = "nights.svg";
/// Participants and days of the largest picture.
const PARTICIPANTS: usize = 60;
const DAYS: i64 = 400;
/// Sizes in pixels.
const CELL: i64 = 12;
const NAMES: i64 = 190;
const TOP: i64 = 46;

/// Minutes of main sleep, by participant and day.
type Nights = BTreeMap<String, BTreeMap<Date, f64>>;

pub(super) struct Picture {
    out: Out,
    title: String,
    nights: Nights,
    left_out: bool,
}

impl Picture {
    pub(super) fn begin(folder: &Unfinished, heading: &Heading) -> Result<Self, DataError> {
        Ok(Picture {
            out: folder.file(DATA)?,
            title: format!(
                "Study {}, block {}: minutes of main sleep, a row for each participant, a column for each night",
                heading.study, heading.block
            ),
            nights: BTreeMap::new(),
            left_out: false,
        })
    }
}

/// Draws the nights of the days that show most, and says so if there are others.
fn draw(title: &str, all: &Nights, mut left_out: bool) -> String {
    let first = first_day(all).unwrap_or(Date::MIN);
    let column = |day: Date| (day - first).whole_days();
    let in_view = |day: &&Date| (0..DAYS).contains(&column(**day));
    let mut shown: BTreeMap<&str, Vec<(Date, f64)>> = BTreeMap::new();
    for (participant, nights) in all {
        let days = nights.keys().filter(in_view);
        let days: Vec<_> = days.map(|day| (*day, nights[day])).collect();
        left_out |= days.len() < nights.len();
        if !days.is_empty() {
            shown.insert(participant, days);
        }
    }
    let days = shown.values().flatten();
    let columns = days.map(|(day, _)| column(*day) + 1).max().unwrap_or(1);
    let rows = shown.len() as i64;
    let (width, height) = (
        (NAMES + columns * CELL + 10).max(640),
        TOP + rows * CELL + 30,
    );
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"10\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"8\" y=\"18\" font-size=\"12\">{}\
         </text>\n",
        escape(title)
    );
    let mut put = |text: String| svg.push_str(&text);
    if rows > 0 {
        let from = iso(first);
        put(format!("<text x=\"{NAMES}\" y=\"38\">{from}</text>\n"));
    }
    for ((participant, nights), row) in shown.iter().zip(0..) {
        let y = TOP + row * CELL;
        let name = escape(participant);
        put(format!("<text x=\"8\" y=\"{}\">{name}</text>\n", y + 9));
        for (day, minutes) in nights {
            put(cell(NAMES + column(*day) * CELL, y, *day, *minutes));
        }
    }
    let y = TOP + rows * CELL + 18;
    put(format!(
        "<text x=\"8\" y=\"{y}\">Light: no sleep. Dark: ten hours and more.{}</text>\n</svg>\n",
        match left_out {
            true => " More participants or nights are in the tables.",
            false => "",
        }
    ));
    svg
}

/// The first of the days that are drawn: from it on, as many days as a picture has show most participants, and of such days most
/// nights. A phone's clock may say any day.
fn first_day(all: &Nights) -> Option<Date> {
    let nights = all.values().zip(0..);
    let nights = nights.flat_map(|(nights, of)| nights.keys().map(move |day| (*day, of)));
    let mut nights: Vec<(Date, usize)> = nights.collect();
    nights.sort_unstable();
    let mut seen = vec![0_usize; all.len()];
    let (mut participants, mut end, mut best) = (0_usize, 0, None);
    for (begin, (first, leaves)) in nights.iter().enumerate() {
        while let Some((day, comes)) = nights.get(end) {
            if (*day - *first).whole_days() >= DAYS {
                break;
            }
            participants += usize::from(seen[*comes] == 0);
            seen[*comes] += 1;
            end += 1;
        }
        let shows = (participants, end - begin);
        if best.is_none_or(|(most, _)| shows > most) {
            best = Some((shows, *first));
        }
        seen[*leaves] -= 1;
        participants -= usize::from(seen[*leaves] == 0);
    }
    best.map(|(_, first)| first)
}

fn cell(x: i64, y: i64, day: Date, minutes: f64) -> String {
    // From light to dark blue, over ten hours.
    let share = (minutes / 600.0).clamp(0.0, 1.0);
    let shade = |light: f64, dark: f64| (light + (dark - light) * share).round();
    let mut cell = String::new();
    let _ = write!(
        cell,
        "<rect x=\"{x}\" y=\"{y}\" width=\"11\" height=\"11\" fill=\"rgb({},{},{})\"><title>{}: {minutes} min</title></rect>",
        shade(222.0, 8.0),
        shade(235.0, 48.0),
        shade(247.0, 107.0),
        iso(day)
    );
    cell.push('\n');
    cell
}

fn escape(text: &str) -> String {
    quick_xml::escape::escape(for_xml(text)).into_owned()
}

impl Writer for Picture {
    fn row(&mut self, row: &Row) -> Result<(), DataError> {
        let (Some(participant), Some(night), Some(minutes), true) = (
            &row.participant,
            row.night,
            row.measures.total_sleep_time,
            row.main,
        ) else {
            return Ok(());
        };
        if self.nights.len() >= PARTICIPANTS && !self.nights.contains_key(participant) {
            self.left_out = true;
            return Ok(());
        }
        let nights = self.nights.entry(participant.clone()).or_default();
        // More days than a picture has are not kept.
        if nights.len() as i64 <= DAYS {
            nights.insert(night, minutes);
        }
        Ok(())
    }

    fn end(mut self: Box<Self>) -> Result<(), DataError> {
        let svg = draw(&self.title, &self.nights, self.left_out);
        self.out.bytes(svg.as_bytes())?;
        self.out.end()
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;

    /// So many nights, one after the other.
    fn nights(first: Date, count: i64) -> BTreeMap<Date, f64> {
        let days = (0..count).map(|day| (first + Duration::days(day), 420.0));
        days.collect()
    }

    #[test]
    fn one_wrong_date_does_not_empty_the_picture() {
        let first = Date::from_ordinal_date(2026, 60).unwrap();
        let long_ago = Date::from_ordinal_date(1, 1).unwrap();
        let mut all = Nights::new();
        all.insert("P-ada".into(), nights(first, 30));
        all.insert("P-bob".into(), nights(first + Duration::days(5), 30));
        let right = draw("A study", &all, false);
        assert_eq!(right.matches("420 min").count(), 60);
        assert!(!right.contains("in the tables"));
        // A clock that was reset, and one that says more nights of an age in which nobody else has any.
        let bob = all.get_mut("P-bob").unwrap();
        bob.insert(long_ago + Duration::days(DAYS + 300), 400.0);
        all.insert("P-eve".into(), nights(long_ago, 300));
        let wrong = draw("A study", &all, false);
        assert_eq!(first_day(&all), Some(first));
        assert_eq!(wrong.matches("420 min").count(), 60);
        assert!(!wrong.contains("400 min") && !wrong.contains("P-eve"));
        assert!(wrong.contains("in the tables"));
        assert_eq!(wrong.matches("2026-03-01: ").count(), 1);
    }

    #[test]
    fn what_no_xml_has_is_in_no_picture() {
        let first = Date::from_ordinal_date(2026, 60).unwrap();
        let all = Nights::from([("P-\u{ffff}<".into(), nights(first, 1))]);
        let drawn = draw("A\u{1}study\u{fffe}", &all, false);
        assert!(!drawn.contains(['\u{1}', '\u{fffe}', '\u{ffff}']));
        assert!(drawn.contains("A\u{fffd}study\u{fffd}") && drawn.contains("P-\u{fffd}&lt;"));
    }

    #[test]
    fn a_long_study_shows_as_many_days_as_a_picture_has() {
        let first = Date::from_ordinal_date(2026, 1).unwrap();
        let all = Nights::from([("P-ada".into(), nights(first, DAYS + 1))]);
        assert_eq!(first_day(&all), Some(first));
        let drawn = draw("A study", &all, false);
        assert_eq!(drawn.matches(" min").count() as i64, DAYS);
        assert!(drawn.contains("in the tables"));
        assert_eq!(first_day(&Nights::new()), None);
        assert!(!draw("A study", &Nights::new(), false).contains("in the tables"));
    }
}
