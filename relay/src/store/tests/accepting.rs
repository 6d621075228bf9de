// SPDX-License-Identifier: Apache-2.0

//! What is taken, what is known already, and what is a rival.

use mhealth_api::{Code, RunState};

use super::*;
use crate::testing::TestDevice;

pub(super) async fn accepted_runs_wait(scratch: Scratch) {
    let store = &scratch.store;
    let mut device = TestDevice::new(1);
    let genesis = device.genesis();
    let run = device.checked(3);
    let decisions = accept(store, &[candidate(run.clone(), genesis)]).await;
    let Ok(Acceptance::Accepted(status)) = &decisions[0] else {
        panic!("{decisions:?}")
    };
    assert_eq!(
        (status.state.clone(), status.entries, status.run),
        (RunState::Pending, 3, run.id)
    );
    assert_eq!(store.status(&run.id).await.unwrap().as_ref(), Some(status));
    assert_eq!(store.head(DeviceId(1)).await.unwrap(), Some(device.head()));
    let pending = store.pending_runs(10).await.unwrap();
    assert_eq!(pending.len(), 1);
    assert_eq!(pending[0].for_chain, run.run);
    let queue = store.queue().await.unwrap();
    assert_eq!(
        (queue.runs, queue.entries, queue.oldest),
        (1, 3, Some(1_000_000_000))
    );
    assert_eq!(
        scratch
            .other()
            .await
            .status(&run.id)
            .await
            .unwrap()
            .as_ref(),
        Some(status)
    );
}

pub(super) async fn same_run_again(scratch: Scratch) {
    let mut device = TestDevice::new(1);
    let genesis = device.genesis();
    let run = candidate(device.checked(3), genesis);
    let decisions = accept(&scratch.store, &[run.clone(), run.clone()]).await;
    assert!(
        matches!(
            decisions[..],
            [Ok(Acceptance::Accepted(_)), Ok(Acceptance::Known(_))]
        ),
        "{decisions:?}"
    );
    let decisions = accept(&scratch.store, &[run]).await;
    assert!(matches!(decisions[..], [Ok(Acceptance::Known(_))]));
    assert_eq!(scratch.store.pending_runs(10).await.unwrap().len(), 1);
}

pub(super) async fn group_sees_itself(scratch: Scratch) {
    let mut devices: Vec<_> = (0..40).map(TestDevice::new).collect();
    let mut group = Vec::new();
    for _ in 0..5 {
        for device in &mut devices {
            let genesis = device.genesis();
            group.push(candidate(device.checked(1), genesis));
        }
    }
    let decisions = accept(&scratch.store, &group).await;
    assert!(decisions
        .iter()
        .all(|decision| matches!(decision, Ok(Acceptance::Accepted(_)))));
    assert_eq!(scratch.store.queue().await.unwrap().runs, 200);
    let pending = scratch.store.pending_runs(1_000).await.unwrap();
    assert!(pending.is_sorted_by_key(|pending| pending.run.id));
    for device in &devices {
        let head = scratch.store.head(device.number()).await.unwrap();
        assert_eq!(head, Some(device.head()));
    }
}

pub(super) async fn rivals_are_bounded(scratch: Scratch) {
    let mut device = TestDevice::new(1);
    let genesis = device.genesis();
    accept(&scratch.store, &[candidate(device.checked(3), genesis)]).await;
    let rivals: Vec<_> = (1..=3)
        .map(|history| candidate(TestDevice::with_history(1, history).checked(3), genesis))
        .collect();
    let decisions = accept(&scratch.store, &rivals[..1]).await;
    assert!(matches!(decisions[0], Ok(Acceptance::Accepted(_))));
    let decisions = accept(&scratch.store, &rivals[1..]).await;
    assert!(matches!(decisions[0], Ok(Acceptance::Accepted(_))));
    let Ok(Acceptance::Refused(problem)) = &decisions[1] else {
        panic!("{decisions:?}")
    };
    assert_eq!(problem.known_code(), Some(Code::TooManyConflicts));
    // A rival does not take the head.
    assert_eq!(
        scratch.store.head(DeviceId(1)).await.unwrap(),
        Some(device.head())
    );
}

/// Somebody without the device's key fills its places, and the phone's own run comes after that.
pub(super) async fn signed_rivals_have_a_place(scratch: Scratch) {
    let thief = |history: u8| {
        let forged = TestDevice::with_history(1, history).checked(1);
        let is_signed = false;
        crate::run::CheckedRun {
            is_signed,
            ..forged
        }
    };
    let genesis = TestDevice::new(1).genesis();
    let mut taken = 0;
    let attempts = (1..=20).map(|history| candidate(thief(history), genesis));
    let attempts: Vec<_> = attempts.collect();
    for group in attempts.chunks(3) {
        let decisions = scratch.store.accept(group, &quotas(16)).await.unwrap();
        let accepted = |decision: &&Decision| matches!(decision, Ok(Acceptance::Accepted(_)));
        taken += decisions.iter().filter(accepted).count();
    }
    // The first is no rival, but took the head.
    assert_eq!(taken, 1 + 12);
    for history in 100..104 {
        let genuine = candidate(TestDevice::with_history(1, history).checked(1), genesis);
        let decisions = scratch.store.accept(&[genuine], &quotas(16)).await.unwrap();
        let accepted = matches!(decisions[0], Ok(Acceptance::Accepted(_)));
        assert!(accepted, "{history}: {decisions:?}");
    }
    let one_more = candidate(TestDevice::with_history(1, 104).checked(1), genesis);
    let decisions = scratch
        .store
        .accept(&[one_more], &quotas(16))
        .await
        .unwrap();
    assert!(matches!(decisions[0], Ok(Acceptance::Refused(_))));
}

pub(super) async fn older_cuts(scratch: Scratch) {
    let mut device = TestDevice::new(1);
    let genesis = device.genesis();
    let whole = device.run(4);
    let mut cut = whole.clone();
    cut.entries.truncate(2);
    let mut again = TestDevice::new(1);
    let cut = {
        let first = again.run(2);
        assert_eq!(first.entries, cut.entries);
        again.check(first)
    };
    let whole = device.check(whole);
    accept(&scratch.store, &[candidate(whole, genesis)]).await;
    let decisions = accept(&scratch.store, &[candidate(cut, genesis)]).await;
    assert!(
        matches!(decisions[0], Ok(Acceptance::Accepted(_))),
        "{decisions:?}"
    );
    let other = TestDevice::with_history(1, 9).checked(2);
    let id = other.id;
    accept(&scratch.store, &[candidate(other, genesis)]).await;
    let (rival,): (i64,) = sqlx::query_as("SELECT rival FROM runs WHERE run = $1")
        .bind(id.0.to_vec())
        .fetch_one(scratch.store.database().pool())
        .await
        .unwrap();
    // Signed by the device's key all the same.
    assert_eq!(rival, 2);
    assert_eq!(
        scratch.store.head(DeviceId(1)).await.unwrap(),
        Some(device.head())
    );
}

pub(super) async fn not_taken(scratch: Scratch) {
    let mut device = TestDevice::new(1);
    let genesis = device.genesis();
    let first = candidate(device.checked(1), genesis);
    accept(&scratch.store, std::slice::from_ref(&first)).await;
    let shut = |candidate: Candidate| Candidate {
        admission: Err(Code::DeviceSuspended),
        ..candidate
    };
    let second = candidate(device.checked(1), genesis);
    let decisions = accept(&scratch.store, &[shut(first), shut(second)]).await;
    assert!(matches!(decisions[0], Ok(Acceptance::Known(_))));
    let Ok(Acceptance::Refused(problem)) = &decisions[1] else {
        panic!("{decisions:?}")
    };
    assert_eq!(problem.known_code(), Some(Code::DeviceSuspended));
    assert_eq!(scratch.store.queue().await.unwrap().runs, 1);
}

pub(super) async fn asked_about(scratch: Scratch) {
    let store = &scratch.store;
    let mut devices = [1, 2].map(TestDevice::new);
    let genesis = devices[0].genesis();
    let unknown = Candidate {
        answers: ChainAnswers::default(),
        ..candidate(devices[1].checked(1), devices[1].genesis())
    };
    let group = [unknown, candidate(devices[0].checked(1), genesis)];
    let decisions = accept(store, &group).await;
    assert!(
        matches!(
            decisions[..],
            [Err(Question::Head), Ok(Acceptance::Accepted(_))]
        ),
        "{decisions:?}"
    );
    assert_eq!(store.status(&group[0].run.id).await.unwrap(), None);
    assert_eq!(store.queue().await.unwrap().runs, 1);
}
