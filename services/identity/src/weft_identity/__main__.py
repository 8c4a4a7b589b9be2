"""`python -m weft_identity`."""

from weft_runtime.run import run

from weft_identity.app import serve
from weft_identity.config import Config

raise SystemExit(run("identity", Config, serve))
