// SPDX-License-Identifier: Apache-2.0

//! Runs the real servers and devices: on free ports, to be killed and started again on the same data.

mod probe;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail, ensure, Context, Result};
use hashchain::StudyId;

use crate::log::Log;
use crate::port::Port;
use crate::process::{self, Program};

pub use probe::http_get;

/// Until then a server must listen, be ready, and stop when asked to.
const PATIENCE: Duration = Duration::from_secs(60);

/// How to start a server.
#[derive(Clone, Debug)]
pub struct Launch {
    program: Program,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    directory: Option<PathBuf>,
    log_file: Option<PathBuf>,
}

impl Launch {
    /// A server on a free port, logging warnings. All phones and thieves of this machine have one address, which a server
    /// would hold back as one stranger: here it may have everything, unless an argument says otherwise.
    pub fn of(program: Program) -> Self {
        Launch {
            program,
            arguments: Vec::new(),
            environment: Vec::new(),
            directory: None,
            log_file: None,
        }
        .env("RUST_LOG", "warn")
        .env("MHEALTH_REQUESTS_PER_SECOND", "1000000")
        .env("MHEALTH_ADDRESS_SHARE", "100")
    }

    /// Adds an argument of its command line.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_os_string());
        self
    }

    /// Sets a variable of its environment. This is how secrets are given.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment
            .push((name.into(), value.as_ref().to_os_string()));
        self
    }

    /// Runs it in this directory, in which it finds the files that are named without one.
    pub fn within(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Appends everything that it logs to this file, over restarts.
    pub fn log_to(mut self, file: impl Into<PathBuf>) -> Self {
        self.log_file = Some(file.into());
        self
    }

    /// Starts it and waits until it listens.
    pub fn start(self) -> Result<Server> {
        self.start_at(Port::reserve()?)
    }

    /// Starts it where others expect it.
    pub fn start_at(self, port: Port) -> Result<Server> {
        let mut server = Server {
            launch: self,
            port,
            scheme: "http".into(),
            output: Log::default(),
            log: Log::default(),
            child: None,
        };
        server.spawn()?;
        Ok(server)
    }

    /// Runs a command of the same program with the same options to its end, such as `admin add`, and returns what it
    /// printed.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command()?.args(arguments).output()?;
        if !output.status.success() {
            let name = self.program.name();
            bail!(
                "{name} {arguments:?}: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Makes a credential of an authentication server's staff, good for everything, and returns it.
    pub fn add_admin(&self, name: &str) -> Result<String> {
        let everything = ["--study", "all", "--may", "all"];
        self.run(&[&["admin", "add", name][..], &everything].concat())
    }

    /// Makes a credential of an auditor, good for all of a relay's studies, and returns it.
    pub fn add_auditor(&self, name: &str) -> Result<String> {
        self.run(&["auditor", "add", name, "--study", "all"])
    }

    fn command(&self) -> Result<Command> {
        let mut command = self.program.command()?;
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        Ok(command)
    }
}

/// A running server. Dropping it kills it.
pub struct Server {
    launch: Launch,
    port: Port,
    scheme: String,
    output: Log,
    log: Log,
    child: Option<Child>,
}

impl Server {
    /// Its base address, without a slash at the end. The same after [`Server::start_again`].
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port())
    }

    /// Port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Number of its process; none while it is down.
    pub fn process_id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Whether its process runs.
    pub fn is_running(&mut self) -> bool {
        let child = self.child.as_mut();
        child.is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Its second place (`--admin-listen`), as it printed it: `http://127.0.0.1:PORT` or `unix:PATH`.
    pub fn second_place(&self) -> Result<String> {
        const WORDS: &str = "for staff and operators: ";
        let name = self.launch.program.name();
        let line = self.output.wait_for(name, WORDS, PATIENCE)?;
        Ok(line.replacen(WORDS, "", 1))
    }

    /// The last lines that it logged since it was started last.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Waits until it has logged a line that contains this text, since it was started last, and returns the line.
    pub fn wait_for_log(&self, text: &str) -> Result<String> {
        let name = self.launch.program.name();
        self.log.wait_for(name, text, PATIENCE)
    }

    /// Waits until it says at `/readyz` that it can do its work.
    pub fn wait_until_ready(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = http_get(self.port(), "/readyz");
            if matches!(answer, Ok((200, _))) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let name = self.launch.program.name();
                bail!("{name} is not ready ({answer:?}):\n{}", self.log());
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Makes it stand still, with everything that it holds, until [`Server::resume`].
    pub fn pause(&self) -> Result<()> {
        self.child
            .as_ref()
            .map_or(Ok(()), |child| process::signal(child, "STOP"))
    }

    /// Lets it go on.
    pub fn resume(&self) -> Result<()> {
        self.child
            .as_ref()
            .map_or(Ok(()), |child| process::signal(child, "CONT"))
    }

    /// Asks it to read its options and certificates anew, as an operator would.
    pub fn hang_up(&self) -> Result<()> {
        self.child
            .as_ref()
            .map_or(Ok(()), |child| process::signal(child, "HUP"))
    }

    /// Kills it, as a power cut would (`kill -9`), and waits until it is gone.
    pub fn kill(&mut self) -> Result<()> {
        match self.child.take() {
            Some(mut child) => process::kill(&mut child).context(self.launch.program.name()),
            None => Ok(()),
        }
    }

    /// Asks it to stop, as an operator would, and waits until it has.
    pub fn stop(&mut self) -> Result<()> {
        match self.child.take() {
            Some(mut child) => process::end(&mut child, "TERM", PATIENCE).with_context(|| {
                format!(
                    "{} did not stop:\n{}",
                    self.launch.program.name(),
                    self.log()
                )
            }),
            None => Ok(()),
        }
    }

    /// Starts it again after [`Server::kill`] or [`Server::stop`]: same data, same address.
    pub fn start_again(&mut self) -> Result<()> {
        self.kill()?;
        self.spawn()
    }

    /// Starts it again with other options, at the same address.
    pub fn start_again_as(&mut self, launch: Launch) -> Result<()> {
        self.kill()?;
        self.launch = launch;
        self.spawn()
    }

    /// Starts it again at another free port.
    pub fn start_elsewhere(&mut self) -> Result<()> {
        self.kill()?;
        self.port = Port::reserve()?;
        self.spawn()
    }

    fn spawn(&mut self) -> Result<()> {
        let name = self.launch.program.name();
        self.output = Log::default();
        self.log = Log::kept(self.launch.log_file.as_deref())?;
        let mut child = self
            .launch
            .command()?
            .arg(format!("--listen=127.0.0.1:{}", self.port()))
            .args(&self.launch.arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{name} could not be started"))?;
        let streams = (child.stdout.take(), child.stderr.take());
        self.child = Some(child);
        let (Some(stdout), Some(stderr)) = streams else {
            bail!("{name} has no output");
        };
        self.output.read(stdout);
        self.log.read(stderr);
        let line = self.output.wait_for(name, "listening on ", PATIENCE);
        let line = line.with_context(|| format!("its log:\n{}", self.log()))?;
        let (scheme, port) = address_in(&line).ok_or_else(|| anyhow!("no address in {line:?}"))?;
        ensure!(port == self.port(), "{name} listens elsewhere: {line:?}");
        self.scheme = scheme.to_owned();
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It is being thrown away; there is nobody left to tell that it could not be killed.
        let _ = self.kill();
    }
}

/// Scheme and port in `listening on http://127.0.0.1:PORT`.
fn address_in(line: &str) -> Option<(&str, u16)> {
    let address = line.split("listening on ").nth(1)?.trim();
    let (scheme, authority) = address.split_once("://")?;
    Some((scheme, authority.rsplit(':').next()?.parse().ok()?))
}

/// What an authentication server of one study is told.
#[derive(Clone, Debug)]
pub struct AuthOptions {
    /// The study.
    pub study: StudyId,
    /// Address of a node.
    pub chain: String,
    /// Secret URI of its account, such as `//Charlie`.
    pub account: &'static str,
    /// Its database, as the servers' option names it.
    pub database: String,
    /// Its base address as devices and relays know it, when that is not the one it listens on.
    pub issuer: Option<String>,
    /// Base addresses of the study's relays, at which its tokens are good.
    pub relays: Vec<String>,
}

/// An authentication server, ready to be started.
pub fn auth(options: &AuthOptions) -> Launch {
    let mut launch = Launch::of(Program::Auth)
        .env("MHEALTH_ACCOUNT", options.account)
        .env("MHEALTH_DATABASE", &options.database)
        .arg(format!("--node={}", options.chain))
        .arg(format!("--study={}", options.study));
    if let Some(issuer) = &options.issuer {
        launch = launch.arg(format!("--issuer={issuer}"));
    }
    let relays = options.relays.iter();
    relays.fold(launch, |launch, relay| {
        launch.arg(format!("--relay={relay}"))
    })
}

/// What a relay server of one study is told.
#[derive(Clone, Debug)]
pub struct RelayOptions {
    /// The study.
    pub study: StudyId,
    /// Address of a node.
    pub chain: String,
    /// Secret URI of its account, such as `//Dave`.
    pub account: &'static str,
    /// Its database, as the servers' option names it.
    pub database: String,
    /// The authentication server whose tokens it trusts.
    pub issuer: String,
}

/// A relay server, ready to be started.
pub fn relay(options: &RelayOptions) -> Launch {
    Launch::of(Program::Relay)
        .env("MHEALTH_ACCOUNT", options.account)
        .env("MHEALTH_DATABASE", &options.database)
        .arg(format!("--node={}", options.chain))
        .arg(format!(
            "--trusted-issuer=issuer={},study={}",
            options.issuer, options.study
        ))
}

/// A new SQLite database in this folder, as the servers' option `--database` names it.
pub fn sqlite_in(folder: &Path, name: &str) -> String {
    format!("sqlite:{}", folder.join(name).display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_and_port_are_read_from_the_line_that_a_server_prints() {
        let read = address_in("listening on http://127.0.0.1:40217");
        assert_eq!(read, Some(("http", 40217)));
        assert_eq!(
            address_in("listening on https://[::1]:443"),
            Some(("https", 443))
        );
        assert_eq!(address_in("listening"), None);
        assert_eq!(address_in("listening on http://127.0.0.1"), None);
    }
}
