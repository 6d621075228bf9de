// SPDX-License-Identifier: Apache-2.0

//! The chain beside the model: calls are dispatched, and what comes of them is compared.

mod errors;
mod motions;
mod rules;

use std::fmt::Debug;

use frame_support::traits::Hooks;
use pallet_admission::{Outcome as Bytes, Rules as _, RunsOutcome, TopLevelRuns};
use pallet_client_hashchain::{
    Call as Hashchain, Conflicts, Devices, Erasures, Event, JournalLength, StatusChanges,
};
use pallet_consortium::{Collective, KeyChanges, UrgentVotes, Validators};
use pallet_studies::{StudyPolicy, StudyStatus, Successors};
use sp_runtime::traits::Dispatchable;

pub(super) use self::{motions::compare_executed, rules::begin};
use super::{
    runs::{bytes_of, Verdict},
    steps::{run_of, Act, By, Outcome},
    world::{Conflict, World},
};
use crate::{
    admission::Admitted, limits::HOURS, AccountId, Accountability, Admission, BlockNumber,
    ClientHashchain, Consortium, Finality, Members, Runtime, RuntimeCall, RuntimeEvent,
    RuntimeOrigin, Studies, System,
};

/// What differs, in words.
pub(super) type Same = Result<(), String>;

fn same<T: PartialEq + Debug>(what: impl Debug, chain: T, model: T) -> Same {
    if chain == model {
        return Ok(());
    }
    Err(format!(
        "{what:?}\n  is on the chain {chain:?}\n  in the model    {model:?}"
    ))
}

/// Dispatches a call as a block does, without the signature around it.
pub(super) fn dispatch(act: &Act) -> Result<(), &'static str> {
    System::reset_events();
    RunsOutcome::<Runtime>::kill();
    if act.at_top {
        TopLevelRuns::<Runtime>::put(true);
    }
    let origin: RuntimeOrigin = match &act.by {
        By::Account(who) => RuntimeOrigin::signed(who.clone()),
        By::Root => RuntimeOrigin::root(),
        By::Members(ayes) => {
            let members = Members::members().len() as u32;
            pallet_collective::RawOrigin::Members(*ayes, members).into()
        }
    };
    let result = act.call.clone().dispatch(origin);
    TopLevelRuns::<Runtime>::kill();
    result
        .map(drop)
        .map_err(|refused| errors::name_of(refused.error))
}

/// So many blocks pass.
pub(super) fn pass(blocks: BlockNumber) {
    let now = System::block_number();
    <ClientHashchain as Hooks<_>>::on_finalize(now);
    <Admission as Hooks<_>>::on_finalize(now);
    System::set_block_number(now + blocks);
    <ClientHashchain as Hooks<_>>::on_initialize(now + blocks);
}

/// What the pallets themselves say must hold.
pub(super) fn try_state() -> Same {
    let named = |pallet: &str, result: Result<(), sp_runtime::TryRuntimeError>| {
        result.map_err(|error| format!("the invariants of {pallet}: {error:?}"))
    };
    named("client-hashchain", ClientHashchain::do_try_state())?;
    named("studies", Studies::do_try_state())?;
    named("consortium", Consortium::do_try_state())?;
    named("accountability", Accountability::do_try_state())?;
    named("finality", Finality::do_try_state())?;
    named("admission", Admission::do_try_state())
}

/// Whether the table of admission says the same of a transaction.
pub(super) fn compare_admission(world: &World, act: &Act) -> Same {
    let By::Account(who) = &act.by else {
        return Ok(());
    };
    same(
        "the lane",
        Admitted::lane(who, &act.call),
        world.lane(who, &act.call),
    )
}

/// Whether a call came to the same, with all that it reported of its runs.
pub(super) fn compare_outcome(act: &Act, chain: Result<(), &str>, model: &Outcome) -> Same {
    let expected = model.as_ref().map(|_| ()).map_err(|error| *error);
    same("the outcome", chain, expected)?;
    let runs: Vec<_> = match &act.call {
        RuntimeCall::ClientHashchain(Hashchain::submit { run }) => vec![run.clone()],
        RuntimeCall::ClientHashchain(Hashchain::submit_batch { runs }) => {
            runs.iter().map(run_of).collect()
        }
        _ => return Ok(()),
    };
    let (Ok(verdicts), is_batch) = (model, !is_submit(&act.call)) else {
        return same("a trace of a failure", RunsOutcome::<Runtime>::take(), None);
    };
    let mut bytes = Bytes::default();
    let (mut refused, mut known, mut new) = (Vec::new(), 0, 0);
    for (position, (run, verdict)) in (0..).zip(runs.iter().zip(verdicts)) {
        let length = bytes_of(run) as u32;
        match verdict {
            Verdict::Recorded { known } => {
                // Each of its entries has its share.
                let of_known = length * *known as u32 / run.entries.len() as u32;
                bytes.known += of_known;
                bytes.recorded += length - of_known;
                new += run.entries.len() - known;
            }
            Verdict::Known => {
                bytes.known += length;
                known += 1;
            }
            Verdict::Refused(reason, _) => {
                bytes.refused += length;
                refused.push((position, run.device, run.sequence, *reason));
            }
        }
    }
    // Which of the known ones are replayed is a matter of what is charged.
    let told = RunsOutcome::<Runtime>::take().map(|told| Bytes {
        known: told.known + told.replayed,
        replayed: 0,
        ..told
    });
    same("the bytes", told, Some(bytes))?;

    let (mut told_refused, mut told_known, mut told_new) = (Vec::new(), 0, None);
    for record in System::read_events_no_consensus() {
        match record.event {
            RuntimeEvent::ClientHashchain(Event::RunRefused {
                position,
                device,
                sequence,
                reason,
            }) => told_refused.push((position, device, sequence, reason)),
            RuntimeEvent::ClientHashchain(Event::RunAlreadyRecorded { .. }) => told_known += 1,
            RuntimeEvent::ClientHashchain(
                Event::BatchProcessed { entries, .. } | Event::RunRecorded { entries, .. },
            ) => told_new = Some(entries as usize),
            _ => (),
        }
    }
    same("the refusals", told_refused, refused)?;
    same("the retries", told_known, known)?;
    let says_new = is_batch || new > 0;
    same("the new entries", told_new, says_new.then_some(new))
}

fn is_submit(call: &RuntimeCall) -> bool {
    matches!(call, RuntimeCall::ClientHashchain(Hashchain::submit { .. }))
}

/// Compares what a call could have touched: its devices, its study, and what it added to the journal since `from`.
pub(super) fn compare_touched(world: &World, act: &Act, from: usize) -> Same {
    let mut devices = Vec::new();
    let mut study = None;
    match &act.call {
        RuntimeCall::ClientHashchain(call) => match call {
            Hashchain::submit { run } => devices.push(run.device),
            Hashchain::submit_batch { runs } => devices.extend(runs.iter().map(|run| run.device)),
            Hashchain::suspend { device, .. }
            | Hashchain::resume { device }
            | Hashchain::retire { device, .. }
            | Hashchain::veto_retirement { device }
            | Hashchain::erase { device, .. } => devices.push(*device),
            Hashchain::enrol {
                predecessor, study, ..
            } => {
                devices.extend(predecessor);
                devices.extend((world.devices.len() as u32).checked_sub(1));
                compare_study(world, *study)?;
            }
            _ => (),
        },
        RuntimeCall::Studies(call) => {
            use pallet_studies::Call::*;
            match call {
                close_study { study: one }
                | reopen_study { study: one }
                | add_authentication_server { study: one, .. }
                | remove_authentication_server { study: one, .. }
                | add_relay { study: one, .. }
                | remove_relay { study: one, .. }
                | replace_sponsor { study: one, .. }
                | rotate { study: one, .. }
                | set_auditor_key { study: one, .. }
                | set_allowance { study: one, .. } => study = Some(*one),
                _ => study = (world.studies.len() as u32).checked_sub(1),
            }
        }
        // A motion, or Root, may have done anything to a study.
        _ => {
            compare_consortium(world)?;
            compare_studies(world)?;
        }
    }
    devices.sort_unstable();
    devices.dedup();
    for device in devices {
        compare_device(world, device)?;
        if let Some(device) = world.devices.get(device as usize) {
            compare_study(world, device.study)?;
        }
    }
    study.map_or(Ok(()), |study| compare_study(world, study))?;
    compare_journal(world, from)
}

/// Compares everything.
pub(super) fn compare_all(world: &World, accounts: &[AccountId]) -> Same {
    for device in 0..=world.devices.len() as u32 {
        compare_device(world, device)?;
    }
    compare_studies(world)?;
    for account in accounts {
        let is_known = System::providers(account) > 0;
        same(
            ("a place on the chain", account),
            is_known,
            world.known.contains(account),
        )?;
        same(
            ("successor of", account),
            Successors::<Runtime>::get(account),
            world.successors.get(account).cloned(),
        )?;
    }
    compare_consortium(world)?;
    compare_journal(world, 0)
}

fn compare_studies(world: &World) -> Same {
    let mut studies = 0..=world.studies.len() as u32;
    studies.try_for_each(|study| compare_study(world, study))
}

fn compare_study(world: &World, id: u32) -> Same {
    let (Some(study), model) = (Studies::study(id), world.studies.get(id as usize)) else {
        return same(("study", id), false, world.studies.len() > id as usize);
    };
    let model = model.ok_or_else(|| format!("study {id} is on the chain only"))?;
    same(("sponsor of", id), &study.sponsor, &model.sponsor)?;
    let is_signed = study.policy == StudyPolicy::DeviceSigned;
    same(("policy of", id), is_signed, model.device_signed)?;
    let is_open = study.status == StudyStatus::Open;
    same(("whether open:", id), is_open, model.open)?;
    let keys = study.former_auditor_keys.iter();
    let keys: Vec<_> = keys.chain([&study.auditor_key]).copied().collect();
    same(("auditor keys of", id), &keys, &model.auditor_keys)?;
    let quota = Studies::quota(id);
    same(("allowance of", id), quota.allowance, model.allowance)?;
    same(("what is used by", id), quota.used, model.used)?;
    let servers = Studies::authentication_servers(id).into_iter().collect();
    same(("servers of", id), &servers, &model.servers)?;
    let relays = Studies::relays(id).into_iter().collect();
    same(("relays of", id), &relays, &model.relays)?;
    for server in &model.servers {
        let changes = StatusChanges::<Runtime>::get(id, server);
        let in_hour = model.changes_in_hour(server, changes.window * HOURS);
        same(("changes by a server of", id), changes.count, in_hour)?;
    }
    let (given_up, more) = Studies::rotations(id, None);
    same(("parts of accounts given up in", id), more, None)?;
    let given_up = given_up.into_iter().collect();
    same(("accounts given up in", id), &given_up, &model.given_up)
}

fn compare_device(world: &World, id: u32) -> Same {
    let (Some(head), model) = (ClientHashchain::head_of(id), world.devices.get(id as usize)) else {
        return same(("device", id), false, world.devices.len() > id as usize);
    };
    let model = model.ok_or_else(|| format!("device {id} is on the chain only"))?;
    same(("study of device", id), head.study, model.study)?;
    same(("status of device", id), head.status, model.status)?;
    let latest = (head.length, head.hash);
    same(("head of device", id), latest, model.latest())?;
    let index = model.entries.last().map(|entry| entry.index);
    same(("latest entry of device", id), head.latest(), index)?;

    let record = Devices::<Runtime>::get(id).ok_or("a device has no record")?;
    same(("key of device", id), record.key, model.key)?;
    same(
        ("epoch and participant of device", id),
        (record.auditor_epoch, record.participant),
        model.sealed_to,
    )?;
    same(("link 0 of device", id), record.genesis, model.genesis)?;
    let trusted = record.trusted.map(|head| (head.length, head.hash));
    same(("trusted of device", id), trusted, model.trusted)?;
    same(
        ("retirement of device", id),
        record.retires_at,
        model.retires_at,
    )?;
    same(
        ("what is before and after device", id),
        (record.predecessor, record.successor),
        (model.predecessor, model.successor),
    )?;

    let conflicts = Conflicts::<Runtime>::get(id);
    let stored: Vec<_> = conflicts
        .stored
        .into_iter()
        .map(|stored| Conflict {
            sequence: stored.sequence,
            recorded: stored.recorded,
            rival: stored.rival,
            rival_digest: stored.rival_digest,
            signed: stored.signed,
            submitter: stored.submitter,
            block: stored.block,
        })
        .collect();
    same(("conflicts of device", id), &stored, &model.conflicts)?;
    let erased = Erasures::<Runtime>::get(id);
    let erased = erased.map(|of| (of.receipt, of.submitter, of.block));
    same(("erasure of device", id), &erased, &model.erased)?;
    let not_stored = conflicts.not_stored;
    same(("rivals not stored of", id), not_stored, model.not_stored)
}

/// Compares the journal from this entry on.
fn compare_journal(world: &World, from: usize) -> Same {
    let length = JournalLength::<Runtime>::get() as usize;
    same("length of the journal", length, world.journal.len())?;
    for (index, device) in world.journal.iter().enumerate().skip(from) {
        let index = index as u64;
        let entry = ClientHashchain::journal_entry(index).ok_or("the journal has a hole")?;
        same(("device of entry", index), entry.device, *device)?;
        let entries = &world.devices[*device as usize].entries;
        let place = entries.partition_point(|entry| entry.index < index);
        let (model, sequence) = (&entries[place], place as u64 + 1);
        let previous = place.checked_sub(1).map(|before| entries[before].index);
        same(
            ("entry", index),
            (entry.sequence, entry.digest, entry.hash, entry.previous),
            (sequence, model.digest, model.link, previous),
        )?;
    }
    Ok(())
}

fn compare_consortium(world: &World) -> Same {
    let members = Members::members().into_inner();
    same(
        "the members",
        &members,
        &Vec::from_iter(world.members.clone()),
    )?;
    let voters = pallet_collective::Members::<Runtime, Collective>::get();
    same("who votes", &voters, &members)?;
    let validators = Validators::<Runtime>::get().into_inner();
    same("the validators", &validators, &world.validators)?;
    for member in &members {
        let changed = KeyChanges::<Runtime>::get(member);
        let model = world.key_changes.get(member).copied();
        same(("change of key", member), changed, model)?;
        let votes = UrgentVotes::<Runtime>::get(member).into_iter();
        let votes: Vec<_> = votes.map(|vote| (vote.decision, vote.until)).collect();
        let model = world.votes.get(member).cloned().unwrap_or_default();
        same(("urgent votes", member), &votes, &model)?;
    }
    motions::compare(world)?;
    rules::compare(world)
}
