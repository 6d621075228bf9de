// SPDX-License-Identifier: Apache-2.0

//! Rules for data points of Open mHealth and IEEE 1752.1 that others made, before they are sealed as nights.
//!
//! `docs/protocol/payloads.md` has them in words. They are stricter than the published schemas: what breaks a schema breaks a
//! rule, and some things that no schema minds are refused because nobody could say what they mean, or because a person's
//! name might be in them.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use serde_json::{Map, Value};
use time::{format_description::well_known::Rfc3339, Date, Duration, OffsetDateTime};

use super::ieee::Uuid;

/// Years in which a night can lie.
pub const YEARS: core::ops::RangeInclusive<i32> = 1970..=2100;

/// No sleep and no night in bed is longer.
pub const LONGEST: Duration = Duration::DAY;

/// Rounding of parts of an interval to minutes.
pub const SLACK: Duration = Duration::MINUTE;

/// Most datasheets of a data point: whoever reads many nights keeps them in memory.
const MOST_DATASHEETS: usize = 100;

/// Characters of the longest address of a datasheet.
const LONGEST_REFERENCE: usize = 1_024;

/// A measure that is taken as a night.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// `ieee:sleep-episode:1.0`.
    SleepEpisode,
    /// `omh:sleep-episode:1.1`.
    OmhSleepEpisode,
    /// `ieee:time-in-bed:1.0`.
    TimeInBed,
    /// `ieee:total-sleep-time:1.0`.
    TotalSleepTime,
    /// `omh:sleep-duration:2.0`.
    SleepDuration,
}

/// What a member of a body holds.
#[derive(Clone, Copy)]
enum Kind {
    Duration,
    Percentage,
    Count,
    Boolean,
    TimeFrame,
}

impl Measure {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::SleepEpisode,
        Self::OmhSleepEpisode,
        Self::TimeInBed,
        Self::TotalSleepTime,
        Self::SleepDuration,
    ];

    /// Namespace, name and version of the schema.
    pub fn schema(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::SleepEpisode => ("ieee", "sleep-episode", "1.0"),
            Self::OmhSleepEpisode => ("omh", "sleep-episode", "1.1"),
            Self::TimeInBed => ("ieee", "time-in-bed", "1.0"),
            Self::TotalSleepTime => ("ieee", "total-sleep-time", "1.0"),
            Self::SleepDuration => ("omh", "sleep-duration", "2.0"),
        }
    }

    /// The members that a body may have, and whether it must.
    fn members(self) -> &'static [(&'static str, Kind, bool)] {
        use Kind::*;
        const FRAME: (&str, Kind, bool) = ("effective_time_frame", TimeFrame, true);
        const MAIN: (&str, Kind, bool) = ("is_main_sleep", Boolean, false);
        match self {
            Self::SleepEpisode => &[
                FRAME,
                MAIN,
                ("latency_to_sleep_onset", Duration, false),
                ("latency_to_arising", Duration, false),
                ("total_sleep_time", Duration, false),
                ("light_sleep_duration", Duration, false),
                ("deep_sleep_duration", Duration, false),
                ("rem_sleep_duration", Duration, false),
                ("wake_after_sleep_onset", Duration, false),
                ("number_of_awakenings", Count, false),
                ("sleep_efficiency_percentage", Percentage, false),
            ],
            Self::OmhSleepEpisode => &[
                FRAME,
                MAIN,
                ("latency_to_sleep_onset", Duration, false),
                ("latency_to_arising", Duration, false),
                ("total_sleep_time", Duration, false),
                ("wake_after_sleep_onset", Duration, false),
                ("number_of_awakenings", Count, false),
                ("sleep_maintenance_efficiency_percentage", Percentage, false),
            ],
            Self::TimeInBed => &[FRAME, MAIN, ("time_in_bed", Duration, true)],
            Self::TotalSleepTime => &[FRAME, MAIN, ("total_sleep_time", Duration, true)],
            Self::SleepDuration => &[FRAME, ("sleep_duration", Duration, true)],
        }
    }

    /// Whether a body may name a day and a part of it instead of instants.
    fn takes_part_of_day(self) -> bool {
        self.schema().0 == "omh"
    }
}

/// What a data point is about, as far as others need to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Its measure.
    pub measure: Measure,
    /// Its identifier.
    pub uuid: Uuid,
    /// The day that the night belongs to: on which the interval ends, by the data point's own offset from UTC.
    pub night: Date,
    /// Whether it says that it is the day's main sleep.
    pub is_main_sleep: Option<bool>,
}

/// What breaks a rule, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {problem}")]
pub struct Fault {
    /// JSON pointer (RFC 6901) of the place; `/` alone would be a member without a name, so the whole document is `(root)`.
    pub pointer: Pointer,
    /// What is wrong there.
    pub problem: Problem,
}

/// A place in a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pointer(String);

impl Pointer {
    /// The member of this name in the place.
    pub fn member(&self, name: &str) -> Self {
        let mut pointer = format!("{}/", self.0);
        // A file's own names may be anything; what is shown of them stays short and printable.
        for c in name.chars().take(64) {
            match c {
                '~' => pointer.push_str("~0"),
                '/' => pointer.push_str("~1"),
                c if c.is_control() => pointer.push('\u{fffd}'),
                c => pointer.push(c),
            }
        }
        Self(pointer)
    }

    fn item(&self, index: usize) -> Self {
        self.member(&index.to_string())
    }

    /// That something is wrong there.
    pub fn fault(&self, problem: Problem) -> Fault {
        Fault {
            pointer: self.clone(),
            problem,
        }
    }
}

impl core::fmt::Display for Pointer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(if self.0.is_empty() { "(root)" } else { &self.0 })
    }
}

/// What can be wrong with a place. [`code`](Self::code) stays the same between versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A member that the rules ask for.
    #[error("is missing")]
    Missing,
    /// A member that the schema does not have or the rules do not take.
    #[error("is a member that is not taken here")]
    UnknownMember,
    /// A value of another type.
    #[error("is not {0}")]
    WrongType(&'static str),
    /// A value of the right type that means nothing.
    #[error("{0}")]
    BadValue(&'static str),
    /// A schema that is not taken.
    #[error(
        "names none of the schemas that are taken as nights: ieee sleep-episode 1.0, time-in-bed 1.0 and total-sleep-time \
         1.0; omh sleep-episode 1.1 and sleep-duration 2.0"
    )]
    UnknownSchema,
    /// Values that cannot all be true.
    #[error("{0}")]
    Contradiction(&'static str),
}

impl Problem {
    /// Stable name of the kind of problem, for scripts.
    pub fn code(self) -> &'static str {
        match self {
            Self::Missing => "missing_member",
            Self::UnknownMember => "unknown_member",
            Self::WrongType(_) => "wrong_type",
            Self::BadValue(_) => "bad_value",
            Self::UnknownSchema => "unknown_schema",
            Self::Contradiction(_) => "contradiction",
        }
    }
}

/// Checks a data point by the rules.
pub fn check(data_point: &Value) -> Result<Checked, Fault> {
    let root = Pointer::default();
    let members = object(data_point, &root, &["header", "body"])?;
    let place = root.member("header");
    let header = required(members, &root, "header")?;
    let (uuid, measure) = check_header(header, &place)?;
    let place = root.member("body");
    let body = required(members, &root, "body")?;
    let names: Vec<&str> = measure.members().iter().map(|member| member.0).collect();
    let body = object(body, &place, &names)?;
    let mut checked = Checked {
        measure,
        uuid,
        night: Date::MIN,
        is_main_sleep: None,
    };
    let mut durations = Vec::new();
    let mut frame = None;
    for (name, kind, must) in measure.members() {
        let here = place.member(name);
        let Some(value) = body.get(*name) else {
            if *must {
                return Err(here.fault(Problem::Missing));
            }
            continue;
        };
        match kind {
            Kind::Duration => durations.push((*name, check_duration(value, &here)?)),
            Kind::Percentage => check_percentage(value, &here)?,
            Kind::Count => check_count(value, &here)?,
            Kind::Boolean => checked.is_main_sleep = Some(boolean(value, &here)?),
            Kind::TimeFrame => frame = Some(check_frame(value, &here, measure)?),
        }
    }
    if let Some(frame) = frame {
        checked.night = frame.night;
        let within = ["total_sleep_time", "time_in_bed", "sleep_duration"];
        let room = frame.length.map(|length| length + SLACK);
        for (name, duration) in durations {
            if within.contains(&name) && room.is_some_and(|room| duration > room) {
                let longer = Problem::Contradiction("is longer than the time frame");
                return Err(place.member(name).fault(longer));
            }
        }
    }
    Ok(checked)
}

fn check_header(header: &Value, place: &Pointer) -> Result<(Uuid, Measure), Fault> {
    let names = [
        "uuid",
        "schema_id",
        "source_creation_date_time",
        "modality",
        "external_datasheets",
    ];
    let members = object(header, place, &names)?;
    let here = place.member("uuid");
    let uuid = text(required(members, place, "uuid")?, &here)?;
    let uuid = Uuid::parse(uuid).ok_or(here.fault(Problem::BadValue("is not a UUID")))?;

    let here = place.member("schema_id");
    let schema = required(members, place, "schema_id")?;
    let parts = object(schema, &here, &["namespace", "name", "version"])?;
    let part = |name| text(required(parts, &here, name)?, &here.member(name));
    let named = (part("namespace")?, part("name")?, part("version")?);
    let measure = Measure::ALL.into_iter().find(|one| one.schema() == named);
    let measure = measure.ok_or(here.fault(Problem::UnknownSchema))?;

    let here = place.member("source_creation_date_time");
    instant(
        required(members, place, "source_creation_date_time")?,
        &here,
    )?;
    if let Some(modality) = members.get("modality") {
        let here = place.member("modality");
        if !["sensed", "self-reported"].contains(&text(modality, &here)?) {
            return Err(here.fault(Problem::BadValue("is neither sensed nor self-reported")));
        }
    }
    if let Some(sheets) = members.get("external_datasheets") {
        check_datasheets(sheets, &place.member("external_datasheets"))?;
    }
    Ok((uuid, measure))
}

/// Checks the datasheets of a header.
pub fn check_datasheets(sheets: &Value, place: &Pointer) -> Result<(), Fault> {
    let sheets = sheets
        .as_array()
        .ok_or(place.fault(Problem::WrongType("an array")))?;
    if sheets.len() > MOST_DATASHEETS {
        return Err(place.fault(Problem::BadValue("names more than 100 datasheets")));
    }
    for (index, sheet) in sheets.iter().enumerate() {
        let here = place.item(index);
        let members = object(sheet, &here, &["datasheet_type", "datasheet_reference"])?;
        if let Some(kind) = members.get("datasheet_type") {
            text(kind, &here.member("datasheet_type"))?;
        }
        let place = here.member("datasheet_reference");
        let reference = text(required(members, &here, "datasheet_reference")?, &place)?;
        let scheme = reference.split_once(':').map_or("", |(scheme, _)| scheme);
        let named = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        let whole = reference
            .bytes()
            .all(|b| b.is_ascii_graphic() && !br#"<>"{}|\^`"#.contains(&b));
        let digits = |at: usize| {
            let escaped = reference.as_bytes().get(at + 1..at + 3);
            escaped.is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))
        };
        let escaped = reference.match_indices('%').all(|(at, _)| digits(at));
        let brackets = reference.contains(['[', ']']);
        let parts = reference.matches('#').count() <= 1 && reference.len() > scheme.len() + 1;
        let short = reference.len() <= LONGEST_REFERENCE;
        if !(named && whole && escaped && parts && short) || brackets {
            return Err(place.fault(Problem::BadValue("is not the address of a datasheet")));
        }
    }
    Ok(())
}

/// What a time frame says: its day, and how long it is where instants are known.
struct Frame {
    night: Date,
    length: Option<Duration>,
}

fn check_frame(value: &Value, place: &Pointer, measure: Measure) -> Result<Frame, Fault> {
    let members = object(value, place, &["time_interval"])?;
    let here = place.member("time_interval");
    let interval = required(members, place, "time_interval")?;
    let mut names = vec!["start_date_time", "end_date_time", "duration"];
    if measure.takes_part_of_day() {
        names.extend(["date", "part_of_day"]);
    }
    let members = object(interval, &here, &names)?;
    if members.contains_key("date") || members.contains_key("part_of_day") {
        return check_part_of_day(members, &here);
    }
    let at = |name: &str| match members.get(name) {
        Some(value) => instant(value, &here.member(name)).map(Some),
        None => Ok(None),
    };
    let (start, end) = (at("start_date_time")?, at("end_date_time")?);
    let duration = match members.get("duration") {
        Some(value) => Some(check_duration(value, &here.member("duration"))?),
        None => None,
    };
    let (end, length) = match (start, end, duration) {
        (Some(start), Some(end), None) => (end, end - start),
        (Some(start), None, Some(length)) => (start + length, length),
        (None, Some(end), Some(length)) => (end, length),
        _ => {
            let two = "has not exactly two of start_date_time, end_date_time and duration";
            return Err(here.fault(Problem::BadValue(two)));
        }
    };
    if length <= Duration::ZERO {
        return Err(here.fault(Problem::Contradiction("ends before it begins, or at once")));
    }
    if length > LONGEST {
        return Err(here.fault(Problem::Contradiction("is longer than a day")));
    }
    Ok(Frame {
        night: end.date(),
        length: Some(length),
    })
}

fn check_part_of_day(members: &Map<String, Value>, place: &Pointer) -> Result<Frame, Fault> {
    if let Some(name) = members
        .keys()
        .find(|name| !["date", "part_of_day"].contains(&name.as_str()))
    {
        let both = "stands beside a date; an interval has instants or a part of a day";
        return Err(place.member(name).fault(Problem::BadValue(both)));
    }
    let here = place.member("date");
    let date = text(required(members, place, "date")?, &here)?;
    let format = time::macros::format_description!("[year repr:full]-[month]-[day]");
    let night = match date.len() {
        10 => Date::parse(date, format).ok(),
        _ => None,
    };
    let night = night.filter(|night| YEARS.contains(&night.year()));
    let night = night.ok_or(here.fault(Problem::BadValue(
        "is not a date YYYY-MM-DD from 1970 to 2100",
    )))?;
    let here = place.member("part_of_day");
    let part = text(required(members, place, "part_of_day")?, &here)?;
    if !["morning", "afternoon", "evening", "night"].contains(&part) {
        return Err(here.fault(Problem::BadValue("is no part of a day")));
    }
    Ok(Frame {
        night,
        length: None,
    })
}

fn check_duration(value: &Value, place: &Pointer) -> Result<Duration, Fault> {
    let (number, unit) = unit_value(value, place)?;
    let here = place.member("unit");
    let seconds = match unit {
        "sec" => number,
        "min" => number * 60.0,
        "h" => number * 3_600.0,
        _ => return Err(here.fault(Problem::BadValue("is not sec, min or h"))),
    };
    if !(0.0..=LONGEST.as_seconds_f64()).contains(&seconds) {
        let here = place.member("value");
        return Err(here.fault(Problem::BadValue("is less than nothing or more than a day")));
    }
    Ok(Duration::seconds_f64(seconds))
}

fn check_percentage(value: &Value, place: &Pointer) -> Result<(), Fault> {
    let (number, unit) = unit_value(value, place)?;
    if unit != "%" {
        return Err(place.member("unit").fault(Problem::BadValue("is not %")));
    }
    if !(0.0..=100.0).contains(&number) {
        let here = place.member("value");
        return Err(here.fault(Problem::BadValue("is not between 0 and 100")));
    }
    Ok(())
}

fn unit_value<'v>(value: &'v Value, place: &Pointer) -> Result<(f64, &'v str), Fault> {
    let members = object(value, place, &["value", "unit"])?;
    let here = place.member("value");
    let number = required(members, place, "value")?;
    let number = number
        .as_f64()
        .ok_or(here.fault(Problem::WrongType("a number")))?;
    let unit = text(required(members, place, "unit")?, &place.member("unit"))?;
    Ok((number, unit))
}

fn check_count(value: &Value, place: &Pointer) -> Result<(), Fault> {
    match value.as_u64() {
        Some(count) if count <= 1_440 => Ok(()),
        Some(_) => Err(place.fault(Problem::BadValue("is more than a night has minutes"))),
        None => Err(place.fault(Problem::WrongType("a whole number from 0 on"))),
    }
}

fn boolean(value: &Value, place: &Pointer) -> Result<bool, Fault> {
    value
        .as_bool()
        .ok_or(place.fault(Problem::WrongType("true or false")))
}

/// An instant of RFC 3339, with its offset from UTC.
pub fn instant(value: &Value, place: &Pointer) -> Result<OffsetDateTime, Fault> {
    let text = text(value, place)?;
    let separated = text.as_bytes().get(10) == Some(&b'T') && text.is_ascii();
    let parsed = OffsetDateTime::parse(text, &Rfc3339).ok();
    let sane = |instant: &OffsetDateTime| separated && YEARS.contains(&instant.year());
    parsed.filter(sane).ok_or(place.fault(Problem::BadValue(
        "is not an instant of RFC 3339 from 1970 to 2100",
    )))
}

fn text<'v>(value: &'v Value, place: &Pointer) -> Result<&'v str, Fault> {
    value
        .as_str()
        .ok_or(place.fault(Problem::WrongType("a text")))
}

fn object<'v>(
    value: &'v Value,
    place: &Pointer,
    names: &[&str],
) -> Result<&'v Map<String, Value>, Fault> {
    let members = value
        .as_object()
        .ok_or(place.fault(Problem::WrongType("an object")))?;
    match members.keys().find(|name| !names.contains(&name.as_str())) {
        Some(unknown) => Err(place.member(unknown).fault(Problem::UnknownMember)),
        None => Ok(members),
    }
}

fn required<'v>(
    members: &'v Map<String, Value>,
    place: &Pointer,
    name: &str,
) -> Result<&'v Value, Fault> {
    members
        .get(name)
        .ok_or(place.member(name).fault(Problem::Missing))
}
