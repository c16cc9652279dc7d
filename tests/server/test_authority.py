from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from fakes_site import enroll, make_site, now

from reid.errors import ConfigError, CredentialsError
from server.errors import SecurityError
from server.security.authority import Authority
from server.security.certificates import end_of, hosts_of, read_client_certificate


@pytest.fixture
def site(tmp_path: Path) -> Authority:
    return make_site(tmp_path)


def test_private_files_are_for_the_owner_alone(site: Authority) -> None:
    enroll(site, "edge", "e1", "c1")
    modes = {path.name: path.stat().st_mode & 0o777 for path in site.folder.iterdir()}
    assert modes["ca.key"] == modes["server.key"] == modes["enrolled.json"] == 0o600
    assert site.folder.stat().st_mode & 0o777 == 0o700


def test_keys_are_p256_and_signed_by_the_site(site: Authority) -> None:
    ca = x509.load_pem_x509_certificate(site.ca_pem())
    certificate = x509.load_pem_x509_certificate(enroll(site, "edge", "e1", "c1").certificate_pem.encode())
    certificate.verify_directly_issued_by(ca)
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"


def test_a_client_certificate_is_no_servers(site: Authority) -> None:
    certificate = x509.load_pem_x509_certificate(enroll(site, "edge", "e1", "c1").certificate_pem.encode())
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [purpose._name for purpose in usage] == ["clientAuth"]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_the_cameras_are_bound_into_the_certificate(site: Authority) -> None:
    made = enroll(site, "edge", "e1", "c1", "c2")
    said = read_client_certificate(made.certificate_pem.encode())
    assert (said.kind, said.name, said.camids) == ("edge", "e1", ("c1", "c2"))
    assert said.ends_at_s == made.ends_at_s


def test_the_token_is_stored_as_a_hash(site: Authority) -> None:
    made = enroll(site, "operator", "ann")
    assert len(made.token) >= 43
    assert made.token not in (site.folder / "enrolled.json").read_text()
    enrolment = site.registry.newest("operator", "ann")
    assert enrolment.has_token(made.token)
    assert not enrolment.has_token(made.token[:-1])


def test_a_second_ca_is_refused(site: Authority) -> None:
    with pytest.raises(SecurityError, match="renew server"):
        make_site(site.folder.parent)


def test_without_a_ca_the_way_out_is_named(tmp_path: Path) -> None:
    with pytest.raises(SecurityError, match="osprey-server init"):
        enroll(Authority(tmp_path), "edge", "e1", "c1")


def test_a_key_that_others_can_read_is_refused(site: Authority) -> None:
    (site.folder / "ca.key").chmod(0o644)
    with pytest.raises(CredentialsError, match="chmod 600"):
        enroll(site, "edge", "e1", "c1")


def test_a_damaged_key_is_an_error(site: Authority) -> None:
    (site.folder / "ca.key").write_bytes(b"nothing")
    with pytest.raises(SecurityError, match="private key is damaged"):
        enroll(site, "edge", "e1", "c1")


def test_no_certificate_outlives_the_ca(site: Authority) -> None:
    with pytest.raises(SecurityError, match="outlive the site's CA"):
        enroll(site, "edge", "e1", "c1", days=40)


def test_an_address_outside_the_servers_certificate_is_refused(site: Authority) -> None:
    with pytest.raises(SecurityError, match=r"not for 10\.0\.0\.9"):
        enroll(site, "edge", "e1", "c1", server="10.0.0.9:1")


@pytest.mark.parametrize("camids", [(), ("c1", "c1"), ("a/b",)], ids=["none", "twice", "bad name"])
def test_unfit_cameras_are_refused(site: Authority, camids: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError):
        enroll(site, "edge", "e1", *camids)
    assert not site.registry.list_all()


def test_renewal_keeps_the_cameras_and_changes_the_serial(site: Authority) -> None:
    enroll(site, "edge", "e1", "c1", "c2")
    renewed = site.renew("edge", "e1", server="localhost:1", days=9, now=now())
    first, second = site.registry.list_all()
    assert renewed.camids == first.camids == second.camids
    assert first.serial != second.serial


def test_a_revoked_holder_is_not_renewed(site: Authority) -> None:
    enroll(site, "edge", "e1", "c1")
    assert site.registry.revoke("edge", "e1", now_s=1) == 1
    with pytest.raises(SecurityError, match="edge e1 was revoked"):
        site.renew("edge", "e1", server="localhost:1", days=9, now=now())


def test_the_server_certificate_is_renewed_for_the_same_hosts(site: Authority) -> None:
    before = site.server_pair().certificate_pem
    site.renew_server((), days=25, now=now())
    after = site.server_pair().certificate_pem
    assert hosts_of(after) == hosts_of(before)
    assert end_of(after) > end_of(before)
