// SPDX-License-Identifier: Apache-2.0

//! Devices, as the study's staff see and treat them.

use axum::extract::State;
use mhealth_api::{ChainHead, Code, DeviceOnChain, DeviceStatus, Head, Key, Problem};
use mhealth_server::{ApiError, Json, Path, Query};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::admin::{Change, Why};
use super::Shared;
use crate::admins::Admin;
use crate::enrolments::refusal;
use crate::log::{self, hash_of, Note};
use crate::office::{hash, Finalised, Office};
use crate::orders::{Action, Order, Outcome, Reason};

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list_devices))
        .routes(routes!(read_device))
        .routes(routes!(suspend))
        .routes(routes!(resume))
        .routes(routes!(retire))
}

/// A device that this server enrolled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrolledDevice {
    /// Its number on the chain.
    pub device: u32,
    /// Its Ed25519 public key.
    pub key: Key,
    /// The participant's pseudonym.
    pub participant: String,
    /// The code that it redeemed.
    pub code: u64,
    /// The device that it goes on from.
    pub predecessor: Option<u32>,
    /// Seconds since 1970.
    pub enrolled_at: u64,
}

/// A device of the study.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceRecord {
    /// As it stands finalised.
    pub on_chain: DeviceOnChain,
    /// As it was enrolled; none when another server of the study enrolled it.
    pub enrolment: Option<EnrolledDevice>,
}

/// `POST /v1/admin/devices/{id}/suspend`.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Suspension {
    /// Why; it stands in this server's log.
    pub why: Why,
    /// The reason that stands on the chain; `administrative` when absent.
    #[serde(default)]
    pub reason: Reason,
}

/// `POST /v1/admin/devices/{id}/retire`.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Retirement {
    /// Why; it stands in this server's log.
    pub why: Why,
    /// How many of its entries the study trusts; all when absent. A successor goes on from the last of them.
    #[serde(default)]
    pub trusted_length: Option<u64>,
}

/// The devices that this server enrolled, by number.
#[utoipa::path(get, path = "/v1/admin/devices", tag = "admin", security(("admin" = [])), params(
    ("after" = Option<i64>, Query, description = "Begin behind this device; absent begins with the first."),
    ("limit" = Option<u32>, Query, description = "At most so many: 1 to 1,000, 100 when absent."),
), responses(
    (status = 200, description = "Devices.", body = Vec<EnrolledDevice>),
    (status = 401, description = "`missing_credentials`, `invalid_credentials`.", body = Problem),
))]
async fn list_devices(
    State(shared): State<Shared>,
    _: Admin,
    Query(page): Query<DevicePage>,
) -> Result<Json<Vec<EnrolledDevice>>, ApiError> {
    let page_limit = page.limit.unwrap_or(100);
    if !(1..=1_000).contains(&page_limit) {
        return Err(Code::InvalidParameter.into());
    }
    let after = page.after.map_or(-1, i64::from);
    shared
        .office
        .enrolled_devices(
            "e.device > $1 ORDER BY e.device LIMIT $2",
            after,
            page_limit,
        )
        .await
        .map(Json)
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DevicePage {
    after: Option<u32>,
    limit: Option<u32>,
}

/// A device of the study.
#[utoipa::path(get, path = "/v1/admin/devices/{id}", tag = "admin", security(("admin" = [])),
    params(("id" = u32, Path, description = "The device's number.")),
    responses(
        (status = 200, description = "The device.", body = DeviceRecord),
        (status = 401, description = "`missing_credentials`, `invalid_credentials`.", body = Problem),
        (status = 403, description = "`wrong_study`.", body = Problem),
        (status = 404, description = "`unknown_device`.", body = Problem),
    ))]
async fn read_device(
    State(shared): State<Shared>,
    _: Admin,
    Path(id): Path<u32>,
) -> Result<Json<DeviceRecord>, ApiError> {
    let on_chain = shared.office.on_chain(id).await?;
    let enrolment = shared
        .office
        .enrolled_devices("e.device = $1 LIMIT $2", i64::from(id), 1)
        .await?
        .pop();
    Ok(Json(DeviceRecord {
        on_chain,
        enrolment,
    }))
}

/// Keeps a device from registering entries until it is resumed, and from getting tokens.
#[utoipa::path(post, path = "/v1/admin/devices/{id}/suspend", tag = "admin", security(("admin" = [])),
    params(("id" = u32, Path, description = "The device's number.")), request_body = Suspension,
    responses(
        (status = 200, description = "It is suspended, finalised.", body = DeviceOnChain),
        (status = 401, description = "`missing_credentials`, `invalid_credentials`.", body = Problem),
        (status = 403, description = "`wrong_study`.", body = Problem),
        (status = 404, description = "`unknown_device`.", body = Problem),
        (status = 409, description = "`invalid_state`, `refused_by_chain`.", body = Problem),
        (status = 503, description = "`chain_unavailable`: the order stays and will be done.", body = Problem),
    ))]
async fn suspend(
    State(shared): State<Shared>,
    admin: Admin,
    Path(id): Path<u32>,
    Json(suspension): Json<Suspension>,
) -> Result<Json<DeviceOnChain>, ApiError> {
    let action = Action::Suspend {
        reason: suspension.reason,
    };
    shared
        .office
        .change(admin, id, action, suspension.why)
        .await
        .map(Json)
}

/// Lets a suspended device register entries again.
#[utoipa::path(post, path = "/v1/admin/devices/{id}/resume", tag = "admin", security(("admin" = [])),
    params(("id" = u32, Path, description = "The device's number.")), request_body = Change,
    responses(
        (status = 200, description = "It is active, finalised.", body = DeviceOnChain),
        (status = 401, description = "`missing_credentials`, `invalid_credentials`.", body = Problem),
        (status = 403, description = "`wrong_study`.", body = Problem),
        (status = 404, description = "`unknown_device`.", body = Problem),
        (status = 409, description = "`invalid_state`, `refused_by_chain`.", body = Problem),
        (status = 503, description = "`chain_unavailable`: the order stays and will be done.", body = Problem),
    ))]
async fn resume(
    State(shared): State<Shared>,
    admin: Admin,
    Path(id): Path<u32>,
    Json(change): Json<Change>,
) -> Result<Json<DeviceOnChain>, ApiError> {
    shared
        .office
        .change(admin, id, Action::Resume, change.why)
        .await
        .map(Json)
}

/// Ends a device's hashchain for good. A new device can go on from its last trusted entry.
#[utoipa::path(post, path = "/v1/admin/devices/{id}/retire", tag = "admin", security(("admin" = [])),
    params(("id" = u32, Path, description = "The device's number.")), request_body = Retirement,
    responses(
        (status = 200, description = "It is retired, finalised.", body = DeviceOnChain),
        (status = 401, description = "`missing_credentials`, `invalid_credentials`.", body = Problem),
        (status = 403, description = "`wrong_study`.", body = Problem),
        (status = 404, description = "`unknown_device`.", body = Problem),
        (status = 409, description = "`invalid_state`, `refused_by_chain`.", body = Problem),
        (status = 503, description = "`chain_unavailable`: the order stays and will be done.", body = Problem),
    ))]
async fn retire(
    State(shared): State<Shared>,
    admin: Admin,
    Path(id): Path<u32>,
    Json(retirement): Json<Retirement>,
) -> Result<Json<DeviceOnChain>, ApiError> {
    let action = Action::Retire {
        trusted_length: retirement.trusted_length,
    };
    shared
        .office
        .change(admin, id, action, retirement.why)
        .await
        .map(Json)
}

impl Office {
    async fn change(
        &self,
        admin: Admin,
        device: u32,
        action: Action,
        why: Why,
    ) -> Result<DeviceOnChain, ApiError> {
        let found = self.device(device).await?;
        let fits = match action {
            Action::Suspend { .. } => found.status == DeviceStatus::Active,
            Action::Resume => found.status == DeviceStatus::Suspended,
            Action::Retire { .. } => found.status != DeviceStatus::Retired,
            Action::Enrol => false,
        };
        if !fits {
            return Err(Code::InvalidState.into());
        }
        let (now, why) = (self.now(), String::from(why));
        let what = format!("{} ordered", action.name());
        let subject = format!("device {device}");
        let order = Order {
            id: 0,
            action,
            code: None,
            device: Some(device),
            actor: admin.name.clone(),
            why: why.clone(),
        };
        let mut transaction = self.database.begin().await?;
        let id = self.orders.place(&mut transaction, &order, now).await?;
        let note = Note {
            at: now,
            actor: &admin.name,
            action: &what,
            subject: &subject,
            why: &why,
        };
        log::append(&self.database, &mut transaction, note).await?;
        transaction.commit().await?;
        self.orders.wake();
        match self
            .orders
            .outcome(id, self.terms.patience, &self.stop)
            .await?
        {
            Outcome::Done { .. } => self.on_chain(device).await,
            Outcome::Refused { why } => Err(refusal(&why)),
        }
    }

    async fn on_chain(&self, device: u32) -> Result<DeviceOnChain, ApiError> {
        let Finalised { view, block } = self.finalised().await?;
        let found = view.device(device).await?.ok_or(Code::UnknownDevice)?;
        if found.study != self.terms.study {
            return Err(Code::WrongStudy.into());
        }
        Ok(DeviceOnChain {
            device,
            study: found.study,
            key: Key(found.key),
            genesis: hash(found.genesis),
            status: found.status,
            chain: ChainHead {
                head: Head {
                    length: found.length,
                    hash: hash(found.head),
                },
                block,
            },
        })
    }

    async fn enrolled_devices(
        &self,
        which: &'static str,
        first: i64,
        limit: u32,
    ) -> Result<Vec<EnrolledDevice>, ApiError> {
        type Row = (i64, Vec<u8>, String, i64, Option<i64>, i64);
        // `which` is one of two constants of this file.
        let statement = sqlx::AssertSqlSafe(format!(
            "SELECT e.device, e.device_key, c.participant, e.code, c.predecessor, e.enrolled_at \
             FROM enrolments e JOIN codes c ON c.id = e.code WHERE {which}"
        ));
        let rows: Vec<Row> = sqlx::query_as(statement)
            .bind(first)
            .bind(i64::from(limit))
            .fetch_all(self.database.pool())
            .await?;
        let devices = rows.into_iter().map(
            |(device, key, participant, code, predecessor, enrolled_at)| {
                Ok(EnrolledDevice {
                    device: device as u32,
                    key: Key(hash_of(key)?.0),
                    participant,
                    code: code as u64,
                    predecessor: predecessor.map(|device| device as u32),
                    enrolled_at: enrolled_at as u64,
                })
            },
        );
        Ok(devices.collect::<Result<_, sqlx::Error>>()?)
    }
}
