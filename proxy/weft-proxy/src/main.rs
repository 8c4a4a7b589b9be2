//! Entry point of the proxy.

fn main() {}
