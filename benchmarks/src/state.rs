// SPDX-License-Identifier: Apache-2.0

//! What a node's best block has in its state.

use anyhow::{ensure, Result};
use mhealth_runtime::Runtime;
use mhealth_testing::rpc::JsonRpc;
use pallet_client_hashchain::{JournalPages, ENTRIES_PER_PAGE};
use serde::Deserialize;
use sp_core::bytes::{from_hex, to_hex};

/// So many pages of the journal are looked at, of those that a measurement has filled.
const PAGES: u64 = 256;

/// What a node answers to `state_queryStorageAt`.
#[derive(Deserialize)]
struct StorageAt {
    /// Keys and values, in hexadecimal.
    changes: Vec<(String, Option<String>)>,
}

/// What stands under these keys, all in the same block; nothing for keys that are not there.
pub(crate) async fn values(rpc: &JsonRpc, keys: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
    let keys: Vec<String> = keys.iter().map(|key| to_hex(key, false)).collect();
    let [found]: [StorageAt; 1] = rpc
        .request("state_queryStorageAt", &[serde_json::json!(keys)])
        .await?;
    let values = found.changes.iter().filter_map(|(_, value)| value.as_ref());
    values.map(|value| Ok(from_hex(value)?)).collect()
}

/// Bytes of an entry in the journal, its share of the page's key included: on average of some of the pages that these entries fill, the
/// first and the one behind the last given by their places. None if they fill none.
pub(crate) async fn journal_bytes(rpc: &JsonRpc, entries: [u64; 2]) -> Result<Option<f64>> {
    let pages = filled_pages(entries);
    if pages.is_empty() {
        return Ok(None);
    }
    let keys: Vec<Vec<u8>> = pages
        .into_iter()
        .map(JournalPages::<Runtime>::hashed_key_for)
        .collect();
    let found = values(rpc, &keys).await?;
    ensure!(
        found.len() == keys.len(),
        "pages of the journal are missing"
    );
    let bytes: usize = keys.iter().chain(&found).map(Vec::len).sum();
    let entries = keys.len() as f64 * f64::from(ENTRIES_PER_PAGE);
    Ok(Some(bytes as f64 / entries))
}

/// Pages that have none but these entries, as many as are looked at, evenly.
fn filled_pages([first, behind]: [u64; 2]) -> Vec<u64> {
    let page = u64::from(ENTRIES_PER_PAGE);
    let pages = first.div_ceil(page)..behind / page;
    let count = pages.end.saturating_sub(pages.start);
    let step = count.div_ceil(PAGES).max(1);
    pages.step_by(step as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_that_are_looked_at_have_entries_of_the_measurement_alone() {
        let page = u64::from(ENTRIES_PER_PAGE);
        assert!(filled_pages([1, page]).is_empty());
        assert!(filled_pages([page + 1, page + 1]).is_empty());
        assert_eq!(filled_pages([1, 3 * page]), [1, 2]);
        assert_eq!(filled_pages([page, 3 * page - 1]), [1]);
        let many = filled_pages([0, 1_000 * page]);
        assert_eq!(many.len() as u64, PAGES - 6);
        assert_eq!(&many[..3], [0, 4, 8]);
    }
}
