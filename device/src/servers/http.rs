// SPDX-License-Identifier: Apache-2.0

//! Requests and their answers, and what can go wrong with them.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::{fmt, time::Duration};

use mhealth_api::{Code, Problem};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::{address::Address, patience::Patience, possession::Possession, tokens::Token};
use crate::{
    chain::{ChainFault, ChainRefusal},
    host::{Answer, EntropyFault, Method, Request, Transport, TransportFault},
    key::DeviceKey,
    senses::Senses,
};

/// Longest answer that is read. The longest that a server has reason to give is a page of entries.
const LONGEST_ANSWER: usize = 4 << 20;

/// Proofs of possession that are tried when the server wants another one: because the clock is wrong, or it saw one before.
const PROOFS: u32 = 3;

/// Longest text of a stranger that goes into a message.
const LONGEST_QUOTE: usize = 200;

/// Why a request failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// There was no whole answer. Whether the server did what was asked is open.
    Unreachable(String),
    /// The server cannot at present. Nothing was done, or it can be asked for again.
    Busy {
        code: String,
        message: String,
        wait: Option<Duration>,
    },
    /// The server refuses this request.
    Refused(Problem),
    /// No such server answers like this.
    Nonsense(String),
    /// Somebody answered who cannot prove to be the server.
    Untrusted(String),
    /// Somebody answered whose certificate is not valid at the time that the device's clock shows.
    WrongTime { not_yet: bool, reason: String },
    /// The server does not list the origin of the page that asks.
    NotAllowed(String),
    /// The system gives no random bytes for a proof.
    NoRandom,
}

impl Failure {
    /// Whether asking again, or asking another server, may help.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Busy { .. })
    }

    /// Whether the server has too many requests of this caller, and room for others.
    pub(super) fn is_later(&self) -> bool {
        let codes = [
            Code::TooManyRequests,
            Code::DeviceQueueFull,
            Code::DeviceBytesUsed,
        ];
        matches!(self, Self::Busy { code, .. } if codes.iter().any(|later| code == later.as_str()))
    }

    /// How long the server wants to be left alone.
    pub(super) fn wait(&self) -> Option<Duration> {
        match self {
            Self::Busy { wait, .. } => *wait,
            _ => None,
        }
    }

    /// The code of a refusal.
    pub(super) fn refusal(&self) -> Option<Code> {
        match self {
            Self::Refused(problem) => problem.known_code(),
            _ => None,
        }
    }

    /// Whether the server wants the same request with another proof of possession.
    fn wants_another_proof(&self) -> bool {
        matches!(
            self.refusal(),
            Some(Code::UseDpopNonce | Code::ReplayedProof)
        )
    }

    /// What a device says of it, with the server that it met it at.
    pub(super) fn at(self, server: &Address) -> ChainFault {
        // It may be the answer of a proxy whose server is away: of use to try later, and not at once.
        let passing = self.may_pass() || matches!(self, Self::NotAllowed(_));
        let (code, message) = match self {
            Self::Unreachable(reason) => ("server_unreachable".into(), reason),
            Self::Busy { code, message, .. } => (code, message),
            Self::Refused(problem) => (quote(&problem.code), quote(&problem.detail)),
            Self::Nonsense(reason) => ("nonsense_answer".into(), reason),
            Self::Untrusted(reason) => ("certificate_not_trusted".into(), reason),
            Self::WrongTime { not_yet, reason } => {
                let code = match not_yet {
                    true => "certificate_not_valid_yet",
                    false => "certificate_expired",
                };
                (code.into(), reason)
            }
            Self::NotAllowed(reason) => (Code::OriginNotAllowed.as_str().into(), reason),
            Self::NoRandom => ("no_random".into(), EntropyFault.to_string()),
        };
        ChainFault {
            code,
            message: format!("{server}: {}.", message.trim_end_matches('.')),
            passing,
        }
    }
}

/// A refusal as what it is to the device.
pub(super) fn refusal(problem: &Problem) -> ChainRefusal {
    ChainRefusal::before_the_chain(quote(&problem.code), quote(&problem.detail))
}

/// A stranger's text, short and in one line.
pub(super) fn quote(text: &str) -> String {
    text.chars()
        .filter(|character| !character.is_control())
        .take(LONGEST_QUOTE)
        .collect()
}

/// Makes requests and reads answers; the host carries them.
pub(super) struct Http<T> {
    pub(super) transport: T,
    pub(super) senses: Senses,
    possession: Possession,
    answer: Duration,
}

impl<T> fmt::Debug for Http<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Http")
    }
}

impl<T: Transport> Http<T> {
    pub(super) fn new(transport: T, senses: Senses, patience: &Patience) -> Self {
        Self {
            transport,
            possession: Possession::new(senses.clone()),
            senses,
            answer: patience.answer,
        }
    }

    pub(super) fn get(&self, url: String) -> Request {
        Request {
            method: Method::Get,
            url,
            headers: Vec::new(),
            body: None,
            patience: self.answer,
            longest_answer: LONGEST_ANSWER,
            waits: false,
        }
    }

    /// A request with a JSON body that is sent as it is, again and again if need be.
    pub(super) fn post(&self, url: String, body: Vec<u8>) -> Request {
        let json = Zeroizing::new("application/json".into());
        Request {
            method: Method::Post,
            headers: Vec::from([("content-type", json)]),
            body: Some(body),
            ..self.get(url)
        }
    }

    /// Sends a request and reads its answer.
    pub(super) async fn send<A: DeserializeOwned>(&self, request: Request) -> Result<A, Failure> {
        let body = self.send_bytes(request).await?;
        serde_json::from_slice(&body)
            .map_err(|_| Failure::Nonsense("its answer is not part of this interface".into()))
    }

    /// Posts a JSON body in the name of the device that possesses the key, with its token if there is one. A proof that the
    /// server does not take for the time or because it saw it before is made anew.
    pub(super) async fn post_proven<A: DeserializeOwned>(
        &self,
        address: &str,
        body: &[u8],
        key: &DeviceKey,
        token: Option<&Token>,
    ) -> Result<A, Failure> {
        let mut proofs = 0;
        loop {
            proofs += 1;
            let mut request = self.post(address.into(), body.to_vec());
            let proved = self.possession.prove(&mut request, key, token);
            proved.map_err(|EntropyFault| Failure::NoRandom)?;
            match self.send(request).await {
                Err(failure) if failure.wants_another_proof() && proofs < PROOFS => {
                    tracing::debug!(address, "the server wants another proof");
                }
                answer => return answer,
            }
        }
    }

    /// Sends a request and takes its answer, whatever it is.
    pub(super) async fn send_bytes(&self, request: Request) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let url = request.url.clone();
        let most = request.longest_answer;
        let answer = self.transport.send(request).await.map_err(unanswered)?;
        self.possession.learn(&url, &answer);
        if answer.body.len() > most {
            return Err(unanswered(TransportFault::TooLong));
        }
        let wait = retry_after(&answer);
        match answer.status {
            200..=299 => Ok(answer.body),
            status => Err(failure(status, &answer.body, wait)),
        }
    }
}

fn unanswered(fault: TransportFault) -> Failure {
    match fault {
        TransportFault::Unreachable(reason) => Failure::Unreachable(reason),
        TransportFault::TooLong => Failure::Nonsense(TransportFault::TooLong.to_string()),
        TransportFault::Untrusted(reason) => Failure::Untrusted(reason),
        TransportFault::WrongTime { not_yet, reason } => Failure::WrongTime { not_yet, reason },
        TransportFault::NotAllowed(reason) => Failure::NotAllowed(reason),
    }
}

fn failure(status: u16, body: &[u8], wait: Option<Duration>) -> Failure {
    let problem: Option<Problem> = serde_json::from_slice(body).ok();
    // A server's own trouble, too many requests, or one that came too slowly.
    let passing = matches!(status, 408 | 429 | 500..=599);
    match problem {
        Some(problem) if passing => Failure::Busy {
            code: quote(&problem.code),
            message: quote(&problem.detail),
            wait,
        },
        Some(problem) => Failure::Refused(problem),
        // A proxy before the server, for example.
        None if passing => Failure::Busy {
            code: "server_unavailable".into(),
            message: format!("it answered {status}"),
            wait,
        },
        None => Failure::Nonsense(format!("it answered {status} without saying why")),
    }
}

/// Seconds only; the other form of the header is a date.
fn retry_after(answer: &Answer) -> Option<Duration> {
    let value = answer.header("retry-after")?;
    value.trim().parse().ok().map(Duration::from_secs)
}
