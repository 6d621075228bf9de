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
mod tests;
