//! How the static binary, the one that runs in pods, is linked.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let features = std::env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    // The table of relocations is read whole at every start and stays resident: packed it is 8 KB instead of 450.
    // The C library knows this form since glibc 2.36; a static binary brings its own.
    if features.split(',').any(|feature| feature == "crt-static") {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
