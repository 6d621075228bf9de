// SPDX-License-Identifier: Apache-2.0

//! From routes to a server that listens, and stops in good order.

use std::future::Future;
use std::io::Write;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum_server::tls_rustls::RustlsAcceptor;
use axum_server::Handle;
use hyper_util::rt::TokioTimer;
use mhealth_api::PROBLEM_MEDIA_TYPE;
use prometheus::Registry;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{InfoBuilder, LicenseBuilder, OpenApi, RefOr};
use utoipa_axum::router::OpenApiRouter;

use crate::admission::{Doors, Paths, PROBES};
use crate::gate::{Gate, Origin};
use crate::layers::Around;
use crate::metrics::HttpMetrics;
use crate::parts::{Parts, Task};
use crate::probes::{self, Probes, ReadinessCheck};
use crate::reserve::with_reserve;
use crate::tls::TlsMetrics;
use crate::{ApiError, Bound, Database, Limits, Together};

/// How often a server looks whether it is ready, without being asked.
const LOOK: Duration = Duration::from_secs(10);
/// Between two looks because somebody asks, who may be anybody. A look asks the node and the database several times.
const LOOKS_APART: Duration = Duration::from_millis(50);

/// A server whose address is bound, and which does not answer yet.
pub struct Server {
    name: &'static str,
    description: &'static str,
    bound: Bound,
    routes: OpenApiRouter,
    staff_routes: OpenApiRouter,
    registry: Registry,
    ready: Option<ReadinessCheck>,
    limits: Limits,
    paths: Paths,
    tasks: Vec<Task>,
    database: Option<Database>,
}

impl Server {
    /// A server without routes of its own.
    pub fn new(name: &'static str, description: &'static str, bound: Bound) -> Self {
        Self {
            name,
            description,
            bound,
            routes: OpenApiRouter::default(),
            staff_routes: OpenApiRouter::default(),
            registry: Registry::new(),
            ready: None,
            limits: Limits::default(),
            paths: Paths::default(),
            tasks: Vec::new(),
            database: None,
        }
    }

    /// The server's base address as this machine reaches it, without a slash at the end.
    pub fn base_url(&self) -> String {
        self.bound.base_url()
    }

    /// Adds routes, which also make the OpenAPI document.
    pub fn routes(mut self, routes: OpenApiRouter) -> Self {
        self.routes = self.routes.merge(routes);
        self
    }

    /// Adds routes for staff. With a listener of their own (`--admin-listen`), nobody reaches them by the public one.
    pub fn staff_routes(mut self, routes: OpenApiRouter) -> Self {
        self.staff_routes = self.staff_routes.merge(routes);
        self
    }

    /// Serves these metrics beside those of every server.
    pub fn registry(mut self, registry: Registry) -> Self {
        self.registry = registry;
        self
    }

    /// What `/readyz` asks.
    pub fn ready<C, F>(mut self, check: C) -> Self
    where
        C: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), ApiError>> + Send + 'static,
    {
        self.ready = Some(Arc::new(move || Box::pin(check())));
        self
    }

    /// Other limits than the usual ones.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Beginnings of paths that the staff ask for. What strangers take costs them nothing.
    pub fn staff(mut self, paths: &[&'static str]) -> Self {
        self.paths.staff.extend(paths);
        self
    }

    /// Beginnings of paths that machines ask for, beside the probes. What others take costs them nothing.
    pub fn machines(mut self, paths: &[&'static str]) -> Self {
        self.paths.machines.extend(paths);
        self
    }

    /// Does this from when the server begins to answer. The task has a clone of the token that stops the server, and ends
    /// with it, or when everything that is answered is. If it ends before that, because it panics or for whatever reason, the
    /// server ends with [`PartDied`](crate::PartDied). So it does with what every server does by itself, such as serving its staff.
    pub fn background(
        mut self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        self.tasks.push((name, Box::pin(task)));
        self
    }

    /// Closes this database last of all.
    pub fn database(mut self, database: Database) -> Self {
        self.database = Some(database);
        self
    }

    /// Serves until it is told to stop; then takes no new connection, finishes what is under way, waits for the tasks in
    /// the background, closes the database, and returns.
    ///
    /// When it is ready, prints one line to standard output: `listening on http://127.0.0.1:PORT`.
    pub async fn serve(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let database = self.database.take();
        if let Some(ready) = self.ready.clone() {
            self = self.background("readiness", with_reserve(watch(ready, stop.clone())));
        }
        let mut parts = Parts::of(std::mem::take(&mut self.tasks), stop.clone());
        let patience = self.limits.stop_timeout;
        let served = {
            let answering = pin!(self.answer(&stop));
            parts.watch(answering).await
        };
        // Requests are answered by now, and what they stored is durable. It may be an error that ended it.
        stop.cancel();
        parts.end(patience).await;
        if let Some(database) = database {
            database.close().await;
        }
        match parts.died {
            Some(died) => Err(died.into()),
            None => served,
        }
    }

    async fn answer(self, stop: &CancellationToken) -> anyhow::Result<()> {
        let limits = self.limits.within_open_files();
        let metrics = HttpMetrics::register(&self.registry)?;
        let tls_metrics = TlsMetrics::register(&self.registry)?;
        let base_url = self.bound.base_url();
        let looks = Arc::new(Together::new(LOOKS_APART));
        // Each listener has a document of its own.
        let documented = |routes: OpenApiRouter, is_for_operators: bool| {
            let probes = Probes {
                registry: self.registry.clone(),
                ready: self.ready.clone(),
                looks: looks.clone(),
                document: Arc::new(OnceLock::new()),
            };
            let document = probes.document.clone();
            let mut routes = routes.merge(probes::document_router().with_state(probes.clone()));
            if is_for_operators {
                routes = routes.merge(probes::router().with_state(probes));
            }
            let (router, mut openapi) = routes.split_for_parts();
            describe(&mut openapi, self.name, self.description);
            let written = serde_json::to_vec(&openapi)?;
            document
                .set(written.into())
                .expect("it was made empty above; qed");
            anyhow::Ok(router)
        };
        let proxies = Arc::new(self.bound.proxies);
        let mut origins = self.bound.origins;
        origins.close(self.paths.staff.iter().chain(&self.paths.machines));
        origins.close(PROBES);
        let (router, staff) = match self.bound.staff {
            None => (
                documented(self.routes.merge(self.staff_routes), true)?,
                None,
            ),
            Some(listener) => {
                let staff = documented(self.staff_routes, true)?;
                (documented(self.routes, false)?, Some((listener, staff)))
            }
        };
        // What goes on beside: whichever of it ends, the server does.
        let mut tasks: Vec<Task> = Vec::new();
        let staff_doors = Arc::new(Doors::new(self.paths.clone(), limits));
        let place = staff.map(|(listener, router)| {
            let place = listener.address().to_string();
            let around = Around::new(staff_doors.clone(), limits, metrics.clone());
            let serving = listener.serve(around.layered(router), stop.clone());
            tasks.push(("staff", Box::pin(serving)));
            place
        });
        let doors = Arc::new(Doors::new(self.paths, limits));
        for doors in [doors.clone(), staff_doors] {
            tasks.push(("doors", Box::pin(doors.forget_idle(stop.clone()))));
        }
        let around = Around::new(doors.clone(), limits, metrics.clone());
        let service = around
            .facing_the_world(proxies.clone(), origins)
            .layered(router)
            .into_make_service_with_connect_info::<Origin>();
        let acceptor = self.bound.tls.map(|identity| {
            let acceptor = RustlsAcceptor::new(identity.config());
            let fresh = identity.keep_fresh(tls_metrics, stop.clone());
            tasks.push(("certificates", Box::pin(fresh)));
            acceptor
        });
        let mut parts = Parts::of(tasks, stop.clone());

        let open = metrics.connections;
        let listener = Gate::new(self.bound.listener, doors, &limits, proxies, open);
        let handle = Handle::new();
        let server = axum_server::Server::<Origin>::from_listener(listener).handle(handle.clone());
        let stopping = tokio::spawn({
            let stop = stop.clone();
            async move {
                stop.cancelled().await;
                handle.graceful_shutdown(Some(limits.stop_timeout));
            }
        });
        announce(&base_url, place.as_deref())?;
        tracing::info!(server = self.name, version = env!("CARGO_PKG_VERSION"), %base_url, "listening");
        // In a task, so that the threads that serve connections take them, too: this here may run on a thread of its own, from which
        // each would come to them by the line in which what comes from other threads stands, one thread waking another each time.
        let serving = match acceptor {
            Some(acceptor) => {
                let server = tuned(server.acceptor(acceptor), &limits);
                tokio::spawn(server.serve(service))
            }
            None => tokio::spawn(tuned(server, &limits).serve(service)),
        };
        let served = parts.watch(pin!(AbortOnDropHandle::new(serving))).await;
        stopping.abort();
        stop.cancel();
        // A request of staff that takes longer is cut off.
        parts.end(limits.stop_timeout).await;
        tracing::info!(server = self.name, "stopped");
        match parts.died {
            Some(died) => Err(died.into()),
            None => Ok(served??),
        }
    }
}

/// Looks from time to time whether the server is ready, so that its metrics say so although nobody asks.
async fn watch(ready: ReadinessCheck, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        if let Err(error) = ready().await {
            tracing::warn!(reason = error.problem().detail, "the server is not ready");
        }
    }
}

/// HTTP/1.1 alone: a client keeps one connection and sends one request at a time over it.
fn tuned<A>(
    server: axum_server::Server<Origin, A>,
    limits: &Limits,
) -> axum_server::Server<Origin, A> {
    let mut server = server.http1_only();
    server
        .http_builder()
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(limits.header_bytes);
    server
}

/// Programs that start a server wait for this line.
fn announce(base_url: &str, staff: Option<&str>) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if let Some(staff) = staff {
        writeln!(out, "for staff and operators: {staff}")?;
    }
    writeln!(out, "listening on {base_url}")?;
    out.flush()
}

fn describe(openapi: &mut OpenApi, name: &str, description: &str) {
    openapi.info = InfoBuilder::new()
        .title(name)
        .description(Some(description))
        .version(env!("CARGO_PKG_VERSION"))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").build()))
        .build();
    for path in openapi.paths.paths.values_mut() {
        for operation in [&mut path.get, &mut path.post, &mut path.delete] {
            operation.iter_mut().for_each(name_problems);
        }
    }
}

/// Every error is a problem, and has its media type.
fn name_problems(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        if let (true, RefOr::T(response)) = (status.as_str() >= "400", response) {
            let content = std::mem::take(&mut response.content).into_values();
            response.content = content
                .map(|content| (PROBLEM_MEDIA_TYPE.to_owned(), content))
                .collect();
        }
    }
}

impl axum::extract::connect_info::Connected<Origin> for Origin {
    fn connect_info(origin: Origin) -> Self {
        origin
    }
}

#[cfg(test)]
mod tests;
