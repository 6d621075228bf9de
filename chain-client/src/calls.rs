// SPDX-License-Identifier: Apache-2.0

//! The calls that programs make, one function each.
//!
//! The pallets' documentation says what a call does and who may make it.

use hashchain::{DeviceId, Run, StudyId};
use mhealth_api::Policy;
use subxt::utils::{AccountId32, H256};

use crate::call::Call;
use crate::council::{Proposal, UrgentDecision};
use crate::motions::Motion;
use crate::runtime::api;
use crate::runtime::api::runtime_types::bounded_collections::bounded_vec::BoundedVec;
use crate::runtime::api::runtime_types::mhealth_runtime::{RuntimeCall, SessionKeys as WireKeys};
use crate::runtime::api::runtime_types::pallet_client_hashchain::pallet::Call as HashchainCall;
use crate::runtime::api::runtime_types::pallet_client_hashchain::types as wire;
use crate::runtime::api::runtime_types::sp_consensus_aura::sr25519::app_sr25519::Public as AuraKey;
use crate::runtime::api::runtime_types::sp_consensus_grandpa::app::Public as GrandpaKey;
use crate::runtime::api::runtime_types::sp_weights::weight_v2::Weight;
use crate::types::{LastTrusted, SuspensionReason};

/// Upper bound of an encoded proposal, which the collective checks. The longest names all members that there can be.
const LONGEST_PROPOSAL: u32 = 4_096;

/// A device that is to be enrolled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDevice {
    /// Its Ed25519 public key.
    pub key: [u8; 32],
    /// `H("secret", S)`.
    pub secret_commitment: H256,
    /// The secret, sealed to the study's auditor.
    pub escrow: Vec<u8>,
    /// Which of the study's auditor keys that was, from 0 on.
    pub auditor_epoch: u32,
    /// `H("participant", key)` of the key to which it seals its data.
    pub participant: H256,
    /// The device that it goes on from.
    pub predecessor: Option<DeviceId>,
}

/// Enrols a device in a study; for an authentication server of the study, whose account the device's key has signed in
/// [`key_proof_message`](hashchain::key_proof_message). The event `DeviceEnrolled` tells the device's
/// number and link 0.
pub fn enrol(study: StudyId, device: NewDevice, key_proof: [u8; 64]) -> Call {
    Call::new(api::tx().client_hashchain().enrol(
        study.0,
        device.key,
        device.secret_commitment,
        BoundedVec(device.escrow),
        device.auditor_epoch,
        device.participant,
        device.predecessor.map(u32::from),
        key_proof,
    ))
}

/// Registers one run, or fails with the reason why not; for a relay of the device's study, or the device itself.
pub fn submit(run: Run) -> Call {
    Call::new(api::tx().client_hashchain().submit(run.into()))
}

/// Registers many runs, each of which is accepted or refused alone; at most 1,024. The call itself succeeds: refused runs show
/// as events `RunRefused`.
pub fn submit_batch(runs: Vec<Run>) -> Call {
    let runs = runs.into_iter().map(wire::Run::from).collect();
    Call::new(api::tx().client_hashchain().submit_batch(BoundedVec(runs)))
}

/// The same within each call that holds another. The chain takes no runs within other calls; this is for those who try.
pub fn batches_within(runs: &[Run]) -> [Call; 3] {
    let within = || {
        let runs = runs.iter().cloned().map(wire::Run::from).collect();
        RuntimeCall::ClientHashchain(HashchainCall::submit_batch {
            runs: BoundedVec(runs),
        })
    };
    [
        Call::new(api::tx().council().execute(within(), u32::MAX)),
        Call::new(api::tx().council().propose(1, within(), u32::MAX)),
        Call::new(api::tx().consortium().dispatch_as_root(within())),
    ]
}

/// Keeps a device from registering entries until it is resumed; for the study's sponsor or an authentication server.
pub fn suspend(device: DeviceId, reason: SuspensionReason) -> Call {
    Call::new(
        api::tx()
            .client_hashchain()
            .suspend(device.0, reason.into()),
    )
}

/// Lets a suspended device register entries again; for the study's sponsor or an authentication server.
pub fn resume(device: DeviceId) -> Call {
    Call::new(api::tx().client_hashchain().resume(device.0))
}

/// Ends a device's hashchain and names the last entry that the study trusts; for the study's sponsor. An authentication
/// server can only name the latest entry: the device is suspended, and retired after the chain's delay unless the sponsor
/// vetoes it.
pub fn retire(device: DeviceId, last_trusted: LastTrusted) -> Call {
    Call::new(
        api::tx()
            .client_hashchain()
            .retire(device.0, last_trusted.into()),
    )
}

/// Ends a retirement that an authentication server asked for and that does not hold yet; for the study's sponsor.
pub fn veto_retirement(device: DeviceId) -> Call {
    Call::new(api::tx().client_hashchain().veto_retirement(device.0))
}

/// Writes down that the data of a device were erased everywhere; for the study's sponsor, of a device that is suspended or retired.
/// `receipt` is the digest of the order that the holder of the participants' keys signed.
pub fn erase(device: DeviceId, receipt: [u8; 32]) -> Call {
    Call::new(api::tx().client_hashchain().erase(device.0, H256(receipt)))
}

/// Proposes something to the other members of the consortium; for a member. It is done at once when one member is enough, and
/// otherwise when so many have approved and somebody closes the motion. [`Proposal::needs`] says how many it takes.
pub fn propose(threshold: u32, proposal: &Proposal) -> Call {
    Call::new(
        api::tx()
            .council()
            .propose(threshold, proposal.call(), LONGEST_PROPOSAL),
    )
}

/// Votes on an open motion; for a member.
pub fn vote(motion: H256, index: u32, approve: bool) -> Call {
    Call::new(api::tx().council().vote(motion, index, approve))
}

/// Closes an open motion that has enough votes or cannot get them any more, or whose time is over; for a member. An approved
/// one is carried out.
pub fn close(motion: &Motion) -> Call {
    let (ref_time, proof_size) = motion.weight;
    let weight = Weight {
        ref_time,
        proof_size,
    };
    Call::new(
        api::tx()
            .council()
            .close(motion.hash, motion.index, weight, motion.length),
    )
}

/// Votes for an urgent decision, which is carried out as soon as enough members vote for it; for a member.
pub fn vote_urgent(decision: UrgentDecision) -> Call {
    Call::new(api::tx().consortium().vote_urgent(decision.wire()))
}

/// Takes a vote for an urgent decision back; for the member that cast it.
pub fn withdraw_urgent_vote(decision: UrgentDecision) -> Call {
    Call::new(api::tx().consortium().withdraw_urgent_vote(decision.wire()))
}

/// Puts another account of its own in a member's place in the consortium; for the member.
pub fn change_key(successor: AccountId32) -> Call {
    Call::new(api::tx().consortium().change_key(successor))
}

/// The keys by which a validator makes blocks and votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionKeys {
    /// Aura: sr25519.
    pub aura: [u8; 32],
    /// GRANDPA: Ed25519.
    pub grandpa: [u8; 32],
}

/// Registers other session keys, which count from the session after next on; for a validator, or a member that is going to be
/// one. Each key proves that its holder agrees ([`Account::prove_possession`](crate::Account::prove_possession)).
pub fn set_session_keys(keys: SessionKeys, aura: [u8; 64], grandpa: [u8; 64]) -> Call {
    let keys = WireKeys {
        aura: AuraKey(keys.aura),
        grandpa: GrandpaKey(keys.grandpa),
    };
    Call::new(api::tx().session().set_keys(keys, [aura, grandpa].concat()))
}

/// Puts the code of new rules in force, whose hash the consortium has authorised; for a member.
pub fn apply_authorized_upgrade(code: Vec<u8>) -> Call {
    Call::new(api::tx().system().apply_authorized_upgrade(code))
}

/// Proposes to the consortium to create a study; for a member. The study is there at once when one member is enough,
/// as on a development chain, and otherwise when enough have approved.
pub fn create_study(
    threshold: u32,
    sponsor: AccountId32,
    policy: Policy,
    auditor_key: [u8; 32],
    title: &str,
) -> Call {
    let proposal = Proposal::CreateStudy {
        sponsor,
        policy,
        auditor_key,
        title: title.to_owned(),
    };
    propose(threshold, &proposal)
}

/// Proposes to the consortium to name another sponsor for a study; for a member.
pub fn replace_sponsor(threshold: u32, study: StudyId, sponsor: AccountId32) -> Call {
    propose(threshold, &Proposal::ReplaceSponsor { study, sponsor })
}

/// Proves to the chain that a block is final; for anybody with a role. The proof is what a node answers, such as
/// [`BlockProof::finality_proof`](crate::BlockProof::finality_proof).
pub fn report_final(set: u64, proof: Vec<u8>) -> Call {
    Call::new(api::tx().finality().report_final(set, BoundedVec(proof)))
}

/// Hands in two finality proofs of one set for blocks that are not on one chain; for anybody with a role. The headers are those of
/// [`headers_down_to`](crate::ChainClient::headers_down_to), from the higher block to the lower number.
pub fn report_conflict(set: u64, lower: Vec<u8>, higher: Vec<u8>, headers: Vec<u8>) -> Call {
    let [lower, higher, headers] = [lower, higher, headers].map(BoundedVec);
    let call = api::tx().finality();
    Call::new(call.report_conflict(set, lower, higher, headers))
}

/// Proposes to the consortium to change the authorities by force, because finality has stalled; for a member.
pub fn note_stalled(threshold: u32, last_final: u32) -> Call {
    propose(threshold, &Proposal::NoteStalled { last_final })
}

/// Names another key of a study's auditor, for devices that enrol from then on; for the study's sponsor.
pub fn set_auditor_key(study: StudyId, auditor_key: [u8; 32]) -> Call {
    Call::new(api::tx().studies().set_auditor_key(study.0, auditor_key))
}

/// Closes a study; for its sponsor.
pub fn close_study(study: StudyId) -> Call {
    Call::new(api::tx().studies().close_study(study.0))
}

/// Opens a closed study again; for its sponsor.
pub fn reopen_study(study: StudyId) -> Call {
    Call::new(api::tx().studies().reopen_study(study.0))
}

/// Lets an account enrol devices in a study; for its sponsor.
pub fn add_authentication_server(study: StudyId, account: AccountId32) -> Call {
    Call::new(
        api::tx()
            .studies()
            .add_authentication_server(study.0, account),
    )
}

/// Takes the role of an authentication server away; for the study's sponsor.
pub fn remove_authentication_server(study: StudyId, account: AccountId32) -> Call {
    Call::new(
        api::tx()
            .studies()
            .remove_authentication_server(study.0, account),
    )
}

/// Lets an account submit runs of a study's devices; for the study's sponsor.
pub fn add_relay(study: StudyId, account: AccountId32) -> Call {
    Call::new(api::tx().studies().add_relay(study.0, account))
}

/// Takes the role of a relay away; for the study's sponsor.
pub fn remove_relay(study: StudyId, account: AccountId32) -> Call {
    Call::new(api::tx().studies().remove_relay(study.0, account))
}

/// Moves all roles of the signer in a study to another account of its own.
pub fn rotate(study: StudyId, successor: AccountId32) -> Call {
    Call::new(api::tx().studies().rotate(study.0, successor))
}
