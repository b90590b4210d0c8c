"""What is read of a certificate, made here octet by octet: forms that no library of today would write."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tunnel.domain.certificate import parse_certificate

SEQUENCE, SET, OID, TEXT = 0x30, 0x31, 0x06, 0x0C
COMMON_NAME = bytes.fromhex("550403")
RSA_KEY = bytes.fromhex("2a864886f70d010101")
CURVE_KEY = bytes.fromhex("2a8648ce3d0201")
ALTERNATIVE_NAMES = bytes.fromhex("551d11")
BASIC_CONSTRAINTS = bytes.fromhex("551d13")


def der(tag: int, *parts: bytes) -> bytes:
    """An element with the shortest length there is."""
    contents = b"".join(parts)
    size = len(contents)
    if size < 0x80:
        return bytes([tag, size]) + contents
    octets = (size.bit_length() + 7) // 8
    return bytes([tag, 0x80 | octets]) + size.to_bytes(octets, "big") + contents


def attribute(name: bytes, value: bytes) -> bytes:
    return der(SET, der(SEQUENCE, der(OID, name), value))


def extension(name: bytes, contents: bytes, *, critical: bool = False) -> bytes:
    return der(SEQUENCE, der(OID, name), der(0x01, b"\xff") if critical else b"", der(0x04, contents))


def alternatives(*names: bytes, critical: bool = False) -> bytes:
    return extension(ALTERNATIVE_NAMES, der(SEQUENCE, *names), critical=critical)


def certificate(
    *,
    version: bytes = der(0xA0, der(0x02, b"\2")),
    subject: bytes = b"",
    not_before: bytes = der(0x17, b"260101000000Z"),
    not_after: bytes = der(0x17, b"270101000000Z"),
    key: bytes = der(OID, RSA_KEY) + der(0x05),
    extensions: bytes = b"",
    between: bytes = b"",
) -> bytes:
    """A certificate whose signature nobody looks at."""
    body = der(
        SEQUENCE,
        version,
        der(0x02, b"\7"),
        der(SEQUENCE, der(OID, RSA_KEY)),
        der(SEQUENCE),
        der(SEQUENCE, not_before, not_after),
        der(SEQUENCE, subject),
        der(SEQUENCE, der(SEQUENCE, key), der(0x03, b"\0key")),
        between,
        der(0xA3, der(SEQUENCE, extensions)) if extensions else b"",
    )
    return der(SEQUENCE, body, der(SEQUENCE, der(OID, RSA_KEY)), der(0x03, b"\0signature"))


def test_certificate_of_the_first_version_says_no_version_and_has_no_extensions() -> None:
    read = parse_certificate(certificate(version=b"", subject=attribute(COMMON_NAME, der(TEXT, b"old"))))

    assert (read.subject, read.key) == ((("CN", "old"),), "RSA")
    assert (read.dns_names, read.uris, read.emails, read.addresses) == ((), (), (), ())


def test_names_of_each_kind_are_kept_apart_and_others_left_out() -> None:
    names = alternatives(
        der(0x82, b"a.test"),
        der(0x81, b"me@a.test"),
        der(0xA0, der(OID, COMMON_NAME)),
        der(0x86, b"spiffe://a.test/web"),
        der(0x87, bytes([192, 0, 2, 7])),
        der(0x88, COMMON_NAME),
        der(0x82, b"b.test"),
        der(0x87, bytes(15) + b"\1"),
    )
    read = parse_certificate(certificate(extensions=names))

    assert read.dns_names == ("a.test", "b.test")
    assert read.uris == ("spiffe://a.test/web",)
    assert read.emails == ("me@a.test",)
    assert read.addresses == ("192.0.2.7", "::1")


@pytest.mark.parametrize("critical", [False, True])
def test_names_are_found_behind_other_extensions_and_unique_ids(critical: bool) -> None:
    others = extension(BASIC_CONSTRAINTS, der(SEQUENCE), critical=True)
    names = alternatives(der(0x82, b"a.test"), critical=critical)
    read = parse_certificate(certificate(extensions=others + names, between=der(0x81, b"\0i") + der(0x82, b"\0s")))

    assert read.dns_names == ("a.test",)


def test_extensions_without_names_give_none() -> None:
    read = parse_certificate(certificate(extensions=extension(BASIC_CONSTRAINTS, der(SEQUENCE))))

    assert read.dns_names == ()


@pytest.mark.parametrize(
    ("tag", "octets", "text"),
    [
        (0x0C, "Zoë".encode(), "Zoë"),
        (0x12, b"12 34", "12 34"),
        (0x13, b"Zoe", "Zoe"),
        (0x14, b"Zo\xeb", "Zoë"),
        (0x16, b"zoe@a.test", "zoe@a.test"),
        (0x1E, b"\0Z\0o\0\xeb", "Zoë"),
    ],
)
def test_text_is_read_in_each_of_its_notations(tag: int, octets: bytes, text: str) -> None:
    read = parse_certificate(certificate(subject=attribute(COMMON_NAME, der(tag, octets))))

    assert read.common_name == text


def test_values_that_are_no_text_and_attributes_nobody_knows_are_left_out() -> None:
    subject = (
        attribute(bytes.fromhex("550406"), der(0x13, b"AQ"))
        + attribute(COMMON_NAME, der(0x1C, b"\0\0\0Z"))
        + attribute(bytes.fromhex("55042a"), der(TEXT, b"a given name"))
    )
    read = parse_certificate(certificate(subject=subject))

    assert (read.subject, read.common_name) == ((("C", "AQ"),), "")


def test_last_common_name_is_the_one_that_counts() -> None:
    subject = attribute(COMMON_NAME, der(TEXT, b"first")) + attribute(COMMON_NAME, der(TEXT, b"last"))
    together = der(
        SET,
        der(SEQUENCE, der(OID, bytes.fromhex("55040b")), der(TEXT, b"unit")),
        der(SEQUENCE, der(OID, bytes.fromhex("0992268993f22c640101")), der(TEXT, b"user")),
    )
    read = parse_certificate(certificate(subject=subject + together))

    assert read.subject == (("CN", "first"), ("CN", "last"), ("OU", "unit"), ("UID", "user"))
    assert read.common_name == "last"


@pytest.mark.parametrize(
    ("said", "year"), [(b"49", 2049), (b"00", 2000), (b"50", 1950), (b"68", 1968), (b"69", 1969), (b"99", 1999)]
)
def test_two_digits_of_a_year_are_of_the_hundred_years_from_1950(said: bytes, year: int) -> None:
    read = parse_certificate(certificate(not_before=der(0x17, said + b"0203040506Z")))

    assert read.not_before == datetime(year, 2, 3, 4, 5, 6, tzinfo=UTC).timestamp()


def test_four_digits_of_a_year_are_that_year() -> None:
    read = parse_certificate(certificate(not_after=der(0x18, b"19490203040506Z")))

    assert read.not_after == datetime(1949, 2, 3, 4, 5, 6, tzinfo=UTC).timestamp()


def test_curve_that_is_written_out_has_no_name() -> None:
    written_out = der(OID, CURVE_KEY) + der(SEQUENCE, der(0x02, b"\1"))

    assert parse_certificate(certificate(key=written_out)).key == ""


@pytest.mark.parametrize("size", [0x7E, 0x7F, 0x80, 0x81, 0xFF, 0x100, 0x1234])
def test_lengths_of_any_size_are_read(size: int) -> None:
    read = parse_certificate(certificate(subject=attribute(COMMON_NAME, der(TEXT, b"x" * size))))

    assert read.common_name == "x" * size


VALID = certificate()


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (VALID + der(0x05), "too many values"),
        (b"", "not enough values"),
        (bytes([0x31]) + VALID[1:], "expected a certificate in DER"),
        (der(SEQUENCE), "expected a certificate in DER"),
        (der(SEQUENCE, der(SET)), "expected a certificate in DER"),
        (b"\x30\x80" + VALID[4:] + b"\0\0", "expected a certificate in DER"),
        (VALID[:-1], "cut short"),
        (certificate(between=der(0x9F, b"x")), "expected a certificate in DER"),
        (certificate(between=b"\xa1\x80\0\0"), "expected a certificate in DER"),
        (certificate(not_before=der(0x19, b"260101000000Z")), "expected a time"),
        (certificate(not_after=der(0x17, b"yesterday")), "does not match"),
        (certificate(subject=der(SEQUENCE)), "expected a certificate in DER"),
        (certificate(subject=der(SET, der(SET))), "expected a certificate in DER"),
        (certificate(subject=der(0x1F, b"x")), "expected a certificate in DER"),
        (certificate(subject=der(SET, der(SEQUENCE, der(TEXT, b"a")))), "expected a certificate in DER"),
        (certificate(subject=der(SET, der(SEQUENCE, der(OID, COMMON_NAME)))), "expected a certificate in DER"),
        (certificate(key=der(OID, CURVE_KEY)), "expected a certificate in DER"),
        (certificate(key=b""), "expected a certificate in DER"),
        (certificate(key=der(TEXT, RSA_KEY)), "expected a certificate in DER"),
        (certificate(extensions=der(SET)), "expected a certificate in DER"),
        (certificate(extensions=der(SEQUENCE)), "expected a certificate in DER"),
        (
            certificate(extensions=der(SEQUENCE, der(OID, ALTERNATIVE_NAMES), der(SEQUENCE))),
            "expected a certificate in DER",
        ),
    ],
)
def test_what_is_no_certificate_says_so(wrong: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_certificate(wrong)
