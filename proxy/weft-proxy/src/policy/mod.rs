//! Who may call, how often, and what may leave the mesh: as the control plane says, compiled once for each change.
//! Pure: no clock, no network.

mod access;
mod calls;
mod clients;
mod egress;
mod limit;
mod path;
mod rules;
mod table;

pub use access::{Access, Decision};
pub use calls::Call;
pub use clients::Caller;
pub use egress::{Egress, host};
pub use limit::{Known, Spent};
pub use table::{Table, Verdict};

#[cfg(test)]
mod tests;
