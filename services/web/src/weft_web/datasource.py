"""Grafana's data source, with what Prometheus wants to see: `python -m weft_web.datasource SECRET SOURCE OUT`.

It runs before Grafana, which has no way to leave out what a Secret does not have.
"""

import json
import sys
from pathlib import Path
from typing import Any

from weft_web.credentials import Shown, read

Json = dict[str, Any]


def document(plain: Json, shown: Shown) -> Json:
    """A provisioning file of one data source, with headers and authority."""
    (source,) = plain["datasources"]
    public: Json = dict(source["jsonData"])
    secret: Json = {}
    for number, (name, value) in enumerate(shown.headers.items(), 1):
        public[f"httpHeaderName{number}"], secret[f"httpHeaderValue{number}"] = name, _literal(value)
    if shown.authority:
        public["tlsAuthWithCACert"], secret["tlsCACert"] = True, shown.authority
    return {**plain, "datasources": [{**source, "jsonData": public, "secureJsonData": secret}]}


def _literal(value: str) -> str:
    """As Grafana reads it, to which `$` begins a variable."""
    return value.replace("$", "$$")


def main(secret: Path, source: Path, out: Path) -> None:
    """Writes the file, which only its owner may read."""
    try:
        found = document(json.loads(source.read_text()), read(secret))
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from None
    out.touch(0o600)
    out.write_text(json.dumps(found))  # JSON is YAML, which Grafana reads


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
