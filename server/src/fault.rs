// SPDX-License-Identifier: Apache-2.0

//! What an operator has to mend before a server can do what it is asked.

use std::path::PathBuf;

/// Something that is wrong with a server's surroundings. Each has a stable code, which stands at the end of its sentence.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupFault {
    /// Nothing protects what is said to the database.
    #[error(
        "the database is on another machine ({host}) and nothing makes sure that it is this one: put \
         `sslmode=verify-full` into its address, and `sslrootcert=FILE` where a certificate authority of its own made its \
         certificate (database_without_tls)"
    )]
    DatabaseWithoutTls {
        /// Where it is.
        host: String,
    },
    /// A file of the database can be read by others, and this process may not change that.
    #[error(
        "{} can be read or written by others, and its mode cannot be changed: {why}. As its owner, run `chmod 600 {}` \
         (file_readable_by_others)", path.display(), path.display()
    )]
    NotPrivate {
        /// The file.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
    },
    /// A database cannot be made.
    #[error("the database {} cannot be made: {why} (database_not_made)", path.display())]
    NotMade {
        /// The file.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
    },
    /// A copy would replace what is there.
    #[error("{} is there already, and a copy is a new file (file_exists)", .0.display())]
    FileExists(PathBuf),
    /// There is nothing to copy.
    #[error("there is no database {} (no_database)", .0.display())]
    NoDatabase(PathBuf),
    /// A copy would be put where something is.
    #[error(
        "the database {0} is there already and is not replaced: give a new one, or move this one away with all of its files \
         (database_exists)"
    )]
    DatabaseExists(String),
    /// Beside the place of a copy is what a lost database had there.
    #[error(
        "{} is left of a database that was here, and SQLite would lay what is in it over the copy: move it away, too, to where its \
         database is now (database_left_over)", .0.display()
    )]
    LeftOver(PathBuf),
    /// A file is no copy.
    #[error("{} is no copy that `backup` made, or is damaged (not_a_backup)", .0.display())]
    NotACopy(PathBuf),
    /// Nobody says whose requests a proxy brings.
    #[error(
        "{listen} faces a network and a proxy is to be in front of it: name the proxies by --trusted-proxy, or anybody could say \
         whose a request is (no_trusted_proxy)"
    )]
    NoTrustedProxy {
        /// Where the server is to listen.
        listen: std::net::SocketAddr,
    },
    /// What an option says is not what it should be.
    #[error("{option}: {why} (invalid_option)")]
    InvalidOption {
        /// The option.
        option: &'static str,
        /// What is wrong.
        why: String,
    },
}

impl SetupFault {
    /// The code. Stable.
    pub fn code(&self) -> &'static str {
        match self {
            Self::DatabaseWithoutTls { .. } => "database_without_tls",
            Self::NotPrivate { .. } => "file_readable_by_others",
            Self::NotMade { .. } => "database_not_made",
            Self::FileExists(_) => "file_exists",
            Self::NoDatabase(_) => "no_database",
            Self::DatabaseExists(_) => "database_exists",
            Self::LeftOver(_) => "database_left_over",
            Self::NotACopy(_) => "not_a_backup",
            Self::NoTrustedProxy { .. } => "no_trusted_proxy",
            Self::InvalidOption { .. } => "invalid_option",
        }
    }
}
