"""The request that ``tunnel explain`` is asked about, as the ingress would hand it on."""

from __future__ import annotations

import argparse
import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.errors import ConfigurationError

__all__ = ["add_request_arguments", "requested"]

_PROTOCOLS: Final = {"http": "http", "https": "http", "ws": "websocket", "wss": "websocket"}
_FIELD: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*")
_METHOD: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CALL: Final = re.compile(r"/?([^/\s]+)/([^/\s]+)")


def add_request_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that describe a request."""
    parser.add_argument("--url", type=_url, help="what the visitor asks for; of a gRPC call only the host counts")
    parser.add_argument("--method", type=_method, help="request method (default: GET)")
    parser.add_argument(
        "--header", metavar="K:V", type=_field, action="append", default=[], help="a header field; may be repeated"
    )
    parser.add_argument("--grpc", metavar="/PKG.SVC/METHOD", type=_call, help="a gRPC call instead of a request")


def requested(args: argparse.Namespace) -> HttpRequest:
    """The opening that these arguments describe.

    Raises:
        ConfigurationError: They do not describe one.
    """
    url: SplitResult | None = args.url
    fields: list[tuple[bytes, bytes]] = args.header
    host = _bytes(url.netloc) if url is not None else b""
    # As with curl, a Host field takes the place of the URL's host.
    host = next((value for name, value in fields if name.lower() == b"host"), host)
    headers = [each for name, value in fields if name.lower() != b"host" for each in (name, value)]
    if args.grpc is not None:
        if args.method is not None:
            raise ConfigurationError(
                "expected without --grpc: calls have no other method than POST", key_path="--method"
            )
        return HttpRequest("POST", path=args.grpc, host=host, headers=tuple(headers), protocol="grpc")
    if url is None:
        raise ConfigurationError("expected a URL such as http://app.example.test/path, or --grpc", key_path="--url")
    return HttpRequest(
        args.method or "GET",
        path=_bytes(url.path) or b"/",
        query=_bytes(url.query) or None,
        host=host,
        headers=(b"host", host, *headers),
        protocol=_PROTOCOLS[url.scheme],
    )


def _url(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no URL: {error}") from error
    if url.scheme not in _PROTOCOLS or not url.netloc:
        raise argparse.ArgumentTypeError(f"expected a URL such as http://app.example.test/path, got {text!r}")
    return url


def _method(text: str) -> str:
    if not _METHOD.fullmatch(text):
        raise argparse.ArgumentTypeError(f"expected a request method such as GET, got {text!r}")
    return text


def _field(text: str) -> tuple[bytes, bytes]:
    found = _FIELD.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"expected a header field such as x-env:canary, got {text!r}")
    return _bytes(found[1]), _bytes(found[2])


def _call(text: str) -> bytes:
    found = _CALL.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"expected a call such as /shop.v1.Orders/GetOrder, got {text!r}")
    return _bytes(f"/{found[1]}/{found[2]}")


def _bytes(text: str) -> bytes:
    # Arguments that are not UTF-8 came in as surrogates.
    return text.encode("utf-8", "surrogateescape")
