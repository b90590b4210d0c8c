"""``tunnel explain FILE``: say which rules a request falls under, and why not under others."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from tunnel.app.cli.explain_request import add_request_arguments, requested
from tunnel.app.cli.failures import FAILED, OK
from tunnel.app.cli.output import write
from tunnel.app.forward_book import ForwardBook
from tunnel.app.rule_book import Route, RuleBook, explained, given, reason
from tunnel.app.settings import read_server_settings, settings_kind
from tunnel.domain.configuration.mistakes import key_path, unknown_name
from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.rules.rule import Rule

__all__ = ["add_arguments", "run"]

_NO_PREDICATES: Final = frozenset({"group", "upstream", "middleware"})
"""Keys of a rule that say what becomes of a request, and not which."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", metavar="FILE", help="a server's configuration: .toml, .yaml, .yml or .json")
    add_request_arguments(parser)
    parser.add_argument("--group", metavar="NAME", help="start at this group, as if the server had chosen it")
    parser.add_argument("--forward", metavar="GROUP", help="explain what a client of this group opens instead")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--kind", choices=("server", "client"), help="whose settings these are (default: as for check)")


def run(args: argparse.Namespace) -> int:
    """Print the rule, the group, the upstream and its targets that answer a request, and the near misses.

    Returns:
        0 when something answers it, else 1.

    Raises:
        ConfigurationError: The file or the arguments are wrong, or it is a client's file.
    """
    if (args.kind or settings_kind(args.file)) == "client":
        expected = "expected a server's file: a client's holds no rules, they come from the server"
        raise ConfigurationError(expected, source=args.file)
    head = requested(args)
    settings = read_server_settings(args.file)
    if args.group is not None and args.group not in settings.groups:
        raise unknown_name(args.group, settings.groups, "--group", kind="group", add="[groups.NAME]")
    if args.forward is None:
        route = RuleBook(settings).route(head, args.group)
    else:
        if args.group is not None:
            raise ConfigurationError("expected without --group: it names the client's", key_path="--forward")
        if args.forward not in settings.groups:
            raise unknown_name(args.forward, settings.groups, "--forward", kind="group", add="[groups.NAME]")
        route = ForwardBook(settings.forward, args.forward).route(head)
    if args.json:
        write(msgspec.json.encode(explained(route)).decode())
    else:
        for line in _as_text(route, head):
            write(line)
    return OK if route.upstream is not None else FAILED


def _as_text(route: Route, head: HttpRequest) -> Iterator[str]:
    shown = head.host + head.path + (b"?" + head.query if head.query else b"")
    yield f"request   {head.protocol} {head.method} {shown.decode('utf-8', 'backslashreplace')}"
    for hop in route.hops:
        explanation = hop.explanation
        if explanation.rule is not None:
            yield f"rule      {hop.place}[{explanation.order}]  {_predicates(explanation.rule)}".rstrip()
            for name in explanation.rule.middleware or ():
                yield f"through   {name}"
            yield f"{hop.name:9} {getattr(explanation.rule, hop.name)}"
    for target in route.targets:
        yield f"target    {target}"
    if route.reason is not None:
        yield f"nothing   {route.reason}"
    misses = [
        (f"{hop.place}[{miss.order}]", reason(miss, hop)) for hop in route.hops for miss in hop.explanation.near_misses
    ]
    if misses:
        width = max(len(place) for place, _ in misses)
        yield ""
        yield "near misses"
        for place, why in misses:
            yield f"{place:{width}}  {why}"


def _predicates(rule: Rule) -> str:
    table = given(rule)
    return ", ".join(f"{key} = {_toml(value)}" for key, value in table.items() if key not in _NO_PREDICATES)


def _toml(value: object) -> str:
    """A value as it could be written in the file."""
    if isinstance(value, Mapping):
        pairs = (f"{key_path(key)} = {_toml(each)}" for key, each in value.items() if each is not None)
        return f"{{ {', '.join(pairs)} }}"
    return json.dumps(value, ensure_ascii=False)
