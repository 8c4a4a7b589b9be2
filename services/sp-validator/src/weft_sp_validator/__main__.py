"""`python -m weft_sp_validator`."""

from weft_runtime.run import run

from weft_sp_validator.app import serve
from weft_sp_validator.config import Config

raise SystemExit(run("sp-validator", Config, serve))
