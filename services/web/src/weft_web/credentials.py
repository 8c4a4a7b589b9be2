"""What web shows Prometheus: a Secret's keys, as files that the kubelet renews. No text made here has a value."""

import base64
import ipaddress
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from weft_web.guard import loopback

KEYS = ("token", "username", "password", "tenant", "ca.crt")
SOURCE = "the Secret that viz.web.prometheusSecret names"
UNTRUSTED = f"does it name the URL's host, and is the certificate of its authority key ca.crt of {SOURCE}?"

_VISIBLE = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Shown:
    """Headers of every question, the keys that they are from, and whom to trust instead of public authorities (PEM)."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    keys: tuple[str, ...] = ()
    authority: str = ""

    def trust(self, url: str) -> ssl.SSLContext | None:
        """How to know the server; None: as usual. ValueError when the authority cannot be used."""
        if not self.authority:
            return None
        if not url.startswith("https:"):
            raise ValueError(f"{SOURCE} has ca.crt, which is for https, and the URL is {url}")
        try:
            context = ssl.create_default_context(cadata=self.authority)
        except (ssl.SSLError, ValueError):
            raise ValueError(f"{SOURCE}: ca.crt holds no certificate in PEM") from None
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # `openssl req -x509` leaves key usage out
        return context


def read(folder: Path | None) -> Shown:
    """What is to be shown now; ValueError names the key at fault, OSError the file."""
    if folder is None:
        return Shown()
    files = (file for file in folder.iterdir() if not file.name.startswith(".."))  # the kubelet's own
    return parse({file.name: file.read_bytes() for file in files})


def parse(secret: Mapping[str, bytes]) -> Shown:
    """What a Secret's keys mean together. Each may end in a line break, as editors leave one."""
    if unknown := sorted(secret.keys() - set(KEYS)):
        raise ValueError(f"{SOURCE} has key {unknown[0]!r}, which web does not know: it knows {', '.join(KEYS)}")
    if not secret:
        raise ValueError(f"{SOURCE} is empty: it may have {', '.join(KEYS)}")
    values = {key: _text(key, value) for key, value in secret.items()}
    headers = _authorization(values)
    if tenant := values.get("tenant"):
        headers["X-Scope-OrgID"] = _visible("tenant", tenant)
    authority = values.pop("ca.crt", "")
    return Shown(headers, tuple(key for key in KEYS if key in values), authority)


def _authorization(values: Mapping[str, str]) -> dict[str, str]:
    named = [key for key in ("username", "password") if key in values]
    if "token" in values and named:
        raise ValueError(f"{SOURCE} has token and {named[0]}: Prometheus can be shown one of them, so take one out")
    if "token" in values:
        return {"Authorization": f"Bearer {_visible('token', values['token'])}"}
    if len(named) == 1:
        raise ValueError(f"{SOURCE} has {named[0]} alone: username and password go together")
    if not named:
        return {}
    if ":" in values["username"]:
        raise ValueError(f"{SOURCE}: username has a colon, which ends it (RFC 7617)")
    pair = f"{values['username']}:{values['password']}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _text(key: str, value: bytes) -> str:
    try:
        text = value.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError(f"{SOURCE}: {key} is no text") from None
    if not text:
        raise ValueError(f"{SOURCE}: {key} is empty")
    return text


def _visible(key: str, text: str) -> str:
    if not _VISIBLE.fullmatch(text):
        raise ValueError(f"{SOURCE}: {key} has what no header may have, a space or a line break for example")
    return text


def refusal(status: int, shown: Shown) -> tuple[str, str]:
    """Why Prometheus answers 401 or 403, and what to do."""
    keys = ", ".join(shown.keys)
    if not keys:
        step = "put them into a Secret of namespace weft and name it by viz.web.prometheusSecret"
        return f"it wants credentials ({status})", step
    if status == 401:
        step = f"correct {SOURCE}; what is new there is used within two minutes"
        return f"it does not accept {keys} ({status})", step
    return f"who shows it this {keys} may not query ({status})", f"grant the right to read, or change {SOURCE}"


def in_the_clear(url: str) -> bool:
    """Would others on the way read what is sent there? Not within this pod, nor, by its name, within the cluster."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme != "http" or loopback(host):
        return False
    labels = host.split(".")  # NAME, NAME.NAMESPACE or NAME.NAMESPACE.svc…
    return _is_address(host) or (len(labels) > 2 and labels[2] != "svc")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
