// SPDX-License-Identifier: Apache-2.0

//! Devices, as the study's staff see and treat them.

use axum::extract::State;
use hashchain::DeviceId;
use mhealth_api::{Code, DeviceOnChain, Problem};
use mhealth_server::{ApiError, Json, Path, Query};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{By, Devices, NotAllowed, NotAllowedThere, NotKnown, Retire, Suspend};
use super::admin::{Change, Why};
use super::Shared;
use crate::approvals::{Answer, Approval, Request};
use crate::orders::{Action, Reason};
pub use crate::store::EnrolledDevice;

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list_devices))
        .routes(routes!(read_device))
        .routes(routes!(suspend))
        .routes(routes!(resume))
        .routes(routes!(retire))
}

/// A device of the study.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceRecord {
    /// As it is on the finalised chain.
    pub on_chain: DeviceOnChain,
    /// As it was enrolled; none when another server of the study enrolled it.
    pub enrolment: Option<EnrolledDevice>,
}

/// `POST /v1/admin/devices/{id}/suspend`.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Suspension {
    /// Why; this server's log has it.
    pub why: Why,
    /// The reason that the chain has; `administrative` when absent.
    #[serde(default)]
    pub reason: Reason,
}

/// `POST /v1/admin/devices/{id}/retire`.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Retirement {
    /// Why; this server's log has it.
    pub why: Why,
    /// How many of its entries the study trusts; all when absent. A successor goes on from the last of them.
    #[serde(default)]
    pub trusted_length: Option<u64>,
}

/// How a device's hashchain ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Retired {
    /// As it is on the finalised chain.
    pub on_chain: DeviceOnChain,
    /// How many of its entries are trusted; none when the sponsor has vetoed the retirement.
    pub trusted_length: Option<u64>,
    /// Block from which on it is retired, while the sponsor may veto that; none once it is.
    pub retires_at: Option<u32>,
}

/// The devices that this server enrolled, by number; with their participants for who may read pseudonyms.
#[utoipa::path(get, path = "/v1/admin/devices", tag = "admin", security(("admin" = [])), params(
    ("after" = Option<i64>, Query, description = "Begin after this device; absent begins with the first."),
    ("limit" = Option<u32>, Query, description = "At most so many: 1 to 1,000, 100 when absent."),
), responses(
    (status = 200, description = "Devices.", body = Vec<EnrolledDevice>),
    NotKnown,
    NotAllowed,
))]
async fn list_devices(
    State(shared): State<Shared>,
    admin: By<Devices>,
    Query(page): Query<DevicePage>,
) -> Result<Json<Vec<EnrolledDevice>>, ApiError> {
    let page_limit = page.limit.unwrap_or(100);
    if !(1..=1_000).contains(&page_limit) {
        return Err(Code::InvalidParameter.into());
    }
    let devices = shared.app.store.enrolled_devices(page.after, page_limit);
    let devices = devices.await?.into_iter().map(|device| admin.seen(device));
    Ok(Json(devices.collect()))
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DevicePage {
    after: Option<DeviceId>,
    limit: Option<u32>,
}

/// A device of the study.
#[utoipa::path(get, path = "/v1/admin/devices/{id}", tag = "admin", security(("admin" = [])),
    params(("id" = u32, Path, description = "The device's number.")),
    responses(
        (status = 200, description = "The device.", body = DeviceRecord),
        NotKnown,
        NotAllowedThere,
        (status = 404, description = "`unknown_device`.", body = Problem),
    ))]
async fn read_device(
    State(shared): State<Shared>,
    admin: By<Devices>,
    Path(id): Path<DeviceId>,
) -> Result<Json<DeviceRecord>, ApiError> {
    let on_chain = shared.app.on_chain(id).await?;
    let enrolment = shared.app.store.enrolled_device(id).await?;
    Ok(Json(DeviceRecord {
        on_chain,
        enrolment: enrolment.map(|device| admin.seen(device)),
    }))
}

/// Keeps a device from registering entries until it is resumed, and from getting tokens.
#[utoipa::path(post, path = "/v1/admin/devices/{id}/suspend", tag = "admin", security(("admin" = [])),
    params(("id" = u32, Path, description = "The device's number.")), request_body = Suspension,
    responses(
        (status = 200, description = "It is suspended, finalised.", body = DeviceOnChain),
        NotKnown,
        NotAllowedThere,
        (status = 404, description = "`unknown_device`.", body = Problem),
        (status = 409, description = "`invalid_state`, `refused_by_chain`.", body = Problem),
        (status = 503, description = "`chain_unavailable`: the order stays and will be done.", body = Problem),
    ))]
async fn suspend(
    State(shared): State<Shared>,
    admin: By<Suspend>,
    Path(id): Path<DeviceId>,
    Json(suspension): Json<Suspension>,
) -> Result<Json<DeviceOnChain>, ApiError> {
    let action = Action::Suspend {
        reason: suspension.reason,
    };
    let why = suspension.why.into();
    let changed = shared.app.change_device(&admin.name, id, action, why, None);
    changed.await.map(Json)
}

/// Lets a suspended device register entries again.
#[utoipa::path(post, path = "/v1/admin/devices/{id}/resume", tag = "admin", security(("admin" = [])),
    params(("id" = u32, Path, description = "The device's number.")), request_body = Change,
    responses(
        (status = 200, description = "It is active, finalised.", body = DeviceOnChain),
        (status = 202, description = "It is asked for: another person has to approve it.", body = Approval),
        NotKnown,
        NotAllowedThere,
        (status = 404, description = "`unknown_device`.", body = Problem),
        (status = 409, description = "`invalid_state`, `refused_by_chain`.", body = Problem),
        (status = 503, description = "`chain_unavailable`: the order stays and will be done.", body = Problem),
    ))]
async fn resume(
    State(shared): State<Shared>,
    admin: By<Suspend>,
    Path(id): Path<DeviceId>,
    Json(change): Json<Change>,
) -> Result<Answer, ApiError> {
    let request = Request::Resume { device: id };
    let (app, why) = (&shared.app, change.why.into());
    app.do_or_ask(&admin, request, why).await
}

/// Ends a device's hashchain for good. A new device can go on from its last trusted entry.
///
/// A server's account can only ask for that: the device is suspended at once, and retired when the time has passed in which
/// the study's sponsor can veto it (a day, unless the chain was set up otherwise). Entries that are not to be trusted
/// (`trusted_length`) are the sponsor's to name.
#[utoipa::path(post, path = "/v1/admin/devices/{id}/retire", tag = "admin", security(("admin" = [])),
    params(("id" = u32, Path, description = "The device's number.")), request_body = Retirement,
    responses(
        (status = 200, description = "It is suspended and will retire, or is retired, finalised, as was ordered.", body = Retired),
        (status = 202, description = "It is asked for: another person has to approve it.", body = Approval),
        NotKnown,
        NotAllowedThere,
        (status = 404, description = "`unknown_device`.", body = Problem),
        (status = 409, description = "`invalid_state`: among others, it retires with other entries trusted; \
            `refused_by_chain`.", body = Problem),
        (status = 503, description = "`chain_unavailable`: the order stays and will be done.", body = Problem),
    ))]
async fn retire(
    State(shared): State<Shared>,
    admin: By<Retire>,
    Path(id): Path<DeviceId>,
    Json(retirement): Json<Retirement>,
) -> Result<Answer, ApiError> {
    let request = Request::Retire {
        device: id,
        trusted_length: retirement.trusted_length,
    };
    let (app, why) = (&shared.app, retirement.why.into());
    app.do_or_ask(&admin, request, why).await
}
