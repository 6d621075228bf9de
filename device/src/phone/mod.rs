// SPDX-License-Identifier: Apache-2.0

//! One phone: what an app holds.

mod enrolling;
mod heard;
mod shown;
mod turns;

use alloc::{string::ToString, sync::Arc, vec::Vec};
use core::{future::Future, pin::pin, time::Duration};

use futures_util::future::{select, Either};
use hashchain::{DeviceId, SealingKey};
use mhealth_evidence::Checkpoint;

use crate::{
    book::{Book, EnrolmentCode},
    chain::{ChainFault, ChainRefusal},
    continuation::reconsider,
    error::Error,
    host::{Host, Keystore, PhoneStore, Transport},
    ledger::{Ledger, Opened},
    lock::Mutex,
    seal::{self, Change, Recipient, Record, Sealed},
    senses::{Moment, Senses},
    servers::{Address, AddressError, AuthenticationServer, Patience, Servers, Settings},
    single::upload_one,
    sync::{Standing, SyncError},
};
use heard::Heard;
use turns::Turns;

/// How long a call waits before it looks whether another one has ended.
const BUSY: Duration = Duration::from_millis(50);

/// How long to wait after a try that failed: this long, twice as long each further time, and no longer than the second.
const SHORTEST_PAUSE: i64 = 60;
const LONGEST_PAUSE: i64 = 3_600;

/// How a phone goes about it. The defaults are right for an app.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many relays are to hold each run.
    pub copies: u32,
    /// Whether relays' words are taken for proofs. For development chains that have no proofs only: whoever is asked can then make
    /// entries vanish and stop the phone.
    pub trust_relays: bool,
    /// Blocks that the consortium names, over which proofs may lead where the chain's authorities were changed by force.
    pub checkpoints: Vec<Checkpoint>,
    /// Hash of the first block of the chain that the app is for; codes and states of any other are refused. None: the chain that the
    /// code was made for, as its pin says. Name it where you can: whoever makes codes for an authentication server that is not honest
    /// may not compare their pins.
    pub chain: Option<[u8; 32]>,
    /// How long to wait for what. A call's deadline comes before all of it, and one relay gets a share of the time until then only.
    pub patience: Patience,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            copies: 1,
            trust_relays: false,
            checkpoints: Vec::new(),
            chain: None,
            patience: Patience::default(),
        }
    }
}

/// A phone: enrols, seals, sends, proves. It owns all that it needs and may be shared between threads if the host's parts may.
///
/// Everything is in the [`PhoneStore`]; killed at any point, the phone goes on where it was. While one of its futures is polled, its
/// other calls wait: a [`Transport`] must not call the phone that polls it.
pub struct Phone<S, T> {
    opened: Arc<Opened<S>>,
    ledger: Mutex<Option<Arc<Ledger<S>>>>,
    /// The way to the chain, kept for its tokens and for what is known of relays.
    servers: Mutex<Option<Servers<Heard<T>>>>,
    transport: Heard<T>,
    senses: Senses,
    options: Options,
    checkpoints: Arc<[Checkpoint]>,
    turns: Turns,
}

impl<S: PhoneStore, T: Transport> Phone<S, T> {
    /// Opens the phone that is in the store, or makes the store ready for one. All of it is checked. Nobody is asked but the key
    /// store.
    ///
    /// Fails with `wrong_keystore` where the store was copied from another phone or the key store was reset, `keystore_locked`,
    /// `state_corrupt`, `state_newer` and other codes of [`Error`].
    pub async fn open(
        host: Host<S, T>,
        keystore: &impl Keystore,
        options: Options,
    ) -> Result<Self, Error> {
        let senses = Senses {
            clock: host.clock,
            entropy: host.entropy,
        };
        let opened = Arc::new(Opened::open(host.store, keystore, senses.clone()).await?);
        let checkpoints: Arc<[Checkpoint]> = options.checkpoints.clone().into();
        let ledger = Ledger::open(opened.clone(), checkpoints.clone())?;
        Ok(Self {
            opened,
            ledger: Mutex::new(ledger.map(Arc::new)),
            servers: Mutex::default(),
            transport: Heard::new(host.transport, senses.clock.clone()),
            senses,
            options,
            checkpoints,
            turns: Turns::default(),
        })
    }

    /// Enrols the phone with a code that the study's staff handed out, at the authentication server of this address. Gives its
    /// number on the chain, once that is proved. After a failure, or a kill, the same call goes on with the same bytes; so does
    /// [`sync`](Self::sync). A phone that was stopped begins anew beside what it has, and so does one that cannot be enrolled as it is;
    /// if something was sealed with it, for another code only. A code that was of no use leaves nothing behind.
    ///
    /// The code by which the phone was enrolled gives its number again. With another one it looks whether the chain has retired its
    /// device, and goes on then; otherwise the code is not used, and the error is `already_enrolled`. So it is when a code that was
    /// entered before, and whose answer was lost, enrols it now.
    ///
    /// As soon as the server has said what the code is for, the phone can seal.
    pub async fn enrol(
        &self,
        authentication: &str,
        code: &str,
        deadline: Duration,
    ) -> Result<DeviceId, SyncError> {
        let address: Address = authentication.parse().map_err(|error: AddressError| {
            let code = match &error {
                AddressError::NotAnAddress(_) => "not_an_address",
                AddressError::PlainHttp(_) => "plain_http",
            };
            ChainRefusal::before_the_chain(code, format!("{error}."))
        })?;
        let code: EnrolmentCode = code.parse().map_err(|error: mhealth_api::MalformedCode| {
            let stable = mhealth_api::Code::MalformedCode.as_str();
            ChainRefusal::before_the_chain(stable, format!("{error}."))
        })?;
        let ends = self.senses.moment().after(deadline);
        self.within(deadline, self.enrolling(&address, &code, &ends))
            .await
    }

    /// Seals a record. It, the next key and the new head are durable when this returns; no connection is needed. What is longer
    /// than an entry may be is sealed in parts. The same source with the same content is sealed once; with other content it is
    /// refused or becomes a correction, as `change` says.
    pub fn seal(&self, record: &Record<'_>, change: Change) -> Result<Sealed, Error> {
        let content = record.content();
        self.seal_content(record, &content, change)
    }

    /// The same, for a record whose source said `content`: two payloads that were made of it may differ in identifiers and times.
    pub fn seal_content(
        &self,
        record: &Record<'_>,
        content: &[u8],
        change: Change,
    ) -> Result<Sealed, Error> {
        let mut rng = self.senses.rng().map_err(|_| Error::NoRandom)?;
        self.turns.alone(|| {
            let ledger = self.ledger().ok_or(Error::NotEnrolled)?;
            let id = ledger.current()?;
            let key = ledger.device(id)?.recipient.map(SealingKey);
            let recipient = match &key {
                Some(key) => Recipient::Participant(key),
                None => Recipient::Anybody,
            };
            ledger
                .together(|| seal::seal(&*ledger, id, record, content, change, recipient, &mut rng))
        })
    }

    /// Finishes an enrolment that was begun, compares the phone with the chain, sends what the chain lacks and waits for the
    /// proof. Back when that is done, when it fails, or after `deadline` with the code `deadline`. The future may be dropped at
    /// any point. Calls at the same time wait for each other. A phone that was stopped for a foreign head asks whether somebody shows by
    /// now why that is so, and nothing more.
    pub async fn sync(&self, deadline: Duration) -> Result<Standing, SyncError> {
        let ends = self.senses.moment().after(deadline);
        self.within(deadline, self.syncing(&ends)).await
    }

    fn ledger(&self) -> Option<Arc<Ledger<S>>> {
        self.ledger.lock().clone()
    }

    /// Does something with the chain until a deadline, and notes how it went.
    async fn within<A>(
        &self,
        deadline: Duration,
        work: impl Future<Output = Result<A, SyncError>>,
    ) -> Result<A, SyncError> {
        let mut left = Left(Some(self));
        let done = self.until(deadline, work).await;
        left.0 = None;
        // A note that cannot be written takes nothing from what was done.
        if let Err(error) = self.turns.alone(|| self.note(done.as_ref().err())) {
            tracing::warn!(%error, "how it went is not noted");
        }
        done
    }

    /// Does something with the chain until a deadline. All of it has ended when this is back.
    async fn until<A>(
        &self,
        deadline: Duration,
        work: impl Future<Output = Result<A, SyncError>>,
    ) -> Result<A, SyncError> {
        let alone = async {
            let _busy = loop {
                match self.turns.ask() {
                    Some(busy) => break busy,
                    None => self.transport.sleep(BUSY).await,
                }
            };
            self.turns.in_turns(work).await
        };
        match select(pin!(alone), pin!(self.transport.sleep(deadline))).await {
            Either::Left((done, _)) => done,
            Either::Right(_) => Err(SyncError::Chain(ChainFault {
                code: "deadline".into(),
                message: "There was no time for more. Nothing is lost; the next call goes on."
                    .into(),
                passing: true,
            })),
        }
    }

    fn note(&self, fault: Option<&SyncError>) -> Result<(), Error> {
        let mut notes = self.opened.notes()?;
        let now = self.senses.now();
        notes.last_contact = self.transport.last().or(notes.last_contact);
        notes.last_fault = fault.map(|fault| fault.code().to_string());
        notes.advice = fault.map(|fault| fault.advice().code().to_string());
        match fault {
            None => (notes.failures, notes.next_try) = (0, None),
            Some(fault) => {
                notes.failures = notes.failures.saturating_add(1);
                let pause = SHORTEST_PAUSE << (notes.failures - 1).min(16);
                let next = now.saturating_add(pause.min(LONGEST_PAUSE));
                notes.next_try = fault.may_pass().then_some(next);
            }
        }
        self.opened.together(|| {
            self.note_relays()?;
            self.opened.set_notes(&notes)
        })
    }

    /// Stores what is known of relays.
    fn note_relays(&self) -> Result<(), Error> {
        let (Some(ledger), Some(servers)) = (self.ledger(), self.servers.lock().clone()) else {
            return Ok(());
        };
        let doubts = servers.doubts();
        if ledger.doubts()? != doubts {
            ledger.set_doubts(&doubts)?;
        }
        ledger.remember_relays(&servers.relays())
    }

    async fn syncing(&self, ends: &Moment) -> Result<Standing, SyncError> {
        let Some(ledger) = self.ledger() else {
            return Ok(Standing::Unenrolled);
        };
        self.expect_own_chain(&ledger)?;
        let id = ledger.current()?;
        let stopped = ledger.device(id)?.frozen;
        let Some(address) = self.authentication(&ledger)? else {
            return Ok(stopped.map_or(Standing::Unenrolled, Standing::Frozen));
        };
        if let Some(reason) = stopped {
            let servers = self.servers(&ledger, &address, ends);
            let known = reconsider(&*ledger, &servers, id).await?;
            return Ok(Standing::Frozen(known.unwrap_or(reason)));
        }
        if let (false, Some(code)) = (ledger.device(id)?.proved, ledger.code(id)?) {
            self.redeem(&address, &code, false, ends).await?;
        }
        // It may be another device by now.
        let ledger = self.ledger().ok_or(Error::NotEnrolled)?;
        let servers = self.servers(&ledger, &address, ends);
        upload_one(&*ledger, &servers, ledger.current()?).await
    }

    /// Checks that a store's devices are of the chain that the app names, if it names one.
    fn expect_own_chain(&self, ledger: &Ledger<S>) -> Result<(), Error> {
        let named = self.options.chain.as_ref();
        named.map_or(Ok(()), |chain| ledger.expect_chain(chain))
    }

    /// Where the code was redeemed, or is to be.
    fn authentication(&self, ledger: &Ledger<S>) -> Result<Option<Address>, Error> {
        let address = self.opened.notes()?.authentication;
        let address = address.map(|it| it.parse::<Address>()).transpose();
        address.map_err(|_| ledger.corrupt("its server's address is none".into()))
    }

    fn ask(&self, address: &Address) -> AuthenticationServer<Heard<T>> {
        let (transport, senses) = (self.transport.clone(), self.senses.clone());
        AuthenticationServer::at(address.clone(), self.options.patience, transport, senses)
    }

    /// The way to the chain, as it was left, for a call that ends then.
    fn servers(
        &self,
        ledger: &Ledger<S>,
        authentication: &Address,
        ends: &Moment,
    ) -> Servers<Heard<T>> {
        let mut kept = self.servers.lock();
        if kept.as_ref().is_some_and(|it| !it.is_at(authentication)) {
            *kept = None;
        }
        let made = || {
            let settings = Settings {
                remembered: ledger.relays().unwrap_or_default(),
                doubts: ledger.doubts().unwrap_or_default(),
                trust_relays: self.options.trust_relays,
                copies: self.options.copies,
                patience: self.options.patience,
                ..Settings::new(*ledger.terms(), authentication.clone())
            };
            Servers::new(settings, self.transport.clone(), self.senses.clone())
        };
        let servers = kept.get_or_insert_with(made);
        servers.ends(ends.clone());
        servers.clone()
    }
}

/// A call that somebody ends from outside leaves what it learned of relays: the next one turns to others first.
struct Left<'a, S: PhoneStore, T: Transport>(Option<&'a Phone<S, T>>);

impl<S: PhoneStore, T: Transport> Drop for Left<'_, S, T> {
    fn drop(&mut self) {
        let Some(phone) = self.0 else {
            return;
        };
        if let Err(error) = phone.turns.alone(|| phone.note_relays()) {
            tracing::warn!(%error, "what is known of relays is not noted");
        }
    }
}
