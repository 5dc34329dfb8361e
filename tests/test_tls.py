"""The local authority and its certificates, checked by the verifiers that will meet them."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import stat

import httpx
import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from babblefish.errors import SettingsError
from babblefish.network import bind, local_addresses, local_names
from babblefish.settings import Settings
from babblefish.ui import tls
from babblefish.ui.server import base_urls, create_app
from babblefish.ui.tls import Certificates
from tests.fakes_rooms import FakeEngine, FakeHub
from tests.patience import PATIENCE
from tests.served import running

NAMES = ["localhost", "den", "den.local"]
HOME = [ipaddress.ip_address("192.168.1.20"), ipaddress.ip_address("fd00::20")]


@pytest.fixture
def certificates(tmp_path) -> Certificates:
    made = Certificates(tmp_path / "tls")
    assert made.refresh(NAMES, HOME)
    return made


def names_of(certificates: Certificates) -> tuple[set, set]:
    san = certificates.leaf().extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return (
        set(san.value.get_values_for_type(x509.DNSName)),
        set(map(str, san.value.get_values_for_type(x509.IPAddress))),
    )


def test_the_certificate_names_every_way_to_the_server(certificates):
    assert names_of(certificates) == (
        set(NAMES), {"127.0.0.1", "::1", "192.168.1.20", "fd00::20"}
    )  # fmt: skip


def test_phones_accept_its_lifetime_and_purpose(certificates):
    leaf = certificates.leaf()
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc <= datetime.timedelta(days=397)
    assert leaf.not_valid_before_utc < datetime.datetime.now(datetime.UTC)
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_the_authority_vouches_for_local_names_only(certificates):
    authority = x509.load_der_x509_certificate(certificates.authority_der())
    basic = authority.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (basic.ca, basic.path_length) == (True, 0)
    lifetime = authority.not_valid_after_utc - authority.not_valid_before_utc
    assert lifetime == datetime.timedelta(days=3650)
    for address, covered in (
        ("10.1.2.3", True), ("192.168.99.1", True), ("172.31.0.1", True), ("fd12::1", True),
        ("169.254.1.1", True), ("8.8.8.8", False), ("2001:db8::1", False),
    ):  # fmt: skip
        assert certificates.covered(ipaddress.ip_address(address)) is covered


@pytest.mark.parametrize("name", ["localhost", "den.local"])
def test_a_strict_verifier_accepts_it(certificates, name):
    authority = x509.load_der_x509_certificate(certificates.authority_der())
    builder = PolicyBuilder().store(Store([authority]))
    builder.build_server_verifier(x509.DNSName(name)).verify(certificates.leaf(), [])


def test_private_keys_are_private(certificates, tmp_path):
    for name in ("ca.key", "server.key"):
        assert stat.S_IMODE((tmp_path / "tls" / name).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "tls").stat().st_mode) == 0o700


def test_a_second_start_changes_nothing(certificates, tmp_path):
    before = {path: path.read_bytes() for path in (tmp_path / "tls").iterdir()}
    assert not Certificates(tmp_path / "tls").refresh(NAMES, HOME)
    assert before == {path: path.read_bytes() for path in (tmp_path / "tls").iterdir()}


def test_new_addresses_get_a_new_certificate_from_the_same_authority(certificates):
    authority, digest = certificates.authority_der(), certificates.key_digest()
    moved = [ipaddress.ip_address("10.0.0.7")]
    assert certificates.refresh(NAMES, moved)
    assert names_of(certificates)[1] == {"127.0.0.1", "::1", "10.0.0.7"}
    assert certificates.authority_der() == authority
    assert certificates.key_digest() == digest


def test_an_expiring_certificate_is_renewed(certificates, monkeypatch):
    serial = certificates.leaf().serial_number
    monkeypatch.setattr(tls, "RENEW_DAYS", 500)
    assert certificates.refresh(NAMES, HOME)
    assert certificates.leaf().serial_number != serial


def test_what_the_authority_may_not_vouch_for_is_left_out(certificates):
    """One name outside the constraints would make phones refuse the whole certificate."""
    outside = [ipaddress.ip_address("203.0.113.5"), ipaddress.ip_address("2001:db8::5")]
    assert not certificates.refresh([*NAMES, "attic.example.org"], [*HOME, *outside])


def test_a_public_address_at_the_start_is_covered(tmp_path):
    public = ipaddress.ip_address("203.0.113.5")
    made = Certificates(tmp_path)
    made.refresh(NAMES, [public])
    assert made.covered(public)
    assert "203.0.113.5" in names_of(made)[1]


@pytest.mark.parametrize("name", ["ca.crt", "ca.key", "server.crt", "server.key"])
def test_damaged_files_are_reported_and_missing_ones_made(certificates, tmp_path, name):
    path = tmp_path / "tls" / name
    path.write_text("rubbish")
    with pytest.raises(SettingsError) as caught:
        certificates.refresh(NAMES, [])
    assert caught.value.code == "tls"
    assert str(tmp_path) in caught.value.message
    for file in (tmp_path / "tls").iterdir():
        file.unlink()
    assert certificates.refresh(NAMES, HOME)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError) as caught:
        Certificates(tmp_path / "file" / "tls").refresh(NAMES, HOME)
    assert "BABBLEFISH_DATA_DIR" in caught.value.message


@pytest.mark.parametrize(
    ("hostname", "names"),
    [
        ("den", ["localhost", "den", "den.local"]),
        ("Den.Home.Arpa", ["localhost", "den.home.arpa", "den.local"]),
        ("localhost", ["localhost", "localhost.local"]),
        ("bad_name!", ["localhost"]),
        ("é", ["localhost"]),
    ],
)
def test_names_of_the_machine(hostname, names):
    assert local_names(hostname) == names


def test_addresses_of_the_machine_leave_out_loopback():
    for address in local_addresses():
        assert not address.is_loopback


@pytest.mark.asyncio
async def test_https_with_the_authority_installed(certificates):
    app = create_app(Settings(), FakeHub(), FakeEngine(), certificates=certificates)
    options = {
        "ssl_certfile": certificates.certificate_file, "ssl_keyfile": certificates.key_file
    }  # fmt: skip
    trust = ssl.create_default_context(cadata=certificates.authority_der())
    async with running(app, **options) as base:
        async with httpx.AsyncClient(base_url=base, verify=trust, timeout=PATIENCE) as http:
            assert (await http.get("/health")).status_code == 200
            answer = await http.get("/trust/ca.crt")
            assert answer.content == certificates.authority_der()
            assert answer.headers["content-type"] == "application/x-x509-ca-cert"
            pem = (await http.get("/trust/ca.pem")).text
            assert ssl.PEM_cert_to_DER_cert(pem) == certificates.authority_der()
        async with httpx.AsyncClient(base_url=base, timeout=PATIENCE) as http:
            with pytest.raises(httpx.ConnectError):
                await http.get("/health")


def test_a_taken_port_names_the_fix():
    first = bind("127.0.0.1", 0)
    first.listen()
    port = first.getsockname()[1]
    with first, pytest.raises(SettingsError) as caught:
        bind("127.0.0.1", port)
    assert caught.value.code == "port"
    assert "--port" in caught.value.message


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.77"])
def test_a_wrong_host_is_named(host):
    with pytest.raises(SettingsError) as caught:
        bind(host, 0)
    assert caught.value.code == "host"


def test_addresses_shown_to_people(certificates):
    assert base_urls(Settings(http=True, host="127.0.0.1", port=80)) == ["http://localhost:80"]
    bases = base_urls(Settings(public_url="https://fish.example.org/", http=True))
    assert bases[0] == "https://fish.example.org"
    assert bases[-1] == "http://localhost:9000"
    for base in base_urls(Settings(), certificates):
        assert base.startswith("https://")
