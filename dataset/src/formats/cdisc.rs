// SPDX-License-Identifier: Apache-2.0

//! CDISC: the rows as Dataset-JSON 1.1, described by Define-XML 2.1. The dataset is none of a published standard
//! (`def:IsNonStandard`): it is what was registered, for whoever maps it to one.

use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};
use serde_json::{json, Value};

use super::{for_xml, Writer};
use crate::audit::Heading;
use crate::columns::{rfc3339_of, Column, Kind, Origin, COLUMNS, KEYS};
use crate::error::DataError;
use crate::folder::{Out, Unfinished};
use crate::measures::DECIMALS;
use crate::row::Row;

pub(crate) const DATA: &str = "cdisc/sleep.json";
const DEFINE: &str = "cdisc/define.xml";
const NAME: &str = "SLEEP";
const LABEL: &str = "Records of nights, as registered";
/// What is to be known of the files as such.
const ABOUT: &str =
    "Records of nights, as registered. The files bear the time of the audit that they rest on";
const GROUP: &str = "IG.SLEEP";
const METADATA: &str = "MDV.1";
/// Digits of the place for the number of records, which is known at the end.
const DIGITS: usize = 20;

/// How CDISC calls what a column holds: in Dataset-JSON, in Define-XML, and how long it is.
fn kind(column: &Column) -> (&'static str, &'static str, Option<u16>) {
    match column.kind {
        Kind::Text(length) => ("string", "text", Some(length)),
        Kind::Integer => ("integer", "integer", Some(20)),
        Kind::Number => ("double", "float", Some(12)),
        // Define-XML has no truth values.
        Kind::Boolean => ("boolean", "text", Some(5)),
        Kind::Date => ("date", "date", None),
        Kind::Instant | Kind::Time => ("datetime", "datetime", None),
    }
}

/// Its place among the columns that name a row.
fn key(column: &Column) -> Option<usize> {
    let place = KEYS.iter().position(|key| *key == column.name);
    place.map(|place| place + 1)
}

fn oid(column: &Column) -> String {
    format!("IT.{NAME}.{}", column.cdisc)
}

fn study_oid(heading: &Heading) -> String {
    format!("mhealth-chain.{}.{}", heading.chain, heading.study)
}

pub(super) struct Cdisc {
    out: Out,
    /// Where the number of records stands.
    place: u64,
    records: u64,
}

impl Cdisc {
    pub(super) fn begin(folder: &Unfinished, heading: &Heading) -> Result<Self, DataError> {
        define(folder.file(DEFINE)?, heading)?;
        let columns = COLUMNS.iter().map(|column| {
            let (kind, _, length) = kind(column);
            let mut described = json!({
                "itemOID": oid(column), "name": column.cdisc, "label": column.label, "dataType": kind,
            });
            if let (Kind::Text(_), Some(length)) = (column.kind, length) {
                described["length"] = length.into();
            }
            if let Some(place) = key(column) {
                described["keySequence"] = place.into();
            }
            described
        });
        let head = json!({
            // The same rows give the same bytes, so the file is as old as the audit that it rests on.
            "datasetJSONCreationDateTime": rfc3339_of(heading.run_at),
            "datasetJSONVersion": "1.1.0",
            "fileOID": format!("{}.{NAME}.{}", study_oid(heading), heading.block),
            "originator": "holder of the participants' keys",
            "sourceSystem": { "name": "mhealth-data", "version": env!("CARGO_PKG_VERSION") },
            "studyOID": study_oid(heading),
            "metaDataVersionOID": METADATA,
            "metaDataRef": "define.xml",
            "itemGroupOID": GROUP,
            "name": NAME,
            "label": LABEL,
            "columns": columns.collect::<Vec<Value>>(),
        });
        let mut head = head.to_string();
        head.pop();
        head.push_str(",\n\"records\": ");
        let place = head.len() as u64;
        head.push_str(&" ".repeat(DIGITS));
        head.push_str(",\n\"rows\": [");
        let mut out = folder.file(DATA)?;
        out.bytes(head.as_bytes())?;
        Ok(Cdisc {
            out,
            place,
            records: 0,
        })
    }
}

impl Writer for Cdisc {
    fn row(&mut self, row: &Row) -> Result<(), DataError> {
        let values = COLUMNS.iter().map(|column| (column.value)(row).to_json());
        let values = Value::from(values.collect::<Vec<_>>());
        let comma = if self.records == 0 { "" } else { "," };
        self.records += 1;
        self.out.bytes(format!("{comma}\n{values}").as_bytes())
    }

    fn end(mut self: Box<Self>) -> Result<(), DataError> {
        self.out.bytes(b"\n]}\n")?;
        let records = format!("{:DIGITS$}", self.records);
        self.out.patch(self.place, records.as_bytes())?;
        self.out.end()
    }
}

/// Writes Define-XML.
fn define(out: Out, heading: &Heading) -> Result<(), DataError> {
    let path = out.path().to_owned();
    let mut xml = Xml(quick_xml::Writer::new_with_indent(out, b' ', 1));
    let written = document(&mut xml, heading);
    written.map_err(DataError::file(&path))?;
    let mut out = xml.0.into_inner();
    out.bytes(b"\n")?;
    out.end()
}

struct Xml(quick_xml::Writer<Out>);

type Written = std::io::Result<()>;

impl Xml {
    /// An element with attributes and what is in it.
    fn element(
        &mut self,
        name: &str,
        attributes: &[(&str, &str)],
        inner: impl FnOnce(&mut Self) -> Written,
    ) -> Written {
        let start = BytesStart::new(name).with_attributes(attributes.iter().copied());
        self.0.write_event(Event::Start(start))?;
        inner(self)?;
        self.0.write_event(Event::End(BytesEnd::new(name)))
    }

    fn empty(&mut self, name: &str, attributes: &[(&str, &str)]) -> Written {
        let start = BytesStart::new(name).with_attributes(attributes.iter().copied());
        self.0.write_event(Event::Empty(start))
    }

    fn text(&mut self, name: &str, attributes: &[(&str, &str)], text: &str) -> Written {
        let text = for_xml(text);
        self.element(name, attributes, |xml| {
            xml.0.write_event(Event::Text(BytesText::new(&text)))
        })
    }

    fn description(&mut self, text: &str) -> Written {
        self.element("Description", &[], |xml| {
            xml.text("TranslatedText", &[("xml:lang", "en")], text)
        })
    }
}

fn document(xml: &mut Xml, heading: &Heading) -> Written {
    let (study, created) = (study_oid(heading), rfc3339_of(heading.run_at));
    let file = format!("{study}.define.{}", heading.block);
    xml.0
        .write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let attributes = [
        ("xmlns", "http://www.cdisc.org/ns/odm/v1.3"),
        ("xmlns:def", "http://www.cdisc.org/ns/def/v2.1"),
        ("xmlns:xlink", "http://www.w3.org/1999/xlink"),
        ("ODMVersion", "1.3.2"),
        ("FileType", "Snapshot"),
        ("FileOID", file.as_str()),
        ("CreationDateTime", created.as_str()),
        ("SourceSystem", "mhealth-data"),
        ("SourceSystemVersion", env!("CARGO_PKG_VERSION")),
        ("def:Context", "Other"),
    ];
    xml.element("ODM", &attributes, |xml| {
        xml.element("Study", &[("OID", study.as_str())], |xml| {
            xml.element("GlobalVariables", &[], |xml| {
                xml.text("StudyName", &[], &heading.title)?;
                xml.text("StudyDescription", &[], &heading.title)?;
                xml.text("ProtocolName", &[], &format!("Study {}", heading.study))
            })?;
            let attributes = [
                ("OID", METADATA),
                ("Name", "Records of nights"),
                ("Description", ABOUT),
                ("def:DefineVersion", "2.1.0"),
            ];
            xml.element("MetaDataVersion", &attributes, |xml| {
                group(xml)?;
                COLUMNS.iter().try_for_each(|column| item(xml, column))?;
                COLUMNS.iter().try_for_each(|column| method(xml, column))
            })
        })
    })
}

fn group(xml: &mut Xml) -> Written {
    let attributes = [
        ("OID", GROUP),
        ("Name", NAME),
        ("Repeating", "Yes"),
        ("IsReferenceData", "No"),
        ("SASDatasetName", NAME),
        ("Purpose", "Tabulation"),
        (
            "def:Structure",
            "One record per registered record of a night",
        ),
        ("def:IsNonStandard", "Yes"),
        ("def:ArchiveLocationID", "LF.SLEEP"),
    ];
    xml.element("ItemGroupDef", &attributes, |xml| {
        xml.description(LABEL)?;
        for (column, number) in COLUMNS.iter().zip(1..) {
            let (item, number) = (oid(column), number.to_string());
            let (key, method) = (key(column).map(|it| it.to_string()), method_oid(column));
            let mandatory = if column.required { "Yes" } else { "No" };
            let mut attributes = vec![
                ("ItemOID", item.as_str()),
                ("OrderNumber", number.as_str()),
                ("Mandatory", mandatory),
            ];
            attributes.extend(key.iter().map(|key| ("KeySequence", key.as_str())));
            attributes.extend(method.iter().map(|it| ("MethodOID", it.as_str())));
            attributes.push(("def:IsNonStandard", "Yes"));
            xml.empty("ItemRef", &attributes)?;
        }
        xml.empty("def:Class", &[("Name", "FINDINGS")])?;
        let leaf = [("ID", "LF.SLEEP"), ("xlink:href", "sleep.json")];
        xml.element("def:leaf", &leaf, |xml| {
            xml.text("def:title", &[], "sleep.json")
        })
    })
}

fn item(xml: &mut Xml, column: &Column) -> Written {
    let (_, kind, length) = kind(column);
    let (oid, length) = (oid(column), length.map(|length| length.to_string()));
    let decimals = DECIMALS.to_string();
    let mut attributes = vec![
        ("OID", oid.as_str()),
        ("Name", column.cdisc),
        ("DataType", kind),
    ];
    if let Some(length) = &length {
        attributes.push(("Length", length.as_str()));
    }
    if kind == "float" {
        attributes.push(("SignificantDigits", decimals.as_str()));
    }
    attributes.push(("SASFieldName", column.cdisc));
    xml.element("ItemDef", &attributes, |xml| {
        xml.description(column.label)?;
        let (kind, source) = match column.origin {
            Origin::Collected => ("Collected", "Subject"),
            Origin::Assigned => ("Assigned", "Sponsor"),
            Origin::Derived(_) => ("Derived", "Sponsor"),
        };
        xml.empty("def:Origin", &[("Type", kind), ("Source", source)])
    })
}

fn method_oid(column: &Column) -> Option<String> {
    let is_derived = matches!(column.origin, Origin::Derived(_));
    is_derived.then(|| format!("MT.{NAME}.{}", column.cdisc))
}

/// How a column is derived, if it is.
fn method(xml: &mut Xml, column: &Column) -> Written {
    let (Some(oid), Origin::Derived(how)) = (method_oid(column), column.origin) else {
        return Ok(());
    };
    let attributes = [
        ("OID", oid.as_str()),
        ("Name", column.label),
        ("Type", "Computation"),
    ];
    xml.element("MethodDef", &attributes, |xml| xml.description(how))
}
