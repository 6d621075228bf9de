// SPDX-License-Identifier: Apache-2.0

//! Metrics for Prometheus beside those of requests.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// The server's own metrics.
#[derive(Clone)]
pub struct Metrics {
    /// Tokens issued.
    pub tokens: IntCounter,
    /// Orders settled, by action and result.
    pub orders: IntCounterVec,
    /// Orders not settled yet, as far as this process has looked.
    pub orders_pending: IntGauge,
    /// Whether this process does the orders.
    pub lease: IntGauge,
    /// How many blocks the node is behind what was seen of the chain, as far as this process has looked.
    pub behind: IntGauge,
}

impl Metrics {
    /// Makes and registers them.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            tokens: IntCounter::new("mhealth_auth_tokens_total", "Tokens issued.")?,
            orders: IntCounterVec::new(
                Opts::new(
                    "mhealth_auth_orders_total",
                    "Orders settled on the chain, by action and result.",
                ),
                &["action", "result"],
            )?,
            orders_pending: IntGauge::new(
                "mhealth_auth_orders_pending",
                "Orders that are not settled yet.",
            )?,
            lease: IntGauge::new("mhealth_auth_lease", "1 when this process does the orders.")?,
            behind: IntGauge::new(
                "mhealth_auth_node_behind_blocks",
                "Blocks that the node lacks of what was seen of the chain; orders wait while it does.",
            )?,
        };
        registry.register(Box::new(metrics.tokens.clone()))?;
        registry.register(Box::new(metrics.orders.clone()))?;
        registry.register(Box::new(metrics.orders_pending.clone()))?;
        registry.register(Box::new(metrics.lease.clone()))?;
        registry.register(Box::new(metrics.behind.clone()))?;
        Ok(metrics)
    }
}
