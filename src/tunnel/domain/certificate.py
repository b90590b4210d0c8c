"""What a certificate says: whom it names, and when it is valid.

Both transports verify certificates with libraries of their own, which describe them differently. So the certificate
itself is read here, and the same one gives the same identity whichever way it came. Nothing is verified here.

A certificate is nested DER: tag, length, contents. Read are of ``TBSCertificate``, in this order: version (optional),
serial number, signature algorithm, issuer, validity, subject, key, and of what follows the extension
``subjectAltName``.

Source: RFC 5280 sections 4.1 and 4.2.1.6; ITU-T X.690 sections 8 and 10.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Final

import msgspec

__all__ = ["Certificate", "parse_certificate"]

_SEQUENCE: Final = 0x30
_SET: Final = 0x31
_OID: Final = 0x06
_OCTET_STRING: Final = 0x04
_VERSION: Final = 0xA0
_EXTENSIONS: Final = 0xA3

_TIMES: Final = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}
_TEXTS: Final = {0x0C: "utf-8", 0x12: "ascii", 0x13: "ascii", 0x14: "latin-1", 0x16: "ascii", 0x1E: "utf-16-be"}

_ATTRIBUTES: Final = {
    bytes.fromhex("550403"): "CN",
    bytes.fromhex("550405"): "serialNumber",
    bytes.fromhex("550406"): "C",
    bytes.fromhex("550407"): "L",
    bytes.fromhex("550408"): "ST",
    bytes.fromhex("55040a"): "O",
    bytes.fromhex("55040b"): "OU",
    bytes.fromhex("0992268993f22c640101"): "UID",
    bytes.fromhex("0992268993f22c640119"): "DC",
}
_KEYS: Final = {
    bytes.fromhex("2a864886f70d010101"): "RSA",
    bytes.fromhex("2a8648ce3d030107"): "P-256",
    bytes.fromhex("2b81040022"): "P-384",
    bytes.fromhex("2b81040023"): "P-521",
    bytes.fromhex("2b6570"): "Ed25519",
    bytes.fromhex("2b6571"): "Ed448",
}
_ON_A_CURVE: Final = bytes.fromhex("2a8648ce3d0201")
_ALTERNATIVE_NAMES: Final = bytes.fromhex("551d11")

_EMAIL: Final = 0x81
_DNS: Final = 0x82
_URI: Final = 0x86
_ADDRESS: Final = 0x87

_FIRST_YEAR_OF_TWO_DIGITS: Final = 50
"""Two digits below mean 20xx, others 19xx (RFC 5280 section 4.1.2.5.1)."""


class Certificate(msgspec.Struct, frozen=True):
    """A certificate's contents, as far as they matter here.

    Args:
        subject: Attributes and values in the certificate's order, ``(("O", "Example"), ("CN", "laptop"))``; those
            that are not well known are left out.
        dns_names: Of the subject's alternative names, as written.
        uris: Likewise, for example SPIFFE ids.
        emails: Likewise.
        addresses: Likewise, as text.
        not_before: First second of its validity, in seconds since 1970.
        not_after: Last second of it.
        fingerprint: SHA-256 of the certificate in lower-case hexadecimal digits.
        key: Kind of its key: ``RSA``, ``P-256``, ``P-384``, ``P-521``, ``Ed25519``, ``Ed448``; empty for others.
    """

    subject: tuple[tuple[str, str], ...]
    dns_names: tuple[str, ...]
    uris: tuple[str, ...]
    emails: tuple[str, ...]
    addresses: tuple[str, ...]
    not_before: float
    not_after: float
    fingerprint: str
    key: str = ""

    @property
    def common_name(self) -> str:
        """The subject's last common name, empty when it has none."""
        return next((value for attribute, value in reversed(self.subject) if attribute == "CN"), "")

    def out_of_date(self, now: float) -> str:
        """Why it is not valid at ``now`` (seconds since 1970), as a phrase; empty when it is."""
        if now < self.not_before:
            return f"is not valid before {_said(self.not_before)}"
        return f"expired on {_said(self.not_after)}" if now > self.not_after else ""


def parse_certificate(der: bytes) -> Certificate:
    """Read a certificate.

    Raises:
        ValueError: This is none.
    """
    try:
        return _certificate(der)
    except (IndexError, OverflowError) as error:
        raise ValueError("expected a certificate in DER") from error


def _certificate(der: bytes) -> Certificate:
    signed = _elements(_only(der, _SEQUENCE))
    fields = list(_elements(_take(signed, _SEQUENCE)))
    if fields[0][0] == _VERSION:
        del fields[0]
    validity = [*_elements(_contents(fields[3], _SEQUENCE))]
    subject = _contents(fields[4], _SEQUENCE)
    names = next((_alternatives(contents) for tag, contents in fields[6:] if tag == _EXTENSIONS), ())
    return Certificate(
        subject=tuple(_attributes(subject)),
        dns_names=_texts(names, _DNS),
        uris=_texts(names, _URI),
        emails=_texts(names, _EMAIL),
        addresses=tuple(str(ip_address(contents)) for tag, contents in names if tag == _ADDRESS),
        not_before=_time(validity[0]),
        not_after=_time(validity[1]),
        fingerprint=hashlib.sha256(der).hexdigest(),
        key=_key(_contents(fields[5], _SEQUENCE)),
    )


def _key(key: bytes) -> str:
    algorithm = _elements(_take(_elements(key), _SEQUENCE))
    kind = _take(algorithm, _OID)
    if kind == _ON_A_CURVE:
        tag, kind = _next(algorithm)  # else than by its name a curve may be written out
        if tag != _OID:
            return ""
    return _KEYS.get(kind, "")


def _attributes(name: bytes) -> Iterator[tuple[str, str]]:
    for element in _elements(name):
        for each in _elements(_contents(element, _SET)):
            parts = _elements(_contents(each, _SEQUENCE))
            attribute = _ATTRIBUTES.get(_take(parts, _OID))
            tag, value = _next(parts)
            if attribute is not None and tag in _TEXTS:
                yield attribute, value.decode(_TEXTS[tag])


def _alternatives(extensions: bytes) -> tuple[tuple[int, bytes], ...]:
    for extension in _elements(_only(extensions, _SEQUENCE)):
        parts = list(_elements(_contents(extension, _SEQUENCE)))
        if parts[0] == (_OID, _ALTERNATIVE_NAMES):
            return tuple(_elements(_only(_contents(parts[-1], _OCTET_STRING), _SEQUENCE)))
    return ()


def _texts(names: tuple[tuple[int, bytes], ...], wanted: int) -> tuple[str, ...]:
    return tuple(contents.decode("ascii") for tag, contents in names if tag == wanted)


def _time(element: tuple[int, bytes]) -> float:
    tag, contents = element
    if tag not in _TIMES:
        raise ValueError("expected a time")
    moment = datetime.strptime(contents.decode("ascii"), _TIMES[tag]).replace(tzinfo=UTC)
    if tag == 0x17:
        short = int(contents[:2])
        moment = moment.replace(year=short + (1900 if short >= _FIRST_YEAR_OF_TWO_DIGITS else 2000))
    return moment.timestamp()


def _said(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


# -- DER


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tags and contents of the elements that ``data`` is made of."""
    at = 0
    while at < len(data):
        tag, length = data[at], data[at + 1]
        at += 2
        if tag & 0x1F == 0x1F or length == 0x80:
            raise ValueError("expected a certificate in DER")
        if length > 0x80:
            octets = length & 0x7F
            length, at = int.from_bytes(data[at : at + octets], "big"), at + octets
        if at + length > len(data):
            raise ValueError("expected a certificate in DER, this one is cut short")
        yield tag, data[at : at + length]
        at += length


def _contents(element: tuple[int, bytes], tag: int) -> bytes:
    if element[0] != tag:
        raise ValueError("expected a certificate in DER")
    return element[1]


def _take(elements: Iterator[tuple[int, bytes]], tag: int) -> bytes:
    return _contents(_next(elements), tag)


def _next(elements: Iterator[tuple[int, bytes]]) -> tuple[int, bytes]:
    for element in elements:
        return element
    # Not StopIteration, which a generator turns into an error of its own.
    raise ValueError("expected a certificate in DER")


def _only(data: bytes, tag: int) -> bytes:
    (element,) = _elements(data)
    return _contents(element, tag)
