"""The request that ``tunnel explain`` is asked about, as arguments describe it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Final, TypeVar
from urllib.parse import SplitResult

from tunnel.app.asked_request import as_bytes, asked_request, parse_method, parse_url
from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.errors import ConfigurationError

__all__ = ["add_request_arguments", "requested"]

_FIELD: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*")
_CALL: Final = re.compile(r"/?([^/\s]+)/([^/\s]+)")

T = TypeVar("T")


def add_request_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that describe a request."""
    parser.add_argument(
        "--url", type=_argument(parse_url), help="what the visitor asks for; of a gRPC call only the host counts"
    )
    parser.add_argument("--method", type=_argument(parse_method), help="request method (default: GET)")
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
    if args.grpc is not None:
        host = as_bytes(url.netloc) if url is not None else b""
        host = next((value for name, value in fields if name.lower() == b"host"), host)
        headers = [each for name, value in fields if name.lower() != b"host" for each in (name, value)]
        if args.method is not None:
            raise ConfigurationError(
                "expected without --grpc: calls have no other method than POST", key_path="--method"
            )
        return HttpRequest("POST", path=args.grpc, host=host, headers=tuple(headers), protocol="grpc")
    if url is None:
        raise ConfigurationError("expected a URL such as http://app.example.test/path, or --grpc", key_path="--url")
    return asked_request(url, method=args.method or "GET", fields=fields)


def _argument(parse: Callable[[str], T]) -> Callable[[str], T]:
    """``parse`` as argparse wants it, which repeats the text of its own kind of error only."""

    def parsed(text: str) -> T:
        try:
            return parse(text)
        except ConfigurationError as error:
            raise argparse.ArgumentTypeError(error.expected) from error

    return parsed


def _field(text: str) -> tuple[bytes, bytes]:
    found = _FIELD.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"expected a header field such as x-env:canary, got {text!r}")
    return as_bytes(found[1]), as_bytes(found[2])


def _call(text: str) -> bytes:
    found = _CALL.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"expected a call such as /shop.v1.Orders/GetOrder, got {text!r}")
    return as_bytes(f"/{found[1]}/{found[2]}")
