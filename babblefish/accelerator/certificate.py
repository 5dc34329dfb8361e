"""The endpoint's own certificate, which the room server pins when it is paired.

It is known by its very bytes and vouches for nothing else, so that it may name no address, live
long and stay the same when the laptop changes its network.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from babblefish.errors import SettingsError
from babblefish.network import fingerprint
from babblefish.whole_files import write_whole

NAME = "babblefish-laptop"
_DAYS = 7300
_RENEW_DAYS = 30


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    certificate_file: Path
    key_file: Path
    pem: str
    fingerprint: str


def own_certificate(folder: Path) -> OwnCertificate:
    """Made at the first start. Raises SettingsError("tls") that names the fix."""
    certificate_file, key_file = folder / "endpoint.crt", folder / "endpoint.key"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
        if not (_fits(certificate_file, key_file)):
            _make(certificate_file, key_file)
        pem = certificate_file.read_bytes()
    except OSError as error:
        raise SettingsError(
            "tls",
            f"The certificate in {folder} cannot be read or written ({error.strerror}). Fix the "
            "folder's permissions, or choose another one with BABBLEFISH_LAPTOP_DATA_DIR.",
        ) from error
    except (ValueError, TypeError) as error:
        raise SettingsError(
            "tls",
            f"The certificate in {folder} is damaged. Delete {certificate_file.name} and "
            f"{key_file.name} there and pair this laptop again.",
        ) from error
    der = x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)
    return OwnCertificate(certificate_file, key_file, pem.decode(), fingerprint(der))


def _fits(certificate_file: Path, key_file: Path) -> bool:
    if not (certificate_file.exists() and key_file.exists()):
        return False
    certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
    key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return left.days > _RENEW_DAYS and certificate.public_key() == key.public_key()


def _make(certificate_file: Path, key_file: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    # A day back: the server's clock may be a little behind.
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    public = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(True, 0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_usage(), critical=True)
        .add_extension(public, critical=False)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    write_whole(key_file, private, 0o600)
    signed = builder.sign(key, hashes.SHA256())
    write_whole(certificate_file, signed.public_bytes(serialization.Encoding.PEM), 0o644)


def _usage() -> x509.KeyUsage:
    """Strict verifiers want of a certificate which is its own authority that it may sign."""
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
