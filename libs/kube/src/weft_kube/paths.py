"""Path templates of ServiceProfiles: `/tea/{id}/cups`, where `{id}` is one segment that is not empty."""

import re
from urllib.parse import quote

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
