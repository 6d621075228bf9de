// SPDX-License-Identifier: Apache-2.0

//! A study with real servers, which pages of one origin may use.

use std::path::{Path, PathBuf};

use mhealth_chain_client::ChainClient;
use mhealth_testing::audit;
use mhealth_testing::handset::Door;
use mhealth_testing::node::{self, Node};
use mhealth_testing::port::Port;
use mhealth_testing::servers::{self, AuthOptions, Launch, RelayOptions, Server};
use mhealth_testing::topology::{last_word, OFFICES, RELAYS, SIGNED_STUDY};
use serde_json::json;
use tempfile::TempDir;

/// Names of the relays in audits.
pub(crate) const NAMES: [&str; 2] = ["dave", "eve"];

/// A chain with real finality, an authentication server, and two relays that do what they should.
pub(crate) struct Study {
    // Servers before the node: they are dropped in this order.
    pub(crate) relays: [Server; 2],
    office: Server,
    pub(crate) node: Node,
    /// Where pages are served that the servers let in.
    pub(crate) page: Port,
    /// A credential of the authentication server's staff.
    admin: String,
    /// Credentials of an auditor, one of each relay.
    auditor: [String; 2],
    folder: TempDir,
}

impl Study {
    pub(crate) fn start() -> Self {
        // An audit reads the states of all blocks that brought something.
        let node = node::Launch::consensus().arg("--state-pruning=archive");
        let node = node.start().expect("the node starts");
        let folder = tempfile::tempdir().expect("a folder");
        // An origin is listed before its page is served, and relays are named before they are there.
        let page = Port::reserve().expect("a port is free");
        let ports = [(); 2].map(|()| Port::reserve().expect("a port is free"));
        let named = ports.iter().map(Port::url).collect();
        let launch = authentication(&node, folder.path(), named);
        let admin = last_word(&launch.add_admin("staff").expect("it is added"));
        let office = launch.arg(lets_in(&page.url())).start();
        let office = office.expect("the authentication server starts");
        let [one, two] = ports;
        let [one, two] = [(0, one), (1, two)].map(|(number, port)| {
            let launch = relay(&node, folder.path(), number, office.url());
            let credential = last_word(&launch.add_auditor("monitor").expect("it is added"));
            let relay = launch.arg(lets_in(&page.url())).start_at(port);
            (relay.expect("the relay starts"), credential)
        });
        let study = Study {
            relays: [one.0, two.0],
            office,
            node,
            page,
            admin,
            auditor: [one.1, two.1],
            folder,
        };
        study.wait_until_ready();
        study
    }

    /// Waits until every server says that it can do its work.
    pub(crate) fn wait_until_ready(&self) {
        for server in self.relays.iter().chain([&self.office]) {
            server.wait_until_ready().expect("it is ready");
        }
    }

    /// Has the authentication server name these relays from now on, in this order.
    pub(crate) fn name_relays(&mut self, named: Vec<String>) {
        let launch = authentication(&self.node, self.folder.path(), named);
        restart(&mut self.office, launch.arg(lets_in(&self.page.url())));
        self.wait_until_ready();
    }

    /// Has every server let in pages of this origin from now on, and of no other.
    pub(crate) fn let_in(&mut self, origin: &str) {
        let named = self.relays.iter().map(Server::url).collect();
        let launch = authentication(&self.node, self.folder.path(), named);
        restart(&mut self.office, launch.arg(lets_in(origin)));
        let issuer = self.office.url();
        for (number, server) in self.relays.iter_mut().enumerate() {
            let launch = relay(&self.node, self.folder.path(), number, issuer.clone());
            restart(server, launch.arg(lets_in(origin)));
        }
        self.wait_until_ready();
    }

    /// Base address of the authentication server.
    pub(crate) fn office(&self) -> String {
        self.office.url()
    }

    /// A code that the staff hand out to a participant.
    pub(crate) async fn code(&self, participant: &str) -> String {
        let office = Door {
            url: self.office.url(),
            admin: self.admin.clone(),
        };
        code(&office, participant).await
    }

    /// The chain, as its node tells it.
    pub(crate) async fn chain(&self) -> ChainClient {
        let chain = ChainClient::connect(&self.node.url()).await;
        chain.expect("the node answers")
    }

    /// A path in the folder that goes with the study.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// An audit that reads both relays and believes nobody.
    pub(crate) fn audit(&self, chain: &ChainClient) -> audit::Options {
        let relay = |number: usize| {
            let (server, credential) = (&self.relays[number], &self.auditor[number]);
            (NAMES[number].to_owned(), server.url(), credential.clone())
        };
        audit::Options {
            node: self.node.url(),
            study: SIGNED_STUDY,
            genesis: Some(format!("{:#x}", chain.genesis_hash())),
            relays: vec![relay(0), relay(1)],
            trust_node: false,
            ..audit::Options::default()
        }
    }
}

/// A code that the staff of an authentication server hand out to a participant.
pub(crate) async fn code(office: &Door, participant: &str) -> String {
    let participant = json!({ "participant": format!("P-{participant}") });
    office.code(&participant).await.expect("a code is issued")
}

fn authentication(node: &Node, folder: &Path, named: Vec<String>) -> Launch {
    servers::auth(&AuthOptions {
        study: SIGNED_STUDY,
        chain: node.url(),
        account: OFFICES[0],
        database: servers::sqlite_in(folder, "auth.db"),
        issuer: None,
        relays: named,
    })
}

fn relay(node: &Node, folder: &Path, number: usize, issuer: String) -> Launch {
    servers::relay(&RelayOptions {
        study: SIGNED_STUDY,
        chain: node.url(),
        account: RELAYS[number],
        database: servers::sqlite_in(folder, &format!("{}.db", NAMES[number])),
        issuer,
    })
}

fn lets_in(origin: &str) -> String {
    format!("--allowed-origin={origin}")
}

fn restart(server: &mut Server, launch: Launch) {
    server.stop().expect("it stops");
    server.start_again_as(launch).expect("it starts");
}
