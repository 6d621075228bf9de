// SPDX-License-Identifier: Apache-2.0

//! What the chain says of devices and studies, as every server shows it.

use hashchain::StudyId;
use mhealth_api::{BlockRef, ChainHead, DeviceOnChain, Hash, Head, Key, StudyTerms};
use mhealth_chain_client::{DeviceView, StudyView};

/// A device at this block.
pub fn device(view: &DeviceView, block: BlockRef) -> DeviceOnChain {
    DeviceOnChain {
        device: view.device,
        study: view.study,
        key: Key(view.key),
        genesis: view.genesis,
        status: view.status.clone(),
        chain: ChainHead {
            head: Head {
                length: view.length,
                hash: view.head,
            },
            block,
        },
    }
}

/// A study of this chain.
pub fn study(chain: Hash, study: StudyId, view: StudyView) -> StudyTerms {
    StudyTerms {
        auditor_epoch: view.auditor_epoch(),
        chain,
        study,
        policy: view.policy,
        title: view.title,
        auditor_key: Key(view.auditor_key),
        open: view.open,
    }
}
