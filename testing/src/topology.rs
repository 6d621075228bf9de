// SPDX-License-Identifier: Apache-2.0

//! The paper's topologies (Figures 1 and 2), made of the real programs on this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::ValueEnum;
use hashchain::StudyId;
use mhealth_chain_client::{calls, Account, ChainClient};

use crate::audit;
use crate::handset::Door;
use crate::node::{self, Node};
use crate::port::Port;
use crate::process::Program;
use crate::servers::{self, AuthOptions, RelayOptions, Server};

/// Study 0 of a development chain: `DeviceSigned`.
pub const SIGNED_STUDY: StudyId = StudyId(0);
/// Study 1 of a development chain: `HashchainOnly`.
pub const PAPER_STUDY: StudyId = StudyId(1);
/// Accounts of relays. The development chain knows them as relays of both studies.
pub const RELAYS: [&str; 2] = ["//Dave", "//Eve"];
/// Accounts of authentication servers. The sponsor has to appoint the second.
pub const OFFICES: [&str; 2] = ["//Charlie", "//Ferdie"];
/// Account of the development chain's sponsor, who appoints servers.
pub const SPONSOR: &str = "//Bob";

/// How phones, servers and chain are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Topology {
    /// Each device talks to the chain itself (Figure 1a).
    #[value(name = "1a")]
    Direct,
    /// One authentication server, one relay, and the hashchain (Figures 1b and 2c).
    #[value(name = "1b")]
    OneRelay,
    /// One authentication server, two relays that each hold every run, and the hashchain (Figures 1c and 2c).
    #[value(name = "1c")]
    SeveralRelays,
    /// One authentication server, two relays, no hashchain on the phones (Figure 2a). For comparison only.
    #[value(name = "2a")]
    OneOfficeUnchained,
    /// Two relays, each with an authentication server of its own, no hashchain on the phones (Figure 2b). For comparison
    /// only.
    #[value(name = "2b")]
    OfficePerRelayUnchained,
}

impl Topology {
    /// Whether phones chain their entries. Otherwise relays do so for them, and nobody can check what they did.
    pub fn phones_chain(self) -> bool {
        !matches!(
            self,
            Topology::OneOfficeUnchained | Topology::OfficePerRelayUnchained
        )
    }

    /// The development chain's study that it is tried on.
    pub fn study(self) -> StudyId {
        match self.phones_chain() {
            true => SIGNED_STUDY,
            // A relay that chains for phones does not have their keys.
            false => PAPER_STUDY,
        }
    }

    fn offices(self) -> usize {
        match self {
            Topology::Direct => 0,
            Topology::OfficePerRelayUnchained => 2,
            _ => 1,
        }
    }

    fn relays(self) -> usize {
        match self {
            Topology::Direct => 0,
            Topology::OneRelay => 1,
            _ => 2,
        }
    }
}

/// A topology, and on what it runs.
pub struct Plan {
    /// How phones, servers and chain are put together.
    pub topology: Topology,
    /// The development chain's study.
    pub study: StudyId,
    /// The node, without its folder.
    pub chain: node::Launch,
}

impl Plan {
    /// A topology on the study that it is tried on, with consensus and a block every two seconds.
    pub fn of(topology: Topology) -> Self {
        Plan {
            topology,
            study: topology.study(),
            chain: node::Launch::consensus(),
        }
    }
}

/// A topology that runs: a development chain and its servers, with databases in one folder. Dropping it ends them all.
pub struct Site {
    topology: Topology,
    study: StudyId,
    /// Whether blocks are proved to be final.
    proves: bool,
    // Servers before the node: they are dropped in this order.
    relays: Vec<Relay>,
    offices: Vec<Office>,
    node: Node,
}

/// An authentication server and a credential of its staff.
struct Office {
    server: Server,
    admin: String,
}

/// A relay and an auditor's credential at it.
struct Relay {
    server: Server,
    credential: String,
}

/// Names of the relays in audits.
const NAMES: [&str; 2] = ["dave", "eve"];

/// Devices that all go the same way.
pub struct Cohort {
    /// Its name, fit for a file's.
    pub name: String,
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
}

impl Cohort {
    /// A command of `mhealth-device` that goes this cohort's way and keeps its state in this folder.
    pub fn device(&self, subcommand: &str, folder: &Path) -> Result<Command> {
        let mut command = Program::Device.command()?;
        command
            .arg(subcommand)
            .args(&self.arguments)
            .arg("--state")
            .arg(self.state(folder))
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    /// Other devices that go through the same authentication server and these relays, one of which is to hold each run.
    pub fn through(&self, name: &str, relays: &[String]) -> Cohort {
        let mut arguments = Vec::new();
        let mut given = self.arguments.iter();
        while let Some(argument) = given.next() {
            match argument.as_str() {
                // With its value.
                "--relay" => drop(given.next()),
                argument if argument.starts_with("--copies=") => {}
                argument => arguments.push(argument.to_owned()),
            }
        }
        for relay in relays {
            arguments.extend(["--relay".to_owned(), relay.clone()]);
        }
        Cohort {
            name: name.to_owned(),
            arguments,
            environment: self.environment.clone(),
        }
    }

    /// Its state file in this folder.
    pub fn state(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.db", self.name))
    }
}

impl Site {
    /// Starts a development chain and the servers of a topology.
    pub async fn start(topology: Topology, folder: &Path) -> Result<Self> {
        Site::of(Plan::of(topology), folder).await
    }

    /// The same on another study or another chain.
    pub async fn of(plan: Plan, folder: &Path) -> Result<Self> {
        let Plan {
            topology,
            study,
            chain,
        } = plan;
        let proves = chain.proves_finality();
        let node = chain
            .base_path(folder.join("chain"))
            .arg("--state-pruning=archive")
            .start()?;
        let chain = node.url();
        if topology.offices() > 1 {
            appoint_second_office(&chain, study).await?;
        }
        let ports = (0..topology.relays()).map(|_| Port::reserve());
        let ports = ports.collect::<Result<Vec<_>>>()?;
        let mut offices = Vec::new();
        for (number, account) in OFFICES.into_iter().take(topology.offices()).enumerate() {
            // Tokens are good at the relays that their office names: its own, where each relay has one.
            let named = match topology.offices() {
                1 => &ports[..],
                _ => std::slice::from_ref(&ports[number]),
            };
            let named = named.iter().map(Port::url).collect();
            offices.push(start_office(study, number, account, named, &chain, folder)?);
        }
        let mut relays = Vec::new();
        for ((number, account), port) in RELAYS.into_iter().enumerate().zip(ports) {
            // With one office a relay, each trusts its own; otherwise all trust the only one.
            let office = &offices[number.min(offices.len() - 1)];
            let options = RelayOptions {
                study,
                chain: chain.clone(),
                account,
                database: servers::sqlite_in(folder, &relay_database(number)),
                issuer: office.server.url(),
            };
            let mut launch = servers::relay(&options);
            if !topology.phones_chain() {
                launch = launch.arg("--chain-for-devices");
            }
            let credential = last_word(&launch.add_auditor("monitor")?);
            let server = launch.start_at(port)?;
            server.wait_until_ready()?;
            relays.push(Relay { server, credential });
        }
        Ok(Self {
            topology,
            study,
            proves,
            relays,
            offices,
            node,
        })
    }

    /// The chain's node.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Base addresses of the relays.
    pub fn relay_urls(&self) -> Vec<String> {
        self.relays.iter().map(|relay| relay.server.url()).collect()
    }

    /// How phones reach the authentication servers.
    pub fn doors(&self) -> Vec<Door> {
        let door = |office: &Office| Door {
            url: office.server.url(),
            admin: last_word(&office.admin),
        };
        self.offices.iter().map(door).collect()
    }

    /// Whoever audits the study reads these.
    pub fn audit(&self) -> audit::Options {
        let relays = self.relays.iter().zip(NAMES);
        audit::Options {
            node: self.node.url(),
            study: self.study,
            relays: relays
                .map(|(relay, name)| (name.into(), relay.server.url(), relay.credential.clone()))
                .collect(),
            trust_node: true,
            ..audit::Options::default()
        }
    }

    /// The ways that devices can go: one, or where each relay serves devices of its own, one for each relay.
    pub fn cohorts(&self) -> Vec<Cohort> {
        let relays = self.relay_urls();
        // Without proofs there are words only.
        let trust = (!self.proves).then(|| "--trust-relays".to_owned());
        if self.offices.is_empty() {
            let mut arguments = vec!["--node".into(), self.node.url()];
            arguments.extend(trust);
            return vec![Cohort {
                name: "devices".into(),
                arguments,
                environment: Vec::new(),
            }];
        }
        let through = |name: String, office: &Office, relays: &[String]| {
            let mut arguments = vec!["--auth".to_owned(), office.server.url()];
            arguments.extend(trust.clone());
            for relay in relays {
                arguments.extend(["--relay".to_owned(), relay.clone()]);
            }
            arguments.push(format!("--study={}", self.study));
            match self.topology.phones_chain() {
                true => arguments.push(format!("--copies={}", relays.len())),
                false => arguments.push("--bare-records".into()),
            }
            Cohort {
                name,
                arguments,
                environment: vec![("MHEALTH_ADMIN", office.admin.clone())],
            }
        };
        if self.topology.phones_chain() {
            return vec![through("devices".into(), &self.offices[0], &relays)];
        }
        let of_relay = |(number, relay): (usize, &String)| {
            let office = &self.offices[number.min(self.offices.len() - 1)];
            let relay = std::slice::from_ref(relay);
            through(format!("devices-{number}"), office, relay)
        };
        relays.iter().enumerate().map(of_relay).collect()
    }
}

/// Name of a relay's database in the site's folder.
pub fn relay_database(number: usize) -> String {
    format!("relay-{number}.db")
}

/// Name of an authentication server's database in the site's folder.
pub fn office_database(number: usize) -> String {
    format!("auth-{number}.db")
}

/// Programs print a new credential at the end.
pub fn last_word(text: &str) -> String {
    let last = text.split_whitespace().last();
    last.unwrap_or_default().to_owned()
}

fn start_office(
    study: StudyId,
    number: usize,
    account: &'static str,
    relays: Vec<String>,
    chain: &str,
    folder: &Path,
) -> Result<Office> {
    let launch = servers::auth(&AuthOptions {
        study,
        chain: chain.to_owned(),
        account,
        database: servers::sqlite_in(folder, &office_database(number)),
        issuer: None,
        relays,
    });
    let admin = launch.add_admin("site-staff")?;
    let server = launch.start()?;
    server.wait_until_ready()?;
    Ok(Office { server, admin })
}

async fn appoint_second_office(node: &str, study: StudyId) -> Result<()> {
    let chain = ChainClient::connect(node).await?;
    let sponsor = chain.submitter(Account::from_secret_uri(SPONSOR)?);
    let office = Account::from_secret_uri(OFFICES[1])?.id();
    let appointment = calls::add_authentication_server(study, office);
    let outcome = sponsor.submit_and_wait(appointment).await?;
    outcome
        .succeeded()
        .context("the sponsor could not appoint an authentication server")?;
    Ok(())
}
