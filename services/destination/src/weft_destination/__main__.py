"""`python -m weft_destination`."""

from weft_runtime.run import run

from weft_destination.app import serve
from weft_destination.config import Config

raise SystemExit(run("destination", Config, serve))
