// SPDX-License-Identifier: Apache-2.0

//! Orders to erase a participant's envelopes.

use std::sync::Arc;

use axum::extract::State;
use mhealth_api::{ErasureOrder, ErasureOutcome, Problem};
use mhealth_server::{ApiError, Duty, Json};

use super::export::Auditor;
use super::App;

/// Erases every envelope of a participant's devices, as the holder of the participants' keys orders: digests, tags, links and
/// signatures stay. Nothing of these devices is taken any more, and what is on its way to the chain reaches it without its
/// data. The same order may come again: what is left to be done is done, and the answer says what still is.
#[utoipa::path(post, path = "/v1/admin/erasures", tag = "eraser", security(("eraser_credential" = [])),
    request_body = ErasureOrder, responses(
    (status = 200, description = "What was done, and what is left.", body = ErasureOutcome),
    (status = 400, description = "`malformed_json`", body = Problem),
    (status = 401, description = "`missing_credentials` or `invalid_credentials`", body = Problem),
    (status = 403, description = "`not_allowed`: the credential is for something else. `not_the_holder`; `wrong_study`: a \
        device's", body = Problem),
    (status = 404, description = "`unknown_device`", body = Problem),
    (status = 408, description = "`request_timeout`", body = Problem),
    (status = 409, description = "`wrong_chain`, `other_participant`", body = Problem),
    (status = 413, description = "`body_too_large`", body = Problem),
    (status = 415, description = "`unsupported_media_type`, `unsupported_encoding`, `unsupported_charset`", body = Problem),
    (status = 422, description = "`invalid_message`, `bad_order_signature`", body = Problem),
    (status = 429, description = "`too_many_requests`: this address came with wrong credentials", body = Problem),
    (status = 500, description = "`internal`", body = Problem),
    (status = 503, description = "`chain_unavailable`, `storage_unavailable`; bring the order again", body = Problem),
))]
pub(super) async fn erase(
    State(app): State<Arc<App>>,
    Auditor(who): Auditor,
    Json(order): Json<ErasureOrder>,
) -> Result<Json<ErasureOutcome>, ApiError> {
    who.scopes.check(&[Duty::Erase], order.study)?;
    Ok(Json(app.erasing.obey(order, &who.name).await?))
}
