// SPDX-License-Identifier: Apache-2.0

//! Runs with their envelopes, for auditors.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::stream;
use hashchain::StudyId;
use mhealth_api::{Code, ExportedRun, Problem};
use mhealth_server::{ApiError, Bearer, Query};

use super::App;
use crate::store::{ExportQuery, Store};

/// One JSON object a line.
const NDJSON: &str = "application/x-ndjson";

/// Which runs.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Selection {
    #[serde(default)]
    after: u64,
    study: Option<StudyId>,
}

/// Runs with their envelopes, whatever became of them, in the order in which they were stored: one JSON object a line. A
/// transfer that broke off goes on with `after=` the last cursor that arrived.
#[utoipa::path(get, path = "/v1/export", tag = "auditor", security(("auditor_credential" = [])), params(
    ("after" = Option<u64>, Query, description = "The last cursor that the auditor has; from the beginning without it."),
    ("study" = Option<u32>, Query, description = "One study only."),
), responses(
    (status = 200, description = "Exported runs, one a line.", body = ExportedRun, content_type = "application/x-ndjson"),
    (status = 400, description = "`invalid_parameter`", body = Problem),
    (status = 401, description = "`missing_credentials` or `invalid_credentials`", body = Problem),
    (status = 503, description = "`storage_unavailable`", body = Problem),
))]
pub(super) async fn export(
    State(app): State<Arc<App>>,
    Bearer(credential): Bearer,
    Query(selection): Query<Selection>,
) -> Result<Response, ApiError> {
    let auditor = app
        .store
        .auditor(&credential)
        .await?
        .ok_or(Code::InvalidCredentials)?;
    tracing::info!(
        auditor,
        after = selection.after,
        study = selection.study.map(u32::from),
        "an export begins"
    );
    let query = ExportQuery {
        after: selection.after,
        study: selection.study,
    };
    // The first page is read before the answer begins, so that a database that is away gets its code.
    let first = app.store.export(query).await?;
    let pages = stream::unfold(Some((app.store.clone(), query, Some(first))), next_page);
    Ok(([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(pages)).into_response())
}

type Pages = Option<(Store, ExportQuery, Option<Vec<ExportedRun>>)>;

/// A page as text, and how to go on. After an error the transfer breaks off, which the client sees.
async fn next_page(pages: Pages) -> Option<(Result<Bytes, std::io::Error>, Pages)> {
    let (store, mut query, read) = pages?;
    let page = match read {
        Some(page) => Ok(page),
        None => store.export(query).await,
    };
    let text = page.map_err(|error| {
        tracing::warn!(%error, "an export breaks off");
        std::io::Error::other("the export breaks off")
    });
    let text = text.and_then(|page| {
        let Some(last) = page.last() else {
            return Ok(None);
        };
        query.after = last.cursor;
        let mut text = Vec::new();
        for run in &page {
            serde_json::to_writer(&mut text, run)?;
            text.push(b'\n');
        }
        Ok(Some(Bytes::from(text)))
    });
    match text {
        Ok(Some(text)) => Some((Ok(text), Some((store, query, None)))),
        Ok(None) => None,
        Err(error) => Some((Err(error), None)),
    }
}
