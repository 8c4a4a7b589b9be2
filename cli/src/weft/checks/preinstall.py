"""pre-install: may this user install weft here, and is there nothing in the way?"""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from weft import installed
from weft.checks.model import Category, Check, CheckSkippedError, Scene, require
from weft.names import NAMESPACE

ALLOWED_SKEW = 60.0


def _namespace(scene: Scene) -> None:
    found = scene.once(f"/api/v1/namespaces/{NAMESPACE}")
    require(found is None, f"namespace {NAMESPACE} is already there")


def _installed(scene: Scene) -> None:
    require(installed.config(scene.kube) is None, "weft is already installed")


def _permissions(scene: Scene) -> None:
    missing = installed.missing_permissions(scene.kube)
    require(not missing, f"you may not create {', '.join(missing)}")


def _secrets(scene: Scene) -> None:
    require(scene.kube.allowed("get", "", "secrets", NAMESPACE), f"you may not read secrets in namespace {NAMESPACE}")


def _extension_config(scene: Scene) -> None:
    path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
    found = scene.once(path)
    data = (found or {}).get("data") or {}
    require("requestheader-client-ca-file" in data, "the API server has no CA for aggregated APIs")


def _clock(scene: Scene) -> None:
    date = scene.kube.server_date()
    if not date:
        raise CheckSkippedError
    skew = abs((datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds())
    require(skew <= ALLOWED_SKEW, f"this machine's clock and the API server's differ by {skew:.0f} s")


CATEGORY = Category(
    "pre-install",
    (
        Check(
            "pre-not-installed",
            "weft is not installed yet",
            _installed,
            "To change an installation run `weft upgrade`; to check it run `weft check` without --pre.",
        ),
        Check(
            "pre-namespace",
            "its namespace does not exist yet",
            _namespace,
            f"`weft install` makes namespace {NAMESPACE}. If it is left over from a removal, delete it first.",
            warning=True,
        ),
        Check(
            "pre-permissions",
            "can create what an installation consists of",
            _permissions,
            "Ask a cluster administrator for the role cluster-admin, or let them install.",
        ),
        Check(
            "pre-secrets",
            "can read secrets in its namespace",
            _secrets,
            "`weft check` compares certificates; without the right to read them it cannot.",
            warning=True,
        ),
        Check(
            "pre-aggregation",
            "the API server can aggregate APIs",
            _extension_config,
            "`weft viz tap` needs the aggregation layer: start the API server with --requestheader-client-ca-file.",
            warning=True,
        ),
        Check(
            "pre-clock",
            "no clock skew detected",
            _clock,
            "Synchronise the clocks (NTP): certificates are valid by the clock.",
            warning=True,
        ),
    ),
)
