//! What the tests of the proxy stand on.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod control_plane;
