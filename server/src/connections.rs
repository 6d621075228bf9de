// SPDX-License-Identifier: Apache-2.0

//! Whose connections are open, and which of them has to go when there are too many.
//!
//! No address can fill a server. Whoever has its share makes room for itself: its connection that has been idle for longest is
//! closed, or the new one gets only an answer that says so. When the server is full, the address with the most connections makes
//! room. A connection is idle while no request is under way on it, so one that never sends a whole head is idle, too. Those that
//! have been open for a while and never brought one go first.
//!
//! An address that opens connections faster than it may, and has its share, would only make itself come again if it were told so: it
//! gets no answer. A new one of it takes the place of one that never brought a request, so that those who say nothing do not lock out
//! others who share their address; where there is none, it is closed at once. It is as if each place could be had once in
//! [`SILENCE`], however many come.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::brake::PAUSE;
use crate::shares::Source;

/// Connections beyond the share of their address that are told so, and those that have been closed and have not ended yet. They
/// take of the files that are kept back.
const BESIDE: usize = 48;
/// A connection that has brought no request for so long may be the first to go. One that is held has a while left to speak.
const SILENCE: Duration = PAUSE.saturating_add(Duration::from_millis(500));

/// How a new connection comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coming {
    /// By a proxy, which brings the requests of many.
    Proxied,
    /// From an address that opens no more connections than it may.
    Calm,
    /// From one that opens too many for the time being.
    Hasty,
}

/// A connection in the book.
#[derive(Debug)]
pub(crate) struct Line {
    id: u64,
    /// Whether all that it gets is the answer that its address has enough connections.
    pub(crate) is_refused: bool,
    /// Cancelled when it has to go.
    pub(crate) closed: CancellationToken,
    book: Arc<Book>,
}

impl Line {
    /// A request is under way until the value is dropped.
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        self.book.pages().mark(self.id, true);
        Busy(self.clone())
    }

    /// It has ended.
    pub(crate) fn leave(&self) {
        self.book.pages().leave(self.id);
        self.book.left.notify_one();
    }
}

/// A request on a connection.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Line>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.book.pages().mark(self.0.id, false);
    }
}

/// All connections of a server.
#[derive(Debug)]
pub(crate) struct Book {
    most: usize,
    /// Of one source.
    share: usize,
    pages: Mutex<Pages>,
    left: Notify,
}

#[derive(Debug, Default)]
struct Pages {
    /// Counts connections, and their changes, so that the oldest are known.
    clock: u64,
    lines: HashMap<u64, Entry>,
    sources: HashMap<Source, Lines>,
    /// Every source under the number of its connections.
    sizes: BTreeSet<(usize, Source)>,
    /// All that are idle.
    idle: BTreeSet<(u64, u64)>,
    /// Those that are refused or closed and have not ended, oldest first.
    beside: BTreeSet<u64>,
    refused: HashMap<u64, CancellationToken>,
}

#[derive(Debug)]
struct Entry {
    source: Source,
    since: u64,
    is_busy: bool,
    /// When it should have brought a request.
    due: Instant,
    closed: CancellationToken,
}

/// The connections of one source, by how long they have been so.
#[derive(Debug, Default)]
struct Lines {
    idle: BTreeSet<(u64, u64)>,
    busy: BTreeSet<(u64, u64)>,
    /// Of the idle ones, those that never brought a request, oldest first.
    mute: BTreeSet<u64>,
}

impl Lines {
    fn len(&self) -> usize {
        self.idle.len() + self.busy.len()
    }

    fn of(&mut self, is_busy: bool) -> &mut BTreeSet<(u64, u64)> {
        match is_busy {
            true => &mut self.busy,
            false => &mut self.idle,
        }
    }
}

/// What a new connection finds.
enum Room {
    Free(u64),
    /// For the answer alone that there is none.
    Refused(u64),
    /// None for whoever comes so.
    Closed,
    /// None before one ends.
    None,
}

impl Book {
    /// For so many connections, and so many of one source.
    pub(crate) fn of(most: usize, share: usize) -> Arc<Self> {
        Arc::new(Self {
            most: most.max(1),
            share: share.max(1),
            pages: Mutex::default(),
            left: Notify::new(),
        })
    }

    /// Enters a connection when there is room for it; none when it is to be closed at once. A proxy may have as many as there are.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        source: Source,
        coming: Coming,
    ) -> Option<Arc<Line>> {
        loop {
            let left = self.left.notified();
            let closed = CancellationToken::new();
            let room = self.room(source, coming, closed.clone());
            let (id, is_refused) = match room {
                Room::Free(id) => (id, false),
                Room::Refused(id) => (id, true),
                Room::Closed => return None,
                Room::None => {
                    left.await;
                    continue;
                }
            };
            return Some(Arc::new(Line {
                id,
                is_refused,
                closed,
                book: self.clone(),
            }));
        }
    }

    fn room(&self, source: Source, coming: Coming, closed: CancellationToken) -> Room {
        let share = match coming {
            Coming::Proxied => self.most,
            Coming::Calm | Coming::Hasty => self.share,
        };
        self.pages().enter(source, coming, self.most, share, closed)
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        // Every change is whole before something could panic.
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn enter(
        &mut self,
        source: Source,
        coming: Coming,
        most: usize,
        share: usize,
        closed: CancellationToken,
    ) -> Room {
        let own = self.size(source);
        if own >= share {
            let is_hasty = coming == Coming::Hasty;
            let victim = match is_hasty {
                // What is closed takes a file until it has ended, and there may be thousands a second of them.
                true => self
                    .longest_mute(source)
                    .filter(|_| self.beside.len() < BESIDE),
                false => self.longest_idle(source),
            };
            match victim {
                Some(victim) => self.close(victim),
                None if is_hasty => return Room::Closed,
                None => return self.refuse(closed),
            }
        } else if self.lines.len() >= most {
            let victim = self.victim_for(source, own);
            let Some(victim) = victim.filter(|_| self.beside.len() < BESIDE) else {
                return Room::None;
            };
            self.close(victim);
        }
        let id = self.tick();
        let entry = Entry {
            source,
            since: id,
            is_busy: false,
            due: Instant::now() + SILENCE,
            closed,
        };
        let before = self.size(source);
        let lines = self.sources.entry(source).or_default();
        lines.idle.insert((id, id));
        lines.mute.insert(id);
        self.idle.insert((id, id));
        self.sizes.remove(&(before, source));
        self.sizes.insert((before + 1, source));
        self.lines.insert(id, entry);
        Room::Free(id)
    }

    /// Takes a connection for the answer alone that there is no room. The oldest such one gives way.
    fn refuse(&mut self, closed: CancellationToken) -> Room {
        if self.beside.len() >= BESIDE {
            let oldest = self.beside.pop_first();
            if let Some(closed) = oldest.and_then(|oldest| self.refused.remove(&oldest)) {
                closed.cancel();
            }
        }
        let id = self.tick();
        self.beside.insert(id);
        self.refused.insert(id, closed);
        Room::Refused(id)
    }

    /// Which connection goes for another one of a source that has so many: an idle one of whoever has the most, if that is not
    /// fewer than the newcomer then has; one at work, if it is more; or whichever is idle for longest.
    fn victim_for(&self, source: Source, own: usize) -> Option<u64> {
        let (size, largest) = self.sizes.last().copied()?;
        if size > own {
            if let Some(idle) = self.longest_idle(largest) {
                return Some(idle);
            }
        }
        if size > own + 1 {
            let lines = self.sources.get(&largest)?;
            return lines.busy.first().map(|(_, id)| *id);
        }
        let idle = self.idle.first().map(|(_, id)| *id);
        let has_more = |id: &u64| {
            let entry = self.lines.get(id);
            let other = entry.and_then(|entry| self.sources.get(&entry.source));
            other.is_some_and(|lines| lines.len() > own)
        };
        idle.filter(has_more).or_else(|| self.longest_idle(source))
    }

    /// One that should have brought a request before the others, or else the one that has been idle for longest.
    fn longest_idle(&self, source: Source) -> Option<u64> {
        let lines = self.sources.get(&source)?;
        let idle = lines.idle.first().map(|(_, id)| *id);
        self.longest_mute(source).or(idle)
    }

    /// None that may still be about to bring its first request.
    fn longest_mute(&self, source: Source) -> Option<u64> {
        let oldest = *self.sources.get(&source)?.mute.first()?;
        let entry = self.lines.get(&oldest)?;
        (entry.due <= Instant::now()).then_some(oldest)
    }

    fn close(&mut self, id: u64) {
        if let Some(entry) = self.remove(id) {
            entry.closed.cancel();
            self.beside.insert(id);
        }
    }

    fn leave(&mut self, id: u64) {
        self.remove(id);
        self.beside.remove(&id);
        self.refused.remove(&id);
    }

    fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.lines.remove(&id)?;
        self.idle.remove(&(entry.since, id));
        let before = self.size(entry.source);
        self.sizes.remove(&(before, entry.source));
        if let Some(lines) = self.sources.get_mut(&entry.source) {
            lines.of(entry.is_busy).remove(&(entry.since, id));
            lines.mute.remove(&id);
        }
        if before > 1 {
            self.sizes.insert((before - 1, entry.source));
        } else {
            self.sources.remove(&entry.source);
        }
        Some(entry)
    }

    fn size(&self, source: Source) -> usize {
        self.sources.get(&source).map_or(0, Lines::len)
    }

    fn mark(&mut self, id: u64, is_busy: bool) {
        let now = self.tick();
        let Some(entry) = self.lines.get_mut(&id) else {
            return;
        };
        self.idle.remove(&(entry.since, id));
        if !is_busy {
            self.idle.insert((now, id));
        }
        if let Some(lines) = self.sources.get_mut(&entry.source) {
            lines.of(entry.is_busy).remove(&(entry.since, id));
            lines.of(is_busy).insert((now, id));
            lines.mute.remove(&id);
        }
        (entry.is_busy, entry.since) = (is_busy, now);
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }
}

#[cfg(test)]
mod tests {
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
}
