"""Who asks: the API server names the caller in headers, and is itself known by its client certificate. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import unquote

import msgspec

from weft_tap.faults import Fault


class Headers(Protocol):
    """Headers that may come several times."""

    def getall(self, key: str, default: list[str], /) -> list[str]:
        """All values of one header."""

    def keys(self) -> object:
        """All names."""


@dataclass(frozen=True, slots=True)
class RequestHeader:
    """Kubernetes' own words in ConfigMap kube-system/extension-apiserver-authentication."""

    authorities: str
    """PEM; who may speak for callers has a certificate by one of them."""
    allowed_names: Sequence[str] = ()
    """Common names of those certificates; empty: any."""
    username: Sequence[str] = ("X-Remote-User",)
    group: Sequence[str] = ("X-Remote-Group",)
    extra_prefix: Sequence[str] = ("X-Remote-Extra-",)


@dataclass(frozen=True, slots=True)
class Caller:
    """A user of Kubernetes."""

    user: str
    groups: Sequence[str] = ()
    extra: Mapping[str, Sequence[str]] = field(default_factory=dict)


def read_config(data: Mapping[str, str]) -> RequestHeader:
    """From the ConfigMap's data; ValueError when aggregation is not set up."""
    authorities = data.get("requestheader-client-ca-file", "")
    if not authorities.strip():
        raise ValueError("the API server has no requestheader-client-ca-file: aggregation is not configured")

    def names(key: str, default: list[str]) -> list[str]:
        return msgspec.json.decode(data[key], type=list[str]) if data.get(key) else default

    return RequestHeader(
        authorities,
        names("requestheader-allowed-names", []),
        names("requestheader-username-headers", ["X-Remote-User"]),
        names("requestheader-group-headers", ["X-Remote-Group"]),
        names("requestheader-extra-headers-prefix", ["X-Remote-Extra-"]),
    )


def caller(config: RequestHeader, common_name: str | None, headers: Mapping[str, str], all_of: Headers) -> Caller:
    """The caller that headers name, when a certificate with this common name (None: no certificate) may say so."""
    if common_name is None:
        raise Fault(401, "only the Kubernetes API server may ask; use kubectl, weft viz tap or the API's own path")
    if config.allowed_names and common_name not in config.allowed_names:
        raise Fault(401, f"certificate {common_name!r} may not speak for others")
    user = next((headers[name] for name in config.username if headers.get(name)), "")
    if not user:
        raise Fault(401, "the request names no user")
    groups = [group for name in config.group for group in all_of.getall(name, [])]
    return Caller(user, groups, _extra(config.extra_prefix, headers, all_of))


def _extra(prefixes: Sequence[str], headers: Mapping[str, str], all_of: Headers) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in dict.fromkeys(headers):
        for prefix in prefixes:
            if name.lower().startswith(prefix.lower()):
                found[unquote(name[len(prefix) :]).lower()] = all_of.getall(name, [])
    return found


def common_name(certificate: Mapping[str, object] | None) -> str | None:
    """Of a verified peer certificate, as Python's ssl gives it; None without one."""
    if not certificate:
        return None
    subject: Sequence[Sequence[tuple[str, str]]] = certificate.get("subject", ())  # type: ignore[assignment]
    return next((value for part in subject for name, value in part if name == "commonName"), "")
