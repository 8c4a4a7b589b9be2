//! The contracts of `/proto` as Rust types, clients and servers; generated and committed (see `generate.rs`).

#[allow(clippy::all)]
pub mod identity {
    include!("generated/weft.identity.v1.rs");
}

#[allow(clippy::all)]
pub mod discovery {
    include!("generated/weft.discovery.v1.rs");
}

#[allow(clippy::all)]
pub mod tap {
    include!("generated/weft.tap.v1.rs");
}
