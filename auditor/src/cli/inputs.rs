// SPDX-License-Identifier: Apache-2.0

//! Keys, credentials and records from files and from the environment. Secrets are never given on the command line.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use hashchain::{DeviceId, OpeningKey};
use mhealth_auditor::audit::{Erasure, NamedExport};
use mhealth_auditor::export::{Holder, Source};
use mhealth_auditor::AuditError;
use zeroize::Zeroizing;

/// Holds the auditor's key, in 64 hexadecimal digits.
const AUDITOR_KEY: &str = "MHEALTH_AUDITOR_KEY";
/// Holds the credential for all relays; `MHEALTH_RELAY_CREDENTIAL_NAME` for the one called `name`.
const CREDENTIAL: &str = "MHEALTH_RELAY_CREDENTIAL";

/// Bytes of the largest file of keys or records that is read.
const LARGEST: u64 = 64 << 20;

fn bad(file: impl std::fmt::Display, why: impl std::fmt::Display) -> AuditError {
    AuditError::Input {
        file: file.to_string(),
        why: why.to_string(),
    }
}

/// All of a small file.
fn text(path: &Path) -> Result<Zeroizing<String>, AuditError> {
    let unreadable = |error: std::io::Error| bad(path.display(), error);
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut read = Zeroizing::new(String::new());
    let length = file.take(LARGEST + 1).read_to_string(&mut read);
    match length.map_err(unreadable)? as u64 > LARGEST {
        true => Err(bad(
            path.display(),
            format!("it has more than {LARGEST} bytes"),
        )),
        false => Ok(read),
    }
}

fn key(digits: &str, place: impl std::fmt::Display) -> Result<OpeningKey, AuditError> {
    let mut bytes = Zeroizing::new([0u8; 32]);
    let digits = digits.trim();
    let digits = digits.strip_prefix("0x").unwrap_or(digits);
    hex::decode_to_slice(digits, &mut *bytes).map_err(|_| {
        bad(
            place,
            "expected an X25519 private key in 64 hexadecimal digits",
        )
    })?;
    Ok(OpeningKey::from_bytes(&bytes))
}

/// The auditor's key, if one is given.
pub(super) fn auditor_key(file: Option<&Path>) -> Result<Option<OpeningKey>, AuditError> {
    match (file, std::env::var(AUDITOR_KEY).map(Zeroizing::new)) {
        (Some(path), _) => key(&text(path)?, path.display()).map(Some),
        (None, Ok(digits)) => key(&digits, AUDITOR_KEY).map(Some),
        (None, Err(_)) => Ok(None),
    }
}

/// Participants' keys: a line each, the device's number and the key.
pub(super) fn participants(
    file: Option<&Path>,
) -> Result<HashMap<DeviceId, OpeningKey>, AuditError> {
    let Some(path) = file else {
        return Ok(HashMap::new());
    };
    let lines = text(path)?;
    let lines = lines
        .lines()
        .zip(1..)
        .filter(|(line, _)| !line.trim().is_empty());
    lines
        .map(|(line, number)| {
            let place = format!("{}, line {number}", path.display());
            let (device, digits) = line
                .trim()
                .split_once(char::is_whitespace)
                .ok_or_else(|| bad(&place, "expected a device's number and a key"))?;
            let device = device
                .parse()
                .map_err(|_| bad(&place, "expected a device's number"))?;
            Ok((device, key(digits, place)?))
        })
        .collect()
}

/// Records of erasures: a JSON object a line.
pub(super) fn erasures(file: Option<&Path>) -> Result<Vec<Erasure>, AuditError> {
    let Some(path) = file else {
        return Ok(Vec::new());
    };
    let mut erasures = Vec::new();
    for (line, number) in text(path)?.lines().zip(1..) {
        if !line.trim().is_empty() {
            let erasure = serde_json::from_str(line)
                .map_err(|error| bad(format!("{}, line {number}", path.display()), error))?;
            erasures.push(erasure);
        }
    }
    Ok(erasures)
}

/// Relays and export files, in the order in which they were named.
pub(super) fn exports(relays: &[String], files: &[String]) -> Result<Vec<NamedExport>, AuditError> {
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
