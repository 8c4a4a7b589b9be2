"""Path templates of ServiceProfiles: `/tea/{id}/cups`, where `{id}` is one segment that is not empty."""

import re
from urllib.parse import quote, unquote_to_bytes

PATH_MAX = 512
"""Characters of a template; as a regular expression it may have twice as many."""

SEGMENT = "[^/]+"
_PARAMETER = re.compile(r"\{[A-Za-z_][A-Za-z0-9_.-]*\}")
_SPECIAL = re.compile(r"([\\.+*?()|\[\]{}^$])")


def path_regex(template: str) -> str:
    """The regular expression over whole paths that a template stands for; raises ValueError that says what is wrong."""
    if not template.startswith("/"):
        raise ValueError(f'must begin with "/", like "/{template}"')
    if not template.isascii():
        raise ValueError(f'is percent-encoded in requests: did you mean "{quote(template, safe="/{}")}"?')
    return "/".join(map(_segment, template.split("/")))


def _segment(text: str) -> str:
    if _PARAMETER.fullmatch(text):
        return SEGMENT
    if "{" in text or "}" in text:
        raise ValueError(f'"{text}" must be a whole segment like "{{id}}", of letters, digits and _')
    return _SPECIAL.sub(r"\\\1", text)


_TEMPLATE = re.compile(r"(?:\\[^A-Za-z0-9]|[^\\.+*?()|\[\]{}^$])*")


def path_template(regex: str) -> str | None:
    """The inverse of `path_regex`, with "{}" for parameters; None for an expression that no template stands for."""
    text = regex.replace(SEGMENT, "\0")
    segments = text.split("/")
    if not text.startswith("/") or not _TEMPLATE.fullmatch(text) or any("\0" in s and s != "\0" for s in segments):
        return None
    return None if "{" in text else re.sub(r"\\(.)", r"\1", text).replace("\0", "{}")


_NO_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})|%2F", re.IGNORECASE)
_AMBIGUOUS = re.compile(r"\A(?!/)|//|/\.{1,2}(?=/|\Z)|[\x00-\x1f\x7f;\\]|%[0-9A-Fa-f]{2}")


def plain_path(path: str) -> str | None:
    """A request's path, without query, as policies compare it: percent-decoded once. None for what an application could
    read in two ways: empty and dot segments, an escaped slash, backslash, semicolon, control characters, escapes that
    are none or hide another, bytes that are no UTF-8."""
    if _NO_ESCAPE.search(path):
        return None
    try:
        decoded = unquote_to_bytes(path).decode()
    except UnicodeError:
        return None
    return None if _AMBIGUOUS.search(decoded) else decoded
