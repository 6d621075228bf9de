// SPDX-License-Identifier: Apache-2.0

//! A participant's own package: what was registered in this person's name, when, and by whom it was brought; to be read by the
//! person, and by other programs.

use maud::{html, Markup, DOCTYPE};
use mhealth_auditor::Verdict;
use serde_json::{json, Value};

use crate::audit::Heading;
use crate::columns::{iso, rfc3339_of, COLUMNS};
use crate::error::DataError;
use crate::folder::{Out, Unfinished};
use crate::formats::Writer;
use crate::owners::{Owner, Owners};
use crate::row::{Problem, Row};

/// Names the form of the machine-readable file.
pub const SCHEMA: &str = "mhealth-my-data/1";
pub(crate) const JSON: &str = "my-data.json";
const PAGE: &str = "my-data.html";

const STYLE: &str = "body{font:16px/1.5 sans-serif;max-width:70em;margin:2em auto;padding:0 1em}\
    table{border-collapse:collapse;font-size:14px}th,td{border:1px solid #ccc;padding:.3em .6em;text-align:left;vertical-align:top}\
    th{background:#f3f3f3}code{font-size:12px;word-break:break-all}";

/// Writes both files while rows come.
pub(crate) struct Package {
    json: Out,
    page: Out,
    rows: u64,
}

impl Package {
    pub(crate) fn begin(
        folder: &Unfinished,
        heading: &Heading,
        participant: &str,
        owners: &Owners<'_>,
    ) -> Result<Self, DataError> {
        let head = json!({
            "schema": SCHEMA, "participant": participant,
            "study": { "chain": heading.chain, "number": heading.study, "title": heading.title },
            "audit": {
                "auditor": heading.auditor, "program": heading.program, "run_at": rfc3339_of(heading.run_at),
                "block": heading.block, "block_hash": heading.block_hash,
            },
        });
        let mut head = head.to_string();
        head.pop();
        head.push_str(",\n\"entries\": [");
        let mut json = folder.file(JSON)?;
        json.bytes(head.as_bytes())?;
        let mut page = folder.file(PAGE)?;
        page.bytes(top(heading, participant, owners).as_bytes())?;
        Ok(Package {
            json,
            page,
            rows: 0,
        })
    }
}

impl Writer for Package {
    fn row(&mut self, row: &Row) -> Result<(), DataError> {
        let mut entry = serde_json::Map::new();
        for column in COLUMNS {
            let value = (column.value)(row).to_json();
            if !value.is_null() {
                entry.insert(column.name.into(), value);
            }
        }
        entry.insert("held_by".into(), json!(row.held_by));
        entry.insert("data_points".into(), json!(row.points));
        let comma = if self.rows == 0 { "" } else { "," };
        self.rows += 1;
        let entry = Value::from(entry);
        self.json.bytes(format!("{comma}\n{entry}").as_bytes())?;
        self.page.bytes(line(row).into_string().as_bytes())?;
        self.page.bytes(b"\n")
    }

    fn end(mut self: Box<Self>) -> Result<(), DataError> {
        self.json.bytes(b"\n]}\n")?;
        self.json.end()?;
        let end = format!(
            "</tbody></table>\n<p>{} entries.</p>\n</body></html>\n",
            self.rows
        );
        self.page.bytes(end.as_bytes())?;
        self.page.end()
    }
}

/// How this person's phones send what they register: whether any seals it, and what the page says of it.
fn how(owners: &Owners<'_>) -> (bool, &'static str) {
    let any = |is: fn(&Owner<'_>) -> bool| owners.devices.values().any(is);
    let seals = any(|owner| matches!(owner, Owner::Key(..)));
    match (seals, any(|owner| matches!(owner, Owner::Plain(_)))) {
        (_, false) => (
            true,
            "Your phone seals every entry before it sends it, and a relay keeps the sealed data. They can be read only with your \
             key, which the study's data manager holds.",
        ),
        (true, true) => (
            true,
            "Some of your phones seal every entry before they send it: that can be read only with your key, which the study's data \
             manager holds. Others send it as it is, without sealing it: whoever has the data of the relay that keeps it can read it.",
        ),
        (false, true) => (
            false,
            "Your phone sends every entry as it is, without sealing it: whoever has the data of the relay that keeps it can read it.",
        ),
    }
}

/// The page up to its table's first row.
fn top(heading: &Heading, participant: &str, owners: &Owners<'_>) -> String {
    let (seals, how) = how(owners);
    let title = format!("What was registered of {participant}");
    let head = html! {
        (DOCTYPE)
        head { meta charset="utf-8"; title { (title) } style { (STYLE) } }
    };
    let intro = html! {
        h1 { (title) }
        p { "Study " (heading.study) ", “" (heading.title) "”, as audited by " (heading.auditor) " on "
            (rfc3339_of(heading.run_at)) ", up to block " (heading.block) " of the chain " code { (heading.chain) } "." }
        p { (how) " The chain keeps a digest of every entry, from which nobody can read anything, and which cannot be taken back; it "
            "shows who brought what, and when." }
        p { "This is a copy of all your data in the study that were registered and are still there (Article 15 of the GDPR), and you may take it "
            "elsewhere (Article 20): " code { (JSON) } " has it for other programs, " code { "nights.csv" } " as a table, "
            code { "open-mhealth.ndjson" } " in the form of Open mHealth and IEEE 1752.1, and " code { "other.ndjson" }
            " what could not be read, as it came, and " code { "parts.ndjson" } " the entries of what was too long for one. The data manager signed all of it (" code { "dataset.json" } ")." }
        @if seals {
            p { "If your key is destroyed at your request, nobody can read your sealed data any more, wherever a copy is." }
        }
    };
    let head_of_table = "<table><thead><tr><th>Night</th><th>Asleep</th><th>In bed</th><th>Entry</th><th>Registered</th>\
        <th>Brought by</th><th>Kept by</th><th>What the audit says</th></tr></thead><tbody>\n";
    let (head, intro) = (head.into_string(), intro.into_string());
    format!("{head}\n<body>\n{intro}\n{head_of_table}")
}

fn line(row: &Row) -> Markup {
    let minutes = |value: Option<f64>| match value {
        Some(value) => format!("{value} min"),
        None => "–".into(),
    };
    let when = match (row.not_before, row.not_after) {
        (_, Some(after)) => format!("by {}", rfc3339_of(after)),
        (_, None) if row.registered => "yes; when is not known".into(),
        (_, None) => "no".into(),
    };
    html! {
        tr {
            td { (row.night.map_or("–".into(), iso)) }
            td { (minutes(row.measures.total_sleep_time)) }
            td { (minutes(row.measures.time_in_bed)) }
            td { "device " (row.device) ", entry " (row.sequence) br; code { (row.link) } }
            td { (when) @if let Some(block) = row.block { br; "block " (block) } }
            td { @match row.submitter {
                Some(account) => { "account " code { (account) } }
                None => { "–" }
            } }
            td { (row.held_by.join(", ")) }
            td { (said(row)) }
        }
    }
}

fn said(row: &Row) -> String {
    let verdict = match row.verdict {
        Verdict::Valid => "Your phone made it, and it is as it was registered.",
        Verdict::Erased => "Your phone made it; its data were erased, by a receipt on the chain or because the study keeps them no longer.",
        Verdict::Altered => "A relay holds something else than your phone registered.",
        Verdict::Forged => "Your phone did not make it.",
        Verdict::Disputed => "Two histories claim this place.",
        Verdict::Missing => "It is registered, and no relay has the data any more.",
        Verdict::Unregistered => "Somebody showed it, and it is not registered.",
        Verdict::NotCovered => "The audit could not check it.",
    };
    let is_gone = matches!(row.verdict, Verdict::Erased | Verdict::Missing);
    let more = match (row.problem, row.corrected_by, row.corrects) {
        (Some(Problem::NoEnvelope), ..) if is_gone => String::new(),
        (Some(Problem::BadCorrection), ..) => {
            " It says that it corrects another entry, which it cannot, and so it does not count (bad_correction).".into()
        }
        (Some(Problem::AnotherParticipant), ..) => {
            " It names somebody else, so its data are not in this package (another_participant).".into()
        }
        (Some(problem), ..) => format!(" It could not be read here ({}).", problem.as_str()),
        (None, Some(by), _) => format!(" It was corrected by entry {by}."),
        (None, None, Some(what)) => format!(" It corrects entry {what}."),
        _ => String::new(),
    };
    format!("{verdict}{more}")
}
