"""Configurations that a page shows, whole or in part, judged as ``tunnel check`` does."""

from __future__ import annotations

import contextlib
import io
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml
from support.certificates import Authority

from tunnel.app.cli import main

__all__ = ["check_settings"]

_CLIENT_KEYS: Final = {
    *("servers", "client_id", "token", "token_env", "token_file", "allow_targets", "upstreams", "entry", "fallback"),
    *("proxy", "links", "claim"),
}
_FILES: Final = ("certificate", "key", "ca", "client_ca")
_HASH: Final = re.compile(r"<[^<>\n]*(?:hash|hex)[^<>\n]*>")

Table = dict[str, Any]


def check_settings(text: str, language: str, scratch: Path, *, beside: Path) -> str | None:
    """What ``tunnel check`` has against a configuration; None: nothing.

    What a part leaves out is added: a transport and groups to a server's, a server and a token to a client's. Hashes
    that are only hinted at are made up, and certificates that are not there are made.

    Args:
        text: The configuration.
        language: ``toml`` or ``yaml``.
        scratch: Directory for the files that this makes.
        beside: Directory of the files that the configuration names.
    """
    hashes = count(1)
    text = _HASH.sub(lambda _: f"{next(hashes):064x}", text)
    try:
        table: Table = tomllib.loads(text) if language == "toml" else yaml.safe_load(text)
    except (tomllib.TOMLDecodeError, yaml.YAMLError) as error:
        return str(error)
    kind = "client" if _is_clients(table) else "server"
    if kind == "client":
        _complete_client(table)
    else:
        _complete_server(table)
    _provide_certificates(table, scratch, beside)
    file = scratch / f"{kind}.json"
    file.write_bytes(msgspec.json.encode(table))
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = main(["check", str(file), "--kind", kind])
    # That the environment does not hold a token is no mistake of the page.
    lines = [line for line in said.getvalue().splitlines() if ": note: " not in line]
    return None if status == 0 and len(lines) == 1 else "\n".join([text, *lines])


def _is_clients(table: Table) -> bool:
    tls = table.get("tls")
    return bool(_CLIENT_KEYS & table.keys()) or isinstance(tls, dict) or isinstance(table.get("group"), str)


def _complete_client(table: Table) -> None:
    secure = isinstance(table.get("tls"), dict)
    table.setdefault("servers", [f"{'grpcs' if secure else 'grpc'}://127.0.0.1:7000"])
    if "claim" not in table:
        table.setdefault("group", "web")
    if not {"token", "token_env", "token_file"} & table.keys():
        table["token"] = "shown"


def _complete_server(table: Table) -> None:
    table.setdefault("transports", {"memory": {"name": "shown"}})
    groups = table.setdefault("groups", {})
    for name in _groups_named(table):
        groups.setdefault(name, {})
    for listener in table.get("ingress", {}).get("tcp", []):
        group = groups.setdefault(listener["group"], {})
        group.setdefault("upstreams", {}).setdefault(listener["upstream"], {"targets": ["tcp://127.0.0.1:22"]})
    for group in groups.values():
        for rule in group.get("rules", []):
            group.setdefault("upstreams", {}).setdefault(rule["upstream"], {"targets": ["http://127.0.0.1:3000"]})
    forward = table.get("forward", {})
    for rule in forward.get("rules", []):
        forward.setdefault("upstreams", {}).setdefault(rule["upstream"], {"targets": ["http://127.0.0.1:3000"]})


def _groups_named(table: Table) -> Iterator[str]:
    for rule in table.get("rules", []):
        if "group" in rule:
            yield rule["group"]
    for rule in table.get("forward", {}).get("rules", []):
        yield from rule.get("groups", ())
    for token in table.get("auth", {}).get("tokens", {}).values():
        yield from token.get("groups", ())


def _provide_certificates(table: Table, scratch: Path, beside: Path) -> None:
    """Have the configuration name files that are there: those of the page, else a pair made for it."""
    pair: tuple[str, str] | None = None
    authority: Authority | None = None
    for tls in _tls_tables(table):
        for key in set(_FILES) & tls.keys():
            if (beside / str(tls[key])).exists():
                tls[key] = str(beside / str(tls[key]))
                continue
            if authority is None or pair is None:
                (scratch / "certificates").mkdir(exist_ok=True)
                authority = Authority(scratch / "certificates")
                pair = authority.issue("shown", "localhost")
            tls[key] = {"certificate": pair[0], "key": pair[1]}.get(key, authority.file)


def _tls_tables(table: Mapping[str, object], path: str = "") -> Iterator[Table]:
    for key, value in table.items():
        if isinstance(value, dict):
            # The authorities of an upstream are text, not files.
            if key == "tls" and ".upstreams." not in f"{path}.":
                yield value
            yield from _tls_tables(value, f"{path}.{key}")
        elif isinstance(value, list):
            yield from _tables_in(value, f"{path}.{key}")


def _tables_in(values: Iterable[object], path: str) -> Iterator[Table]:
    for value in values:
        if isinstance(value, dict):
            yield from _tls_tables(value, path)
