// SPDX-License-Identifier: Apache-2.0

//! What the chain says of devices and studies, as every server shows it.

use mhealth_api::{BlockRef, ChainHead, DeviceOnChain, Hash, Head, Key, Policy, StudyTerms};
use mhealth_chain_client::{DeviceState, DeviceView, StudyView};

/// A device at this block.
pub fn device(view: &DeviceView, block: BlockRef) -> DeviceOnChain {
    let status = match view.state {
        DeviceState::Active => "active",
        DeviceState::Suspended => "suspended",
        DeviceState::Retired => "retired",
    };
    DeviceOnChain {
        device: view.device,
        study: view.study,
        key: Key(view.key),
        genesis: Hash(view.genesis.0),
        status: status.to_owned(),
        chain: ChainHead {
            head: Head {
                length: view.length,
                hash: Hash(view.head.0),
            },
            block,
        },
    }
}

/// A study of this chain.
pub fn study(chain: Hash, study: u32, view: StudyView) -> StudyTerms {
    StudyTerms {
        chain,
        study,
        policy: policy(&view),
        title: view.title,
        auditor_key: Key(view.auditor_key),
        open: view.open,
    }
}

/// How the runtime checks the runs of a study.
pub fn policy(view: &StudyView) -> Policy {
    match view.device_signed {
        true => Policy::DeviceSigned,
        false => Policy::HashchainOnly,
    }
}
