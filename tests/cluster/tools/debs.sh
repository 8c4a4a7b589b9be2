#!/bin/bash
# Have these Debian packages: installed where we may, named where we may not.
. "$(dirname "$0")/../lib.sh"
debs "$@"
