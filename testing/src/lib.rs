// SPDX-License-Identifier: Apache-2.0

//! What tests and laboratory share: real nodes, servers and databases, and phones that write to them.

pub mod audit;
pub mod crowd;
pub mod databases;
pub mod document;
pub mod doubtful_relay;
pub mod enrolment;
pub mod export;
pub mod finality;
pub mod front;
pub mod handset;
pub mod http;
pub mod joining;
mod log;
pub mod login_provider;
pub mod member;
pub mod newcomer;
pub mod node;
pub mod node_front;
pub mod output;
pub mod phone;
pub mod played_relay;
pub mod port;
pub mod postgres;
pub mod process;
pub mod rpc;
pub mod secrets;
pub mod servers;
pub mod silence;
pub mod topology;
