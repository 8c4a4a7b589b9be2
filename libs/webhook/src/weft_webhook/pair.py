"""What a serving certificate's Secret holds, and when it is made anew. Pure.

Each rotation makes a CA of its own that signs one leaf; the CA's key is then thrown away, so no Secret ever holds one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from weft_pki.bundle import bundle_pem, parse_certificates
from weft_pki.issue import new_anchor, serving_certificate
from weft_pki.keys import key_pem, load_key, new_key, public_bytes

LIFETIME = timedelta(days=30)
RENEW_AFTER = 2 / 3
CLOCK_SKEW = timedelta(minutes=10)
"""Replicas' clocks may differ by this much: else the late one would renew again and again what the early one made."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Certificate and key of a server, and the CAs that its clients are to trust: the newest first."""

    authorities: bytes
    certificate: bytes
    key: bytes
    not_before: datetime
    not_after: datetime

    def due(self, now: datetime) -> bool:
        """Is it time for a new one? Also when it claims to come from a future beyond skew of clocks."""
        renew_at = self.not_before + (self.not_after - self.not_before) * RENEW_AFTER
        return not self.not_before - CLOCK_SKEW <= now < renew_at

    def data(self) -> dict[str, bytes]:
        """As data of a Secret of type kubernetes.io/tls."""
        return {"ca.crt": self.authorities, "tls.crt": self.certificate, "tls.key": self.key}


def new_pair(name: str, hosts: Sequence[str], now: datetime, old: Pair | None = None) -> Pair:
    """A fresh pair. The CA of the old one stays trusted: replicas serve the old leaf until they have read the new."""
    authority = new_anchor(now, LIFETIME, f"weft {name} webhook CA")
    key = new_key()
    leaf = serving_certificate(authority, key.public_key(), hosts, now, LIFETIME)
    kept = parse_certificates(old.authorities)[:1] if old else []
    return Pair(
        bundle_pem([authority.certificate, *kept]),
        bundle_pem([leaf]),
        key_pem(key),
        leaf.not_valid_before_utc,
        leaf.not_valid_after_utc,
    )


def read_pair(data: Mapping[str, bytes]) -> Pair:
    """A Secret's data as a pair; ValueError when it is not one."""
    try:
        authorities, certificate, key = data["ca.crt"], data["tls.crt"], data["tls.key"]
    except KeyError as missing:
        raise ValueError(f"{missing} is missing") from None
    parse_certificates(authorities)
    leaf = parse_certificates(certificate)[0]
    if public_bytes(load_key(key).public_key()) != public_bytes(leaf.public_key()):  # type: ignore[arg-type]
        raise ValueError("the key is not the certificate's")
    return Pair(authorities, certificate, key, leaf.not_valid_before_utc, leaf.not_valid_after_utc)
