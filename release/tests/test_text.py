"""Versions and changelogs in text: what is to change changes, everything else stays."""

import pytest
from releases.changelog import released, section
from releases.compatibility import Pinned, page
from releases.versions import VersionError, in_manifest, parsed, set_in_chart, set_in_lock, set_in_toml, set_value

VALUES = """\
# Shared.
global:
  image:
    prefix: x/   # registry
  proxy:
    tag: 0.1.0
destination:
  # Of the image.
  tag: 0.1.0   # pinned
identity:
  tag: 0.1.0
"""


@pytest.mark.parametrize("key", ["global.proxy.tag", "identity.tag"])
def test_a_value_is_set_where_it_stands(key: str) -> None:
    """One line differs, comments and order stay."""
    before, after = VALUES.splitlines(), set_value(VALUES, key, "1.4.0").splitlines()

    changed = [(old.strip(), new.strip()) for old, new in zip(before, after, strict=True) if old != new]
    assert changed == [("tag: 0.1.0", "tag: 1.4.0")]


@pytest.mark.parametrize("key", ["global.tag", "destination.image.tag", "web.tag"])
def test_a_value_of_another_block_is_never_taken(key: str) -> None:
    """A key that is not in its block is an error, not the next one of that name."""
    with pytest.raises(VersionError, match=key):
        set_value(VALUES, key, "1.4.0")


def test_only_the_packages_own_version_is_set() -> None:
    """A dependency's version in the same file is another thing."""
    manifest = '[project]\nname = "a"\nversion = "0.1.0"\n[tool.x]\nversion = "7"\n'
    lock = '[[package]]\nname = "b"\nversion = "0.1.0"\n\n[[package]]\nname = "a"\nversion = "0.1.0"\n'

    assert set_in_toml(manifest, "1.4.0") == manifest.replace("0.1.0", "1.4.0")
    assert in_manifest(set_in_toml(manifest, "1.4.0")) == "1.4.0"
    assert (
        set_in_lock(lock, "a", "1.4.0")
        == '[[package]]\nname = "b"\nversion = "0.1.0"\n\n[[package]]\nname = "a"\nversion = "1.4.0"\n'
    )


def test_a_chart_and_its_subchart_have_one_version() -> None:
    """`version`, `appVersion` and the dependency's, but not that of the format or of Kubernetes."""
    chart = 'apiVersion: v2\nversion: 0.1.0\nappVersion: 0.1.0\nkubeVersion: ">=1.29"\n'
    chart += "dependencies:\n  - name: viz\n    version: 0.1.0\n"

    assert set_in_chart(chart, "1.4.0") == chart.replace("0.1.0", "1.4.0")


@pytest.mark.parametrize("version", ["1.4", "v1.4.0", "1.4.0-rc1", "01.4.0", "1.4.0\n"])
def test_a_version_is_three_numbers(version: str) -> None:
    """Anything else is refused before a file is touched."""
    with pytest.raises(VersionError, match="write MAJOR"):
        parsed(version)


def test_versions_are_ordered_by_number() -> None:
    """1.10 is newer than 1.9."""
    assert max("1.9.0", "1.10.0", key=parsed) == "1.10.0"


def test_fragments_become_the_newest_section() -> None:
    """In the order of their names, older sections below, as they were."""
    old = "# Changelog\n\n## 1.3.0\n\n- Old.\n"

    new = released(old, "1.4.0", {"b.md": "- Second,\nin two lines.\n", "a.md": "First.\n"})

    assert new == "# Changelog\n\n## 1.4.0\n\n- First.\n- Second,\n  in two lines.\n\n## 1.3.0\n\n- Old.\n"
    assert section(new, "1.4.0") == "- First.\n- Second,\n  in two lines."


@pytest.mark.parametrize("heading", ["Unreleased", "1.4.0", "1.4.0 (unreleased)"])
def test_what_is_written_already_comes_first(heading: str) -> None:
    """Lines under `Unreleased` or the version's own heading are kept: a second run adds nothing."""
    new = released(f"# Changelog\n\n## {heading}\n\n- Here.\n", "1.4.0", {"a.md": "There."})

    assert new == "# Changelog\n\n## 1.4.0\n\n- Here.\n- There.\n"
    assert released(new, "1.4.0", {}) == new


def test_a_release_without_a_change_is_refused() -> None:
    """Nobody could say why to upgrade."""
    with pytest.raises(ValueError, match="nothing to release"):
        released("# Changelog\n\n## 1.3.0\n\n- Old.\n", "1.4.0", {})


def test_a_proxy_works_with_each_service_by_its_own_version() -> None:
    """One minor apart, either way, from whoever speaks the contract at the other end; else as the chart has it."""
    units = [
        Pinned("destination", "1.7.2", ("discovery",)),
        Pinned("identity", "1.2.0", ("identity",)),
        Pinned("injector", "1.9.0", ()),
        Pinned("proxy", "1.5.1", ("discovery", "identity")),
        Pinned("tap", "0.1.3", ("tap",)),
    ]

    rows = [line for line in page("1.0.0", "1.29", "1.35", units, {}).splitlines() if line.startswith("| ")]

    assert rows[1:] == [
        "| destination | 1.7.2 | discovery/v1 | proxy 1.4 to 1.6 |",
        "| identity | 1.2.0 | identity/v1 | proxy 1.4 to 1.6 |",
        "| injector | 1.9.0 | - | what its chart pins |",
        "| proxy | 1.5.1 | discovery/v1, identity/v1 | destination 1.6 to 1.8, identity 1.1 to 1.3 |",
        "| tap | 0.1.3 | tap/v1 | proxy 1.4 to 1.6 |",
    ]
