// SPDX-License-Identifier: Apache-2.0

//! Exports as a command line names them. Credentials come from the environment.

use std::iter::repeat;

use mhealth_chain_client::{is_on_this_machine, read_secret_text};
use reqwest::Url;
use zeroize::Zeroizing;

use super::{Holder, Source};
use crate::audit::NamedExport;
use crate::error::AuditError;

/// Holds the credential for all relays; `MHEALTH_RELAY_CREDENTIAL_NAME` for the one called `name`.
const CREDENTIAL: &str = "MHEALTH_RELAY_CREDENTIAL";

/// Relays, export files, and files of what stopped phones still hold, as a command line names them, `NAME=PLACE`, in that order. Each
/// once: who is named twice would count for two.
pub fn from_arguments(
    relays: &[String],
    files: &[String],
    phones: &[String],
) -> Result<Vec<NamedExport>, AuditError> {
    let of_relays = relays.iter().chain(files).zip(repeat(Holder::Relay));
    let of_phones = phones.iter().zip(repeat(Holder::Phone));
    let mut exports = Vec::new();
    let places = places(of_relays.chain(of_phones))?;
    for (index, (name, place, holder)) in places.into_iter().enumerate() {
        let source = match index < relays.len() {
            true => Source::Relay {
                url: protected(place)?.into(),
                credential: credential(&name)?,
            },
            false => Source::File(place.into()),
        };
        exports.push(NamedExport {
            name,
            source,
            holder,
        });
    }
    Ok(exports)
}

/// An export's name, its place, and who shows it.
type Place<'a> = (String, &'a str, Holder);

/// The names and places of these arguments. Fails where two have one name or one place.
fn places<'a>(
    arguments: impl Iterator<Item = (&'a String, Holder)>,
) -> Result<Vec<Place<'a>>, AuditError> {
    let mut places: Vec<Place<'a>> = Vec::new();
    for ((argument, holder), number) in arguments.zip(1..) {
        let (name, place) = named(argument, holder, number);
        if places.iter().any(|(other, ..)| *other == name) {
            return Err(bad(argument, "two exports have the same name"));
        }
        let at = address(place);
        if let Some((other, ..)) = places.iter().find(|(_, other, _)| address(other) == at) {
            let why = format!("this is {other} once more, under another name");
            return Err(bad(argument, why));
        }
        places.push((name, place, holder));
    }
    Ok(places)
}

/// A place as it is turned to, however it is written.
fn address(place: &str) -> String {
    let url = Url::parse(place).map(String::from);
    let address = url.unwrap_or_else(|_| place.to_owned());
    address.trim_end_matches('/').to_owned()
}

/// `NAME=PLACE`, or a place, which is named by its number.
fn named(argument: &str, holder: Holder, number: usize) -> (String, &str) {
    let whose = match holder {
        Holder::Relay => "relay",
        Holder::Phone => "phone",
    };
    match argument.split_once('=') {
        // A query of a URL has an equals sign, too.
        Some((name, place)) if !name.is_empty() && !name.contains(['/', ':', '?']) => {
            (name.to_string(), place)
        }
        _ => (format!("{whose}-{number}"), argument),
    }
}

/// A relay's address to which a credential may be sent.
fn protected(address: &str) -> Result<&str, AuditError> {
    match address.starts_with("https://") || is_on_this_machine(address) {
        true => Ok(address),
        false => Err(AuditError::RelayWithoutTls(address.to_owned())),
    }
}

/// The credential for a relay: its own, or the one for all; each from a variable, or from the file that a variable names.
fn credential(name: &str) -> Result<Zeroizing<String>, AuditError> {
    let own = format!("{CREDENTIAL}_{}", name.to_uppercase().replace('-', "_"));
    for variable in [own.as_str(), CREDENTIAL] {
        if let Ok(credential) = std::env::var(variable) {
            return Ok(Zeroizing::new(credential.trim().to_string()));
        }
        if let Some(file) = std::env::var_os(format!("{variable}_FILE")) {
            return Ok(read_secret_text(file.as_ref())?);
        }
    }
    let why = format!(
        "no credential: set {CREDENTIAL}, or {own} for this relay alone; with _FILE behind the name, the file that holds it"
    );
    Err(bad(name, why))
}

fn bad(argument: &str, why: impl std::fmt::Display) -> AuditError {
    AuditError::Input {
        file: argument.to_string(),
        why: why.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(relays: &[&str], files: &[&str]) -> String {
        let [relays, files] = [relays, files].map(|all| all.iter().map(|it| (*it).to_owned()));
        let (relays, files): (Vec<String>, Vec<String>) = (relays.collect(), files.collect());
        let error = from_arguments(&relays, &files, &[]).unwrap_err();
        assert_eq!(error.code(), "bad_input");
        error.to_string()
    }

    #[test]
    fn a_relay_or_file_that_is_named_twice_is_refused() {
        let relay = "dave=https://relay.example:443/api";
        let twice = "this is dave once more, under another name";
        for again in [
            "eve=https://relay.example:443/api",
            "eve=https://relay.example/api/",
            "eve=HTTPS://Relay.Example/api",
            "https://relay.example/api",
        ] {
            let said = refused(&[relay, again], &[]);
            assert_eq!(said, format!("{again}: {twice}"));
        }
        let said = refused(&[], &["dave=one.ndjson", "eve=one.ndjson"]);
        assert_eq!(said, format!("eve=one.ndjson: {twice}"));
        let same = "two exports have the same name";
        assert!(refused(&[relay, "dave=https://two.example"], &[]).ends_with(same));
        assert!(refused(&[relay], &["dave=one.ndjson"]).ends_with(same));
        // Nor may one file be a relay's and a phone's.
        let [file, phone] = ["one.ndjson", "p=one.ndjson"].map(|it| vec![it.to_owned()]);
        let error = from_arguments(&[], &file, &phone).unwrap_err().to_string();
        assert!(error.ends_with("relay-1 once more, under another name"));
    }

    #[test]
    fn each_is_named_as_it_says_or_by_its_number() {
        let files = ["dave=one.ndjson", "two.ndjson", "eve=three.ndjson"].map(String::from);
        let phones = ["p-17=four.ndjson", "five.ndjson"].map(String::from);
        let exports = from_arguments(&[], &files, &phones).unwrap();
        let exports = exports.iter();
        let named: Vec<_> = exports
            .map(|it| (&*it.name, format!("{:?}", it.source), it.holder))
            .collect();
        let expected = [
            ("dave", "one.ndjson", Holder::Relay),
            ("relay-2", "two.ndjson", Holder::Relay),
            ("eve", "three.ndjson", Holder::Relay),
            ("p-17", "four.ndjson", Holder::Phone),
            ("phone-5", "five.ndjson", Holder::Phone),
        ];
        let expected = expected.map(|(name, file, holder)| (name, file.to_owned(), holder));
        assert_eq!(named, expected);
    }
}
