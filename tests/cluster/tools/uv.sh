#!/bin/bash
# Print the path of uv, Python's package manager; installed into the cache from PyPI where the machine has none.
. "$(dirname "$0")/../lib.sh"
if ! command -v uv; then
  need python3
  if [ ! -x "$CACHE/uv/bin/uv" ]; then
    say "installing uv"
    python3 -c 'import ensurepip' 2>/dev/null || debs python3-venv
    logged uv python3 -m venv "$CACHE/uv"
    logged uv "$CACHE/uv/bin/pip" install uv
  fi
  echo "$CACHE/uv/bin/uv"
fi
