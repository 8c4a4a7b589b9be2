"""Generates proto/python from the contracts: `make gen` writes, `make gen-check` compares."""

import pathlib
import sys

from grpc_tools import protoc

ROOT = pathlib.Path(__file__).parent
OUT = ROOT / "python" / "src"
WELL_KNOWN = pathlib.Path(protoc.__file__).parent / "_proto"


def main() -> int:
    """Runs protoc over every contract; the virtual folder makes the import path weft_api.<contract>.v1."""
    protos = [str(p.relative_to(ROOT)) for p in sorted(ROOT.glob("*/v1/*.proto"))]
    out = sys.argv[1] if len(sys.argv) > 1 else str(OUT)
    arguments = [f"-Iweft_api={ROOT}", f"-I{WELL_KNOWN}"]
    arguments += [f"--{kind}_out={out}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
    status = protoc.main(["protoc", *arguments, *[f"weft_api/{p}" for p in protos]])
    for folder in pathlib.Path(out).glob("weft_api/**/v1"):
        for package in (folder, folder.parent):
            (package / "__init__.py").touch()
    return int(status)


if __name__ == "__main__":
    raise SystemExit(main())
