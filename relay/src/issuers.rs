// SPDX-License-Identifier: Apache-2.0

//! Authentication servers that this relay trusts, and the keys with which they sign.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use anyhow::{bail, Context};
use futures::future::join_all;
use hashchain::StudyId;
use mhealth_api::{JwkSet, Key};
use mhealth_chain_client::is_on_this_machine;
use mhealth_server::{BaseAddress, SharedClock};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// How often key sets are read anew. A key that its server took back is refused after this time at the latest.
const REFRESH: Duration = Duration::from_secs(10);
/// How long keys are good whose server cannot be reached: relays verify tokens by themselves, but not for ever.
const STALE: Duration = Duration::from_secs(24 * 3_600);
/// A token with an unknown key makes the relay read the key set again, but not more often than this.
const BETWEEN_READS: Duration = Duration::from_secs(2);
/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most bytes of a key set.
const MAX_KEY_SET: usize = 64 * 1024;

/// `issuer=URL,study=NUMBER[,jwks=URL]`: an authentication server whose tokens for one study are good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedIssuer {
    /// As it stands in the tokens.
    pub issuer: String,
    /// The study that it speaks for.
    pub study: StudyId,
    /// Where its keys are.
    pub jwks: String,
}

impl FromStr for TrustedIssuer {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (mut issuer, mut study, mut jwks) = (None, None, None);
        for member in text.split(',') {
            let (key, value) = member.split_once('=').context("expected key=value,…")?;
            match key.trim() {
                "issuer" => issuer = Some(issuer_of(value.trim())),
                "study" => study = Some(value.trim().parse().context("study must be a number")?),
                "jwks" => jwks = Some(value.trim().to_owned()),
                other => bail!("{other} is unknown: give issuer, study and jwks"),
            }
        }
        let issuer: String = issuer.context("issuer is missing")?;
        let jwks = jwks
            .unwrap_or_else(|| format!("{}/.well-known/jwks.json", issuer.trim_end_matches('/')));
        let url =
            reqwest::Url::parse(&jwks).context("the address of the keys is not a valid URL")?;
        if url.scheme() != "https" && !(url.scheme() == "http" && is_on_this_machine(&jwks)) {
            bail!("the address of the keys must begin with https, or with http on this machine");
        }
        Ok(Self {
            issuer,
            study: study.context("study is missing")?,
            jwks,
        })
    }
}

/// An authentication server calls itself by its base address in normal form, whatever stands in a configuration.
fn issuer_of(text: &str) -> String {
    match text.parse::<BaseAddress>() {
        Ok(address) => address.to_string(),
        Err(_) => text.to_owned(),
    }
}

/// What is known of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The key.
    Key(Key),
    /// The server does not sign with such a key.
    NoSuchKey,
    /// The server's keys could not be read so far.
    Unreachable,
}

/// The keys of all trusted issuers. Cheap to clone; all clones trust the same.
#[derive(Clone)]
pub struct Issuers {
    trusted: Arc<RwLock<Arc<[Trusted]>>>,
    http: reqwest::Client,
    clock: SharedClock,
}

/// An issuer, once for all studies that it speaks for.
struct Trusted {
    issuer: Arc<Issuer>,
    studies: Vec<StudyId>,
}

struct Issuer {
    /// As it stands in the tokens.
    name: String,
    /// Where its keys are.
    jwks: String,
    http: reqwest::Client,
    clock: SharedClock,
    keys: RwLock<Option<KeySet>>,
    /// When the keys were asked for last, by time that passes.
    asked_at: Mutex<Option<Duration>>,
}

struct KeySet {
    by_id: HashMap<String, Key>,
    /// By time that passes, whatever the machine's clock is set to.
    read_at: Duration,
}

impl Issuers {
    /// Nothing is read yet. TLS certificates of the servers are checked by `http`.
    pub fn new(trusted: Vec<TrustedIssuer>, http: reqwest::Client, clock: SharedClock) -> Self {
        let issuers = Self {
            trusted: Arc::new(RwLock::new([].into())),
            http,
            clock,
        };
        issuers.replace(trusted);
        issuers
    }

    /// From now on trusts these and no others. What was read of those that stay is still known.
    pub fn replace(&self, trusted: Vec<TrustedIssuer>) {
        let before = self.all();
        let mut issuers: Vec<Trusted> = Vec::new();
        for TrustedIssuer {
            issuer: name,
            study,
            jwks,
        } in trusted
        {
            let is_it = |known: &&Trusted| known.issuer.name == name && known.issuer.jwks == jwks;
            if let Some(known) = issuers.iter_mut().find(|known| is_it(&&**known)) {
                known.studies.push(study);
                continue;
            }
            let known = before.iter().find(is_it);
            let issuer = known.map(|known| known.issuer.clone()).unwrap_or_else(|| {
                Arc::new(Issuer {
                    name: name.clone(),
                    jwks: jwks.clone(),
                    http: self.http.clone(),
                    clock: self.clock.clone(),
                    keys: RwLock::default(),
                    asked_at: Mutex::default(),
                })
            });
            issuers.push(Trusted {
                issuer,
                studies: vec![study],
            });
        }
        *self
            .trusted
            .write()
            .expect("no holder of this lock panics; qed") = issuers.into();
    }

    fn all(&self) -> Arc<[Trusted]> {
        let trusted = self.trusted.read();
        trusted.expect("no holder of this lock panics; qed").clone()
    }

    fn find(&self, issuer: &str) -> Option<Arc<Issuer>> {
        let all = self.all();
        let known = all.iter().find(|known| known.issuer.name == issuer);
        known.map(|known| known.issuer.clone())
    }

    /// Keys of an issuer as if they had been read from it.
    #[cfg(test)]
    pub(crate) fn set_keys(&self, issuer: &str, keys: impl IntoIterator<Item = (String, Key)>) {
        let issuer = self.find(issuer).unwrap();
        let by_id = keys.into_iter().collect();
        let read_at = self.clock.passed();
        *issuer.keys.write().unwrap() = Some(KeySet { by_id, read_at });
        *issuer.asked_at.try_lock().unwrap() = Some(read_at + STALE);
    }

    /// Whether an issuer is trusted at all.
    pub fn knows(&self, issuer: &str) -> bool {
        self.find(issuer).is_some()
    }

    /// Whether an issuer's tokens are good for a study.
    pub fn speaks_for(&self, issuer: &str, study: StudyId) -> bool {
        self.all()
            .iter()
            .any(|known| known.issuer.name == issuer && known.studies.contains(&study))
    }

    /// Whether an issuer still signs with a key that it had under this name, as far as was read. One that it took back, or
    /// whose issuer was not reached for too long, is good no more, whatever was signed with it.
    pub fn has(&self, issuer: &str, kid: &str, key: &Key) -> bool {
        let known = self.find(issuer);
        known.is_some_and(|issuer| issuer.known_key(kid) == Lookup::Key(*key))
    }

    /// A key of an issuer, read from it if need be.
    pub async fn key(&self, issuer: &str, kid: &str) -> Lookup {
        let Some(issuer) = self.find(issuer) else {
            return Lookup::NoSuchKey;
        };
        match issuer.known_key(kid) {
            Lookup::Key(key) => Lookup::Key(key),
            _ => {
                issuer.read_again().await;
                issuer.known_key(kid)
            }
        }
    }

    /// The issuers whose keys are not known: they were not read yet, or not for too long.
    pub fn unknown(&self) -> Vec<String> {
        let counted = self.keys_known().into_iter();
        let unknown = counted.filter(|(_, keys)| keys.is_none());
        unknown.map(|(issuer, _)| issuer).collect()
    }

    /// How many keys each issuer has; none while they are not known.
    pub fn keys_known(&self) -> Vec<(String, Option<usize>)> {
        let all = self.all();
        let known = all.iter();
        known
            .map(|known| (known.issuer.name.clone(), known.issuer.count()))
            .collect()
    }

    /// Reads the keys of all.
    pub async fn read(&self) {
        let all = self.all();
        join_all(all.iter().map(|known| known.issuer.read_again())).await;
    }

    /// Keeps the keys fresh until the server stops.
    pub async fn keep_fresh(self, stop: CancellationToken) {
        loop {
            self.read().await;
            let pause = match self.unknown().is_empty() {
                true => REFRESH,
                false => BETWEEN_READS,
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

impl Issuer {
    /// How many keys it has; none while they are not known.
    fn count(&self) -> Option<usize> {
        let keys = self
            .keys
            .read()
            .expect("no holder of this lock panics; qed");
        let known = keys.as_ref();
        let fresh = known.filter(|keys| self.is_fresh(keys));
        fresh.map(|keys| keys.by_id.len())
    }

    fn is_fresh(&self, keys: &KeySet) -> bool {
        self.clock.passed() < keys.read_at + STALE
    }

    fn known_key(&self, kid: &str) -> Lookup {
        let keys = self
            .keys
            .read()
            .expect("no holder of this lock panics; qed");
        match keys.as_ref() {
            Some(keys) if self.is_fresh(keys) => keys
                .by_id
                .get(kid)
                .map_or(Lookup::NoSuchKey, |key| Lookup::Key(*key)),
            _ => Lookup::Unreachable,
        }
    }

    /// Reads the keys, unless somebody has just done so. What cannot be read leaves the keys as they are.
    async fn read_again(&self) {
        let mut asked_at = self.asked_at.lock().await;
        let now = self.clock.passed();
        if asked_at.is_some_and(|at| now < at + BETWEEN_READS) {
            return;
        }
        *asked_at = Some(now);
        match tokio::time::timeout(PATIENCE, self.read()).await {
            Ok(Ok(by_id)) => {
                let mut keys = self
                    .keys
                    .write()
                    .expect("no holder of this lock panics; qed");
                *keys = Some(KeySet {
                    by_id,
                    read_at: now,
                });
            }
            Ok(Err(error)) => {
                tracing::warn!(issuer = self.name, %error, "an issuer's keys cannot be read");
            }
            Err(_) => {
                tracing::warn!(issuer = self.name, "an issuer's keys do not arrive in time");
            }
        }
    }

    async fn read(&self) -> anyhow::Result<HashMap<String, Key>> {
        let mut answer = self.http.get(&self.jwks).send().await?.error_for_status()?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_KEY_SET {
                bail!("the key set is larger than {MAX_KEY_SET} bytes");
            }
        }
        let set: JwkSet = serde_json::from_slice(&body)?;
        let keys = set.keys.into_iter().filter_map(|jwk| {
            let signs = jwk.alg.as_deref().is_none_or(|alg| alg == "EdDSA")
                && jwk.usage.as_deref().is_none_or(|usage| usage == "sig");
            let key = jwk.key().filter(|_| signs)?;
            Some((jwk.kid?, key))
        });
        Ok(keys.collect())
    }
}

#[cfg(test)]
mod tests;
