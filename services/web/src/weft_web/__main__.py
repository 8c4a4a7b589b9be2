"""Starts web."""

from weft_runtime.run import run

from weft_web.app import serve
from weft_web.config import Config

raise SystemExit(run("web", Config, serve))
