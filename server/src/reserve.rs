// SPDX-License-Identifier: Apache-2.0

//! Connections of the database that are kept back for staff and probes.
//!
//! Requests of phones and strangers can hold all the others: what is done for staff takes from the reserve, so that nobody keeps
//! anybody from suspending a phone. Which of the two it is goes with the task that asks, so no query has to say it.
//!
//! What a request is for, its path says, and everybody can write one. So of credentials that were not seen to be good, one at a time
//! is [looked up](crate::Failures::holder). Probes and the keys of tokens are for everybody; how often, each address is held to.

use std::future::Future;

tokio::task_local! {
    static FROM_RESERVE: ();
}

/// Does this with the connections that are kept back. What it spawns has none of them, unless it says so itself.
pub async fn with_reserve<F: Future>(work: F) -> F::Output {
    FROM_RESERVE.scope((), work).await
}

/// Whether the present task may take from the reserve.
pub(crate) fn is_open() -> bool {
    FROM_RESERVE.try_with(|()| ()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_reserve_is_open_to_what_asks_for_it_and_to_nothing_beside() {
        assert!(!is_open());
        let within = with_reserve(async {
            let beside = tokio::spawn(async { is_open() }).await.unwrap();
            (is_open(), beside)
        });
        assert_eq!(within.await, (true, false));
        assert!(!is_open());
    }
}
