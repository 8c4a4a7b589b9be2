"""Filters of a rule or a backend: what becomes of a request and its response."""

import re
from collections.abc import Collection, Iterator, Sequence

from weft_destination.gateway.fields import Json, UnsupportedError, known, number, part, parts, text, texts, token
from weft_destination.route import Filter, HeaderChange, Path, PathChange, Redirect, Rewrite

REDIRECTS = (301, 302, 303, 307, 308)
SCHEMES = ("", "http", "https")
PREFIXES = (Path.ANY, Path.PREFIX)
RESERVED = {
    "connection", "content-length", "expect", "host", "keep-alive", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
}  # fmt: skip
"""They frame a message, belong to one connection or say where a request goes; the proxy's own begin with "weft-"."""

_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_HOSTNAME = re.compile(r"(?!.{254})[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", re.IGNORECASE)
_PATH = re.compile(r"(?!.{32769})(/[!\"$-;=@-_a-z{|}~]*)?")


def read_filters(raw: Json) -> Iterator[Filter]:
    """Those that weft knows, in their order."""
    for one in parts(raw, "filters"):
        match text(one, "type"):
            case "RequestHeaderModifier":
                yield _headers(part(one, "requestHeaderModifier") or {}, response=False)
            case "ResponseHeaderModifier":
                yield _headers(part(one, "responseHeaderModifier") or {}, response=True)
            case "RequestRedirect":
                yield _redirect(part(one, "requestRedirect") or {})
            case "URLRewrite":
                yield _rewrite(part(one, "urlRewrite") or {})
            case other:
                raise UnsupportedError(f"filter {other} is not supported")


def check_filters(filters: Sequence[Filter], paths: Collection[Path], *, has_backends: bool) -> None:
    """What makes no sense together."""
    others = [one for one in filters if not isinstance(one, HeaderChange)]
    if len(others) > 1:
        raise UnsupportedError("several of redirect and rewrite in one rule")
    if any(one.path and one.path.prefix for one in others) and not all(path in PREFIXES for path in paths):
        raise UnsupportedError("ReplacePrefixMatch without a match of type PathPrefix")
    if has_backends and any(isinstance(one, Redirect) for one in others):
        raise UnsupportedError("a redirect and backendRefs in one rule")


def _headers(raw: Json, *, response: bool) -> HeaderChange:
    known(raw, {"set", "add", "remove"})
    pairs = {
        key: tuple((_header(token(one, "name")), _value(one)) for one in parts(raw, key)) for key in ("set", "add")
    }
    removed = tuple(_header(token({"remove": name}, "remove")) for name in texts(raw, "remove"))
    return HeaderChange(response, pairs["set"], pairs["add"], removed)


def _header(name: str) -> str:
    name = name.lower()
    if name in RESERVED or name.startswith("weft-"):
        hint = "; URLRewrite has a hostname" if name == "host" else ""
        raise UnsupportedError(f"header {name} cannot be changed{hint}")
    return name


def _value(raw: Json) -> str:
    value = text(raw, "value")
    if not _VALUE.fullmatch(value):
        raise UnsupportedError(f"{value!r} cannot be the value of a header")
    return value


def _redirect(raw: Json) -> Redirect:
    known(raw, {"scheme", "hostname", "path", "port", "statusCode"})
    status, scheme = number(raw, "statusCode", 302), text(raw, "scheme")
    if status not in REDIRECTS:
        raise UnsupportedError(f"a redirect with status {status}; there are {', '.join(map(str, REDIRECTS))}")
    if scheme not in SCHEMES:
        raise UnsupportedError(f"a redirect to scheme {scheme}; there are http and https")
    return Redirect(status, scheme, _hostname(raw), number(raw, "port"), _path_change(raw))


def _rewrite(raw: Json) -> Rewrite:
    known(raw, {"hostname", "path"})
    return Rewrite(_hostname(raw), _path_change(raw))


def _hostname(raw: Json) -> str:
    hostname = text(raw, "hostname")
    if hostname and not _HOSTNAME.fullmatch(hostname):
        raise UnsupportedError(f"{hostname!r} is no hostname")
    return hostname


def _path_change(raw: Json) -> PathChange | None:
    path = part(raw, "path")
    if path is None:
        return None
    known(path, {"type", "replaceFullPath", "replacePrefixMatch"})
    match text(path, "type"):
        case "ReplacePrefixMatch":
            return PathChange(_new_path(path, "replacePrefixMatch"), prefix=True)
        case "ReplaceFullPath":
            return PathChange(_new_path(path, "replaceFullPath") or "/", prefix=False)
        case other:
            raise UnsupportedError(f"path type {other} is unknown")


def _new_path(raw: Json, name: str) -> str:
    path = text(raw, name)
    if not _PATH.fullmatch(path):
        raise UnsupportedError(f"{name} {path!r} is no path")
    return path
