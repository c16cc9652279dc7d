"""X.509 as this site uses it: ECDSA P-256, one CA, what a holder may do in the names of its certificate.

An edge's certificate names `osprey:edge:EDGE_ID` and one `osprey:camera:CAMID` for each of its cameras; a person's
names `osprey:operator:NAME` or `osprey:viewer:NAME`. A client's certificate is good for clients only, the server's for
servers only.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Literal, get_args

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from reid.credentials import CredentialsKind
from server.errors import SecurityError

_CLOCKS_APART = timedelta(hours=1)
"""Certificates begin earlier by this: a client's clock may be slow."""
_PREFIX = "osprey"


@dataclass(frozen=True, kw_only=True)
class KeyPair:
    """A certificate and its private key, PEM."""

    certificate_pem: bytes
    key_pem: bytes


@dataclass(frozen=True, kw_only=True)
class ClientCertificate:
    """What a client's certificate says.

    Attributes:
        serial: Hexadecimal.
        kind: What the holder is.
        name: The holder.
        camids: Cameras of an edge.
        ends_at_s: Seconds since the Unix epoch.
    """

    serial: str
    kind: CredentialsKind
    name: str
    camids: tuple[str, ...]
    ends_at_s: int


def make_ca(site: str, *, days: int, now: datetime) -> KeyPair:
    """A CA for one site, which signs no further CAs."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _begin(key, f"Osprey CA of {site}", f"Osprey CA of {site}", days=days, now=now)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(is_ca=True), critical=True)
    return _finish(builder, key, key)


def make_server_certificate(ca: KeyPair, hosts: Sequence[str], *, days: int, now: datetime) -> KeyPair:
    """A certificate for the server's names and addresses.

    Raises:
        SecurityError: The CA cannot be read, or ends earlier.
    """
    return _sign(ca, "osprey-server", [_host_name(host) for host in hosts], "server", days=days, now=now)


def make_client_certificate(
    ca: KeyPair, kind: CredentialsKind, name: str, camids: Sequence[str], *, days: int, now: datetime
) -> KeyPair:
    """A certificate for an edge or a person.

    Raises:
        SecurityError: The CA cannot be read, or ends earlier.
    """
    words = [f"{_PREFIX}:{kind}:{name}", *(f"{_PREFIX}:camera:{camid}" for camid in camids)]
    return _sign(ca, name, [x509.UniformResourceIdentifier(word) for word in words], "client", days=days, now=now)


@lru_cache(maxsize=4096)
def read_client_certificate(pem: bytes) -> ClientCertificate:
    """What a client's certificate says; whether the CA signed it is TLS's part.

    Raises:
        SecurityError: It is damaged, or names no single edge or person of a site.
    """
    certificate = _load(pem)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        raise SecurityError("a certificate without names is no client's of this site") from None
    words = [uri.split(":", 2) for uri in names.get_values_for_type(x509.UniformResourceIdentifier)]
    holders = [(kind, name) for prefix, kind, name in words if prefix == _PREFIX and kind in get_args(CredentialsKind)]
    if len(holders) != 1:
        raise SecurityError(f"a client's certificate must name one edge, operator or viewer, this names {len(holders)}")
    kind, name = holders[0]
    return ClientCertificate(
        serial=serial_of(pem),
        kind=kind,  # type: ignore[arg-type]  # tested above
        name=name,
        camids=tuple(camid for prefix, word, camid in words if (prefix, word) == (_PREFIX, "camera")),
        ends_at_s=end_of(pem),
    )


def serial_of(pem: bytes) -> str:
    """Serial number, hexadecimal.

    Raises:
        SecurityError: The certificate is damaged.
    """
    return f"{_load(pem).serial_number:x}"


def end_of(pem: bytes) -> int:
    """When a certificate ends, seconds since the Unix epoch.

    Raises:
        SecurityError: It is damaged.
    """
    return int(_load(pem).not_valid_after_utc.timestamp())


def hosts_of(pem: bytes) -> list[str]:
    """Names and addresses in a server's certificate.

    Raises:
        SecurityError: It is damaged.
    """
    names = _load(pem).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]


def _sign(
    ca: KeyPair,
    name: str,
    names: Sequence[x509.GeneralName],
    usage: Literal["server", "client"],
    *,
    days: int,
    now: datetime,
) -> KeyPair:
    issuer = _load(ca.certificate_pem)
    if now + timedelta(days=days) > issuer.not_valid_after_utc:
        raise SecurityError(
            f"a certificate of {days} days would outlive the site's CA, which ends on "
            f"{issuer.not_valid_after_utc:%Y-%m-%d}: ask for fewer days, or make a new CA"
        )
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if usage == "server" else ExtendedKeyUsageOID.CLIENT_AUTH
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _begin(key, name, _common_name(issuer), days=days, now=now)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(is_ca=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return _finish(builder, key, _load_key(ca.key_pem))


def _begin(
    key: ec.EllipticCurvePrivateKey, subject: str, issuer: str, *, days: int, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now - _CLOCKS_APART, now + timedelta(days=days) - _CLOCKS_APART))
        .not_valid_after(now + timedelta(days=days))
    )


def _finish(
    builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey, issuer_key: ec.EllipticCurvePrivateKey
) -> KeyPair:
    certificate = builder.sign(issuer_key, hashes.SHA256())
    return KeyPair(
        certificate_pem=certificate.public_bytes(serialization.Encoding.PEM),
        key_pem=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )


def _key_usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _common_name(certificate: x509.Certificate) -> str:
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def _load(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise SecurityError(f"a certificate is damaged: {error}") from None


def _load_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except ValueError as error:
        raise SecurityError(f"a private key is damaged: {error}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise SecurityError(f"the CA's key is a {type(key).__name__}, wanted ECDSA: make the site's CA with 'init'")
    return key
