// SPDX-License-Identifier: Apache-2.0

//! Gives orders to relays.

use std::time::Duration;

use mhealth_api::{ErasureOrder, ErasureOutcome, Problem};
use mhealth_auditor::audit::NamedExport;
use mhealth_auditor::export::Source;

use crate::error::DataError;

/// How long a relay may take: it rewrites the files of its database.
const PATIENCE: Duration = Duration::from_secs(120);
/// Most bytes of an answer.
const LONGEST: usize = 64 * 1024;

/// What a relay said to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RelayAnswer {
    /// What it has done, and what is left.
    Done(ErasureOutcome),
    /// It refused: the code, and a sentence.
    Refused {
        /// The relay's stable code.
        code: String,
        /// Why.
        why: String,
    },
    /// It did not answer, or not as a relay does.
    Away {
        /// Why.
        why: String,
    },
}

impl RelayAnswer {
    /// Whether nothing is left to be done there.
    pub fn is_complete(&self) -> bool {
        matches!(self, RelayAnswer::Done(outcome) if outcome.is_complete())
    }
}

/// Gives an order to a relay, named as for an audit: its address and a credential for it.
pub async fn give(order: &ErasureOrder, relay: &NamedExport) -> Result<RelayAnswer, DataError> {
    let Source::Relay { url, credential } = &relay.source else {
        let why = format!("{} is no relay", relay.name);
        return Err(DataError::Usage(why));
    };
    let client = client().map_err(|error| DataError::Place {
        code: "no_http_client",
        why: format!("there is no HTTP client: {error}"),
    })?;
    let address = format!("{}/v1/admin/erasures", url.trim_end_matches('/'));
    let body = serde_json::to_vec(order).expect("an order is JSON; qed");
    let request = client
        .post(address)
        .bearer_auth(credential.as_str())
        .header("content-type", "application/json")
        .body(body);
    let away = |error: reqwest::Error| RelayAnswer::Away {
        why: causes(&error.without_url()),
    };
    let mut answer = match request.send().await {
        Ok(answer) => answer,
        Err(error) => return Ok(away(error)),
    };
    let status = answer.status();
    let mut text = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(bytes)) if text.len() + bytes.len() <= LONGEST => {
                text.extend_from_slice(&bytes);
            }
            // The end, or more than a relay has to say.
            Ok(_) => break,
            Err(error) => return Ok(away(error)),
        }
    }
    if status.is_success() {
        if let Ok(outcome) = serde_json::from_slice::<ErasureOutcome>(&text) {
            if outcome.receipt == order.receipt() {
                return Ok(RelayAnswer::Done(outcome));
            }
        }
    } else if let Ok(problem) = serde_json::from_slice::<Problem>(&text) {
        return Ok(RelayAnswer::Refused {
            code: problem.code,
            why: problem.detail,
        });
    }
    Ok(RelayAnswer::Away {
        why: format!("its answer, of status {status}, is not a relay's"),
    })
}

/// An error with what caused it.
fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

fn client() -> Result<reqwest::Client, reqwest::Error> {
    // Fails only when a provider is installed already, which then serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(10))
        .timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .build()
}
