"""What is read of a certificate, judged by another library."""

from __future__ import annotations

import contextlib
import hashlib
import ssl
from datetime import UTC, datetime

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st
from support.certificates import PrivateKey, self_signed

from tunnel.domain.certificate import parse_certificate

NAMES = ("app.example.test", "*.example.test", "192.0.2.7", "2001:db8::7", "me@example.test")
PAIR = trustme.CA().issue_cert(*NAMES, common_name="laptop", organization_name="Üben GmbH")
DER = ssl.PEM_cert_to_DER_cert(PAIR.cert_chain_pems[0].bytes().decode())


def test_names_are_those_that_another_library_reads() -> None:
    read = parse_certificate(DER)
    oracle = x509.load_der_x509_certificate(DER)
    names = oracle.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    assert list(read.dns_names) == names.get_values_for_type(x509.DNSName)
    assert list(read.emails) == names.get_values_for_type(x509.RFC822Name)
    assert list(read.addresses) == [str(each) for each in names.get_values_for_type(x509.IPAddress)]
    assert [value for _, value in read.subject] == [each.value for each in oracle.subject]
    assert dict(read.subject)["O"] == "Üben GmbH"
    assert read.common_name == "laptop"
    assert read.fingerprint == hashlib.sha256(DER).hexdigest()


@pytest.mark.parametrize("year", [1999, 2026, 2049, 2050, 2999])
def test_validity_is_read_in_both_notations(year: int) -> None:
    begin, end = datetime(1998, 3, 4, 5, 6, 7, tzinfo=UTC), datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC)
    pair = trustme.CA().issue_cert("a.test", not_before=begin, not_after=end)
    read = parse_certificate(ssl.PEM_cert_to_DER_cert(pair.cert_chain_pems[0].bytes().decode()))

    assert (read.not_before, read.not_after) == (begin.timestamp(), end.timestamp())
    assert read.out_of_date(begin.timestamp() - 1) == "is not valid before 1998-03-04 05:06:07 UTC"
    assert read.out_of_date(begin.timestamp()) == ""
    assert read.out_of_date(end.timestamp()) == ""
    assert read.out_of_date(end.timestamp() + 1) == f"expired on {year}-12-31 23:59:59 UTC"


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (rsa.generate_private_key(65537, 2048), "RSA"),
        (ec.generate_private_key(ec.SECP256R1()), "P-256"),
        (ec.generate_private_key(ec.SECP384R1()), "P-384"),
        (ec.generate_private_key(ec.SECP521R1()), "P-521"),
        (ec.generate_private_key(ec.SECP256K1()), ""),
        (ed25519.Ed25519PrivateKey.generate(), "Ed25519"),
        (ed448.Ed448PrivateKey.generate(), "Ed448"),
    ],
)
def test_kind_of_the_key_is_read(key: PrivateKey, kind: str) -> None:
    assert parse_certificate(self_signed(key).public_bytes(serialization.Encoding.DER)).key == kind


@given(st.binary(max_size=64))
def test_bytes_that_are_no_certificate_are_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_certificate(data)


@given(st.integers(0, len(DER) - 1), st.integers(0, 255))
def test_altered_certificate_raises_nothing_but_value_errors(at: int, octet: int) -> None:
    with contextlib.suppress(ValueError):
        parse_certificate(DER[:at] + bytes([octet]) + DER[at + 1 :])


@given(st.integers(0, len(DER) - 1))
def test_certificate_cut_short_is_a_value_error(size: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_certificate(DER[:size])
