#!/bin/bash
# Have these commands, which the project cannot install: named where they are missing (Rust from 1.95 with clippy and
# rustfmt, Node.js from 20 with npm, Go from 1.25).
. "$(dirname "$0")/../lib.sh"
need "$@"
