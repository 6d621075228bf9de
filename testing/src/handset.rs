// SPDX-License-Identifier: Apache-2.0

//! A phone that speaks to the real servers as a device does, and whose parts a thief can copy one by one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{bail, Context, Result};
use ed25519_dalek::{Signer, SigningKey};
use hashchain::{
    participant_digest, seal_escrow, secret_commitment, DeviceId, LinkHash, Native, SealingKey,
    Secret, StudyId,
};
use mhealth_api::{
    enrolment_message, key_proof_message, run_id, BareRecord, Base64, CodeTerms, DeviceHeads,
    EnrolRequest, Enrolled, Hash, Head, Key, RunStatus, RunUpload, SignatureBytes, TokenAnswer,
    TokenRequest,
};
use mhealth_chain_client::calls::{self, NewDevice};
use mhealth_chain_client::{Account, Call, Submitter, H256};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;
use serde_json::{json, Value};

use crate::enrolment;
use crate::http::{self, Answer};
use crate::phone::{with_envelopes, Phone};

/// A run is settled within this time, or something hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two questions whether it is.
const PAUSE: Duration = Duration::from_millis(500);

/// How a phone reaches an authentication server.
#[derive(Clone, Debug)]
pub struct Door {
    /// Base address.
    pub url: String,
    /// A credential of its staff, who hand out codes.
    pub admin: String,
}

impl Door {
    /// A code that its staff hand out for this request.
    pub async fn code(&self, request: &Value) -> Result<String> {
        let url = format!("{}/v1/admin/codes", self.url);
        let answer = http::post_patiently(&url, Some(&self.admin), request).await?;
        if answer.status >= 300 {
            bail!("no code: {} {}", answer.status, answer.body);
        }
        Ok(answer.body["code"].as_str().context("no code")?.to_owned())
    }
}

/// A phone that talks to servers.
pub struct Handset {
    phone: Phone,
    random: StdRng,
}

impl Handset {
    /// Enrols a phone with a code of the site's staff.
    pub async fn enrol(door: &Door, random: StdRng) -> Result<Self> {
        Newcomer::with_code(door, random).await?.enrol(door).await
    }

    /// Enrols a phone by hand, with the account of an authentication server of a development chain.
    pub async fn enrol_by_hand(office: &Submitter, study: StudyId, seed: u64) -> Result<Self> {
        let mut random = StdRng::seed_from_u64(seed);
        let key = SigningKey::from_bytes(&random.random());
        let secret = Secret::from_bytes(&random.random());
        let call = enrolment::enrolment(office, study, &key, &secret, None, &mut random);
        let (device, genesis) = enrolment::enrol(office, call).await?;
        Ok(Handset {
            phone: Phone::new(key, device, genesis, &secret),
            random,
        })
    }

    /// The number that the chain gave it.
    pub fn device(&self) -> DeviceId {
        self.phone.device()
    }

    /// Its head, as it knows it itself.
    pub fn head(&self) -> Head {
        Head {
            length: self.phone.length(),
            hash: self.phone.head(),
        }
    }

    /// The public half of its signing key.
    pub fn public_key(&self) -> Key {
        Key(self.phone.public_key())
    }

    /// Makes so many entries and signs them as a run.
    pub fn record(&mut self, entries: usize) -> RunUpload {
        let envelopes: Vec<_> = (0..entries).map(|_| envelope(&mut self.random)).collect();
        with_envelopes(&self.phone.run_with(&envelopes), envelopes)
    }

    /// What malware copies off the phone: key, secret as it is now, and state (Figure 6).
    pub fn stolen_copy(&mut self) -> Handset {
        let phone = self.phone.copy();
        self.stolen(phone)
    }

    /// A copy that goes back before the theft. The keys of the entries there are gone, so it makes do with the one it has.
    pub fn set_back_to(&mut self, head: Head) -> Handset {
        let phone = self.phone.resumed_at(head.hash, head.length);
        self.stolen(phone)
    }

    /// A thief who has the signing key and not the secret.
    pub fn with_another_secret(&mut self) -> Handset {
        let (head, length) = (self.phone.head(), self.phone.length());
        let phone = self.phone.resumed_with(head, length, &self.random.random());
        self.stolen(phone)
    }

    /// A thief who has neither: another device that writes in this one's name.
    pub fn another_device(&mut self) -> Handset {
        let mut thief = self.with_another_secret();
        thief.phone.key = SigningKey::from_bytes(&self.random.random());
        thief
    }

    fn stolen(&mut self, phone: Phone) -> Handset {
        Handset {
            phone,
            random: StdRng::from_rng(&mut self.random),
        }
    }

    /// An authentication key for this phone, by proof of its signing key.
    pub async fn token(&self, door: &Door) -> Result<Pass> {
        let url = format!("{}/v1/token", door.url);
        let device = self.device();
        let request = TokenRequest { device };
        let answer = http::post_proven_patiently(&url, &self.phone.key, None, &request).await?;
        let answer: TokenAnswer = answer.message().context("no authentication key")?;
        Ok(self.pass(answer.token))
    }

    /// Uses an authentication key, wherever it is from, with this phone's signing key.
    pub fn pass(&self, token: String) -> Pass {
        Pass {
            token,
            key: self.phone.key.clone(),
        }
    }

    /// Its account on the chain, which is its signing key.
    pub fn account(&self) -> Account {
        Account::device(self.phone.key.as_bytes())
    }

    /// Signs a run so that the chain accepts it and other verifiers do not, as whoever has the signing key can.
    pub fn sign_oddly(&self, run: &mut RunUpload) {
        let signed = self.phone.sign_oddly(run.run());
        run.signature = signed.signature.map(SignatureBytes);
    }

    /// Data without a chain, as phones of Figures 2a and 2b send it.
    pub fn bare_record(&mut self, count: u64) -> BareRecord {
        BareRecord {
            device: self.device(),
            sequence: count,
            envelope: Base64(envelope(&mut self.random)),
        }
    }
}

/// An authentication key, and the signing key with which its holder proves to be the device. Relays want both.
#[derive(Clone)]
pub struct Pass {
    /// The token.
    pub token: String,
    /// The key that makes the proofs.
    pub key: SigningKey,
}

impl Pass {
    /// The headers with which its holder posts to this address, once.
    pub fn headers(&self, url: &str) -> Vec<(&'static str, String)> {
        http::proven(url, &self.key, Some(&self.token))
    }

    /// Sends a message with it.
    pub async fn post(&self, url: &str, message: &impl Serialize) -> Result<Answer> {
        http::post_proven_patiently(url, &self.key, Some(&self.token), message).await
    }
}

/// A phone that is about to enrol: it has a code and all that it will say.
pub struct Newcomer {
    request: EnrolRequest,
    key: SigningKey,
    secret: Secret,
    random: StdRng,
}

impl Newcomer {
    /// A phone with a code of the site's staff.
    pub async fn with_code(door: &Door, mut random: StdRng) -> Result<Self> {
        let name = format!("P-{:08x}", random.random::<u32>());
        let request = json!({ "participant": name, "another": "additional" });
        let code = door.code(&request).await?;
        let url = format!("{}/v1/code", door.url);
        let terms: CodeTerms = http::post_patiently(&url, None, &json!({ "code": code }))
            .await?
            .message()?;
        let key = SigningKey::from_bytes(&random.random());
        let secret = Secret::from_bytes(&random.random());
        let public = key.verifying_key().to_bytes();
        let auditor = SealingKey(terms.auditor_key.0);
        let escrow = seal_escrow(&auditor, &public, &secret, &mut random);
        let mut request = EnrolRequest {
            code,
            device_key: Key(public),
            secret_commitment: Hash(secret_commitment::<Native>(&secret)),
            escrow: Base64(escrow.context("the escrow cannot be sealed")?),
            auditor_epoch: terms.auditor_epoch,
            participant: Hash(participant_digest::<Native>(None)),
            proof: SignatureBytes([0; 64]),
            key_proof: SignatureBytes([0; 64]),
        };
        let (chain, study) = (terms.chain, terms.study);
        let message = enrolment_message(&chain, study, &request);
        request.proof = SignatureBytes(key.sign(&message).to_bytes());
        let message = key_proof_message(
            &chain,
            study,
            &terms.server,
            &terms.auditor_key,
            None,
            &request,
        );
        request.key_proof = SignatureBytes(key.sign(&message).to_bytes());
        Ok(Newcomer {
            request,
            key,
            secret,
            random,
        })
    }

    /// The call by which somebody enrols the phone in a study of theirs, with nothing but what the phone's own enrolment shows in a
    /// node's pool.
    pub fn seen_in_the_pool(&self, study: StudyId) -> Call {
        let request = &self.request;
        let device = NewDevice {
            key: request.device_key.0,
            secret_commitment: H256(request.secret_commitment.0),
            escrow: request.escrow.0.clone(),
            auditor_epoch: request.auditor_epoch,
            participant: H256(request.participant.0),
            predecessor: None,
        };
        calls::enrol(study, device, request.key_proof.0)
    }

    /// The public half of its signing key.
    pub fn public_key(&self) -> Key {
        self.request.device_key
    }

    /// Redeems the code.
    pub async fn enrol(self, door: &Door) -> Result<Handset> {
        let url = format!("{}/v1/enrol", door.url);
        let enrolled: Enrolled = http::post_patiently(&url, None, &self.request)
            .await?
            .message()?;
        Ok(Handset {
            phone: Phone::new(self.key, enrolled.device, enrolled.genesis, &self.secret),
            random: self.random,
        })
    }
}

/// Data that look like an honest phone's, in the plain form of the envelope.
pub fn envelope(random: &mut StdRng) -> Vec<u8> {
    let night = format!("{{\"minutes_asleep\":{}}}", random.random_range(120..600));
    let (salt, media): ([u8; 32], &[u8]) = (random.random(), b"application/json");
    let length = (media.len() as u32).to_be_bytes();
    [&[0u8][..], &salt, &length, media, night.as_bytes()].concat()
}

/// Seconds since 1970.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// The links that follow from a run as it stands, with their sequences.
pub fn links(run: &RunUpload) -> Vec<(u64, LinkHash)> {
    let run = run.run();
    run.links().map(|it| (it.sequence, it.hash)).collect()
}

/// The name of a run.
pub fn name(run: &RunUpload) -> Hash {
    let head = run.run().last_link();
    run_id(run.device, run.sequence, &run.previous, &head)
}

/// Hands a run to a relay.
pub async fn upload(relay: &str, pass: &Pass, run: &RunUpload) -> Result<Answer> {
    pass.post(&format!("{relay}/v1/runs"), run).await
}

/// Hands a run to a relay, and waits until the chain has settled it.
pub async fn deliver(relay: &str, pass: &Pass, run: &RunUpload) -> Result<RunStatus> {
    let status: RunStatus = upload(relay, pass, run).await?.message()?;
    settled(relay, status.run).await
}

/// Hands bare data to a relay that chains for phones, and waits until the chain has settled it.
pub async fn deliver_bare(relay: &str, pass: &Pass, record: &BareRecord) -> Result<RunStatus> {
    let answer = pass.post(&format!("{relay}/v1/records"), record).await?;
    let status: RunStatus = answer.message()?;
    settled(relay, status.run).await
}

/// Waits until the chain has settled a run.
pub async fn settled(relay: &str, run: Hash) -> Result<RunStatus> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let status: RunStatus = http::get_patiently(&format!("{relay}/v1/runs/{run}"))
            .await?
            .message()?;
        if !status.state.is_open() {
            return Ok(status);
        }
        if tokio::time::Instant::now() > deadline {
            bail!("the run {run} is still {:?}", status.state);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A device's head as the chain has it finalised, asked of a relay.
pub async fn chain_head(relay: &str, device: DeviceId) -> Result<Head> {
    let url = format!("{relay}/v1/devices/{device}/head");
    let heads: DeviceHeads = http::get_patiently(&url).await?.message()?;
    Ok(heads.chain.head)
}
