// SPDX-License-Identifier: Apache-2.0

//! Asks a relay for its export, answer after answer.

use std::time::Duration;

use futures::StreamExt;
use tokio::time::Instant;

use super::lines::{Go, Lines};
use super::ExportFault;

/// How often an answer that breaks off is asked for again.
const TRIES: u32 = 5;
/// For how long a relay may say nothing.
const SILENCE: Duration = Duration::from_secs(30);

/// How an answer ended.
enum Ended {
    /// As it should.
    Whole,
    /// A bound is reached, and with it the end of the reading.
    Stopped,
    /// Too early.
    Broken {
        why: String,
        /// There is no point in asking again.
        is_final: bool,
    },
}

/// Resumes a transfer that broke off after the last closing line.
pub(super) async fn read_relay<E>(
    url: &str,
    credential: &str,
    lines: &mut Lines<'_, E>,
) -> Result<(), E> {
    let client = match client() {
        Ok(client) => client,
        Err(error) => {
            let why = error.to_string();
            lines.reading.fault(ExportFault::BrokeOff { why });
            return Ok(());
        }
    };
    let (url, study) = (url.trim_end_matches('/'), lines.expected.study);
    let mut tries = 0;
    loop {
        let after = lines.closings.reached();
        let address = format!("{url}/v1/export?study={study}&after={after}");
        let (why, is_final) = match answer(&client, &address, credential, lines).await? {
            Ended::Stopped => return Ok(()),
            Ended::Whole => {
                lines.end_of_text()?;
                match lines.closings.next() {
                    None => return Ok(()),
                    Some(next) if next > after => {
                        tries = 0;
                        continue;
                    }
                    // Asked again, it would say so for ever.
                    Some(_) => ("it says that it holds more, and shows nothing".into(), true),
                }
            }
            Ended::Broken { why, is_final } => (why, is_final),
        };
        lines.restart()?;
        // An answer may have been closed before it broke off.
        tries = match lines.closings.reached() > after {
            true => 0,
            false => tries + 1,
        };
        if is_final || tries >= TRIES {
            lines.reading.fault(ExportFault::BrokeOff { why });
            return Ok(());
        }
        let pause = Instant::now() + Duration::from_millis(200 << tries.min(5));
        if pause > lines.deadline {
            lines.too_slow();
            return Ok(());
        }
        tokio::time::sleep_until(pause).await;
    }
}

async fn answer<E>(
    client: &reqwest::Client,
    address: &str,
    credential: &str,
    lines: &mut Lines<'_, E>,
) -> Result<Ended, E> {
    let deadline = lines
        .deadline
        .min(Instant::now() + lines.expected.limits.answer);
    let passing = |error: reqwest::Error| Ended::Broken {
        why: error.without_url().to_string(),
        is_final: false,
    };
    let request = client.get(address).bearer_auth(credential).send();
    let answer = match tokio::time::timeout_at(deadline, request).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Ok(passing(error)),
        Err(_) => {
            lines.too_slow();
            return Ok(Ended::Stopped);
        }
    };
    let status = answer.status();
    if status != reqwest::StatusCode::OK {
        return Ok(Ended::Broken {
            why: format!("the relay answers {status}"),
            is_final: status.is_client_error(),
        });
    }
    let mut body = answer.bytes_stream();
    loop {
        match tokio::time::timeout_at(deadline, body.next()).await {
            Err(_) => {
                lines.too_slow();
                return Ok(Ended::Stopped);
            }
            Ok(None) => return Ok(Ended::Whole),
            Ok(Some(Ok(chunk))) => {
                if lines.feed(&chunk)? == Go::Stop {
                    return Ok(Ended::Stopped);
                }
            }
            Ok(Some(Err(error))) => return Ok(passing(error)),
        }
    }
}

fn client() -> Result<reqwest::Client, reqwest::Error> {
    // Fails only when a provider is installed already, which then serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(SILENCE)
        .redirect(reqwest::redirect::Policy::none())
        .build()
}
