// SPDX-License-Identifier: Apache-2.0

use std::net::IpAddr;

use super::*;

fn source(number: u8) -> Source {
    Source::from(IpAddr::from([192, 0, 2, number]))
}

async fn enter(book: &Arc<Book>, number: u8) -> Arc<Line> {
    let entered = book.enter(source(number), Coming::Calm).await;
    entered.expect("it is not closed at once")
}

fn is_empty(book: &Book) -> bool {
    let pages = book.pages();
    pages.lines.is_empty()
        && pages.idle.is_empty()
        && pages.sources.is_empty()
        && pages.sizes.is_empty()
        && pages.beside.is_empty()
        && pages.refused.is_empty()
}

#[tokio::test]
async fn an_address_that_has_its_share_loses_what_was_idle_for_longest() {
    let book = Book::of(100, 2);
    let first = enter(&book, 1).await;
    let second = enter(&book, 1).await;
    // The first has just done something.
    drop(first.busy());
    let third = enter(&book, 1).await;
    assert!(second.closed.is_cancelled());
    assert!(!first.closed.is_cancelled() && !third.is_refused);
    for line in [first, second, third] {
        line.leave();
    }
    assert!(is_empty(&book));
}

#[tokio::test]
async fn a_proxy_may_have_all_connections_and_gives_way_to_others() {
    let book = Book::of(4, 2);
    let mut lines = Vec::new();
    for _ in 0..4 {
        lines.push(book.enter(source(1), Coming::Proxied).await.unwrap());
    }
    let busy: Vec<_> = lines.iter().map(Line::busy).collect();
    assert!(lines.iter().all(|line| !line.is_refused));
    let other = enter(&book, 2).await;
    assert!(!other.is_refused && lines[0].closed.is_cancelled());
    drop(busy);
}

/// Every connection should have brought a request by now, or has an hour for it.
fn set_overdue(book: &Book, is_so: bool) {
    let now = Instant::now();
    let hour = Duration::from_secs(3_600);
    for entry in book.pages().lines.values_mut() {
        entry.due = match is_so {
            true => now,
            false => now + hour,
        };
    }
}

#[tokio::test]
async fn a_hasty_address_that_has_its_share_gives_up_what_never_spoke_and_nothing_else() {
    let book = Book::of(100, 2);
    let hasty = async |number| book.enter(source(number), Coming::Hasty).await;
    let (heard, mute) = (hasty(1).await.unwrap(), hasty(1).await.unwrap());
    drop(heard.busy());
    // It may be about to speak.
    set_overdue(&book, false);
    assert!(hasty(1).await.is_none());
    let other = hasty(2).await.unwrap();
    assert!(!heard.closed.is_cancelled() && !mute.closed.is_cancelled());
    set_overdue(&book, true);
    let newcomer = hasty(1).await.unwrap();
    assert!(!newcomer.is_refused && mute.closed.is_cancelled());
    assert!(!heard.closed.is_cancelled() && !other.closed.is_cancelled());
    // Now all have spoken, and keep what they have.
    drop(newcomer.busy());
    set_overdue(&book, true);
    assert!(hasty(1).await.is_none());
    assert!(!heard.closed.is_cancelled() && !newcomer.closed.is_cancelled());
    heard.leave();
    let last = hasty(1).await.unwrap();
    assert!(!last.is_refused);
    for line in [mute, other, newcomer, last] {
        line.leave();
    }
    assert!(is_empty(&book));
}

#[tokio::test]
async fn a_hasty_address_does_not_close_faster_than_what_is_closed_ends() {
    let book = Book::of(1_000, 100);
    let mut lines = Vec::new();
    for _ in 0..100 {
        lines.push(enter(&book, 1).await);
    }
    set_overdue(&book, true);
    let hasty = async || book.enter(source(1), Coming::Hasty).await;
    for _ in 0..BESIDE {
        assert!(hasty().await.is_some());
    }
    assert!(hasty().await.is_none());
    assert!(lines[BESIDE - 1].closed.is_cancelled());
    assert!(!lines[BESIDE].closed.is_cancelled());
    lines[0].leave();
    assert!(hasty().await.is_some());
    assert!(lines[BESIDE].closed.is_cancelled());
}

#[tokio::test]
async fn what_never_spoke_goes_before_what_has_been_idle_for_longer() {
    let book = Book::of(100, 2);
    let heard = enter(&book, 1).await;
    drop(heard.busy());
    let mute = enter(&book, 1).await;
    set_overdue(&book, true);
    let third = enter(&book, 1).await;
    assert!(mute.closed.is_cancelled() && !heard.closed.is_cancelled());
    // The third may be about to speak.
    set_overdue(&book, false);
    let fourth = enter(&book, 1).await;
    assert!(heard.closed.is_cancelled() && !third.closed.is_cancelled());
    assert!(!fourth.is_refused);
}

#[tokio::test]
async fn an_address_whose_share_is_at_work_is_told_so_and_the_others_are_not() {
    let book = Book::of(100, 2);
    let lines = [enter(&book, 1).await, enter(&book, 1).await];
    let busy: Vec<_> = lines.iter().map(Line::busy).collect();
    let third = enter(&book, 1).await;
    assert!(third.is_refused);
    assert!(!enter(&book, 2).await.is_refused);
    // Those who are told so are few, and the oldest of them gives way.
    let mut told = vec![third];
    for _ in 0..BESIDE {
        told.push(enter(&book, 1).await);
    }
    assert!(told[0].closed.is_cancelled() && !told[1].closed.is_cancelled());
    drop(busy);
    assert!(!enter(&book, 1).await.is_refused);
    assert!(lines[0].closed.is_cancelled());
}

#[tokio::test]
async fn a_full_server_closes_connections_of_whoever_has_the_most() {
    let book = Book::of(4, 3);
    let many = [
        enter(&book, 1).await,
        enter(&book, 1).await,
        enter(&book, 1).await,
    ];
    let few = enter(&book, 2).await;
    let busy: Vec<_> = many.iter().map(Line::busy).collect();
    // Nothing of theirs is idle: the oldest goes, and not that of the one who has one.
    let newcomer = enter(&book, 3).await;
    assert!(many[0].closed.is_cancelled());
    assert!(!few.closed.is_cancelled() && !newcomer.is_refused);
    drop(busy);
    for line in many.into_iter().chain([few, newcomer]) {
        line.leave();
    }
    assert!(is_empty(&book));
}

#[tokio::test]
async fn among_equals_the_idle_give_way_and_for_those_at_work_a_newcomer_waits() {
    let book = Book::of(2, 2);
    let idle = enter(&book, 1).await;
    let second = enter(&book, 2).await;
    let _second = second.busy();
    let first = enter(&book, 4).await;
    assert!(idle.closed.is_cancelled());
    idle.leave();
    let _first = first.busy();
    let waiting = tokio::spawn({
        let book = book.clone();
        async move { enter(&book, 3).await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    first.leave();
    assert!(!waiting.await.unwrap().is_refused);
    assert!(!second.closed.is_cancelled());
}
