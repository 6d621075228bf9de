// SPDX-License-Identifier: Apache-2.0

//! What rows hold, and what may be wrong with them.

use crate::ApiError;

/// Why a store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// Another process holds the lease by now.
    #[error("another process has taken over")]
    Fenced,
    /// The database is somebody else's.
    #[error(
        "this database belongs to {what} {found}, and the server was started for {what} {expected}"
    )]
    Foreign {
        /// What differs, such as `chain`.
        what: &'static str,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        expected: String,
    },
    /// The database is a copy.
    #[error(
        "this is a copy of a database, made {0} seconds after 1970, and not a database: `restore` puts it in place \
         (backup_not_restored)"
    )]
    Copy(String),
    /// A copy was put into the database, and not to the end.
    #[error(
        "a copy is being put into this database, or that was interrupted, and what must not be believed of a copy is good in it: \
         `restore` the copy into a new database (restore_interrupted)"
    )]
    HalfRestored,
    /// A row is not what this program wrote.
    #[error("the database holds {0} that this program did not write")]
    Corrupt(&'static str),
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Database(error) => error.into(),
            error => ApiError::internal(error),
        }
    }
}

/// A number of a row that is never negative.
pub fn unsigned<T: TryFrom<i64>>(number: i64) -> Result<T, StoreError> {
    T::try_from(number).map_err(|_| StoreError::Corrupt("a number"))
}

/// A number for a row. What is beyond a row's numbers becomes the largest of them.
pub fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A hash of a row, of whichever kind.
pub fn hash<T: From<[u8; 32]>>(bytes: Vec<u8>) -> Result<T, StoreError> {
    let bytes = <[u8; 32]>::try_from(bytes);
    bytes
        .map(T::from)
        .map_err(|_| StoreError::Corrupt("a hash"))
}
