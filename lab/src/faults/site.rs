// SPDX-License-Identifier: Apache-2.0

//! Everything that runs in a fault run, and how it is made to fail.
//!
//! ```text
//! devices ─┬─ link ── relay 0 ─┐ PostgreSQL,
//!          ├─ link ── relay 1 ─┘ //Dave        each relay and the authentication server ── link ── node
//!          ├─ link ── relay 2 ── SQLite, //Eve
//!          └─ link ── authentication server, SQLite or a database of its own in PostgreSQL
//! ```

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hashchain::DeviceId;
use mhealth_testing::audit;
use mhealth_testing::crowd::{strangers_at_a_relay, strangers_at_an_office, Crowd};
use mhealth_testing::node::{self, Node};
use mhealth_testing::postgres::Postgres;
use mhealth_testing::servers::{self, AuthOptions, RelayOptions, Server};
use mhealth_testing::topology::{last_word, SIGNED_STUDY};
use tokio::runtime::Handle;

use crate::load::{Load, Servers};
use crate::plan::{Disk, Fault, Leaned, Link, Target, RELAYS};
use crate::proxy::{Proxy, State};
use crate::record::{Keeper, Record};
use crate::AuthDatabase;

/// Accounts of the relays: the first two processes share one.
const ACCOUNTS: [&str; RELAYS] = ["//Dave", "//Dave", "//Eve"];
/// Whose database is whose.
const KEEPERS: [Keeper; RELAYS] = [0, 0, 1];
/// Acknowledges enrolments only.
const OFFICE: Keeper = 2;
/// All devices come from one address, and a crowd from another: each may have half of a server.
const SHARE: &str = "--address-share=50";
/// What is down comes up again within this time, or the run has failed.
const PATIENCE: Duration = Duration::from_secs(600);

/// The system under test.
pub(crate) struct Site {
    node: Mutex<Node>,
    postgres: Mutex<Postgres>,
    auth: Mutex<Server>,
    relays: Vec<Mutex<Server>>,
    links: Links,
    disks: Option<PathBuf>,
    /// For devices.
    pub(crate) servers: Servers,
    /// Credentials of an auditor at the databases of the relays, by keeper.
    credentials: Vec<String>,
    /// Where crowds live.
    runtime: Handle,
    /// How often a program ended by itself and was started again.
    pub(crate) fallen: AtomicU64,
}

struct Links {
    to_relays: Vec<Proxy>,
    to_auth: Proxy,
    /// Of the relays; the last is the authentication server's.
    to_node: Vec<Proxy>,
}

impl Site {
    /// Starts everything, with data in this folder. With `disks`, the databases are on the small file systems that are
    /// mounted in that folder as `relay` and `postgres`.
    pub(crate) async fn start(
        folder: &Path,
        disks: Option<PathBuf>,
        auth_database: AuthDatabase,
        record: &Arc<Record>,
    ) -> Result<Self> {
        let node = node::Launch::consensus()
            .base_path(folder.join("chain"))
            // The judge reads every block's events.
            .arg("--state-pruning=archive")
            .start()?;
        let (relay_disk, postgres_disk) = match &disks {
            Some(disks) => (disks.join("relay"), disks.join("postgres")),
            None => (folder.to_path_buf(), std::env::temp_dir()),
        };
        let mut postgres = Postgres::start_in(&postgres_disk)?;
        postgres.log_to(folder.join("postgresql.log"));
        let shared = postgres.new_database()?;
        let links = Links::start(record, node.rpc_port()).await?;

        let auth_url = links.to_auth.url();
        let relay_urls: Vec<String> = links.to_relays.iter().map(Proxy::url).collect();
        let launch = servers::auth(&AuthOptions {
            study: SIGNED_STUDY,
            chain: links.to_node[RELAYS].websocket_url(),
            account: "//Charlie",
            database: match auth_database {
                AuthDatabase::Sqlite => servers::sqlite_in(folder, "auth.db"),
                AuthDatabase::Postgresql => postgres.new_database()?,
            },
            issuer: Some(auth_url.clone()),
            relays: relay_urls.clone(),
        });
        let launch = launch.arg(SHARE);
        let admin = launch.add_admin("faults")?;
        let auth = launch.log_to(folder.join("auth.log")).start()?;
        links.to_auth.lead_to(auth.port());
        auth.wait_until_ready()?;

        let mut relays = Vec::new();
        let mut credentials = Vec::new();
        for (number, account) in ACCOUNTS.into_iter().enumerate() {
            let database = match number {
                0 | 1 => shared.clone(),
                _ => servers::sqlite_in(&relay_disk, "relay.db"),
            };
            let relay = servers::relay(&RelayOptions {
                study: SIGNED_STUDY,
                chain: links.to_node[number].websocket_url(),
                account,
                database,
                issuer: auth_url.clone(),
            })
            // Devices reach it through the link.
            .arg(format!("--address={}", relay_urls[number]))
            .arg(SHARE)
            // Its disk is small.
            .arg("--ready-free-disk=1")
            .log_to(folder.join(format!("relay-{number}.log")));
            // One for each database.
            if KEEPERS[number] == credentials.len() {
                credentials.push(last_word(&relay.add_auditor("monitor")?));
            }
            let relay = relay.start()?;
            links.to_relays[number].lead_to(relay.port());
            relay.wait_until_ready()?;
            relays.push(Mutex::new(relay));
        }
        Ok(Site {
            node: Mutex::new(node),
            postgres: Mutex::new(postgres),
            auth: Mutex::new(auth),
            relays,
            links,
            disks,
            servers: Servers {
                auth: auth_url,
                relays: relay_urls,
                admin,
            },
            credentials,
            runtime: Handle::current(),
            fallen: AtomicU64::new(0),
        })
    }

    /// Where the node is reached without a link between.
    pub(crate) fn node_url(&self) -> String {
        lock(&self.node).url()
    }

    /// Lets a fault happen, and ends it. Returns when all is as before.
    pub(crate) fn strike(&self, fault: Fault, load: &Load, choice: usize) -> Result<()> {
        match fault {
            Fault::Kill(target, down) => self.kill(target, down, load, choice)?,
            Fault::Restart(down) => {
                let mut postgres = lock(&self.postgres);
                postgres.stop()?;
                thread::sleep(down);
                revive(|| postgres.start_again())?;
            }
            Fault::DiskFull(disk, time) => self.fill(disk, time)?,
            Fault::Cut(link) => self.link(link).cut(),
            Fault::Refuse(link, time) => self.links_are(link, State::Refusing, time),
            Fault::Stall(link, time) => self.links_are(link, State::Stalled, time),
            Fault::Pause(relay, time) => {
                let relay = lock(&self.relays[relay]);
                relay.pause()?;
                thread::sleep(time);
                relay.resume()?;
            }
            Fault::Crowd(server, time) => self.lean(server, time)?,
        }
        Ok(())
    }

    fn kill(&self, target: Target, down: Duration, load: &Load, choice: usize) -> Result<()> {
        let server = match target {
            Target::Device => return load.kill_one(choice, down),
            Target::Auth => &self.auth,
            Target::Relay(number) => &self.relays[number],
            Target::Node => {
                let mut node = lock(&self.node);
                node.kill()?;
                thread::sleep(down);
                return revive(|| node.start_again());
            }
            Target::Postgres => {
                let mut postgres = lock(&self.postgres);
                postgres.kill()?;
                thread::sleep(down);
                return revive(|| postgres.start_again());
            }
        };
        let mut server = lock(server);
        server.kill()?;
        thread::sleep(down);
        revive(|| server.start_again())
    }

    /// Devices come by the links, and so from another address than the crowd. Whoever of them is killed meanwhile finds it there
    /// when it comes back.
    fn lean(&self, server: Leaned, time: Duration) -> Result<()> {
        let (port, ways) = match server {
            Leaned::Relay(number) => (
                lock(&self.relays[number]).port(),
                strangers_at_a_relay(DeviceId(0)),
            ),
            Leaned::Auth => (lock(&self.auth).port(), strangers_at_an_office()),
        };
        let crowd = {
            let _within = self.runtime.enter();
            Crowd::gather(port, &ways)
        };
        thread::sleep(time);
        crowd.leave();
        Ok(())
    }

    fn fill(&self, disk: Disk, time: Duration) -> Result<()> {
        let Some(disks) = &self.disks else {
            return Ok(());
        };
        let folder = match disk {
            Disk::Relay => disks.join("relay"),
            Disk::Postgres => disks.join("postgres"),
        };
        let ballast = folder.join("ballast");
        // What is freed meanwhile is taken, too.
        let end = Instant::now() + time;
        while Instant::now() < end {
            fill_up(&ballast)?;
            thread::sleep(Duration::from_millis(20));
        }
        fs::remove_file(&ballast)?;
        Ok(())
    }

    /// Starts again what ended by itself, as an operator's service manager does. What is locked is being dealt with.
    pub(crate) fn pick_up(&self) {
        for server in self.relays.iter().chain([&self.auth]) {
            let Ok(mut server) = server.try_lock() else {
                continue;
            };
            if !server.is_running() {
                self.fell(&server.log());
                // It may need what is broken at the moment; then its turn comes again.
                let _ = server.start_again();
            }
        }
        if let Ok(mut postgres) = self.postgres.try_lock() {
            if !postgres.is_running() {
                // Without room for its log of changes it must.
                let _ = postgres.start_again();
            }
        }
    }

    /// Brings everything up and waits until every server can do its work.
    pub(crate) fn heal(&self) -> Result<()> {
        for link in self.links.all() {
            link.set(State::Open);
        }
        let mut node = lock(&self.node);
        if !node.is_running() {
            revive(|| node.start_again())?;
        }
        let mut postgres = lock(&self.postgres);
        if !postgres.is_running() {
            revive(|| postgres.start_again())?;
        }
        // A relay is ready once it knows the keys of the authentication server.
        for server in [&self.auth].into_iter().chain(&self.relays) {
            let mut server = lock(server);
            if !server.is_running() {
                revive(|| server.start_again())?;
            }
            server.wait_until_ready()?;
        }
        Ok(())
    }

    /// Port of a relay that answers for this keeper.
    pub(crate) fn relay_port(&self, keeper: Keeper) -> Option<u16> {
        let number = KEEPERS.iter().position(|known| *known == keeper)?;
        Some(lock(&self.relays[number]).port())
    }

    /// Whoever audits the study reads these, without a link between.
    pub(crate) fn audit(&self) -> audit::Options {
        let names = ["dave", "eve"].map(String::from);
        let relays = names.into_iter().zip(&self.credentials).enumerate();
        let relays = relays.filter_map(|(keeper, (name, credential))| {
            let port = self.relay_port(keeper)?;
            Some((name, format!("http://127.0.0.1:{port}"), credential.clone()))
        });
        audit::Options {
            node: self.node_url(),
            study: SIGNED_STUDY,
            relays: relays.collect(),
            trust_node: true,
            ..audit::Options::default()
        }
    }

    fn fell(&self, log: &str) {
        self.fallen.fetch_add(1, Ordering::Relaxed);
        let last: Vec<&str> = log.lines().rev().take(5).collect();
        for line in last.into_iter().rev() {
            println!("  a server ended by itself: {line}");
        }
    }

    fn link(&self, link: Link) -> &Proxy {
        match link {
            Link::Relay(relay) => &self.links.to_relays[relay],
            Link::Auth => &self.links.to_auth,
            Link::Node(relay) => &self.links.to_node[relay],
        }
    }

    fn links_are(&self, link: Link, state: State, time: Duration) {
        let link = self.link(link);
        link.set(state);
        thread::sleep(time);
        link.set(State::Open);
    }
}

impl Links {
    async fn start(record: &Arc<Record>, node: u16) -> Result<Self> {
        let mut to_relays = Vec::new();
        let mut to_node = Vec::new();
        for keeper in KEEPERS {
            to_relays.push(Proxy::start(Some((record.clone(), keeper))).await?);
        }
        for _ in 0..=RELAYS {
            let link = Proxy::start(None).await?;
            link.lead_to(node);
            to_node.push(link);
        }
        let to_auth = Proxy::start(Some((record.clone(), OFFICE))).await?;
        Ok(Self {
            to_relays,
            to_auth,
            to_node,
        })
    }

    fn all(&self) -> impl Iterator<Item = &Proxy> {
        let servers = self.to_relays.iter().chain([&self.to_auth]);
        servers.chain(&self.to_node)
    }
}

/// Tries until it works: what it needs may be broken at the moment, too.
fn revive(mut start: impl FnMut() -> Result<()>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match start() {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// Writes until nothing more can be written.
fn fill_up(ballast: &Path) -> Result<()> {
    let mut file = File::options()
        .create(true)
        .append(true)
        .open(ballast)
        .with_context(|| format!("{} cannot be written", ballast.display()))?;
    let mut piece = vec![0x5a; 1 << 20];
    while !piece.is_empty() {
        if file.write_all(&piece).is_err() {
            piece.truncate(piece.len() / 2);
        }
    }
    Ok(())
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // A fault that failed has been reported; the others go on.
    of.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
