// SPDX-License-Identifier: Apache-2.0

//! What a device needs until it is enrolled, and where its servers are.

use mhealth_api::EnrolmentCode;
use mhealth_device::{book::Book, Error};
use zeroize::Zeroizing;

use super::{LocalId, Store};

/// Where the servers of a file's devices are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerAddresses {
    /// Base address of the authentication server; `None` in the direct form.
    pub authentication: Option<String>,
    /// Base addresses of the relays, as configured; none when the authentication server is to name them.
    pub relays: Vec<String>,
    /// Whether relays chain bare records on the devices' behalf. Then heads on the chain are not the devices' own.
    pub bare_records: bool,
}

impl Store {
    /// Keeps the code that a device will redeem, so that a device that is killed can ask again; or (`None`) forgets it.
    pub fn set_code(&self, id: LocalId, code: Option<&EnrolmentCode>) -> Result<(), Error> {
        self.connection
            .prepare_cached("UPDATE device SET code = ?2 WHERE id = ?1")
            .and_then(|mut update| {
                update.execute((id.0, code.map(|code| code.reveal().to_string())))
            })
            .map(drop)
            .map_err(|e| self.failed(e))
    }

    /// The code that a device has not redeemed yet.
    pub fn code(&self, id: LocalId) -> Result<Option<EnrolmentCode>, Error> {
        let code = self
            .connection
            .prepare_cached("SELECT code FROM device WHERE id = ?1")
            .and_then(|mut find| find.query_row([id.0], |row| row.get::<_, Option<String>>(0)))
            .map_err(|e| self.failed(e))?;
        let code = code.map(Zeroizing::new);
        let read = code.map(|code| code.parse::<EnrolmentCode>()).transpose();
        read.map_err(|_| self.damaged("what it keeps for an enrolment code is none"))
    }

    /// Keeps the public key of a device's participant, to which its payloads are sealed from the first on, and which it is enrolled
    /// with. Refused are a weak key, and any other key than before once the device is enrolled or has sealed something.
    pub fn set_recipient(&self, id: LocalId, key: Option<[u8; 32]>) -> Result<(), Error> {
        Book::set_recipient(self, id, key)
    }

    /// The public key of a device's participant; `None` in studies with plain envelopes.
    pub fn recipient(&self, id: LocalId) -> Result<Option<[u8; 32]>, Error> {
        self.connection
            .prepare_cached("SELECT recipient FROM device WHERE id = ?1")
            .and_then(|mut find| find.query_row([id.0], |row| row.get(0)))
            .map_err(|e| self.failed(e))
    }

    /// The servers that this file remembers.
    pub fn servers(&self) -> Result<ServerAddresses, Error> {
        let rows: Vec<(String, String, bool)> = self
            .connection
            .prepare_cached("SELECT role, address, bare FROM server ORDER BY rowid")
            .and_then(|mut rows| {
                rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                    .collect()
            })
            .map_err(|e| self.failed(e))?;
        let mut servers = ServerAddresses::default();
        for (role, address, bare) in rows {
            servers.bare_records |= bare;
            match role.as_str() {
                "authentication" => servers.authentication = Some(address),
                _ => servers.relays.push(address),
            }
        }
        Ok(servers)
    }

    /// Remembers these servers instead of those before.
    pub fn set_servers(&self, servers: &ServerAddresses) -> Result<(), Error> {
        let write = || -> rusqlite::Result<()> {
            let transaction = self.connection.unchecked_transaction()?;
            transaction.execute("DELETE FROM server", [])?;
            let authentication = servers.authentication.iter().map(|a| (a, "authentication"));
            let relays = servers.relays.iter().map(|relay| (relay, "relay"));
            for (address, role) in authentication.chain(relays) {
                transaction.execute(
                    "INSERT OR IGNORE INTO server (address, role, bare) VALUES (?1, ?2, ?3)",
                    (address, role, servers.bare_records),
                )?;
            }
            transaction.commit()
        };
        write().map_err(|e| self.failed(e))
    }
}
