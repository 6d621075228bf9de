# SPDX-License-Identifier: Apache-2.0
"""Durable bytes by key, in a file of SQLite."""

import errno
import os
import sqlite3
import threading

from .native.mhealth import StorageFault, StoredPair, StoreHost

_FAULTS = {sqlite3.SQLITE_FULL: StorageFault.Full, sqlite3.SQLITE_BUSY: StorageFault.InUse}
_FULL = (errno.ENOSPC, errno.EDQUOT)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
# Held while a file is made and taken.
_OPENING = threading.Lock()


class SqliteStore(StoreHost):
    """A store in one file, readable by its owner only. The file is taken when the store is first used, until it is closed. A second
    store on the same file is refused: `state_in_use`."""

    def __init__(self, path):
        self._lock = threading.Lock()
        self._path = os.fspath(path)
        self._database = None
        self._closed = False

    def get(self, key):
        with self._using() as database:
            row = database.execute("SELECT value FROM stored WHERE key = ?", (key,)).fetchone()
            return row and row[0]

    def scan(self, _from, until, most):
        with self._using() as database:
            rows = database.execute(
                "SELECT key, value FROM stored WHERE key >= ? AND key < ? ORDER BY key LIMIT ?", (_from, until, most)
            )
            return [StoredPair(key=key, value=value) for key, value in rows]

    def apply(self, writes):
        with self._using() as database:
            database.execute("BEGIN IMMEDIATE")
            for write in writes:
                if write.value is None:
                    database.execute("DELETE FROM stored WHERE key = ?", (write.key,))
                else:
                    database.execute("INSERT OR REPLACE INTO stored VALUES (?, ?)", (write.key, write.value))
            database.execute("COMMIT")

    def close(self):
        """Lets go of the file, for good, once what is being written is written."""
        with self._lock:
            self._closed = True
            self._let_go()

    def _using(self):
        return _Using(self)

    def _opened(self):
        if self._closed:
            raise StorageFault.Unusable(reason="the store is closed")
        if self._database is None:
            with _OPENING:
                self._database = _taken(self._path)
        return self._database

    def _let_go(self):
        database, self._database = self._database, None
        if database is not None:
            database.close()


class _Using:
    """The database for one operation. What fails is undone, and named."""

    def __init__(self, store):
        self._store = store

    def __enter__(self):
        self._store._lock.acquire()
        try:
            return self._store._opened()
        except (sqlite3.Error, OSError) as error:
            self._store._lock.release()
            raise _fault(error) from error
        except BaseException:
            self._store._lock.release()
            raise

    def __exit__(self, kind, error, trace):
        try:
            database = self._store._database
            if kind is not None and database.in_transaction:
                database.rollback()
        except sqlite3.Error:
            # Who opens the file next undoes what stands in its journal.
            self._store._let_go()
        finally:
            self._store._lock.release()
        if isinstance(error, sqlite3.Error):
            raise _fault(error) from error
        return False


def _taken(path):
    """The database in a file, which is this program's alone as long as it is open."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), mode=0o700, exist_ok=True)
    # A file that is there is left to SQLite: whoever closes it beside SQLite takes away the locks that another store of this program
    # has on it.
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        pass
    database = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        # A commit outlives a power cut: the journal is emptied, and that is written out, before it returns. Spent keys are
        # overwritten.
        for setting in ("locking_mode = EXCLUSIVE", "journal_mode = TRUNCATE", "synchronous = FULL", "secure_delete = ON"):
            database.execute(f"PRAGMA {setting}")
        database.execute("CREATE TABLE IF NOT EXISTS stored (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")
        # Takes the lock now, and keeps it.
        database.execute("BEGIN EXCLUSIVE")
        database.execute("COMMIT")
    except BaseException:
        database.close()
        raise
    return database


def _fault(error):
    if isinstance(error, OSError) and error.errno in _FULL:
        return StorageFault.Full()
    # Extended codes have the plain one in their last eight bits.
    code = getattr(error, "sqlite_errorcode", None)
    plain = None if code is None else code & 0xFF
    if plain in _FAULTS:
        return _FAULTS[plain]()
    if plain in _DAMAGED:
        return StorageFault.Damaged(reason=str(error))
    return StorageFault.Unusable(reason=str(error))
