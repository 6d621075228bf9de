// SPDX-License-Identifier: Apache-2.0

//! Tests that hold on both databases.

use std::future::{ready, Future};

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    Sqlite,
    /// A server.
    Postgres,
}

/// What a test is given, made on a database of its own.
pub trait OnDatabase: Sized {
    /// Makes it.
    fn on(kind: Kind) -> impl Future<Output = Self>;
}

/// For tests that make the rest themselves.
impl OnDatabase for Kind {
    fn on(kind: Kind) -> impl Future<Output = Self> {
        ready(kind)
    }
}

/// Runs a test on a database of this kind.
pub async fn run<T: OnDatabase, F: Future<Output = ()>>(kind: Kind, test: impl FnOnce(T) -> F) {
    test(T::on(kind).await).await;
}

/// Runs every test of a module on both databases. Each takes one [`OnDatabase`](crate::databases::OnDatabase).
#[macro_export]
macro_rules! on_both_databases {
    ($($name:ident)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                $crate::databases::run($crate::databases::Kind::Sqlite, super::$name).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                $crate::databases::run($crate::databases::Kind::Postgres, super::$name).await;
            })*
        }
    };
}
