//! `weft-proxy-init`: runs once, before the proxy and the application, and leaves the rules behind.

use std::process::ExitCode;

use weft_init::options::{Options, USAGE};
use weft_init::rules::{Family, JUMPS, restore};
use weft_init::{apply, options};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help") {
        eprintln!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    match Options::parse(arguments).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weft-proxy-init: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &options::Options) -> anyhow::Result<()> {
    if options.print {
        for family in [Family::V4, Family::V6] {
            eprint!("# {family:?}\n{}", restore(options, family, &JUMPS));
        }
        return Ok(());
    }
    for note in apply::apply(options)? {
        eprintln!("weft-proxy-init: {note}");
    }
    Ok(())
}
