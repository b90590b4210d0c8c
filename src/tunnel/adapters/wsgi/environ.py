"""What a WSGI application is told of a request. Source: PEP 3333, environ variables; RFC 3875 section 4.1."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, BinaryIO
from urllib.parse import unquote_to_bytes

__all__ = ["environ_of"]


def environ_of(scope: Mapping[str, Any], body: BinaryIO) -> dict[str, Any]:
    """The environment for a request.

    Text is bytes in disguise, as PEP 3333 has it: one character each. Repeated fields are joined. Fields with an
    underscore in their names are left out: they would be taken for those with a hyphen, which others may have checked.

    Args:
        scope: Of ASGI, ``http``.
        body: The request's.
    """
    name, port = scope.get("server") or ("localhost", None)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": scope.get("root_path", "").encode().decode("latin-1"),
        "PATH_INFO": unquote_to_bytes(scope["raw_path"]).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": name,
        "SERVER_PORT": str(port or 80),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": body,
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if scope.get("client"):
        environ["REMOTE_ADDR"] = scope["client"][0]
    for field, value in scope["headers"]:
        if b"_" in field:
            continue
        key = field.decode("latin-1").upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        text = value.decode("latin-1")
        if key in environ:
            text = environ[key] + ("; " if key == "HTTP_COOKIE" else ",") + text
        environ[key] = text
    return environ
