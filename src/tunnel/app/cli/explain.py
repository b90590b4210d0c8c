"""``tunnel explain FILE``: say which rules a request falls under, and why not under others."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping

import msgspec

from tunnel.app.cli.explain_request import add_request_arguments, requested
from tunnel.app.cli.failures import FAILED, OK
from tunnel.app.cli.output import write
from tunnel.app.settings import load_server_settings, settings_kind
from tunnel.domain.configuration import ServerSettings
from tunnel.domain.configuration.mistakes import key_path, unknown_name
from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.errors import ConfigurationError, SessionError
from tunnel.domain.rules.engine import RulesEngine
from tunnel.domain.rules.explain import Explanation, NearMiss, explain
from tunnel.domain.rules.rule import Rule

__all__ = ["add_arguments", "run"]


class _Hop(msgspec.Struct, frozen=True):
    """What one set of rules makes of the request.

    Args:
        name: ``group`` or ``upstream``: what its rules choose.
        place: Key path of the rules.
        explanation: Of the rules' choice.
    """

    name: str
    place: str
    explanation: Explanation


class _Route(msgspec.Struct, frozen=True, kw_only=True):
    """Where a request goes: None for what it does not reach, and then ``reason`` says why."""

    hops: tuple[_Hop, ...] = ()
    group: str | None = None
    upstream: str | None = None
    targets: tuple[str, ...] = ()
    reason: str | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", metavar="FILE", help="a server's configuration: .toml, .yaml, .yml or .json")
    add_request_arguments(parser)
    parser.add_argument("--group", metavar="NAME", help="start at this group, as if the server had chosen it")
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
    settings = load_server_settings(args.file)
    calls = settings.ingress.grpc
    if head.protocol == "grpc" and not head.host and calls is not None and calls.host is not None:
        head = msgspec.structs.replace(head, host=calls.host.encode())
    if args.group is not None and args.group not in settings.groups:
        raise unknown_name(args.group, settings.groups, "--group", kind="group", add="[groups.NAME]")
    route = _route(settings, head, args.group)
    if args.json:
        write(json.dumps(_as_json(route), ensure_ascii=False))
    else:
        for line in _as_text(route, head):
            write(line)
    return OK if route.upstream is not None else FAILED


def _route(settings: ServerSettings, head: HttpRequest, group: str | None) -> _Route:
    hops: list[_Hop] = []
    try:
        if group is None:
            hops.append(_Hop("group", "rules", explain(RulesEngine(settings.rules), head)))
            rule = hops[-1].explanation.rule
            if rule is None or rule.group is None:
                return _Route(hops=tuple(hops), reason="no rule of the server matches")
            group = rule.group
        chosen = settings.groups[group]
        hops.append(_Hop("upstream", key_path("groups", group, "rules"), explain(RulesEngine(chosen.rules), head)))
    except SessionError as error:
        return _Route(hops=tuple(hops), group=group, reason=f"{error.code.value}: {error.message}")
    rule = hops[-1].explanation.rule
    if rule is None or rule.upstream is None:
        return _Route(hops=tuple(hops), group=group, reason=f"no rule of the group {group} matches")
    targets = chosen.upstreams[rule.upstream].targets
    return _Route(hops=tuple(hops), group=group, upstream=rule.upstream, targets=targets)


def _as_json(route: _Route) -> dict[str, object]:
    rules = {f"{hop.name}_rule": _rule_as_json(hop) for hop in route.hops}
    return {
        "group": route.group,
        "upstream": route.upstream,
        "targets": list(route.targets),
        "rule": next(iter(rules.values()), None),
        "upstream_rule": rules.get("upstream_rule"),
        "near_misses": [
            {"rule": f"{hop.place}[{miss.order}]", "failed": list(miss.failed), "reason": _reason(miss, hop)}
            for hop in route.hops
            for miss in hop.explanation.near_misses
        ],
        "reason": route.reason,
    }


def _rule_as_json(hop: _Hop) -> dict[str, object] | None:
    rule, order = hop.explanation.rule, hop.explanation.order
    return None if rule is None else {"key": f"{hop.place}[{order}]", **_given(rule)}


def _as_text(route: _Route, head: HttpRequest) -> Iterator[str]:
    shown = head.host + head.path + (b"?" + head.query if head.query else b"")
    yield f"request   {head.protocol} {head.method} {shown.decode('utf-8', 'backslashreplace')}"
    for hop in route.hops:
        explanation = hop.explanation
        if explanation.rule is not None:
            yield f"rule      {hop.place}[{explanation.order}]  {_predicates(explanation.rule)}".rstrip()
            yield f"{hop.name:9} {getattr(explanation.rule, hop.name)}"
    for target in route.targets:
        yield f"target    {target}"
    if route.reason is not None:
        yield f"nothing   {route.reason}"
    misses = [
        (f"{hop.place}[{miss.order}]", _reason(miss, hop)) for hop in route.hops for miss in hop.explanation.near_misses
    ]
    if misses:
        width = max(len(place) for place, _ in misses)
        yield ""
        yield "near misses"
        for place, reason in misses:
            yield f"{place:{width}}  {reason}"


def _reason(miss: NearMiss, hop: _Hop) -> str:
    if miss.outranked_at is not None:
        return f"outranked by {hop.place}[{hop.explanation.order}] ({miss.outranked_at})"
    return ", ".join(miss.failed)


def _given(rule: Rule) -> dict[str, object]:
    table: dict[str, object] = msgspec.to_builtins(rule)
    return {key: value for key, value in table.items() if value is not None}


def _predicates(rule: Rule) -> str:
    given = _given(rule)
    return ", ".join(f"{key} = {_toml(value)}" for key, value in given.items() if key not in ("group", "upstream"))


def _toml(value: object) -> str:
    """A value as it could be written in the file."""
    if isinstance(value, Mapping):
        pairs = (f"{key_path(key)} = {_toml(each)}" for key, each in value.items() if each is not None)
        return f"{{ {', '.join(pairs)} }}"
    return json.dumps(value, ensure_ascii=False)
