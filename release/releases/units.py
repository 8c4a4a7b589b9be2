"""What is released alone: a version, a CHANGELOG and a tag each, and most an image."""

from dataclasses import dataclass

CHART = "charts/mesh"
VALUES, VIZ_VALUES = f"{CHART}/values.yaml", f"{CHART}/charts/viz/values.yaml"


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit; paths are the repository's."""

    name: str
    """As in tags: `destination/v1.4.0`."""
    folder: str
    manifest: str
    """The file that holds its version."""
    changelog: str
    package: str = ""
    """Its name in the lock file, if it has one."""
    lock: str = ""
    pin: tuple[str, str] | None = None
    """The chart's values file and the dotted key that name its image's tag."""
    also: tuple[str, ...] = ()
    """What it is built from besides its folder and what the lock names: files and folders."""

    def tag(self, version: str) -> str:
        """The tag of a version."""
        return f"{self.name}/v{version}"


def _service(name: str, key: str, values: str = VALUES) -> Unit:
    folder = f"services/{name}"
    return Unit(
        name=name,
        folder=folder,
        manifest=f"{folder}/pyproject.toml",
        changelog=f"{folder}/CHANGELOG.md",
        package=f"weft-{name}",
        lock="uv.lock",
        pin=(values, f"{key}.tag"),
        also=("services/Dockerfile", "services/slim.py", ".dockerignore", "pyproject.toml"),
    )


def _crate(name: str, folder: str, package: str, changelog: str, key: str) -> Unit:
    return Unit(
        name=name,
        folder=folder,
        manifest=f"{folder}/Cargo.toml",
        changelog=changelog,
        package=package,
        lock="proxy/Cargo.lock",
        pin=(VALUES, f"{key}.tag"),
        also=("proxy/Cargo.toml", "proxy/Dockerfile", ".dockerignore"),
    )


_ALL = (
    _service("destination", "destination"),
    _service("identity", "identity"),
    _service("injector", "injector"),
    _service("sp-validator", "spValidator"),
    _service("tap", "tap", VIZ_VALUES),
    _service("web", "web", VIZ_VALUES),
    _crate("proxy", "proxy/weft-proxy", "weft-proxy", "proxy/CHANGELOG.md", "global.proxy"),
    _crate("proxy-init", "proxy/init", "weft-init", "proxy/init/CHANGELOG.md", "proxyInit"),
    Unit(name="chart", folder=CHART, manifest=f"{CHART}/Chart.yaml", changelog=f"{CHART}/CHANGELOG.md"),
    Unit(
        name="cli",
        folder="cli",
        manifest="cli/pyproject.toml",
        changelog="cli/CHANGELOG.md",
        package="weft",
        lock="uv.lock",
        also=(
            CHART,
            "libs/sidecar",
            "libs/kube",
            "pyproject.toml",
        ),  # what its wheel holds: cli/hatch_build.py; what builds it
    ),
)
UNITS = {unit.name: unit for unit in _ALL}
