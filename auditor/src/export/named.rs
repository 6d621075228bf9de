// SPDX-License-Identifier: Apache-2.0

//! Exports as a command line names them. Credentials come from the environment.

use mhealth_chain_client::{is_on_this_machine, read_secret_text};
use reqwest::Url;
use zeroize::Zeroizing;

use super::{Holder, Source};
use crate::audit::NamedExport;
use crate::error::AuditError;

/// Holds the credential for all relays; `MHEALTH_RELAY_CREDENTIAL_NAME` for the one called `name`.
const CREDENTIAL: &str = "MHEALTH_RELAY_CREDENTIAL";

/// Relays and export files as a command line names them, `NAME=PLACE`, in that order. Each once: who is named twice would count
/// for two.
pub fn from_arguments(relays: &[String], files: &[String]) -> Result<Vec<NamedExport>, AuditError> {
    let mut exports = Vec::new();
    let places = places(relays.iter().chain(files))?;
    for (index, (name, place)) in places.into_iter().enumerate() {
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
            holder: Holder::Relay,
        });
    }
    Ok(exports)
}

/// The names and places of these arguments. Fails where two have one name or one place.
fn places<'a>(
    arguments: impl Iterator<Item = &'a String>,
) -> Result<Vec<(String, &'a str)>, AuditError> {
    let mut places: Vec<(String, &str)> = Vec::new();
    for (argument, number) in arguments.zip(1..) {
        let (name, place) = named(argument, number);
        if places.iter().any(|(other, _)| *other == name) {
            return Err(bad(argument, "two exports have the same name"));
        }
        let at = address(place);
        if let Some((other, _)) = places.iter().find(|(_, other)| address(other) == at) {
            let why = format!("this is {other} once more, under another name");
            return Err(bad(argument, why));
        }
        places.push((name, place));
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
fn named(argument: &str, number: usize) -> (String, &str) {
    match argument.split_once('=') {
        // A query of a URL has an equals sign, too.
        Some((name, place)) if !name.is_empty() && !name.contains(['/', ':', '?']) => {
            (name.to_string(), place)
        }
        _ => (format!("relay-{number}"), argument),
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
        let error = from_arguments(&relays, &files).unwrap_err();
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
    }

    #[test]
    fn each_is_named_as_it_says_or_by_its_number() {
        let files = ["dave=one.ndjson", "two.ndjson", "eve=three.ndjson"].map(String::from);
        let exports = from_arguments(&[], &files).unwrap();
        let exports = exports.iter();
        let named: Vec<_> = exports
            .map(|it| (&*it.name, format!("{:?}", it.source)))
            .collect();
        let expected = [
            ("dave", "one.ndjson"),
            ("relay-2", "two.ndjson"),
            ("eve", "three.ndjson"),
        ];
        assert_eq!(named, expected.map(|(name, file)| (name, file.to_owned())));
    }
}
