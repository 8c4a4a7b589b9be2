"""Starts tap."""

from weft_runtime.run import run

from weft_tap.app import serve
from weft_tap.config import Config

raise SystemExit(run("tap", Config, serve))
