// SPDX-License-Identifier: Apache-2.0

//! Runs a real PostgreSQL from the system's package: on a free port, with a cluster of its own, and gone when it is
//! dropped. The cluster that the package may have made is neither used nor touched.

use std::fs;
use std::os::unix::fs::{chown, MetadataExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail, Context, Result};
use tempfile::TempDir;

use crate::log::Log;
use crate::port::Port;
use crate::process;

/// Names the folder of PostgreSQL's programs when it is not where Debian puts it.
pub const POSTGRES_VARIABLE: &str = "MHEALTH_POSTGRES";

/// Until then a server must take connections, and until then it must have stopped when asked to.
const PATIENCE: Duration = Duration::from_secs(60);
/// The database's superuser.
const USER: &str = "mhealth";
/// Whom PostgreSQL runs as when this program is root, which PostgreSQL refuses to be. The first that exists.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// A running PostgreSQL server. Dropping it kills it and deletes its data.
pub struct Postgres {
    programs: PathBuf,
    owner: Option<Owner>,
    data: PathBuf,
    password: String,
    port: Port,
    databases: AtomicU32,
    log: Log,
    log_file: Option<PathBuf>,
    settings: Vec<String>,
    child: Option<Child>,
    _directory: TempDir,
}

impl Postgres {
    /// Makes a cluster in a temporary folder and starts it.
    pub fn start() -> Result<Self> {
        Self::start_in(&std::env::temp_dir())
    }

    /// The same in a new folder within this one, for example on a small file system.
    pub fn start_in(parent: &Path) -> Result<Self> {
        Self::launch(parent, &[])
    }

    /// The same as [`Postgres::start`] with further settings, such as `shared_buffers=1GB`.
    pub fn start_with(settings: &[&str]) -> Result<Self> {
        Self::launch(&std::env::temp_dir(), settings)
    }

    fn launch(parent: &Path, settings: &[&str]) -> Result<Self> {
        let programs = programs()?;
        let owner = Owner::needed()?;
        let directory = tempfile::Builder::new()
            .prefix("mhealth-postgres-")
            .tempdir_in(parent)?;
        if let Some(owner) = owner {
            chown(directory.path(), Some(owner.user), Some(owner.group))?;
        }
        let password = random_password()?;
        let mut server = Postgres {
            programs,
            owner,
            data: directory.path().join("data"),
            password,
            port: Port::reserve()?,
            databases: AtomicU32::new(0),
            log: Log::default(),
            log_file: None,
            settings: settings
                .iter()
                .map(|setting| format!("-c{setting}"))
                .collect(),
            child: None,
            _directory: directory,
        };
        server.make_cluster()?;
        server.spawn()?;
        Ok(server)
    }

    /// Address of a database of this name, existing or not. Contains the password.
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres://{USER}:{}@127.0.0.1:{}/{database}",
            self.password,
            self.port()
        )
    }

    /// Makes a new, empty database and returns its address.
    pub fn new_database(&self) -> Result<String> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        self.query("postgres", &format!("CREATE DATABASE {name}"))?;
        Ok(self.url(&name))
    }

    /// Runs a statement through `psql`; returns what it prints, unaligned and without headings.
    pub fn query(&self, database: &str, statement: &str) -> Result<String> {
        let form = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"];
        let statement = format!("--command={statement}");
        let options = [&form[..], &[&statement]].concat();
        let said = self.client("psql", database, &options)?;
        Ok(String::from_utf8_lossy(&said).trim().to_owned())
    }

    /// A dump of a whole database, in plain SQL, as `pg_dump` writes it.
    pub fn dump(&self, database: &str) -> Result<String> {
        let dump = self.client("pg_dump", database, &["--no-password"])?;
        Ok(String::from_utf8(dump)?)
    }

    /// Runs one of PostgreSQL's clients on a database; returns what it prints.
    fn client(&self, program: &str, database: &str, options: &[&str]) -> Result<Vec<u8>> {
        let output = self
            .command(program)
            .env("PGPASSWORD", &self.password)
            .args(["--host=127.0.0.1", "--username", USER])
            .arg(format!("--port={}", self.port()))
            .arg(format!("--dbname={database}"))
            .args(options)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("{program} could not be run"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("{program}: {}", said.trim());
        }
        Ok(output.stdout)
    }

    /// From its next start on, appends everything that it logs to this file.
    pub fn log_to(&mut self, file: impl Into<PathBuf>) {
        self.log_file = Some(file.into());
    }

    /// Folder of the files of a database, which this process can read if it is root or the one that the server runs as.
    fn files(&self, database: &str) -> Result<PathBuf> {
        let number = format!("SELECT oid FROM pg_database WHERE datname = '{database}'");
        Ok(self.data.join("base").join(self.query(database, &number)?))
    }

    /// Everything in the files of a database, into which all is written before.
    pub fn bytes(&self, database: &str) -> Result<Vec<u8>> {
        self.query(database, "CHECKPOINT")?;
        let mut bytes = Vec::new();
        for file in fs::read_dir(self.files(database)?)? {
            bytes.extend(fs::read(file?.path()).unwrap_or_default());
        }
        Ok(bytes)
    }

    /// Port on 127.0.0.1. The same after a restart.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The last lines that it logged.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Whether its process runs. It ends by itself, for example, when it cannot write its log of changes.
    pub fn is_running(&mut self) -> bool {
        let child = self.child.as_mut();
        child.is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Kills it, as a power cut would (`kill -9`), and waits until it is gone.
    pub fn kill(&mut self) -> Result<()> {
        match self.child.take() {
            Some(mut child) => process::kill(&mut child).context("PostgreSQL"),
            None => Ok(()),
        }
    }

    /// Stops it in good order; sessions are cut, transactions under way are undone.
    pub fn stop(&mut self) -> Result<()> {
        match self.child.take() {
            // INT: PostgreSQL's "fast" shutdown. On TERM it would wait for its clients to leave.
            Some(mut child) => process::end(&mut child, "INT", PATIENCE)
                .with_context(|| format!("PostgreSQL did not stop:\n{}", self.log())),
            None => Ok(()),
        }
    }

    /// Starts it again after [`Postgres::kill`] or [`Postgres::stop`]: same data, same address.
    pub fn start_again(&mut self) -> Result<()> {
        self.kill()?;
        self.spawn()
    }

    fn make_cluster(&self) -> Result<()> {
        let password_file = self.data.with_file_name("password");
        fs::write(&password_file, &self.password)?;
        if let Some(owner) = self.owner {
            chown(&password_file, Some(owner.user), Some(owner.group))?;
        }
        let output = self
            .command("initdb")
            .args(["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"])
            .args(["--no-sync", "--no-instructions", "--username", USER])
            .arg(format!("--pwfile={}", password_file.display()))
            .arg("--pgdata")
            .arg(&self.data)
            .output()
            .context("initdb could not be run")?;
        fs::remove_file(password_file)?;
        if !output.status.success() {
            bail!("initdb: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    /// Starts the server, on another port if somebody took this one in the meantime and no client knows it yet.
    fn spawn(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.spawn_once()?;
            let ready = self.log.wait_for(
                "PostgreSQL",
                "database system is ready to accept connections",
                deadline.saturating_duration_since(Instant::now()),
            );
            let Err(error) = ready else { return Ok(()) };
            let log = self.log();
            self.kill()?;
            // The sessions of a server that was killed end a moment after it.
            let others = log.contains("shared memory block");
            let taken = log.contains("Address already in use");
            if Instant::now() > deadline || !(taken || others) {
                return Err(error);
            }
            if taken && self.databases.load(Ordering::Relaxed) == 0 {
                self.port = Port::reserve()?;
            }
        }
    }

    fn spawn_once(&mut self) -> Result<()> {
        self.log = Log::kept(self.log_file.as_deref())?;
        let mut child = self
            .command("postgres")
            .arg("-D")
            .arg(&self.data)
            .arg(format!("-p{}", self.port()))
            .args(["-clisten_addresses=127.0.0.1", "-cunix_socket_directories="])
            .args(["-cmax_connections=300", "-cmax_wal_size=128MB"])
            .args(&self.settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("postgres could not be started")?;
        let stderr = child.stderr.take();
        self.log
            .read(stderr.ok_or_else(|| anyhow!("PostgreSQL has no log"))?);
        self.child = Some(child);
        Ok(())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        // Its messages are waited for.
        command.env("LC_ALL", "C").current_dir("/");
        if let Some(owner) = self.owner {
            command.uid(owner.user).gid(owner.group);
        }
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // In good order, so that none of its processes outlives it; nobody is left to tell if that fails.
        let _ = self.stop();
    }
}

/// Whom the server runs as.
#[derive(Clone, Copy)]
struct Owner {
    user: u32,
    group: u32,
}

impl Owner {
    /// Somebody without privileges, if this program is root.
    fn needed() -> Result<Option<Self>> {
        if fs::metadata("/proc/self")?.uid() != 0 {
            return Ok(None);
        }
        let accounts = fs::read_to_string("/etc/passwd")?;
        let found = UNPRIVILEGED
            .iter()
            .find_map(|name| accounts.lines().find_map(|line| Self::named(name, line)));
        let owner = found.ok_or_else(|| {
            anyhow!("PostgreSQL does not run as root, and there is no user {UNPRIVILEGED:?}")
        })?;
        Ok(Some(owner))
    }

    /// Reads a line of `passwd(5)`.
    fn named(name: &str, line: &str) -> Option<Self> {
        let mut fields = line.split(':');
        (fields.next()? == name).then_some(())?;
        let mut numbers = fields.skip(1).map_while(|field| field.parse().ok());
        Some(Owner {
            user: numbers.next()?,
            group: numbers.next()?,
        })
    }
}

/// The folder with PostgreSQL's programs: the one that [`POSTGRES_VARIABLE`] names, or the newest of Debian's, or where
/// `initdb` is found otherwise.
fn programs() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os(POSTGRES_VARIABLE) {
        return Ok(folder.into());
    }
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let newest = debian
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let version: u32 = path.file_name()?.to_str()?.parse().ok()?;
            Some((version, path.join("bin")))
        })
        .filter(|(_, programs)| programs.join("initdb").is_file())
        .max();
    if let Some((_, programs)) = newest {
        return Ok(programs);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).find(|programs| programs.join("initdb").is_file());
    found.ok_or_else(|| anyhow!("PostgreSQL is not installed: run scripts/setup"))
}

fn random_password() -> Result<String> {
    let mut bytes = [0; 16];
    std::io::Read::read_exact(&mut fs::File::open("/dev/urandom")?, &mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_committed_survives_a_kill_and_a_restart_at_the_same_address() {
        let mut server = Postgres::start().expect("PostgreSQL starts");
        let url = server.new_database().expect("it is made");
        assert_eq!(url, server.url("test_0"));
        assert_ne!(server.new_database().expect("it is made"), url);

        let query = |server: &Postgres, statement: &str| server.query("test_0", statement);
        query(&server, "CREATE TABLE kept (number INTEGER)").expect("the table is made");
        query(&server, "INSERT INTO kept VALUES (7)").expect("it is stored");
        assert!(server.is_running());
        server.kill().expect("it is killed");
        assert!(!server.is_running());
        server.start_again().expect("it starts again");
        assert_eq!(
            query(&server, "SELECT number FROM kept").expect("kept"),
            "7"
        );
        server.stop().expect("it stops");
        server.start_again().expect("it starts again");
        assert_eq!(
            query(&server, "SELECT number FROM kept").expect("kept"),
            "7"
        );
        assert_eq!(url, server.url("test_0"));
    }

    #[test]
    fn an_owner_is_read_from_the_accounts_file() {
        let line = "postgres:x:101:104:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash";
        let owner = Owner::named("postgres", line).expect("it is there");
        assert_eq!((owner.user, owner.group), (101, 104));
        assert!(Owner::named("post", line).is_none());
        assert!(Owner::named("postgres", "postgres:x").is_none());
    }
}
