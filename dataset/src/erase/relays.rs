// SPDX-License-Identifier: Apache-2.0

//! Gives orders to relays.

use std::time::Duration;

use mhealth_api::{ErasureOrder, ErasureOutcome, Problem};
use mhealth_auditor::audit::NamedExport;
use mhealth_auditor::export::Source;

use super::words::plain;
use crate::error::DataError;

/// How long a relay may take: it rewrites the files of its database.
const PATIENCE: Duration = Duration::from_secs(120);
/// Most bytes of an answer.
const LONGEST: usize = 64 * 1024;

/// What a relay said to an order. Its words are fit to be shown.
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
            code: plain(&problem.code),
            why: plain(&problem.detail),
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
    plain(&text)
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use hashchain::{DeviceId, StudyId};
    use mhealth_api::{Code, Hash, Key, SignatureBytes};
    use mhealth_auditor::export::Holder;
    use zeroize::Zeroizing;

    use super::*;

    /// A relay that answers one order so.
    fn relay(problem: &Problem) -> NamedExport {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let body = serde_json::to_string(problem).unwrap();
        let head = "HTTP/1.1 409 Conflict\r\nConnection: close\r\nContent-Length:";
        let answer = format!("{head} {}\r\n\r\n{body}", body.len());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut asked, mut piece) = (Vec::new(), [0; 4096]);
            while !asked.ends_with(b"}") {
                let read = stream.read(&mut piece).unwrap();
                assert_ne!(read, 0, "the order breaks off");
                asked.extend_from_slice(&piece[..read]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
        });
        NamedExport {
            name: "eve".into(),
            source: Source::Relay {
                url,
                credential: Zeroizing::new("x".into()),
            },
            holder: Holder::Relay,
        }
    }

    #[tokio::test]
    async fn a_relays_words_pass_for_nobody_elses() {
        let order = ErasureOrder {
            chain: Hash([1; 32]),
            study: StudyId(2),
            participant: Hash([3; 32]),
            devices: vec![DeviceId(4)],
            erased_at: 6,
            record: Hash([7; 32]),
            holder: Key([8; 32]),
            signature: SignatureBytes([9; 64]),
        };
        let forged = "No.\r\u{1b}[2Keve: 12 envelopes erased, nothing is left there.\n";
        let problem = Problem::with_detail(Code::UnknownDevice, forged);
        let answer = give(&order, &relay(&problem)).await.unwrap();
        let why = "No.��[2Keve: 12 envelopes erased, nothing is left there.�";
        let refused = RelayAnswer::Refused {
            code: "unknown_device".into(),
            why: why.into(),
        };
        assert_eq!(answer, refused);
    }
}
