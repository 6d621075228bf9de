// SPDX-License-Identifier: Apache-2.0

//! What a server in front of a database does with signatures: the same check as the chain, with the same library, on all processors.

use anyhow::{Context, Result};
use codec::Encode;
use hashchain::{head_message, is_signed_by_zip215, LinkHash};
use pallet_client_hashchain::run_checks::{run_checks, SIGNED};
use pallet_client_hashchain::Run;
use rayon::prelude::*;

use crate::workload::Keys;

/// Leaves the runs that their devices signed: checked together, as the chain does, or each by itself.
pub(crate) fn keep_valid(runs: &mut Vec<Run>, keys: &Keys, together: bool) -> Result<()> {
    let mut encoded = Vec::new();
    runs.iter().for_each(|run| run.encode_to(&mut encoded));
    let entries: usize = runs.iter().map(|run| run.entries.len()).sum();
    let mut links = vec![[0; 32]; entries];
    run_checks::links(&encoded, links.as_flattened_mut());
    let mut end = 0;
    let checks = runs.iter().map(|run| {
        end += run.entries.len();
        let link = links.get(end.wrapping_sub(1)).context("an empty run")?;
        let key = keys.get(&run.device).context("an unknown device")?;
        Ok((run.signature, *key, LinkHash(*link)))
    });
    let checks: Vec<(Option<[u8; 64]>, [u8; 32], LinkHash)> = checks.collect::<Result<_>>()?;
    let valid: Vec<bool> = match together {
        true => {
            let mut signed = Vec::with_capacity(checks.len() * SIGNED);
            for (signature, key, link) in &checks {
                signed.extend(signature.unwrap_or([0; 64]));
                signed.extend(key);
                signed.extend(link.0);
            }
            let mut valid = vec![0; checks.len()];
            run_checks::signed_ones(&signed, &mut valid);
            let valid = valid.into_iter().zip(&checks);
            valid
                .map(|(valid, (signature, ..))| signature.is_some() && valid == 1)
                .collect()
        }
        false => {
            let checks = checks.par_iter().map(|(signature, key, link)| {
                signature.is_some_and(|it| is_signed_by_zip215(key, &head_message(link), &it))
            });
            checks.collect()
        }
    };
    let mut valid = valid.into_iter();
    runs.retain(|_| valid.next().unwrap_or(false));
    Ok(())
}

#[cfg(test)]
mod tests {
    use pallet_client_hashchain::run_checks::GROUP;

    use super::*;
    use crate::plan::{Plan, Spread};
    use crate::workload::Phones;
    use crate::SIGNED as STUDY;

    #[test]
    fn a_server_keeps_what_devices_signed_and_nothing_else() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let mut phones = Phones::new([7; 32], STUDY, 100, 400);
        let keys = phones.keys();
        let plan = Plan {
            run: 2,
            signed: true,
            entries: 400,
            batch: 100,
            spread: Spread::Uniform,
            wrong_percent: 0.0,
            bad_percent: 10.0,
            bad_in_turn: false,
        };
        let file = phones.write(&plan, &folder.path().join("entries"))?;
        assert!(file.wrong > 0);
        for together in [false, true] {
            let mut kept = 0;
            for runs in file.runs()? {
                let mut runs = runs?;
                keep_valid(&mut runs, &keys, together)?;
                kept += runs.iter().map(|run| run.entries.len()).sum::<usize>();
            }
            assert_eq!(kept, file.right());
        }
        let mut unsigned = file.runs()?.next().context("there is a batch")??;
        unsigned.iter_mut().for_each(|run| run.signature = None);
        keep_valid(&mut unsigned, &keys, true)?;
        assert_eq!(unsigned, []);
        Ok(())
    }

    #[test]
    fn bad_signatures_in_turn_spoil_each_group_that_is_checked_together() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let mut phones = Phones::new([7; 32], STUDY, 100, 400);
        let keys = phones.keys();
        let plan = Plan {
            run: 1,
            signed: true,
            entries: 256,
            batch: 64,
            spread: Spread::Uniform,
            wrong_percent: 0.0,
            bad_percent: 100.0 / GROUP as f64,
            bad_in_turn: true,
        };
        let file = phones.write(&plan, &folder.path().join("entries"))?;
        assert_eq!((file.entries, file.wrong), (256, 256 / GROUP));
        for runs in file.runs()? {
            for group in runs?.chunks(GROUP) {
                let mut group = group.to_vec();
                keep_valid(&mut group, &keys, true)?;
                assert_eq!(group.len(), GROUP - 1);
            }
        }
        Ok(())
    }
}
