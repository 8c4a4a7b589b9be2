//! What the tests of the proxy stand on.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod access;
pub mod capture;
pub mod clients;
pub mod cluster;
pub mod control_plane;
pub mod http;
pub mod loopback;
pub mod net;
pub mod pod;
pub mod programs;
pub mod servers;
