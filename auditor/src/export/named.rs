// SPDX-License-Identifier: Apache-2.0

//! Exports as a command line names them. Credentials come from the environment.

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
                url: place.into(),
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

fn credential(name: &str) -> Result<Zeroizing<String>, AuditError> {
    let own = format!("{CREDENTIAL}_{}", name.to_uppercase().replace('-', "_"));
    std::env::var(&own)
        .or_else(|_| std::env::var(CREDENTIAL))
        .map(|credential| Zeroizing::new(credential.trim().to_string()))
        .map_err(|_| {
            bad(
                name,
                format!("no credential: set {CREDENTIAL}, or {own} for this relay alone"),
            )
        })
}

fn bad(argument: &str, why: impl std::fmt::Display) -> AuditError {
    AuditError::Input {
        file: argument.to_string(),
        why: why.to_string(),
    }
}
