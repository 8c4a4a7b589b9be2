"""Generates src/teahouse/v1 from proto/: `make gen` writes, `make gen-check` compares."""

import pathlib
import sys

from grpc_tools import protoc

ROOT = pathlib.Path(__file__).parent


def main() -> int:
    """Runs protoc; the first argument is another folder to write to."""
    out = sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "src")
    kinds = [f"--{kind}_out={out}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
    return int(protoc.main(["protoc", f"-I{ROOT / 'proto'}", *kinds, "teahouse/v1/teahouse.proto"]))


if __name__ == "__main__":
    raise SystemExit(main())
