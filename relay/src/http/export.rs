// SPDX-License-Identifier: Apache-2.0

//! Runs with their envelopes, for auditors, and the relay's signature under what it shows.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use futures::stream;
use hashchain::StudyId;
use mhealth_api::{
    BlockRef, ClosingLine, Code, ExportClosing, ExportLine, ExportedRun, Hash, Key, Problem,
    SignatureBytes,
};
use mhealth_server::credentials::Holder;
use mhealth_server::{ApiError, Bearer, Duty, Peer, Query};
use sha2::{Digest, Sha256};

use super::App;
use crate::ledger::Ledger;
use crate::store::{ExportQuery, StoreError};

/// One JSON object a line.
const NDJSON: &str = "application/x-ndjson";
/// Bytes after which an answer ends, once its last run is through: what a transfer that breaks off costs at most.
const ANSWER: usize = 16 << 20;

/// Which runs.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Selection {
    study: Option<StudyId>,
    #[serde(default)]
    after: u64,
}

/// Who has a credential of this relay. What it is good for has to be checked.
pub(super) struct Auditor(pub(super) Holder);

/// The runs of a study with their envelopes, whatever became of them, in the order in which they were stored: one JSON object a
/// line. The last line of every answer is signed by the relay's account. An answer has about 16 MiB; if the closing line says
/// `more`, go on with `after=` what it has as `reached`. An answer without a closing line broke off: ask for it again.
#[utoipa::path(get, path = "/v1/export", tag = "auditor", security(("auditor_credential" = [])), params(
    ("study" = u32, Query, description = "The study."),
    ("after" = Option<u64>, Query, description = "The cursor that the auditor has reached; from the beginning without it."),
), responses(
    (status = 200, description = "Exported runs, one a line, and a closing line.", body = ExportLine, content_type = "application/x-ndjson"),
    (status = 400, description = "`invalid_parameter`", body = Problem),
    (status = 401, description = "`missing_credentials` or `invalid_credentials`", body = Problem),
    (status = 403, description = "`not_allowed`: the credential is for other studies", body = Problem),
    (status = 429, description = "`too_many_requests`: this address came with wrong credentials", body = Problem),
    (status = 503, description = "`storage_unavailable`, `overloaded`", body = Problem),
))]
pub(super) async fn export(
    State(app): State<Arc<App>>,
    Auditor(auditor): Auditor,
    Query(selection): Query<Selection>,
) -> Result<Response, ApiError> {
    let Selection { study, after } = selection;
    let study = study.ok_or_else(|| {
        Problem::with_detail(Code::InvalidParameter, "Which study? An export is of one.")
    })?;
    auditor.scopes.check(&[Duty::Export], study)?;
    let auditor = auditor.name;
    tracing::info!(auditor, after, study = study.0, "an export begins");
    // Before the first row is read: what the rows say follows from this block or a later one.
    let genesis = app.ledger.genesis();
    let block = app.store.followed().await?.unwrap_or(BlockRef {
        number: 0,
        hash: genesis,
    });
    let query = ExportQuery { study, after };
    // The first runs are read before the answer begins, so that a database that is away gets its code.
    let next = app.store.export(query).await?;
    let answer = Answer {
        app,
        study,
        after,
        block,
        reached: after,
        lines: Sha256::new(),
        sent: 0,
        next,
    };
    let lines = stream::unfold(Some(answer), next_lines);
    Ok(([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(lines)).into_response())
}

impl FromRequestParts<Arc<App>> for Auditor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let peer = Peer::from_request_parts(parts, app).await?;
        let bearer = <Bearer as FromRequestParts<_>>::from_request_parts(parts, app).await?;
        let look_up = app.store.auditor(&bearer.0);
        let found = app.failures.holder(peer, "auditor", &bearer.0, look_up);
        found.await.map(Auditor)
    }
}

/// An answer on its way.
struct Answer {
    app: Arc<App>,
    study: StudyId,
    after: u64,
    block: BlockRef,
    /// Cursor of the last run that was sent.
    reached: u64,
    /// What was sent.
    lines: Sha256,
    sent: usize,
    /// The runs that follow; none at the end of the store.
    next: Vec<ExportedRun>,
}

/// Some lines as text, and how to go on. After an error the transfer breaks off, which the client sees by the lack of a closing
/// line.
async fn next_lines(
    answer: Option<Answer>,
) -> Option<(Result<Bytes, std::io::Error>, Option<Answer>)> {
    let mut answer = answer?;
    let is_last = answer.next.is_empty() || answer.sent >= ANSWER;
    let text = match is_last {
        true => answer.close(),
        false => answer.go_on().await,
    };
    match text {
        Ok(text) => Some((Ok(text), (!is_last).then_some(answer))),
        Err(error) => {
            tracing::warn!(%error, "an export breaks off");
            Some((Err(std::io::Error::other("the export breaks off")), None))
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

impl Answer {
    async fn go_on(&mut self) -> Result<Bytes, Broken> {
        let mut text = Vec::new();
        for run in std::mem::take(&mut self.next) {
            self.reached = run.cursor;
            write_line(&mut text, &ExportLine::Run(Box::new(run)))?;
        }
        self.lines.update(&text);
        self.sent += text.len();
        let query = ExportQuery {
            study: self.study,
            after: self.reached,
        };
        self.next = self.app.store.export(query).await?;
        Ok(Bytes::from(text))
    }

    /// The line by which the relay answers for what it sent.
    fn close(&self) -> Result<Bytes, Broken> {
        let ledger: &dyn Ledger = &*self.app.ledger;
        let mut closing = ExportClosing {
            account: Key(ledger.account()),
            chain: ledger.genesis(),
            study: self.study,
            after: self.after,
            reached: self.reached,
            more: !self.next.is_empty(),
            block: self.block,
            lines: Hash(self.lines.clone().finalize().into()),
            signature: SignatureBytes([0; 64]),
        };
        closing.signature = SignatureBytes(ledger.sign_statement(&closing.statement()));
        let mut text = Vec::new();
        write_line(&mut text, &ExportLine::Closing(ClosingLine { closing }))?;
        Ok(Bytes::from(text))
    }
}

fn write_line(text: &mut Vec<u8>, line: &ExportLine) -> Result<(), serde_json::Error> {
    serde_json::to_writer(&mut *text, line)?;
    text.push(b'\n');
    Ok(())
}
