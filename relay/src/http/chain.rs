// SPDX-License-Identifier: Apache-2.0

//! What stands finalised on the chain, for those who have no node of their own.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use hashchain::{DeviceId, StudyId};
use mhealth_api::{
    Code, DeviceHeads, DeviceOnChain, Hash, Key, Problem, RegisteredEntry, StudyTerms,
};
use mhealth_server::{on_chain, ApiError, Json, Path, Query};

use super::turns::Turn;
use super::App;
use crate::ledger::Known;

/// Media type of proofs.
const BYTES: &str = "application/octet-stream";
/// Entries of an answer when the question does not say how many, and at most.
const ENTRIES: u32 = 256;
const MOST_ENTRIES: u32 = 1_024;

/// A device as it stands finalised.
#[utoipa::path(get, path = "/v1/devices/{device}", tag = "chain",
    params(("device" = u32, Path, description = "The device's number.")), responses(
    (status = 200, description = "The device.", body = DeviceOnChain),
    (status = 400, description = "`invalid_parameter`", body = Problem),
    (status = 404, description = "`unknown_device`", body = Problem),
    (status = 429, description = "`too_many_requests`", body = Problem),
    (status = 503, description = "`chain_unavailable`, `overloaded`", body = Problem),
))]
pub(super) async fn device(
    State(app): State<Arc<App>>,
    _turn: Turn,
    Path(device): Path<DeviceId>,
) -> Result<Json<DeviceOnChain>, ApiError> {
    found(&app, device).await
}

/// The device that was enrolled with an Ed25519 key.
#[utoipa::path(get, path = "/v1/keys/{key}", tag = "chain",
    params(("key" = String, Path, description = "The key: 0x and 64 hexadecimal digits.")), responses(
    (status = 200, description = "The device.", body = DeviceOnChain),
    (status = 400, description = "`invalid_parameter`", body = Problem),
    (status = 404, description = "`unknown_device`", body = Problem),
    (status = 429, description = "`too_many_requests`", body = Problem),
    (status = 503, description = "`chain_unavailable`, `overloaded`", body = Problem),
))]
pub(super) async fn key(
    State(app): State<Arc<App>>,
    _turn: Turn,
    Path(key): Path<Key>,
) -> Result<Json<DeviceOnChain>, ApiError> {
    let device = app
        .ledger
        .device_by_key(key.0)
        .await?
        .ok_or(Code::UnknownDevice)?;
    found(&app, device).await
}

async fn found(app: &App, device: DeviceId) -> Result<Json<DeviceOnChain>, ApiError> {
    let (view, block) = app
        .ledger
        .device(device)
        .await?
        .ok_or(Code::UnknownDevice)?;
    Ok(Json(on_chain::device(&view, block)))
}

/// A device's head with everything that this relay has accepted, and as the chain has it finalised.
#[utoipa::path(get, path = "/v1/devices/{device}/head", tag = "chain",
    params(("device" = u32, Path, description = "The device's number.")), responses(
    (status = 200, description = "Both heads.", body = DeviceHeads),
    (status = 400, description = "`invalid_parameter`", body = Problem),
    (status = 404, description = "`unknown_device`", body = Problem),
    (status = 429, description = "`too_many_requests`", body = Problem),
    (status = 503, description = "`chain_unavailable`, `storage_unavailable`, `overloaded`", body = Problem),
))]
pub(super) async fn heads(
    State(app): State<Arc<App>>,
    _turn: Turn,
    Path(device): Path<DeviceId>,
) -> Result<Json<DeviceHeads>, ApiError> {
    let (relay, chain) = app.intake.heads(device).await?;
    Ok(Json(DeviceHeads {
        device,
        relay,
        chain,
    }))
}

/// What the device knows and wants to know.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asker {
    set: Option<u64>,
    #[serde(default)]
    record: bool,
    #[serde(default)]
    checkpoints: Checkpoints,
}

/// Most checkpoints of one who asks.
const MOST_CHECKPOINTS: usize = 16;

/// Hashes of blocks, with commas between them.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(try_from = "String")]
struct Checkpoints(Vec<Hash>);

impl TryFrom<String> for Checkpoints {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let hashes: Result<Vec<Hash>, _> = text.split(',').map(str::parse).collect();
        match hashes {
            Ok(hashes) if hashes.len() <= MOST_CHECKPOINTS => Ok(Self(hashes)),
            _ => Err("checkpoints are 1 to 16 block hashes with commas between them"),
        }
    }
}

/// Proves a device's finalised head, so that the device need not believe this relay: bytes, which `docs/protocol/device-api.md`
/// lays out.
#[utoipa::path(get, path = "/v1/devices/{device}/proof", tag = "chain", params(
    ("device" = u32, Path, description = "The device's number."),
    ("set" = Option<u64>, Query, description = "The number of the set of authorities that the device knows; none if it knows \
        the hash of the chain's first block only."),
    ("record" = Option<bool>, Query, description = "Whether the device's record is proved, too; false unless told."),
    ("checkpoints" = Option<String>, Query, description = "Hashes of blocks that the device trusts, with commas between them: the \
        proof leads over those that change the authorities by force."),
), responses(
    (status = 200, description = "The proof.", body = Vec<u8>, content_type = "application/octet-stream"),
    (status = 400, description = "`invalid_parameter`", body = Problem),
    (status = 404, description = "`unknown_device`", body = Problem),
    (status = 409, description = "`set_not_bridged`: the problem names the set that no proof leads on from", body = Problem),
    (status = 429, description = "`too_many_requests`", body = Problem),
    (status = 503, description = "`proof_unavailable`, `chain_unavailable`, `overloaded`", body = Problem),
))]
pub(super) async fn proof(
    State(app): State<Arc<App>>,
    _turn: Turn,
    Path(device): Path<DeviceId>,
    Query(asker): Query<Asker>,
) -> Result<impl IntoResponse, ApiError> {
    let known = Known {
        set: asker.set,
        checkpoints: asker.checkpoints.0,
    };
    let proof = app.head_proofs.head(device, known, asker.record).await?;
    Ok(([(header::CONTENT_TYPE, BYTES)], proof))
}

/// Which entries.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Range {
    #[serde(default = "first")]
    from: u64,
    #[serde(default = "usual")]
    count: u32,
}

fn first() -> u64 {
    1
}

fn usual() -> u32 {
    ENTRIES
}

/// Registered entries of a device, oldest first. None after its head.
#[utoipa::path(get, path = "/v1/devices/{device}/entries", tag = "chain", params(
    ("device" = u32, Path, description = "The device's number."),
    ("from" = Option<u64>, Query, description = "Sequence of the first entry, 1 unless told."),
    ("count" = Option<u32>, Query, description = "How many at most, 256 unless told, up to 1,024."),
), responses(
    (status = 200, description = "The entries.", body = Vec<RegisteredEntry>),
    (status = 400, description = "`invalid_parameter`", body = Problem),
    (status = 429, description = "`too_many_requests`", body = Problem),
    (status = 503, description = "`chain_unavailable`, `overloaded`", body = Problem),
))]
pub(super) async fn entries(
    State(app): State<Arc<App>>,
    _turn: Turn,
    Path(device): Path<DeviceId>,
    Query(range): Query<Range>,
) -> Result<Json<Vec<RegisteredEntry>>, ApiError> {
    if range.from == 0 || range.count > MOST_ENTRIES {
        return Err(Code::InvalidParameter.into());
    }
    let entries = app.ledger.entries(device, range.from, range.count).await?;
    let entries = entries.into_iter().map(|entry| RegisteredEntry {
        sequence: entry.sequence,
        digest: entry.digest,
        hash: entry.hash,
    });
    Ok(Json(entries.collect()))
}

/// A study as it stands finalised.
#[utoipa::path(get, path = "/v1/studies/{study}", tag = "chain",
    params(("study" = u32, Path, description = "The study's number.")), responses(
    (status = 200, description = "The study.", body = StudyTerms),
    (status = 400, description = "`invalid_parameter`", body = Problem),
    (status = 404, description = "`unknown_study`", body = Problem),
    (status = 429, description = "`too_many_requests`", body = Problem),
    (status = 503, description = "`chain_unavailable`, `overloaded`", body = Problem),
))]
pub(super) async fn study(
    State(app): State<Arc<App>>,
    _turn: Turn,
    Path(study): Path<StudyId>,
) -> Result<Json<StudyTerms>, ApiError> {
    let view = app.ledger.study(study).await?.ok_or(Code::UnknownStudy)?;
    Ok(Json(on_chain::study(app.ledger.genesis(), study, view)))
}
