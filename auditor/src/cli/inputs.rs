// SPDX-License-Identifier: Apache-2.0

//! Keys, credentials and records from files and from the environment. Secrets are never given on the command line.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use hashchain::{DeviceId, OpeningKey};
use mhealth_auditor::audit::Erasure;
use mhealth_auditor::participants::ParticipantList;
use mhealth_auditor::signature::ReportKey;
use mhealth_auditor::AuditError;
use mhealth_chain_client::read_secret_text;
use zeroize::Zeroizing;

/// Holds the auditor's keys, each in 64 hexadecimal digits.
const AUDITOR_KEY: &str = "MHEALTH_AUDITOR_KEY";

/// Bytes of the largest file of keys or records that is read.
const LARGEST: u64 = 64 << 20;

fn bad(file: impl std::fmt::Display, why: impl std::fmt::Display) -> AuditError {
    AuditError::Input {
        file: file.to_string(),
        why: why.to_string(),
    }
}

/// A file with keys. Others than its owner must not be able to read it.
fn secret(path: &Path) -> Result<Zeroizing<String>, AuditError> {
    Ok(read_secret_text(path)?)
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

/// The auditor's keys, if any are given: a line each.
pub(super) fn auditor_keys(files: &[PathBuf]) -> Result<Vec<OpeningKey>, AuditError> {
    let mut texts = Vec::new();
    for path in files {
        texts.push((secret(path)?, path.display().to_string()));
    }
    if files.is_empty() {
        if let Ok(digits) = std::env::var(AUDITOR_KEY) {
            texts.push((Zeroizing::new(digits), AUDITOR_KEY.into()));
        }
    }
    let mut keys = Vec::new();
    for (text, place) in &texts {
        let before = keys.len();
        for digits in text.split_whitespace() {
            keys.push(key(digits, place)?);
        }
        if keys.len() == before {
            return Err(bad(place, "expected an X25519 private key"));
        }
    }
    Ok(keys)
}

/// The key that signs reports.
pub(super) fn report_key(file: &Path) -> Result<ReportKey, AuditError> {
    let text = secret(file)?;
    ReportKey::from_pem(&text)
        .map_err(|error| AuditError::NotAReportKey(file.display().to_string(), error))
}

/// The participants' public keys: a line each, a device's number or a pseudonym, and the key.
pub(super) fn participant_list(file: Option<&Path>) -> Result<Option<ParticipantList>, AuditError> {
    let Some(path) = file else {
        return Ok(None);
    };
    let lines = text(path)?;
    let lines = lines.lines().zip(1..);
    let mut list = ParticipantList::default();
    for (line, number) in lines.filter(|(line, _)| !line.trim().is_empty()) {
        list.add(line)
            .map_err(|why| bad(format!("{}, line {number}", path.display()), why))?;
    }
    Ok(Some(list))
}

/// Participants' keys: a line each, the device's number and the key.
pub(super) fn participants(
    file: Option<&Path>,
) -> Result<HashMap<DeviceId, OpeningKey>, AuditError> {
    let Some(path) = file else {
        return Ok(HashMap::new());
    };
    let lines = secret(path)?;
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
