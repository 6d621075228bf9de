// SPDX-License-Identifier: Apache-2.0

//! How the program reaches the chain, by its command line and the state file.

use std::{path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use clap::Args;
use hashchain::{DeviceId, StudyId};
use mhealth_api::RegisteredEntry;
use mhealth_device_host::{
    chain::{
        Chain, ChainDevice, ChainFault, Decision, DeviceKey, Enrolment, FinalHead, HeadChecker,
        Question, Receipt, StudyTerms, Upload, UploadPolicy,
    },
    servers::{Address, Certificates, Patience, Servers, Settings},
    store::ServerAddresses,
    PublicKey, Store, SyncError, SystemClock,
};
use mhealth_simulator::{direct::Direct, meter::Meter};

use super::{hash, Failure};

/// Where a node is when nobody says.
const LOCAL_NODE: &str = "ws://127.0.0.1:9944";

/// Devices whose runs are under way at a time.
const WINDOW: u32 = 2_048;

/// Blocks are final within seconds; a relay is given this long at least to bring a run there.
const SHORTEST_FINALITY: Duration = Duration::from_secs(10);

/// Devices that are asked, one after the other, to find out where relays are.
const INTRODUCTIONS: usize = 3;

/// How to reach the chain.
#[derive(Debug, Args)]
pub(super) struct Topology {
    /// WebSocket address of a node: the device talks to the chain itself (Figure 1a). The default, at
    /// ws://127.0.0.1:9944, when neither this nor --auth is given.
    #[arg(long = "node", value_name = "URL", conflicts_with = "auth")]
    pub(super) node: Option<String>,
    /// Base address of an authentication server: the device goes through servers (Figures 1b and 1c). The state file
    /// remembers it.
    #[arg(long, value_name = "URL")]
    pub(super) auth: Option<Address>,
    /// Base address of a relay; give it several times for several relays. [default: those that the state file remembers
    /// or the authentication server names]
    #[arg(long = "relay", value_name = "URL", conflicts_with = "node")]
    relays: Vec<Address>,
    /// How many relays are to hold each run (Figure 1c).
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    copies: u32,
    /// Send data unchained and let the relay chain them (Figures 2a and 2b). Nothing protects them on their way; these
    /// topologies exist to be measured against. The state file remembers it.
    #[arg(long, conflicts_with = "node")]
    bare_records: bool,
    /// Take the words of relays, or of the node, for proofs: only for chains that have none (--sealing). Whoever is asked
    /// can then make entries vanish and stop devices.
    #[arg(long)]
    pub(super) trust_relays: bool,
    /// Also trust the certificates of this PEM file.
    #[arg(long, value_name = "FILE")]
    ca_certificate: Option<PathBuf>,
    /// Hash of the chain's genesis block; any other chain is refused. A state file remembers its own.
    #[arg(long, value_name = "HASH", value_parser = hash)]
    pub(super) genesis: Option<[u8; 32]>,
    /// Give up when servers or the node do not answer for this long, or when no block is finalised for this long.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,
}

/// How much load a simulator puts on the servers.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Load {
    /// Begin at most this many uploads per second, all devices together. The default is as many as the servers take. With a
    /// rate each device has one run under way at a time, so that times to finality are exact: N devices and a finality of
    /// T seconds allow at most N/T uploads per second.
    #[arg(long, value_name = "R", value_parser = rate, requires = "auth")]
    rate: Option<f64>,
    /// Use at most this many connections, which stay open between requests.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// Have the runs of up to this many devices under way at a time.
    #[arg(long, value_name = "N", default_value_t = WINDOW, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    window: u32,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number")?;
    match rate.is_finite() && rate > 0.0 {
        true => Ok(rate),
        false => Err("not a positive number".into()),
    }
}

impl Default for Load {
    fn default() -> Self {
        Self {
            rate: None,
            connections: 64,
            window: WINDOW,
        }
    }
}

/// Where the program connects to.
#[derive(Debug)]
pub(super) enum Route {
    /// To a node at this address.
    Direct(String),
    /// Through these servers.
    Servers(Address, ServerAddresses),
}

impl Topology {
    pub(super) fn route(&self, store: Option<&Store>) -> Result<Route, Failure> {
        if let Some(node) = &self.node {
            return Ok(Route::Direct(node.clone()));
        }
        let remembered = store.map(Store::servers).transpose()?.unwrap_or_default();
        let authentication = match (&self.auth, &remembered.authentication) {
            (Some(given), _) => given.clone(),
            (None, Some(known)) => address(known)?,
            (None, None) if self.relays.is_empty() => return Ok(Route::Direct(LOCAL_NODE.into())),
            (None, None) => {
                return Err(Failure::input(
                    "no_authentication_server",
                    "Relays need tokens: name the authentication server with --auth.",
                ))
            }
        };
        let addresses = ServerAddresses {
            authentication: Some(authentication.to_string()),
            relays: match self.relays.is_empty() {
                true => remembered.relays,
                false => self.relays.iter().map(Address::to_string).collect(),
            },
            bare_records: self.bare_records || remembered.bare_records,
        };
        Ok(Route::Servers(authentication, addresses))
    }

    pub(super) fn certificates(&self) -> Result<Certificates, Failure> {
        let Some(path) = &self.ca_certificate else {
            return Ok(Certificates::default());
        };
        let unusable = |reason: String| {
            let file = path.display();
            Failure::input("bad_certificate", format!("{file}: {reason}."))
        };
        let pem = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
        Certificates::from_pem(&pem).ok_or_else(|| unusable("it holds no certificate".into()))
    }

    /// Patience with servers.
    pub(super) fn patience(&self) -> Patience {
        let usual = Patience::default();
        let given = Duration::from_secs(self.patience);
        Patience {
            connect: usual.connect.min(given.max(Duration::from_secs(1))),
            give_up: given,
            finality: (3 * given).max(SHORTEST_FINALITY),
            ..usual
        }
    }

    /// Patience with a node.
    pub(super) fn patience_with_node(&self) -> mhealth_chain_client::Patience {
        let patience = Duration::from_secs(self.patience);
        mhealth_chain_client::Patience {
            connect: patience,
            reconnect: patience,
            ..mhealth_chain_client::Patience::default()
        }
    }

    /// Servers by their addresses, as the state file remembers them. Nothing is asked yet.
    pub(super) fn servers(
        &self,
        authentication: Address,
        addresses: &ServerAddresses,
        store: &Store,
        load: Load,
    ) -> Result<LoadedServers, Failure> {
        let meter = Arc::new(Meter::with_rate(load.rate));
        let mut settings = Settings::new(*store.terms(), authentication, Arc::new(SystemClock));
        settings.device.doubts = store.doubts()?;
        settings.device.trust_relays = self.trust_relays;
        for relay in &addresses.relays {
            settings.device.relays.push(address(relay)?);
        }
        settings.device.copies = self.copies;
        settings.device.bare_records = addresses.bare_records;
        settings.device.patience = self.patience();
        settings.certificates = self.certificates()?;
        settings.connections = load.connections.into();
        settings.device.observer = meter.clone();
        let servers = Servers::new(settings)?;
        Ok(LoadedServers {
            servers,
            load,
            meter,
        })
    }

    /// Connects for a state file that is there.
    pub(super) async fn connect(&self, store: &Store) -> Result<Connection, Failure> {
        if let Some(genesis) = self.genesis {
            store.expect_chain(&genesis)?;
        }
        match self.route(Some(store))? {
            Route::Direct(url) => {
                let genesis = Some(store.terms().chain);
                let direct = Direct::connect(&url, genesis, self.patience_with_node()).await?;
                Ok(Connection::Direct(direct.trusting(self.trust_relays)))
            }
            Route::Servers(authentication, addresses) => {
                let load = Load::default();
                let servers = self.servers(authentication, &addresses, store, load)?;
                store.set_servers(&addresses)?;
                acquaint(store, &servers.servers).await?;
                Ok(Connection::Servers(servers))
            }
        }
    }
}

fn address(text: &str) -> Result<Address, Failure> {
    Address::from_str(text).map_err(|error| Failure::input("bad_address", format!("{error}.")))
}

/// Finds out where the relays are, if that was not configured and some device is enrolled. Says whether they are known.
pub(super) async fn acquaint(store: &Store, servers: &Servers) -> Result<bool, SyncError> {
    if !servers.relays().is_empty() {
        return Ok(true);
    }
    let devices = store.devices()?;
    let enrolled = devices
        .iter()
        .filter(|device| device.frozen.is_none())
        .filter_map(|device| Some((device.id, device.number?)));
    for (id, number) in enrolled.take(INTRODUCTIONS) {
        let key = store.device_key(id)?;
        if let Err(refusal) = servers.introduce(number, &key).await? {
            tracing::warn!(code = refusal.code, "a device gets no token");
        }
        if !servers.relays().is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Connection {
    /// Remembers in the state file which relays did not do what they said.
    pub(super) fn remember(&self, store: &Store) -> Result<(), Failure> {
        if let Self::Servers(through) = self {
            store.set_doubts(&through.servers.doubts())?;
        }
        Ok(())
    }
}

/// Servers, with what is measured of them.
#[derive(Debug)]
pub(super) struct LoadedServers {
    pub(super) servers: Servers,
    pub(super) meter: Arc<Meter>,
    load: Load,
}

/// An open connection to the chain.
#[derive(Debug)]
pub(super) enum Connection {
    Direct(Direct),
    Servers(LoadedServers),
}

impl Chain for Connection {
    fn genesis(&self) -> [u8; 32] {
        match self {
            Self::Direct(direct) => direct.genesis(),
            Self::Servers(through) => through.servers.genesis(),
        }
    }

    fn policy(&self) -> UploadPolicy {
        match self {
            Self::Direct(direct) => direct.policy(),
            Self::Servers(LoadedServers { servers, load, .. }) => {
                let usual = servers.policy();
                UploadPolicy {
                    uploads_at_a_time: load.window as usize,
                    // Who measures wants to see each run's finality when it comes, not after the device's next runs.
                    runs_at_a_time: load.rate.map_or(usual.runs_at_a_time, |_| 1),
                    ..usual
                }
            }
        }
    }

    async fn introduce(
        &self,
        device: DeviceId,
        key: &DeviceKey,
    ) -> Result<Decision<()>, ChainFault> {
        match self {
            Self::Direct(direct) => direct.introduce(device, key).await,
            Self::Servers(through) => through.servers.introduce(device, key).await,
        }
    }

    async fn study(&self, study: StudyId) -> Result<Option<StudyTerms>, ChainFault> {
        match self {
            Self::Direct(direct) => direct.study(study).await,
            Self::Servers(through) => through.servers.study(study).await,
        }
    }

    async fn find(
        &self,
        checker: &HeadChecker,
        keys: &[PublicKey],
    ) -> Result<Vec<Option<DeviceId>>, ChainFault> {
        match self {
            Self::Direct(direct) => direct.find(checker, keys).await,
            Self::Servers(through) => through.servers.find(checker, keys).await,
        }
    }

    async fn heads(
        &self,
        checker: &HeadChecker,
        questions: &[Question],
    ) -> Vec<Result<FinalHead, ChainFault>> {
        match self {
            Self::Direct(direct) => direct.heads(checker, questions).await,
            Self::Servers(through) => through.servers.heads(checker, questions).await,
        }
    }

    async fn entries(
        &self,
        device: DeviceId,
        from: u64,
        count: u32,
        source: usize,
    ) -> Result<Option<Vec<RegisteredEntry>>, ChainFault> {
        match self {
            Self::Direct(direct) => direct.entries(device, from, count, source).await,
            Self::Servers(through) => through.servers.entries(device, from, count, source).await,
        }
    }

    async fn enrol(
        &self,
        study: StudyId,
        enrolments: Vec<Enrolment>,
    ) -> Result<Vec<Decision<ChainDevice>>, ChainFault> {
        match self {
            Self::Direct(direct) => direct.enrol(study, enrolments).await,
            Self::Servers(through) => through.servers.enrol(study, enrolments).await,
        }
    }

    async fn upload(
        &self,
        checker: &HeadChecker,
        uploads: Vec<Upload>,
    ) -> Result<Vec<Vec<Decision<Receipt>>>, ChainFault> {
        match self {
            Self::Direct(direct) => direct.upload(checker, uploads).await,
            Self::Servers(through) => through.servers.upload(checker, uploads).await,
        }
    }
}
