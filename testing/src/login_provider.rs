// SPDX-License-Identifier: Apache-2.0

//! A real OpenID Connect provider, by which staff log in: npm's `oidc-provider`, in `testing/login-provider`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{bail, ensure, Context, Result};
use serde_json::json;

use crate::log::Log;
use crate::port::Port;
use crate::process;

/// Until then it must listen.
const PATIENCE: Duration = Duration::from_secs(60);
/// By which name it knows the server, and by which secret.
pub const CLIENT: (&str, &str) = ("mhealth", "a-secret-of-the-provider-and-the-server");

/// A provider whose address is known before it runs. Dropping it ends it.
pub struct LoginProvider {
    port: Port,
    child: Option<Child>,
}

impl LoginProvider {
    /// At an address of its own; it does not run yet.
    pub fn reserve() -> Result<Self> {
        Ok(Self {
            port: Port::reserve()?,
            child: None,
        })
    }

    /// Its issuer.
    pub fn issuer(&self) -> String {
        self.port.url()
    }

    /// Starts it, or starts it again with new keys. It sends browsers back to this address, and says this of its people, by name:
    /// the claim `roles`.
    pub fn start(&mut self, callback: &str, people: &[(&str, &[&str])]) -> Result<()> {
        self.stop()?;
        let folder = installed()?;
        let people: serde_json::Map<String, serde_json::Value> = people
            .iter()
            .map(|(name, roles)| ((*name).to_owned(), json!(roles)))
            .collect();
        let settings = json!({
            "port": self.port.number(),
            "callback": callback,
            "people": people,
        });
        let mut child = Command::new("node")
            .arg("provider.js")
            .arg(settings.to_string())
            .current_dir(folder)
            // It ends when this is closed, however this program ends.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("Node.js is installed, as by scripts/setup")?;
        let stdout = child.stdout.take();
        self.child = Some(child);
        let output = Log::default();
        output.read(stdout.context("the provider has no output")?);
        output.wait_for("the login provider", "listening on ", PATIENCE)?;
        Ok(())
    }

    /// Ends it, until it is started again.
    pub fn stop(&mut self) -> Result<()> {
        match self.child.take() {
            Some(mut child) => process::kill(&mut child),
            None => Ok(()),
        }
    }
}

impl Drop for LoginProvider {
    fn drop(&mut self) {
        // It is being thrown away; there is nobody left to tell that it could not be killed.
        let _ = self.stop();
    }
}

/// The folder with the provider, whose packages are installed if they are not yet.
fn installed() -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("login-provider");
    let lock = File::create(std::env::temp_dir().join("mhealth-login-provider.lock"))?;
    lock.lock()?;
    let changed = |path: &str| -> Result<SystemTime> {
        Ok(std::fs::metadata(folder.join(path))?.modified()?)
    };
    let wanted = changed("package-lock.json")?;
    if changed("node_modules/.package-lock.json").is_ok_and(|installed| installed > wanted) {
        return Ok(folder);
    }
    let installed = Command::new("npm")
        .args(["ci", "--no-audit", "--no-fund"])
        .current_dir(&folder)
        .stdin(Stdio::null())
        .output()
        .context("npm is installed, as by scripts/setup")?;
    let said = String::from_utf8_lossy(&installed.stderr);
    ensure!(installed.status.success(), "npm ci: {said}");
    if changed("node_modules/.package-lock.json").is_err() {
        bail!("npm ci installed nothing");
    }
    Ok(folder)
}
