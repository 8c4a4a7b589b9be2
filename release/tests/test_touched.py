"""What a change touches: exactly the units that are built from it."""

from releases.touched import Built, built, reasons
from releases.units import UNITS

UV = """
[[package]]
name = "app"
source = { editable = "services/app" }
version = "0.1.0"
dependencies = [{ name = "lib" }, { name = "aiohttp" }]
[package.dev-dependencies]
dev = [{ name = "pytest" }]
[[package]]
name = "lib"
source = { editable = "libs/lib" }
version = "0.1.0"
dependencies = [{ name = "attrs" }]
[[package]]
name = "aiohttp"
source = { registry = "https://pypi.org/simple" }
version = "3.14.5"
dependencies = [{ name = "attrs" }]
[[package]]
name = "attrs"
source = { registry = "https://pypi.org/simple" }
version = "26.1.0"
[[package]]
name = "pytest"
source = { registry = "https://pypi.org/simple" }
version = "9.0.0"
"""
CARGO = """
[[package]]
name = "proxy"
version = "0.1.0"
dependencies = ["api", "h2", "rand 0.9.1 (registry)"]
[[package]]
name = "api"
version = "0.1.0"
[[package]]
name = "h2"
version = "0.4.0"
source = "registry"
[[package]]
name = "rand"
version = "0.9.1"
source = "registry"
"""


def test_a_service_is_built_from_what_the_lock_says() -> None:
    """Libraries of the repository by folder, others by version, in any depth; what only tests need is left out."""
    assert built(UV, "app", {}) == Built(
        frozenset({"services/app", "libs/lib"}), frozenset({"aiohttp 3.14.5", "attrs 26.1.0"})
    )


def test_a_crate_is_built_from_what_the_lock_says() -> None:
    """Crates of the repository by folder, others by version."""
    crates = {"proxy": "proxy/weft-proxy", "api": "proxy/api"}

    assert built(CARGO, "proxy", crates) == Built(frozenset(crates.values()), frozenset({"h2 0.4.0", "rand 0.9.1"}))


def test_a_unit_is_touched_by_its_files_and_its_packages() -> None:
    """A library's source and another version of a package; not by tests, READMEs and other folders."""
    before = Built(frozenset({"libs/lib"}), frozenset({"aiohttp 3.14.5"}))
    after = Built(before.folders, frozenset({"aiohttp 3.15.0"}))
    changed = ["libs/lib/src/a.py", "libs/lib/tests/test_a.py", "libs/lib/README.md", "libs/library/a.py", "docs/a.md"]

    assert reasons(before, after, changed) == ["+ aiohttp 3.15.0", "- aiohttp 3.14.5", "libs/lib/src/a.py"]
    assert reasons(before, before, changed[1:]) == []


def test_a_dockerfile_touches_what_it_builds() -> None:
    """A file, not only folders."""
    assert reasons(Built(frozenset({"a/Dockerfile"})), Built(frozenset({"a/Dockerfile"})), ["a/Dockerfile"]) != []


def test_every_unit_tells_its_changes() -> None:
    """No two units share a tag, a pin or a CHANGELOG."""
    for what in (lambda unit: unit.changelog, lambda unit: unit.manifest, lambda unit: unit.pin or unit.name):
        assert len({what(unit) for unit in UNITS.values()}) == len(UNITS)
