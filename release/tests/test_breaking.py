"""`buf breaking`, as `make breaking` runs it, is no rubber stamp."""

import shutil
import subprocess
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from releases.repository import RELEASED, Repository

ROOT = Path(__file__).parents[2]


def compared(folder: Path, present: FileDescriptorSet) -> subprocess.CompletedProcess[str]:
    """What buf says of contracts, compared with the released ones."""
    buf = shutil.which("buf")
    if buf is None:
        pytest.fail("buf is not on PATH; `make chart-test` brings one along")
    (folder / "present.binpb").write_bytes(present.SerializeToString())
    command = [buf, "breaking", "present.binpb", "--against", str(ROOT / RELEASED)]
    config = ["--config", str(ROOT / "release/buf/buf.yaml")]
    return subprocess.run([*command, *config], cwd=folder, capture_output=True, text=True, check=False)


def test_buf_tells_a_field_that_is_gone(tmp_path: Path) -> None:
    """And has nothing to say of what is as it was."""
    contracts = Repository(ROOT).released_contracts()
    assert compared(tmp_path, contracts).returncode == 0

    (identity,) = [file for file in contracts.file if file.package == "weft.identity.v1"]
    message = next(one for one in identity.message_type if len(one.field) > 1 and not one.oneof_decl)
    gone = message.field.pop(0)

    done = compared(tmp_path, contracts)
    assert (done.returncode != 0, f'Previously present field "{gone.number}"' in done.stdout) == (True, True), (
        done.stderr
    )
