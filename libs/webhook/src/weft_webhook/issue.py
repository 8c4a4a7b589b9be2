"""Reads the pair of a Secret, or makes a new one: a program that answers the Question on stdin, once.

Each rotation makes a CA of its own that signs one leaf; the CA's key is then thrown away, so no Secret ever holds one.
"""

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
from weft_pki.bundle import bundle_pem, parse_certificates
from weft_pki.issue import new_anchor, serving_certificate
from weft_pki.keys import key_pem, load_key, new_key, public_bytes

from weft_webhook.pair import LIFETIME, Pair, Question, Settled


def settled(question: Question) -> Settled:
    """The Secret's pair while it is sound and not due, else a new one."""
    old, fault = None, ""
    if question.data is not None:
        try:
            old = read_pair(question.data)
        except ValueError as error:
            fault = str(error)
    if old and not old.due(question.now):
        return Settled(old, made=False)
    return Settled(new_pair(question.name, question.hosts, question.now, old), made=True, fault=fault)


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


if __name__ == "__main__":
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=Question)
    sys.stdout.buffer.write(msgspec.json.encode(settled(asked)))
