// SPDX-License-Identifier: Apache-2.0

//! Exports as a command line names them. Credentials come from the environment.

use mhealth_chain_client::{is_on_this_machine, read_secret_text};
use zeroize::Zeroizing;

use super::{Holder, Source};
use crate::audit::NamedExport;
use crate::error::AuditError;

/// Holds the credential for all relays; `MHEALTH_RELAY_CREDENTIAL_NAME` for the one called `name`.
const CREDENTIAL: &str = "MHEALTH_RELAY_CREDENTIAL";

/// Relays and export files as a command line names them, `NAME=PLACE`, in that order.
pub fn from_arguments(relays: &[String], files: &[String]) -> Result<Vec<NamedExport>, AuditError> {
    let mut exports: Vec<NamedExport> = Vec::new();
    for (argument, is_file) in relays
        .iter()
        .map(|relay| (relay, false))
        .chain(files.iter().map(|file| (file, true)))
    {
        let (name, place) = named(argument, exports.len() + 1);
        if exports.iter().any(|export| export.name == name) {
            return Err(bad(argument, "two exports have the same name"));
        }
        let source = match is_file {
            true => Source::File(place.into()),
            false => Source::Relay {
                url: protected(place)?.into(),
                credential: credential(&name)?,
            },
        };
        exports.push(NamedExport {
            name,
            source,
            holder: Holder::Relay,
        });
    }
    Ok(exports)
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
