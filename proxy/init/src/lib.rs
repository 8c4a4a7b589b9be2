//! Rules that send the TCP of a pod through its proxy: a pure builder, and the few commands that apply it.

pub mod apply;
pub mod options;
pub mod rules;
