// SPDX-License-Identifier: Apache-2.0

//! A relay that phones cannot rely on: a front that takes runs and brings none of them to the chain. What it shows of the chain it
//! asks of the real relay behind it, and shows as it likes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::Result;
use axum::http::{header, HeaderValue, Method};
use axum::response::{IntoResponse, Response};
use mhealth_api::{BlockRef, Code, Hash, Problem, Refusal, RunState, RunStatus, RunUpload};

use crate::front::{conduct, Asked, Behind, Front, Told};
use crate::phone;

/// What servers let pages read beside what every page may.
const EXPOSED: &str = "date, dpop-nonce, retry-after, www-authenticate";

/// What is wrong with the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It says of each run that it is finalised, and shows proofs of which one bit is another.
    Lies,
    /// It says of each run that it is under way.
    Keeps,
    /// It shows what it saw of the chain first, which was true then, and says that each run is under way.
    Lags,
    /// It says of each run that the chain has something else, and of each device that there is none.
    Contradicts,
}

/// The relay. Dropping it ends it.
pub struct DoubtfulRelay {
    front: Front,
    doubts: Arc<Doubts>,
}

struct Doubts {
    fault: Fault,
    runs: Mutex<HashMap<Hash, RunStatus>>,
    /// What was shown first.
    shown: Mutex<HashMap<String, Told>>,
    /// How many proofs were altered.
    lies: AtomicUsize,
}

impl DoubtfulRelay {
    /// Starts on a free port, before this relay.
    pub async fn before(real: &str, fault: Fault) -> Result<Self> {
        let doubts = Arc::new(Doubts {
            fault,
            runs: Mutex::default(),
            shown: Mutex::default(),
            lies: AtomicUsize::new(0),
        });
        let front = Front::open().await?;
        front.stand_before(real);
        let playing = doubts.clone();
        front.play(conduct(move |asked, behind| {
            playing.clone().answer(asked, behind)
        }));
        Ok(DoubtfulRelay { front, doubts })
    }

    /// Its base address.
    pub fn url(&self) -> String {
        self.front.url()
    }

    /// How many runs it took.
    pub fn taken(&self) -> usize {
        lock(&self.doubts.runs).len()
    }

    /// How often it showed a proof of which one bit is another.
    pub fn lied(&self) -> usize {
        self.doubts.lies.load(Ordering::Relaxed)
    }
}

impl Doubts {
    async fn answer(self: Arc<Self>, asked: Asked, behind: Behind) -> Result<Response> {
        let told = if asked.method == Method::OPTIONS {
            // A browser asks whether a page may ask.
            behind.pass(&asked).await?
        } else if asked.is(Method::POST, "/v1/runs") {
            shared(&asked, self.take(&asked)?)
        } else if let Some(run) = asked.after("/v1/runs/") {
            shared(&asked, self.say(run)?)
        } else {
            self.show(&asked, &behind).await?
        };
        Ok(told.into_response())
    }

    fn take(&self, asked: &Asked) -> Result<Told> {
        let status = phone::status(&asked.message::<RunUpload>()?, RunState::Pending);
        lock(&self.runs).insert(status.run, status.clone());
        Told::message_of(202, &status)
    }

    fn say(&self, run: &str) -> Result<Told> {
        let run: Option<Hash> = run.parse().ok();
        let Some(mut status) = run.and_then(|run| lock(&self.runs).get(&run).cloned()) else {
            return refuse(Code::UnknownRun);
        };
        match self.fault {
            Fault::Lies => {
                status.state = RunState::Finalised;
                status.block = Some(BlockRef {
                    number: 7,
                    hash: Hash([7; 32]),
                });
            }
            Fault::Contradicts => {
                status.state = RunState::Conflicting;
                status.reason = Some(Refusal::Fork);
            }
            Fault::Keeps | Fault::Lags => {}
        }
        Told::message_of(200, &status)
    }

    /// Whatever else is asked.
    async fn show(&self, asked: &Asked, behind: &Behind) -> Result<Told> {
        if self.fault == Fault::Contradicts && !asked.path.contains("/studies/") {
            return Ok(shared(asked, refuse(Code::UnknownDevice)?));
        }
        let before = lock(&self.shown).get(&asked.path).cloned();
        if let (Fault::Lags, Some(shown)) = (self.fault, before) {
            return Ok(shown);
        }
        let mut told = behind.pass(asked).await?;
        if !told.status.is_success() {
            return Ok(told);
        }
        lock(&self.shown).insert(asked.path.clone(), told.clone());
        if self.fault == Fault::Lies && asked.path.contains("/proof") && !told.body.is_empty() {
            let mut altered = told.body.to_vec();
            let middle = altered.len() / 2;
            altered[middle] ^= 1;
            told.body = altered.into();
            self.lies.fetch_add(1, Ordering::Relaxed);
        }
        Ok(told)
    }
}

fn refuse(code: Code) -> Result<Told> {
    let problem = Problem::new(code);
    Told::message_of(problem.status, &problem)
}

/// Lets the page that asks read what this relay says of its own, as the real one lets it read the rest.
fn shared(asked: &Asked, mut told: Told) -> Told {
    if let Some(page) = asked.headers.get(header::ORIGIN) {
        let headers = &mut told.headers;
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, page.clone());
        let exposed = HeaderValue::from_static(EXPOSED);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    told
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().expect("no holder of this lock panics; qed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_page_reads_what_a_doubtful_relay_says_of_its_own() {
        const PAGE: &str = "https://diary.example";
        let real = Front::open().await.expect("it listens");
        real.play(conduct(|asked, _| async move {
            let body = format!("the real relay, asked by {}", asked.method);
            Ok(Told::bytes(200, "text/plain", body)?.into_response())
        }));
        let relay = DoubtfulRelay::before(&real.url(), Fault::Contradicts).await;
        let relay = relay.expect("it starts");
        let client = reqwest::Client::new();
        let ask = async |method: Method, path: &str| {
            let asked = client.request(method, format!("{}{path}", relay.url()));
            let answer = asked.header("origin", PAGE).send().await;
            answer.expect("an answer")
        };
        let run = format!("/v1/runs/{}", Hash([7; 32]));
        for path in [&run[..], "/v1/devices/0"] {
            let told = ask(Method::GET, path).await;
            assert_eq!(told.status(), 404, "{path}");
            let headers = told.headers();
            assert_eq!(headers["access-control-allow-origin"], PAGE, "{path}");
            let exposed = &headers["access-control-expose-headers"];
            assert_eq!(exposed, EXPOSED, "{path}");
        }
        // Whether it may ask at all, the real one says.
        let told = ask(Method::OPTIONS, "/v1/runs").await;
        let said = told.text().await.expect("a text");
        assert_eq!(said, "the real relay, asked by OPTIONS");
    }
}
