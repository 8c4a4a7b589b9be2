"""The repository: git, files, and the contracts as protoc reads them; and a draft of what a release changes."""

import subprocess
import tempfile
import tomllib
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc

from releases import versions
from releases.touched import Built, built, reasons
from releases.units import Unit

RELEASED = "proto/released.binpb"
CRATES = ("proxy/weft-proxy", "proxy/init", "proxy/api")


class Repository:
    """A checkout."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def git(self, *arguments: str) -> str:
        """What git prints; CalledProcessError when it fails."""
        done = subprocess.run(["git", "-C", str(self.root), *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def text(self, path: str, commit: str = "") -> str:
        """A file of the checkout, or of a commit."""
        return self.git("show", f"{commit}:{path}") if commit else (self.root / path).read_text()

    def version(self, unit: Unit) -> str:
        """The unit's version in the checkout."""
        return versions.in_manifest(self.text(unit.manifest))

    def last_tag(self, unit: Unit) -> str:
        """The tag of the unit's newest release that this checkout comes after; empty before the first."""
        return max(ages := self._ages(unit), key=ages.__getitem__, default="")

    def is_released(self, unit: Unit, version: str) -> bool:
        """Has a commit that this checkout comes after the tag of this version?"""
        return unit.tag(version) in self._ages(unit)

    def previous(self, unit: Unit) -> str:
        """The tag of the release that peers may still have: the newest of another minor than the checkout's.

        The newest of all where there is no other minor yet; empty before the first release.
        """
        ages, minor = self._ages(unit), versions.parsed(self.version(unit))[:2]
        return max([tag for tag in ages if ages[tag][:2] < minor] or ages, key=ages.__getitem__, default="")

    def _ages(self, unit: Unit) -> dict[str, tuple[int, ...]]:
        """Tags of the unit's releases before this checkout, with their versions."""
        tags = self.git("tag", "--merged", "HEAD", "--list", unit.tag("*")).split()
        return {tag: versions.parsed(tag.rpartition("/v")[2]) for tag in tags}

    def changed(self, commit: str) -> list[str]:
        """Files that differ between a commit and the checkout, new ones too."""
        new = self.git("ls-files", "--others", "--exclude-standard")
        return [*self.git("diff", "--name-only", commit).split("\n"), *new.split("\n")]

    def built(self, unit: Unit, commit: str = "") -> Built:
        """What the unit is built from."""
        own = frozenset({unit.folder, *unit.also})
        if not unit.lock:
            return Built(own)
        crates = {tomllib.loads(self.text(f"{folder}/Cargo.toml"))["package"]["name"]: folder for folder in CRATES}
        locked = built(self.text(unit.lock, commit), unit.package, crates if unit.lock == "proxy/Cargo.lock" else {})
        return Built(own | locked.folders, locked.packages)

    def touched(self, unit: Unit, commit: str) -> list[str]:
        """Why the unit is not what it was at a commit; empty when it is."""
        return reasons(self.built(unit, commit), self.built(unit), self.changed(commit))

    def contracts(self) -> FileDescriptorSet:
        """The contracts of the checkout."""
        proto = self.root / "proto"
        with tempfile.NamedTemporaryFile() as out:
            files = [str(path.relative_to(proto)) for path in sorted(proto.glob("*/v1/*.proto"))]
            wellknown = Path(protoc.__file__).parent / "_proto"
            arguments = [f"-Iweft_api={proto}", f"-I{wellknown}", f"--descriptor_set_out={out.name}"]
            if protoc.main(["protoc", *arguments, "--include_imports", *[f"weft_api/{file}" for file in files]]):
                raise SystemExit("the contracts do not compile")
            return FileDescriptorSet.FromString(Path(out.name).read_bytes())

    def released_contracts(self) -> FileDescriptorSet:
        """Those of the last release of any unit that speaks them."""
        return FileDescriptorSet.FromString((self.root / RELEASED).read_bytes())


class Draft(Repository):
    """A checkout with changes that are not written yet: whoever reads its texts sees them."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._changes: dict[str, bytes | None] = {}

    def text(self, path: str, commit: str = "") -> str:
        """The changed text of a file; of a commit, as it was."""
        changed = None if commit else self._changes.get(path)
        return super().text(path, commit) if changed is None else changed.decode()

    def put(self, path: str, content: str | bytes) -> None:
        """Another content for a file that git knows."""
        self._changes[path] = content.encode() if isinstance(content, str) else content

    def remove(self, path: str) -> None:
        """A file that shall go."""
        self._changes[path] = None

    def commit(self, message: str) -> None:
        """Writes and commits the changes, if they change anything; when that fails, the files are as they were."""
        try:
            self._write()
            if self.git("status", "--porcelain", "--", *self._changes):
                self.git("commit", "--quiet", "--message", message, "--", *self._changes)
        except BaseException:
            self.git("checkout", "--quiet", "HEAD", "--", *self._changes)
            raise

    def _write(self) -> None:
        for path, content in self._changes.items():
            if content is None:
                (self.root / path).unlink()
            else:
                (self.root / path).write_bytes(content)
