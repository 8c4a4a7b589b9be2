#!/bin/bash
# A browser for the dashboard's tests: the machine's, else Debian's package.
. "$(dirname "$0")/../lib.sh"
command -v chromium >/dev/null || command -v google-chrome >/dev/null || debs chromium
