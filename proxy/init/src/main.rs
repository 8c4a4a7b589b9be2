//! Placeholder of the redirect rules.
fn main() {}
