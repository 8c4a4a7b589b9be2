#!/bin/bash
# Print the path of uv, Python's package manager; installed into the cache from PyPI where the machine has none, by
# the version that images are built with.
. "$(dirname "$0")/../lib.sh"
if ! command -v uv; then
  need python3
  if [ ! -x "$CACHE/uv/bin/uv" ]; then
    say "installing uv"
    python3 -c 'import ensurepip' 2>/dev/null || debs python3-venv
    logged uv python3 -m venv "$CACHE/uv"
    logged uv "$CACHE/uv/bin/pip" install "uv==$(sed -n 's/^ARG UV_IMAGE=.*://p' "$ROOT/services/Dockerfile")"
  fi
  echo "$CACHE/uv/bin/uv"
fi
