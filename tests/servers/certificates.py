"""A certificate authority of the tests' own, for TLS between a client and a server."""

import datetime as dt
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

LIFETIME = dt.timedelta(days=1)


class Authority:
    """Signs certificates of servers and of clients; `write` puts it into a file."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("the tests' authority")
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        self._certificate = (
            self._begun("the tests' authority", self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def write(self, file: Path) -> None:
        """Write the authority's certificate, for clients that trust it."""
        file.write_bytes(_pem(self._certificate))

    def issue(self, certificate: Path, key: Path, *names: str) -> None:
        """Write a certificate and its key.

        Args:
            certificate: The file of the certificate, and its subject.
            key: The file of the key.
            names: Host names and addresses that it is good for; a client's needs none.
        """
        own = ec.generate_private_key(ec.SECP256R1())
        begun = self._begun(certificate.stem, own.public_key())
        if names:
            alternatives = x509.SubjectAlternativeName(map(_alternative, names))
            begun = begun.add_extension(alternatives, critical=False)
        certificate.write_bytes(_pem(begun.sign(self._key, hashes.SHA256())))
        key.write_bytes(
            own.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )

    def _begun(self, subject: str, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        """The builder of a certificate, with the fields that all have."""
        now = dt.datetime.now(dt.UTC)
        own = x509.SubjectKeyIdentifier.from_public_key(key)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(_name(subject))
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - LIFETIME)
            .not_valid_after(now + LIFETIME)
            .add_extension(own, critical=False)
            .add_extension(issuer, critical=False)
        )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
