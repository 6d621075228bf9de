// SPDX-License-Identifier: Apache-2.0

//! The paper's Figure 1a: the device talks to a node of the chain itself, without a relay.
//!
//! A device signs its own transactions with its device key, whose account the chain admitted at enrolment. Enrolments are
//! signed by an authentication server of the study, here by an account that the caller holds. The node may be a stranger's: what
//! the device goes by is proved, as through relays.

use std::{
    future::Future,
    pin::pin,
    time::{Duration, Instant},
};

use futures::{
    future::{self, Either},
    stream, StreamExt,
};
use hashchain::{escrow_commitment, DeviceId, KeyProof, Native, StudyId};
use mhealth_api::{DeviceStatus, Head, RegisteredEntry};
use mhealth_chain_client::{
    calls::{self, NewDevice},
    Account, ChainClient, ConnectOptions, Error, Patience, Submission, Submitter, H256,
};
use mhealth_device_host::{
    chain::{
        Chain, ChainDevice, ChainFault, ChainRefusal, Checked, Decision, Enrolment, FinalHead,
        HeadChecker, OutgoingRun, Question, Receipt, StudyTerms, Upload, UploadPolicy,
    },
    PublicKey,
};

/// Requests that are under way at a time.
const AT_A_TIME: usize = 32;

/// How often to look whether the chain still finalises blocks.
const LOOK: Duration = Duration::from_secs(1);

/// Between two questions for the proof of a block.
const PROOF_PAUSE: Duration = Duration::from_millis(200);

/// Blocks take seconds; less patience than this would give up a chain that works.
const SHORTEST_PATIENCE: Duration = Duration::from_secs(15);

/// A node, and who enrols devices.
#[derive(Debug)]
pub struct Direct {
    client: ChainClient,
    enroller: Option<Account>,
    /// How long to wait for the next finalised block.
    patience: Duration,
    /// Whether the node's words are taken for proofs.
    trusts_words: bool,
}

impl Direct {
    /// Connects to the node at a WebSocket address. With `genesis`, the node must follow that chain. What waits for
    /// transactions gives up when no block was finalised for as long as `patience` allows a connection to be lost.
    pub async fn connect(
        url: &str,
        genesis: Option<[u8; 32]>,
        patience: Patience,
    ) -> Result<Self, ChainFault> {
        let options = ConnectOptions {
            genesis: genesis.map(H256),
            patience,
        };
        let client = ChainClient::connect_with(url, options)
            .await
            .map_err(fault)?;
        Ok(Self {
            client,
            enroller: None,
            patience: patience.reconnect.max(SHORTEST_PATIENCE),
            trusts_words: false,
        })
    }

    /// Takes the node's words for proofs: for chains that have none.
    pub fn trusting(mut self, trusts_words: bool) -> Self {
        self.trusts_words = trusts_words;
        self
    }

    /// Enrols devices as this account, which must be an authentication server of their study.
    pub fn enrolling_as(mut self, enroller: Account) -> Self {
        self.enroller = Some(enroller);
        self
    }

    /// The connection, for what this type does not offer.
    pub fn client(&self) -> &ChainClient {
        &self.client
    }
}

impl Chain for Direct {
    fn genesis(&self) -> [u8; 32] {
        self.client.genesis_hash().0
    }

    fn policy(&self) -> UploadPolicy {
        UploadPolicy {
            trusts_words: self.trusts_words,
            ..UploadPolicy::default()
        }
    }

    async fn study(&self, study: StudyId) -> Result<Option<StudyTerms>, ChainFault> {
        let study = self.client.study(study).await.map_err(fault)?;
        Ok(study.map(|study| StudyTerms {
            auditor_epoch: study.auditor_epoch(),
            auditor_key: study.auditor_key,
            open: study.open,
        }))
    }

    async fn find(
        &self,
        _checker: &HeadChecker,
        keys: &[PublicKey],
    ) -> Result<Vec<Option<DeviceId>>, ChainFault> {
        let found = self.devices(keys).await?;
        Ok(found
            .into_iter()
            .map(|device| device.map(|device| device.number))
            .collect())
    }

    async fn heads(
        &self,
        checker: &HeadChecker,
        questions: &[Question],
    ) -> Vec<Result<FinalHead, ChainFault>> {
        let reached = match self.client.finalised().await {
            Ok(block) => block.number,
            Err(error) => return vec![Err(fault(error)); questions.len()],
        };
        stream::iter(questions.to_vec())
            .map(|question| async move {
                match checker.trusts_words() {
                    true => self.word(checker, &question).await,
                    false => self.proof(checker, &question, reached).await,
                }
            })
            .buffered(AT_A_TIME)
            .collect()
            .await
    }

    async fn entries(
        &self,
        device: DeviceId,
        from: u64,
        count: u32,
        source: usize,
    ) -> Result<Option<Vec<RegisteredEntry>>, ChainFault> {
        if source > 0 {
            return Ok(None);
        }
        let entries = self.client.entries(device, from, count);
        let entries = entries.await.map_err(fault)?;
        let plain = |entry: mhealth_chain_client::EntryView| RegisteredEntry {
            sequence: entry.sequence,
            digest: entry.digest,
            hash: entry.hash,
        };
        Ok(Some(entries.into_iter().map(plain).collect()))
    }

    async fn enrol(
        &self,
        study: StudyId,
        enrolments: Vec<Enrolment>,
    ) -> Result<Vec<Decision<ChainDevice>>, ChainFault> {
        let keys: Vec<PublicKey> = enrolments.iter().map(|one| one.device.key).collect();
        let known = self.devices(&keys).await?;
        let unknown: Vec<&Enrolment> = enrolments
            .iter()
            .zip(&known)
            .filter(|(_, known)| known.is_none())
            .map(|(one, _)| one)
            .collect();
        if unknown.is_empty() {
            return Ok(known.into_iter().flatten().map(Ok).collect());
        }
        let mut decisions = self.submit_enrolments(study, &unknown).await?.into_iter();
        // Whatever the decisions say, what counts is what the chain has now.
        let found = self.devices(&keys).await?;
        let decision = |(known, found): (Option<ChainDevice>, Option<ChainDevice>)| {
            let decision = match known {
                Some(_) => None,
                None => decisions.next(),
            };
            found.ok_or_else(|| match decision {
                Some(Err(refusal)) => refusal,
                _ => ChainRefusal::before_the_chain(
                    "not_enrolled",
                    "The chain accepted the enrolment but does not know the device.",
                ),
            })
        };
        Ok(known.into_iter().zip(found).map(decision).collect())
    }

    async fn upload(
        &self,
        _checker: &HeadChecker,
        uploads: Vec<Upload>,
    ) -> Result<Vec<Vec<Decision<Receipt>>>, ChainFault> {
        let send = |upload: Upload| {
            let account = Account::device(&upload.key.expose_seed());
            let submitter = self.client.submitter(account);
            async move { send_runs(&submitter, upload.runs).await }
        };
        let decisions = stream::iter(uploads)
            .map(send)
            .buffered(AT_A_TIME)
            .collect::<Vec<_>>();
        self.watched(decisions).await?.into_iter().collect()
    }
}

impl Direct {
    /// The devices with these keys, as the node has them.
    async fn devices(&self, keys: &[PublicKey]) -> Result<Vec<Option<ChainDevice>>, ChainFault> {
        let (_, view) = self.client.at_finalised().await.map_err(fault)?;
        let look_up = |key: PublicKey| {
            let view = view.clone();
            async move {
                let Some(number) = view.device_by_key(key.0).await? else {
                    return Ok(None);
                };
                Ok(view.device(number).await?.as_ref().map(plain))
            }
        };
        let found: Vec<Result<_, Error>> = stream::iter(keys.to_vec())
            .map(look_up)
            .buffered(AT_A_TIME)
            .collect()
            .await;
        found
            .into_iter()
            .map(|found| found.map_err(fault))
            .collect()
    }

    /// A device's head, proved in this block or a later one. The proof of a block comes a moment after the block.
    async fn proof(
        &self,
        checker: &HeadChecker,
        question: &Question,
        reached: u64,
    ) -> Result<FinalHead, ChainFault> {
        let begun = Instant::now();
        loop {
            let set = checker.set();
            let trusted = checker.checkpoints();
            let trusted: Vec<_> = trusted.iter().map(|it| H256(it.hash)).collect();
            let proved = self
                .client
                .prove_head(question.device, set, question.record, &trusted);
            let late = begun.elapsed() > self.patience;
            match proved.await.map_err(fault)? {
                None => return Err(unknown(question.device)),
                Some(proved) if proved.block.number < reached && !late => {
                    tokio::time::sleep(PROOF_PAUSE).await;
                }
                Some(proved) => match checker.check(question, &proved.proof) {
                    Ok(Checked::Head(head)) => return Ok(head),
                    Ok(Checked::OnTheWay) => {}
                    // Meanwhile another proof led to later authorities.
                    Err(_) if checker.set() != set => {}
                    Err(refused) => {
                        return Err(ChainFault {
                            code: refused.code.into(),
                            message: format!("The node proves nothing. {refused}"),
                            passing: true,
                        })
                    }
                },
            }
        }
    }

    /// A device's head by the node's word.
    async fn word(
        &self,
        checker: &HeadChecker,
        question: &Question,
    ) -> Result<FinalHead, ChainFault> {
        let device = self.client.device(question.device).await.map_err(fault)?;
        let device = device.ok_or_else(|| unknown(question.device))?;
        if device.key != question.key.0 {
            return Err(unknown(question.device));
        }
        let device = plain(&device);
        checker.take_word(question.device, device.head, Some(&device))
    }

    async fn submit_enrolments(
        &self,
        study: StudyId,
        enrolments: &[&Enrolment],
    ) -> Result<Vec<Decision<()>>, ChainFault> {
        let Some(enroller) = self.enroller.clone() else {
            return Err(ChainFault {
                code: "no_enroller".into(),
                message: "The chain does not know these devices, and no account that may enrol them was given.".into(),
                passing: false,
            });
        };
        let submitter = self.client.submitter(enroller);
        let enrol = |enrolment: &&Enrolment| {
            let device = &enrolment.device;
            let predecessor = device.predecessor.map(|before| before.device);
            let key_proof = enrolment.key.agree(&KeyProof {
                chain: &submitter.genesis_hash().0,
                study,
                server: &submitter.account().0,
                device_key: &device.key.0,
                predecessor,
                secret_commitment: &device.secret_commitment,
                escrow_commitment: &escrow_commitment::<Native>(&device.escrow),
                auditor_epoch: device.auditor_epoch,
                auditor_key: &device.auditor_key,
                participant: &device.participant_digest(),
            });
            let new = NewDevice {
                key: device.key.0,
                secret_commitment: H256(device.secret_commitment),
                escrow: device.escrow.clone(),
                auditor_epoch: device.auditor_epoch,
                participant: H256(device.participant_digest()),
                predecessor,
            };
            let call = calls::enrol(study, new, key_proof.0);
            let submitter = submitter.clone();
            async move { decision(submitter.submit(call).await).await }
        };
        let enrolments: Vec<_> = enrolments.iter().map(enrol).collect();
        let decisions = stream::iter(enrolments)
            .buffered(AT_A_TIME)
            .collect::<Vec<_>>();
        self.watched(decisions).await?.into_iter().collect()
    }

    /// Does some work that waits for finalised blocks, and gives it up when there are none.
    async fn watched<T>(&self, work: impl Future<Output = T>) -> Result<T, ChainFault> {
        let work = pin!(work);
        let stall = pin!(self.stall());
        match future::select(work, stall).await {
            Either::Left((done, _)) => Ok(done),
            Either::Right(((), _)) => Err(ChainFault {
                code: "chain_stalled".into(),
                message: format!(
                    "The chain has finalised no block for {} seconds although transactions wait. They may or may not be \
                     recorded.",
                    self.patience.as_secs()
                ),
                passing: true,
            }),
        }
    }

    /// Ends when no block was finalised for as long as `patience` says. A node that cannot be reached is no stall: the
    /// client has its own patience with it.
    async fn stall(&self) {
        let mut last = None;
        let mut since = Instant::now();
        while since.elapsed() < self.patience {
            tokio::time::sleep(LOOK).await;
            let block = self.client.finalised().await.ok();
            if block.is_none() || block != last {
                (last, since) = (block, Instant::now());
            }
        }
    }
}

/// A device as the node has it.
fn plain(device: &mhealth_chain_client::DeviceView) -> ChainDevice {
    ChainDevice {
        number: device.device,
        genesis: device.genesis,
        head: Head {
            hash: device.head,
            length: device.length,
        },
        retired: device.status == DeviceStatus::Retired,
    }
}

fn unknown(device: DeviceId) -> ChainFault {
    ChainFault {
        code: "relay_behind".into(),
        message: format!(
            "The node has not seen the device {device} yet. On a development chain that was begun anew, begin with a new \
             state file."
        ),
        passing: true,
    }
}

/// Hands all runs of a device to the node, one after the other, then waits for each.
async fn send_runs(
    submitter: &Submitter,
    runs: Vec<OutgoingRun>,
) -> Result<Vec<Decision<Receipt>>, ChainFault> {
    let count = runs.len();
    let mut under_way = Vec::with_capacity(count);
    for OutgoingRun { run, .. } in runs {
        let submission = submitter.submit(calls::submit(run)).await;
        let refused = submission.is_err();
        under_way.push(submission);
        if refused {
            break; // What follows cannot be recorded.
        }
    }
    let mut decisions = Vec::with_capacity(count);
    for submission in under_way {
        decisions.push(decision(submission).await?.map(|()| Receipt::default()));
    }
    let last = decisions.last().cloned().unwrap_or(Ok(Receipt::default()));
    decisions.resize(count, last);
    Ok(decisions)
}

/// Waits for a transaction and tells a refusal from a fault.
async fn decision(submission: Result<Submission, Error>) -> Result<Decision<()>, ChainFault> {
    let outcome = match submission {
        Ok(submission) => submission.finalised().await,
        Err(error) => Err(error),
    };
    match outcome.and_then(mhealth_chain_client::Inclusion::succeeded) {
        Ok(_) => Ok(Ok(())),
        Err(Error::Dispatch(refusal)) => Ok(Err(ChainRefusal::by_chain(
            refusal.refusal().clone(),
            refusal.to_string(),
        ))),
        Err(error) if error.is_pool_refusal() && !error.is_safe_to_submit_anew() => Ok(Err(
            ChainRefusal::before_the_chain(error.code(), error.to_string()),
        )),
        Err(error) => Err(fault(error)),
    }
}

/// What the client met, as a device has it.
pub fn fault(error: Error) -> ChainFault {
    ChainFault {
        code: error.code().to_owned(),
        message: error.to_string(),
        passing: error.is_unreachable()
            || error.is_safe_to_submit_anew()
            || matches!(error, Error::StatePruned { .. } | Error::NotProvable { .. }),
    }
}
