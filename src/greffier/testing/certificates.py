"""Certificates for peers of tests: one authority, a server on loopback, a client, and a stranger nobody trusts."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = timedelta(days=1)


class Certificates:
    """PEM files in a folder: ``ca.pem``, and ``NAME.crt`` with ``NAME.key`` for server, client and stranger."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ca_key, ca = _authority("test authority")
        stranger_key, stranger_ca = _authority("another authority")
        (folder / "ca.pem").write_bytes(ca.public_bytes(Encoding.PEM))
        self._issue("server", "server.test", ca_key, ca)
        self._issue("client", "client.test", ca_key, ca)
        self._issue("stranger", "client.test", stranger_key, stranger_ca)

    @property
    def ca(self) -> Path:
        """The authority that server and client trust."""
        return self.folder / "ca.pem"

    def certificate(self, name: str) -> Path:
        """A certificate."""
        return self.folder / f"{name}.crt"

    def key(self, name: str) -> Path:
        """Its key."""
        return self.folder / f"{name}.key"

    def _issue(self, name: str, common: str, ca_key: ec.EllipticCurvePrivateKey, ca: x509.Certificate) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName(common), x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        certificate = (
            _builder(_name(common), ca.subject)
            .public_key(key.public_key())
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
            .sign(ca_key, hashes.SHA256())
        )
        self.certificate(name).write_bytes(certificate.public_bytes(Encoding.PEM))
        self.key(name).write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _authority(common: str) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        _builder(_name(common), _name(common))
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return key, certificate


def _builder(subject: x509.Name, issuer: x509.Name) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
