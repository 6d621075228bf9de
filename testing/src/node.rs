// SPDX-License-Identifier: Apache-2.0

//! Runs the real `mhealth-node`: on a free port, in a directory of its own, and gone when it is dropped.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{anyhow, ensure, Context, Result};
use serde_json::Value;
use tempfile::TempDir;

use crate::log::Log;
use crate::port::Port;
use crate::process;
use crate::rpc::JsonRpc;

/// Names the node's binary when it is not where cargo puts it.
pub const NODE_VARIABLE: &str = "MHEALTH_NODE";

/// Validators of the preset `local`, by the well-known names whose keys they have.
pub const VALIDATORS: [&str; 4] = ["alice", "bob", "charlie", "dave"];

/// Until then a node must serve JSON-RPC, and until then it must have stopped when asked to.
const PATIENCE: Duration = Duration::from_secs(60);

/// A network namespace of the system, in which a node has an address of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The namespace, as `ip netns` knows it.
    pub namespace: String,
    /// The node's address in it, which this program reaches, too.
    pub address: Ipv4Addr,
}

/// Port at which a node in a [`Place`] listens for others.
pub const PLACE_PORT: u16 = 30333;

/// How to start a node.
#[derive(Clone, Debug)]
pub struct Launch {
    arguments: Vec<OsString>,
    base: Option<PathBuf>,
    runtime_cache: Cache,
    place: Option<Place>,
}

/// Where a node keeps its compiled runtime.
#[derive(Clone, Debug)]
enum Cache {
    /// Where all nodes of this binary do.
    Shared,
    /// Where nodes do that are told nothing.
    Own,
    /// Here.
    Folder(PathBuf),
}

impl Launch {
    /// A development chain whose blocks are made when a transaction arrives and are final at once.
    pub fn instant() -> Self {
        Launch::consensus().arg("--sealing=instant")
    }

    /// A development chain with one validator, Alice, and real Aura and GRANDPA: a block every two seconds.
    pub fn consensus() -> Self {
        Launch::bare().arg("--dev")
    }

    /// One validator of the local chain, by its place in [`VALIDATORS`]. Its address stays the same after a restart.
    pub fn local(validator: usize) -> Self {
        Launch::bare()
            .arg("--chain=local")
            .arg(format!("--{}", VALIDATORS[validator]))
            .arg("--validator")
            .arg(format!("--node-key={:064x}", validator + 1))
    }

    /// Another node with the keys of that validator, as somebody has who stole them or who forgot the first.
    pub fn twin(validator: usize) -> Self {
        Launch::bare()
            .arg("--chain=local")
            .arg(format!("--{}", VALIDATORS[validator]))
            .arg("--validator")
            .arg(format!("--node-key={:064x}", VALIDATORS.len() + 1))
    }

    /// Nothing but free ports and quiet.
    pub fn bare() -> Self {
        let arguments = [
            "--listen-addr=/ip4/127.0.0.1/tcp/0",
            "--no-prometheus",
            "--no-telemetry",
            "--no-mdns",
        ];
        Launch {
            arguments: arguments.map(OsString::from).to_vec(),
            base: None,
            runtime_cache: Cache::Shared,
            place: None,
        }
    }

    /// Runs it in a network namespace, where it listens at the address of that place. It serves everybody there all that it
    /// can, so nobody else may reach the place.
    pub fn inside(mut self, place: Place) -> Self {
        self = self.listening_as_usual();
        let listen = format!("--listen-addr=/ip4/{}/tcp/{PLACE_PORT}", place.address);
        self.place = Some(place);
        self.arg(listen)
            .args(["--unsafe-rpc-external", "--rpc-cors=all"])
    }

    /// Listens where a node does that is told nothing.
    pub fn listening_as_usual(mut self) -> Self {
        let listens = |argument: &OsString| argument.to_string_lossy().starts_with("--listen-addr");
        self.arguments.retain(|argument| !listens(argument));
        self
    }

    /// Whether GRANDPA proves what is final. Under `--sealing` blocks are final without it.
    pub fn proves_finality(&self) -> bool {
        let sealing = |argument: &OsString| argument.to_string_lossy().starts_with("--sealing");
        !self.arguments.iter().any(sealing)
    }

    /// Adds an argument of the node's command line.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_os_string());
        self
    }

    /// Adds several.
    pub fn args<A: AsRef<OsStr>>(self, arguments: impl IntoIterator<Item = A>) -> Self {
        arguments.into_iter().fold(self, Launch::arg)
    }

    /// Keeps the chain in this directory, which stays when the node is dropped. Otherwise it gets one that does not.
    pub fn base_path(mut self, directory: impl Into<PathBuf>) -> Self {
        self.base = Some(directory.into());
        self
    }

    /// Keeps the compiled runtime in this folder. Otherwise all nodes of this binary share one.
    pub fn runtime_cache(mut self, folder: impl Into<PathBuf>) -> Self {
        self.runtime_cache = Cache::Folder(folder.into());
        self
    }

    /// Keeps the compiled runtime where a node does that is told nothing: below its own directory.
    pub fn own_runtime_cache(mut self) -> Self {
        self.runtime_cache = Cache::Own;
        self
    }

    /// Starts the node and waits until it serves JSON-RPC.
    pub fn start(self) -> Result<Node> {
        let binary = node_binary()?;
        let cache = match self.runtime_cache {
            Cache::Shared => Some(binary.with_file_name("runtime-cache")),
            Cache::Own => None,
            Cache::Folder(folder) => Some(folder),
        };
        let mut arguments = self.arguments;
        if let Some(folder) = cache {
            arguments.extend(["--runtime-cache".into(), folder.into()]);
        }
        let (base, kept) = match &self.base {
            Some(directory) => (directory.clone(), None),
            None => {
                let directory = tempfile::Builder::new().prefix("mhealth-node-").tempdir()?;
                (directory.path().to_path_buf(), Some(directory))
            }
        };
        let mut node = Node {
            binary,
            arguments,
            base,
            place: self.place,
            rpc_port: Port::reserve()?,
            log: Log::default(),
            child: None,
            _directory: kept,
        };
        node.spawn_with(&[], &[])?;
        Ok(node)
    }
}

/// A running node. Dropping it kills it.
pub struct Node {
    binary: PathBuf,
    arguments: Vec<OsString>,
    base: PathBuf,
    place: Option<Place>,
    rpc_port: Port,
    log: Log,
    child: Option<Child>,
    _directory: Option<TempDir>,
}

impl Node {
    /// Where it serves JSON-RPC over WebSocket. The same after a restart.
    pub fn url(&self) -> String {
        format!("ws://{}:{}", self.host(), self.rpc_port())
    }

    /// The address of the machine that it believes to run on.
    pub fn host(&self) -> IpAddr {
        let place = self.place.as_ref();
        place
            .map_or(Ipv4Addr::LOCALHOST, |place| place.address)
            .into()
    }

    /// Port of its JSON-RPC server, for WebSocket and HTTP.
    pub fn rpc_port(&self) -> u16 {
        self.rpc_port.number()
    }

    /// Where other nodes reach it, with its network identity.
    pub async fn address(&self) -> Result<String> {
        let node = JsonRpc::connect(&self.url()).await?;
        let addresses: Vec<String> = node.request("system_localListenAddresses", &[]).await?;
        let host = format!("/{}/", self.host());
        let here = addresses
            .into_iter()
            .find(|address| address.contains(&host));
        here.context("the node listens nowhere")
    }

    /// The directory that holds its database.
    pub fn base_path(&self) -> &Path {
        &self.base
    }

    /// Number of its process; none while it is taken down.
    pub fn process_id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Whether its process runs. One that has ended by itself still has a number.
    pub fn is_running(&mut self) -> bool {
        let child = self.child.as_mut();
        child.is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// The last lines that it logged.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// The end of its log, to be shown beside an error.
    pub fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Waits until it has logged a line that contains this text, since it was started last, and returns the line.
    pub fn wait_for_log(&self, text: &str) -> Result<String> {
        self.log.wait_for("the node", text, PATIENCE)
    }

    /// Sends it a signal: `STOP` makes it stand still, `CONT` go on.
    pub fn signal(&self, signal: &str) -> Result<()> {
        let child = self.child.as_ref().context("the node is down")?;
        process::signal(child, signal)
    }

    /// Kills it, as a power cut would (`kill -9`), and waits until it is gone.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            process::kill(&mut child).context("the node")?;
        }
        Ok(())
    }

    /// Asks it to stop, as an operator would, and waits until it has.
    pub fn stop(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        process::end(&mut child, "TERM", PATIENCE)
            .with_context(|| format!("the node did not stop:\n{}", self.log()))
    }

    /// Starts it again after [`Node::kill`] or [`Node::stop`]: same database, same address.
    pub fn start_again(&mut self) -> Result<()> {
        self.start_again_with(&[])
    }

    /// The same, this time with more arguments.
    pub fn start_again_with(&mut self, more: &[&str]) -> Result<()> {
        self.start_again_under(&[], more)
    }

    /// The same, as the command of another program that becomes it, such as `env`.
    pub fn start_again_under(&mut self, wrapper: &[&str], more: &[&str]) -> Result<()> {
        self.kill()?;
        self.spawn_with(wrapper, more)
    }

    fn spawn_with(&mut self, wrapper: &[&str], more: &[&str]) -> Result<()> {
        self.log = Log::default();
        let mut words: Vec<OsString> = Vec::new();
        if let Some(place) = &self.place {
            words.extend(["ip", "netns", "exec", &place.namespace].map(OsString::from));
        }
        words.extend(wrapper.iter().map(OsString::from));
        words.push(self.binary.clone().into());
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .args(&self.arguments)
            .args(more)
            .arg("--base-path")
            .arg(&self.base)
            .arg(format!("--rpc-port={}", self.rpc_port()))
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} could not be started", self.binary.display()))?;
        let stderr = child
            .stderr
            .take()
            .ok_or_else(|| anyhow!("the node has no log"))?;
        self.child = Some(child);
        self.log.read(stderr);
        let line = self.wait_for_log("Running JSON-RPC server: addr=")?;
        ensure!(
            port_in(&line) == Some(self.rpc_port()),
            "the node serves elsewhere: {line:?}"
        );
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It is being thrown away; there is nobody left to tell that it could not be killed.
        let _ = self.kill();
    }
}

/// Starts the four validators of the local chain, and beside them a [`Launch::twin`] of one.
pub async fn local_with_a_twin(validator: usize) -> Result<Vec<Node>> {
    let aside = |launch: Launch| tokio::task::spawn_blocking(|| launch.start());
    let mut nodes = vec![aside(Launch::local(0)).await??];
    let meeting = nodes[0].address().await?;
    let others = (1..VALIDATORS.len()).map(Launch::local);
    for launch in others.chain([Launch::twin(validator)]) {
        nodes.push(aside(launch.arg("--bootnodes").arg(&meeting)).await??);
    }
    Ok(nodes)
}

/// The node's binary: the one that [`NODE_VARIABLE`] names, or the one beside this program in cargo's target directory.
pub fn node_binary() -> Result<PathBuf> {
    process::binary("mhealth-node", NODE_VARIABLE)
}

/// Runs the node's program with a subcommand until it ends, and returns what it printed. Fails with its log if it did.
pub fn subcommand<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Result<String> {
    let output = Command::new(node_binary()?)
        .args(arguments)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .output()?;
    let log = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}:\n{log}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// Writes a specification into this file: the development chain's, exported with these options and then changed.
pub fn changed_specification(
    file: &Path,
    options: &[&str],
    change: impl FnOnce(&mut Value),
) -> Result<()> {
    let export = ["export-chain-spec", "--chain=dev"];
    let exported = subcommand(export.iter().chain(options).copied())?;
    let mut specification: Value = serde_json::from_str(&exported)?;
    change(&mut specification);
    fs::write(file, specification.to_string())?;
    Ok(())
}

fn port_in(line: &str) -> Option<u16> {
    let addresses = line.split("addr=").nth(1)?;
    let first = addresses.split(',').next()?;
    first.trim().rsplit(':').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_read_from_the_first_address() {
        let line = "2026-11-20 19:30:00 Running JSON-RPC server: addr=127.0.0.1:40217,[::1]:40217";
        assert_eq!(port_in(line), Some(40217));
        assert_eq!(
            port_in("Running JSON-RPC server: addr=127.0.0.1:9944,"),
            Some(9944)
        );
        assert_eq!(port_in("something else"), None);
    }
}
