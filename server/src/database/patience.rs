// SPDX-License-Identifier: Apache-2.0

//! How long an answer of PostgreSQL is waited for, and what becomes of a connection on which none came.
//!
//! A database may fall silent in the middle of something: its machine has lost power, or a firewall has forgotten the connection.
//! Nobody says so, and whoever waits for an answer waits for ever. So every statement is waited for so long and no longer. What was to
//! be written then is written or not. It is not said to be; whoever asks again hears how it is.
//!
//! A connection on which something was not answered is in a state that nobody knows, whether its time was over or whoever asked has
//! left: where a transaction was to begin and was not answered, it looks free, and whatever the next one writes would be in that
//! transaction, which nobody commits. So it is never used again. When its time is over it is closed at once. When somebody left it is
//! closed as soon as it answers, and until then counts among those that are open, or whoever comes and leaves could open any number.
//!
//! SQLite, whose thread is in this process, needs none of this: what was begun ends by itself before the connection is used again.

use std::future::Future;
use std::io;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryFutureExt, TryStreamExt};
use sqlx::any::{AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo};
use sqlx::pool::PoolConnection;
use sqlx::{
    Any, AnyConnection, AnyPool, Connection, Either, Error, Execute, Executor, SqlStr, Transaction,
};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::parameters::Parameters;

/// How long an answer is waited for: longer than a lock or a free connection.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// The same for what may take long and keeps nobody waiting who asked for something else, such as writing a table anew.
pub(crate) const LONG_PATIENCE: Duration = Duration::from_secs(6 * 3_600);

/// A row, or how many rows a statement changed.
type Answer = Either<AnyQueryResult, AnyRow>;

/// Connections for reading, and for single statements that write. Fails when an answer takes too long. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DatabasePool {
    pool: AnyPool,
    /// None for SQLite.
    patience: Option<Duration>,
}

impl DatabasePool {
    /// Waits on these connections for ever, or for so long.
    pub(super) fn new(pool: AnyPool, patience: Option<Duration>) -> Self {
        Self { pool, patience }
    }

    /// The same connections; PostgreSQL is waited for so long.
    pub(crate) fn patient(&self, longest: Duration) -> Self {
        Self {
            pool: self.pool.clone(),
            patience: self.patience.map(|_| longest),
        }
    }

    /// So many other connections to the same database, of which none is open yet.
    pub(super) fn beside(&self, connections: u32) -> Self {
        let options = self.pool.options().clone();
        let options = options.max_connections(connections).min_connections(0);
        Self {
            pool: options.connect_lazy_with((*self.pool.connect_options()).clone()),
            patience: self.patience,
        }
    }

    /// The connections themselves, on which everything is waited for for ever: for migrations and tests.
    #[doc(hidden)]
    pub fn unbounded(&self) -> &AnyPool {
        &self.pool
    }

    /// See [`Database::begin`](super::Database::begin).
    pub(super) async fn begin(&self) -> Result<WriteTransaction, Error> {
        let held = match self.patience {
            None => Held::Sqlite(self.pool.begin_with("BEGIN IMMEDIATE").await?),
            Some(longest) => {
                let mut session = self.session(longest).await?;
                session.begin().await?;
                Held::Postgres(session)
            }
        };
        Ok(WriteTransaction {
            within: WithinTransaction { held },
        })
    }

    /// A connection that is free, on which so long is waited.
    async fn session(&self, longest: Duration) -> Result<Session, Error> {
        let live = self.pool.acquire().await?;
        Ok(Session {
            live: Some(live),
            doubt: Doubt {
                longest,
                waiting: false,
                silent: false,
            },
            open: false,
        })
    }

    async fn all<'q, E>(self, longest: Duration, query: E) -> Result<Vec<Answer>, Error>
    where
        E: 'q + Execute<'q, Any>,
    {
        let mut session = self.session(longest).await?;
        session.all(query).await
    }

    async fn first<'q, E>(self, longest: Duration, query: E) -> Result<Option<AnyRow>, Error>
    where
        E: 'q + Execute<'q, Any>,
    {
        let mut session = self.session(longest).await?;
        session.first(query).await
    }

    async fn prepared(
        self,
        longest: Duration,
        sql: SqlStr,
        parameters: &[AnyTypeInfo],
    ) -> Result<AnyStatement, Error> {
        let mut session = self.session(longest).await?;
        session.prepared(sql, parameters).await
    }
}

impl<'p> Executor<'p> for &'_ DatabasePool {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Answer, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let Some(longest) = self.patience else {
            return self.pool.fetch_many(query);
        };
        streamed(self.clone().all(longest, query))
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<AnyRow>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let Some(longest) = self.patience else {
            return self.pool.fetch_optional(query);
        };
        Box::pin(self.clone().first(longest, query))
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [AnyTypeInfo],
    ) -> BoxFuture<'e, Result<AnyStatement, Error>>
    where
        'p: 'e,
    {
        let Some(longest) = self.patience else {
            return self.pool.prepare_with(sql, parameters);
        };
        Box::pin(self.clone().prepared(longest, sql, parameters))
    }
}

/// A transaction that may write. It is undone when it is dropped. See [`Database::begin`](super::Database::begin).
#[derive(Debug)]
pub struct WriteTransaction {
    within: WithinTransaction,
}

impl WriteTransaction {
    /// Makes durable what it wrote.
    pub async fn commit(self) -> Result<(), Error> {
        match self.within.held {
            Held::Sqlite(transaction) => transaction.commit().await,
            Held::Postgres(session) => session.end("COMMIT").await,
        }
    }

    /// Undoes what it wrote.
    pub async fn rollback(self) -> Result<(), Error> {
        match self.within.held {
            Held::Sqlite(transaction) => transaction.rollback().await,
            Held::Postgres(session) => session.end("ROLLBACK").await,
        }
    }
}

impl Deref for WriteTransaction {
    type Target = WithinTransaction;

    fn deref(&self) -> &WithinTransaction {
        &self.within
    }
}

impl DerefMut for WriteTransaction {
    fn deref_mut(&mut self) -> &mut WithinTransaction {
        &mut self.within
    }
}

/// What statements of a [`WriteTransaction`] are done with: `&mut *transaction`.
#[derive(Debug)]
pub struct WithinTransaction {
    held: Held,
}

impl WithinTransaction {
    /// How parameters are written in statements about many rows.
    pub fn parameters(&self) -> Parameters {
        match self.held {
            Held::Sqlite(_) => Parameters::Plain,
            Held::Postgres(_) => Parameters::Numbered,
        }
    }
}

#[derive(Debug)]
enum Held {
    Sqlite(Transaction<'static, Any>),
    Postgres(Session),
}

impl<'c> Executor<'c> for &'c mut WithinTransaction {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Answer, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        match &mut self.held {
            Held::Sqlite(transaction) => transaction.fetch_many(query),
            Held::Postgres(session) => streamed(session.all(query)),
        }
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<AnyRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        match &mut self.held {
            Held::Sqlite(transaction) => transaction.fetch_optional(query),
            Held::Postgres(session) => Box::pin(session.first(query)),
        }
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [AnyTypeInfo],
    ) -> BoxFuture<'e, Result<AnyStatement, Error>>
    where
        'c: 'e,
    {
        match &mut self.held {
            Held::Sqlite(transaction) => transaction.prepare_with(sql, parameters),
            Held::Postgres(session) => Box::pin(session.prepared(sql, parameters)),
        }
    }
}

/// A connection to PostgreSQL that somebody has.
#[derive(Debug)]
struct Session {
    /// None once it is given back.
    live: Option<PoolConnection<Any>>,
    doubt: Doubt,
    /// Whether a transaction is open on it.
    open: bool,
}

impl Session {
    async fn begin(&mut self) -> Result<(), Error> {
        self.open = true;
        self.statement("BEGIN").await
    }

    /// Ends the transaction in this way.
    async fn end(mut self, how: &'static str) -> Result<(), Error> {
        let ended = self.statement(how).await;
        self.open = ended.is_err();
        ended
    }

    async fn statement(&mut self, sql: &'static str) -> Result<(), Error> {
        let (connection, doubt) = self.parts();
        let done = doubt.answered(connection.execute(sql)).await;
        done.map(drop)
    }

    /// Everything that a query answers.
    async fn all<'q, E>(&mut self, query: E) -> Result<Vec<Answer>, Error>
    where
        E: 'q + Execute<'q, Any>,
    {
        let (connection, doubt) = self.parts();
        let answers = connection.fetch_many(query);
        doubt.answered(answers.try_collect()).await
    }

    /// The first row that a query answers, if there is one.
    async fn first<'q, E>(&mut self, query: E) -> Result<Option<AnyRow>, Error>
    where
        E: 'q + Execute<'q, Any>,
    {
        let (connection, doubt) = self.parts();
        doubt.answered(connection.fetch_optional(query)).await
    }

    async fn prepared(
        &mut self,
        sql: SqlStr,
        parameters: &[AnyTypeInfo],
    ) -> Result<AnyStatement, Error> {
        let (connection, doubt) = self.parts();
        let prepared = connection.prepare_with(sql, parameters);
        doubt.answered(prepared).await
    }

    fn parts(&mut self) -> (&mut AnyConnection, &mut Doubt) {
        let live = self.live.as_mut();
        let connection: &mut AnyConnection = live.expect("it is given back at the end; qed");
        (connection, &mut self.doubt)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(live) = self.live.take() else { return };
        match Handle::try_current() {
            Ok(runtime) if !self.doubt.silent => {
                runtime.spawn(give_back(live, self.doubt, self.open));
            }
            // Closes it.
            _ => drop(live.detach()),
        }
    }
}

/// What is known of a connection.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    /// How long is waited.
    longest: Duration,
    /// Something was asked and not answered.
    waiting: bool,
    /// It was waited for to the end.
    silent: bool,
}

impl Doubt {
    /// The answer, if it comes in time.
    async fn answered<T>(
        &mut self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        if self.waiting {
            return Err(silence());
        }
        self.waiting = true;
        let Ok(answer) = timeout(self.longest, work).await else {
            self.silent = true;
            return Err(silence());
        };
        self.waiting = false;
        answer
    }
}

/// Brings a connection back, or closes it if its state is in doubt.
async fn give_back(mut live: PoolConnection<Any>, doubt: Doubt, open: bool) {
    // Nothing of this takes long, whatever was asked.
    let longest = doubt.longest.min(PATIENCE);
    let cleared = async {
        if doubt.waiting {
            // That it answers says nothing of the transaction that may have begun.
            let _ = live.ping().await;
            return false;
        }
        !open || live.execute("ROLLBACK").await.is_ok()
    };
    let cleared = timeout(longest, cleared).await;
    if !matches!(cleared, Ok(true)) {
        drop(live.detach());
        return;
    }
    // Asks first whether it still is one.
    let _ = timeout(longest, live.return_to_pool()).await;
}

/// The answers, once all are there.
fn streamed<'e>(
    answers: impl Future<Output = Result<Vec<Answer>, Error>> + Send + 'e,
) -> BoxStream<'e, Result<Answer, Error>> {
    answers
        .map_ok(|answers| stream::iter(answers.into_iter().map(Ok::<Answer, Error>)))
        .try_flatten_stream()
        .boxed()
}

/// Why nothing is known of what was to be done.
pub(super) fn silence() -> Error {
    let silence = io::Error::new(io::ErrorKind::TimedOut, "the database does not answer");
    Error::Io(silence)
}
