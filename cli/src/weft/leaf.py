"""The certificate that a proxy shows right now, by a handshake with its tap port."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from weft.errors import Failure

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

PORT = 4190
"""Mesh TLS, not redirected, on every proxy. Who shows no certificate gets no further than the handshake."""

SNI, ALPN = "weft.internal", "weft-h2"
SECONDS = 10.0
CHUNK = 16384


@dataclass(frozen=True, slots=True)
class Leaf:
    """What of a certificate people ask for. `trusted` is empty, or why the bundle does not vouch for it."""

    identity: str
    serial: str
    sha256: str
    issuer: str
    not_before: datetime
    not_after: datetime
    trusted: str

    @property
    def renewal(self) -> datetime:
        """When the proxy should have another one at the latest: 70 % of its life."""
        return self.not_before + (self.not_after - self.not_before) * 0.7

    def overdue(self, now: datetime) -> bool:
        """Is the renewal late, by a tenth of the certificate's life?"""
        return now > self.renewal + (self.not_after - self.not_before) * 0.1


def live_leaf(connect: Callable[[], Any], bundle: str) -> Leaf:
    """The proxy's certificate; `connect` gives a socket to its tap port, `bundle` is the PEM of its namespace."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    der, _ = _handshake(connect, None)
    if der is None:
        raise Failure("the proxy shows no certificate", "See its log: kubectl logs POD -c weft-proxy.")
    _, trusted = _handshake(connect, bundle) if bundle else (None, "there is no trust bundle in the namespace")
    certificate = x509.load_der_x509_certificate(der)
    return Leaf(
        _identity(certificate),
        f"{certificate.serial_number:x}",
        certificate.fingerprint(hashes.SHA256()).hex(),
        certificate.issuer.rfc4514_string(),
        certificate.not_valid_before_utc.astimezone(UTC),
        certificate.not_valid_after_utc.astimezone(UTC),
        trusted,
    )


def _identity(certificate: "Certificate") -> str:
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ""
    return ",".join(names.get_values_for_type(x509.UniformResourceIdentifier))


def _handshake(connect: Callable[[], Any], bundle: str | None) -> tuple[bytes | None, str]:
    """The certificate's DER, and why it did not verify against the bundle."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.set_alpn_protocols([ALPN])
    if bundle is None:
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(cadata=bundle)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=SNI)
    socket = connect()
    socket.settimeout(SECONDS)
    try:
        _shake(tls, socket, incoming, outgoing)
    except ssl.SSLCertVerificationError as error:
        return None, error.verify_message
    except OSError as error:
        raise Failure(
            f"no handshake with the proxy: {error}", "See that the pod is in the mesh and its proxy runs."
        ) from error
    finally:
        socket.close()
    return tls.getpeercert(binary_form=True), ""


def _shake(tls: ssl.SSLObject, socket: Any, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            socket.sendall(outgoing.read())
            data = socket.recv(CHUNK)
            if not data:
                raise ConnectionResetError("the proxy closed the connection") from None
            incoming.write(data)
        else:
            return
