"""`python -m weft_injector`."""

from weft_runtime.run import run

from weft_injector.app import serve
from weft_injector.config import Config

raise SystemExit(run("injector", Config, serve))
