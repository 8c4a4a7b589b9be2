//! The proxy of weft, as a library so that tests can run a pair of them in one process.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod access_log;
pub mod admin;
pub mod app;
pub mod balance;
pub mod config;
pub mod connect;
pub mod control;
pub mod copy;
pub mod denial;
pub mod detect;
pub mod discovery;
pub mod drain;
pub mod error;
pub mod gateway;
pub mod held;
pub mod hello;
pub mod http;
pub mod identity;
pub mod inbound;
pub mod io;
pub mod logs;
pub mod lookahead;
pub mod metrics;
pub mod outbound;
pub mod policy;
pub mod ports;
pub mod probe;
pub mod route;
pub mod socket;
pub mod stay;
pub mod tap;
pub mod vigil;
pub mod worker;
