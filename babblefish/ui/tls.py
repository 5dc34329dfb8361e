"""A private certificate authority for the local network, and the server's certificate from it.

Phones allow the microphone only over https. The authority is made once and lives ten years, so
that trusting it is a one-time step; it can vouch for local names and addresses only. The
server's own certificate follows the machine's addresses. Knows no web framework.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import ipaddress
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from babblefish.errors import SettingsError
from babblefish.network import Address
from babblefish.whole_files import write_whole

AUTHORITY_DAYS = 3650
LEAF_DAYS = 390
"""phones refuse more than 397"""
RENEW_DAYS = 30

_LOCAL_NETWORKS = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"),
        *("100.64.0.0/10", "::1/128", "fc00::/7", "fe80::/10"),
    )
)


class Certificates:
    """The files under ``folder``: ca.crt, ca.key, server.crt (with the authority), server.key.

    ``refresh`` before use. Raises SettingsError("tls") where files cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.certificate_file = folder / "server.crt"
        self.key_file = folder / "server.key"
        self._authority_file, self._authority_key_file = folder / "ca.crt", folder / "ca.key"

    def refresh(self, names: list[str], addresses: list[Address]) -> bool:
        """Make what is missing, about to expire or no longer fits; True when anything changed."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._folder.chmod(0o700)
            made = self._ensure_authority(names, addresses)
            return self._ensure_leaf(names, addresses) or made
        except OSError as error:
            raise SettingsError(
                "tls",
                f"The certificates in {self._folder} cannot be read or written "
                f"({error.strerror}). Fix the folder's permissions, or choose another one with "
                "BABBLEFISH_DATA_DIR.",
            ) from error
        except (ValueError, TypeError) as error:
            raise SettingsError(
                "tls",
                f"The certificates in {self._folder} are damaged. Delete that folder and start "
                "again; phones will have to trust the new authority once.",
            ) from error

    def authority_der(self) -> bytes:
        """The authority's certificate, as phones install it."""
        return self._authority().public_bytes(serialization.Encoding.DER)

    def authority_pem(self) -> bytes:
        """The same, as programs want it."""
        return self._authority().public_bytes(serialization.Encoding.PEM)

    def leaf(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.certificate_file.read_bytes())

    def key_digest(self) -> str:
        """base64 SHA-256 of the server's public key, as Chromium's
        ``--ignore-certificate-errors-spki-list`` takes it."""
        key = self.leaf().public_key()
        public = key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return base64.b64encode(hashlib.sha256(public).digest()).decode()

    def covered(self, address: Address) -> bool:
        """Whether the authority may vouch for ``address``."""
        return any(address in network for network in _permitted(self._authority(), x509.IPAddress))

    # --- authority ---

    def _ensure_authority(self, names: list[str], addresses: list[Address]) -> bool:
        present = self._authority_file.exists() and self._authority_key_file.exists()
        if present and _days_left(self._authority()) > 0:
            return False
        key = self._new_key(self._authority_key_file)
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "BabbleFish"),
                x509.NameAttribute(
                    NameOID.COMMON_NAME, f"BabbleFish on {names[1] if names[1:] else names[0]}"[:64]
                ),
            ]
        )
        builder = _builder(subject, subject, key.public_key(), AUTHORITY_DAYS)
        builder = builder.add_extension(x509.BasicConstraints(True, 0), critical=True)
        builder = builder.add_extension(_usage(authority=True), critical=True)
        builder = builder.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        )
        # Not critical: what understands constraints applies them anyway, and what does not
        # would refuse the authority altogether.
        builder = builder.add_extension(_constraints(names, addresses), critical=False)
        write_whole(self._authority_file, _pem(builder.sign(key, hashes.SHA256())), 0o644)
        return True

    def _authority(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self._authority_file.read_bytes())

    # --- server certificate ---

    def _ensure_leaf(self, names: list[str], addresses: list[Address]) -> bool:
        authority = self._authority()
        loopback = [ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")]
        covered = [a for a in dict.fromkeys([*loopback, *addresses]) if self.covered(a)]
        # One name outside the authority's constraints would void the whole certificate.
        names = [name for name in names if _permits(authority, name)]
        if self._leaf_fits(authority, names, covered):
            return False
        key, authority_key = self._leaf_key(), _load_key(self._authority_key_file)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "BabbleFish")])
        builder = _builder(subject, authority.subject, key.public_key(), LEAF_DAYS)
        alternatives = [*map(x509.DNSName, names), *map(x509.IPAddress, covered)]
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        builder = builder.add_extension(x509.BasicConstraints(False, None), critical=True)
        builder = builder.add_extension(_usage(authority=False), critical=True)
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        )
        builder = builder.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        )
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
        leaf = builder.sign(authority_key, hashes.SHA256())
        write_whole(self.certificate_file, _pem(leaf) + _pem(authority), 0o644)
        return True

    def _leaf_fits(
        self, authority: x509.Certificate, names: list[str], addresses: list[Address]
    ) -> bool:
        if not (self.certificate_file.exists() and self.key_file.exists()):
            return False
        leaf = self.leaf()
        try:
            leaf.verify_directly_issued_by(authority)
        except (ValueError, TypeError, InvalidSignature):
            return False
        alternatives = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return (
            _days_left(leaf) > RENEW_DAYS
            and leaf.public_key() == _load_key(self.key_file).public_key()
            and set(alternatives.get_values_for_type(x509.DNSName)) == set(names)
            and set(alternatives.get_values_for_type(x509.IPAddress)) == set(addresses)
        )

    def _leaf_key(self) -> ec.EllipticCurvePrivateKey:
        if self.key_file.exists():
            return _load_key(self.key_file)
        return self._new_key(self.key_file)

    @staticmethod
    def _new_key(path: Path) -> ec.EllipticCurvePrivateKey:
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        write_whole(path, pem, 0o600)
        return key


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    # A day back: phones whose clock is a little behind shall not refuse a new certificate.
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=days))
    )


def _usage(authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _constraints(names: list[str], addresses: list[Address]) -> x509.NameConstraints:
    public = [a for a in addresses if not any(a in network for network in _LOCAL_NETWORKS)]
    trees: list[x509.GeneralName] = [x509.DNSName("local"), *map(x509.DNSName, names)]
    trees += [x509.IPAddress(network) for network in _LOCAL_NETWORKS]
    trees += [x509.IPAddress(ipaddress.ip_network(a)) for a in public if a.version == 4]
    return x509.NameConstraints(permitted_subtrees=trees, excluded_subtrees=None)


def _permitted(authority: x509.Certificate, kind: type[x509.GeneralName]) -> list[Any]:
    """What the authority's constraints allow: domains or networks."""
    constraints = authority.extensions.get_extension_for_class(x509.NameConstraints).value
    trees = constraints.permitted_subtrees or []
    return [tree.value for tree in trees if isinstance(tree, kind)]


def _permits(authority: x509.Certificate, name: str) -> bool:
    domains = _permitted(authority, x509.DNSName)
    return any(name == domain or name.endswith(f".{domain}") for domain in domains)


def _days_left(certificate: x509.Certificate) -> float:
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return left.total_seconds() / 86400


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("not an EC key")
    return key
