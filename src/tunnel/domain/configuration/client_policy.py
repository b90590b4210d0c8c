"""What a client makes of the snapshots it is sent: which it applies, and under whose word each target is dialled.

Upstreams of the client's own file take the places of pushed ones of the same name. What stands in that file is the
client's own word, so targets written there need no entry in ``allow_targets``: they are permitted literally, the host
and port written, and for a name whatever it resolves to. Pushed targets gain nothing by that, not even equal ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from tunnel.domain.configuration.addresses import authority
from tunnel.domain.configuration.groups import UpstreamSettings
from tunnel.domain.configuration.mistakes import key_path, mistake
from tunnel.domain.configuration.snapshot import GroupSnapshot
from tunnel.domain.configuration.target_policy import TargetPolicy
from tunnel.domain.configuration.target_url import parse_target
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.findings import Findings
from tunnel.domain.rules.rule import Rule

__all__ = ["ClientPolicy", "check_own_targets"]


class ClientPolicy:
    """Judges snapshots by a client's settings. Immutable.

    Args:
        allow_targets: What the server may have this client dial; see ``TargetPolicy``.
        upstreams: The client's own, by name.
        claimed_by: Which of them serves all that this client is sent, whatever the server says, since it has claimed
            a host of its own; None: it serves what its group's snapshot says.

    Raises:
        ConfigurationError: A pattern or a target is malformed; names the key.
    """

    __slots__ = ("_claimed_by", "_own", "_pushed", "_upstreams", "union")

    def __init__(
        self,
        allow_targets: Iterable[str],
        upstreams: Mapping[str, UpstreamSettings],
        *,
        claimed_by: str | None = None,
    ) -> None:
        self._claimed_by: Final = claimed_by
        allowed = (*allow_targets,)
        own = {name: _patterns(name, upstream) for name, upstream in upstreams.items()}
        self._upstreams: Final = upstreams
        self._pushed: Final = TargetPolicy(allowed)
        self._own: Final = {name: TargetPolicy(patterns) for name, patterns in own.items()}
        self.union: Final = TargetPolicy((*allowed, *(pattern for patterns in own.values() for pattern in patterns)))
        """Permits what is permitted to any upstream. For dialling, ask ``of`` for the policy of one."""

    def applied_to(self, snapshot: GroupSnapshot) -> GroupSnapshot:
        """``snapshot`` as this client follows it: its own upstreams in place, whole.

        Raises:
            ConfigurationError: A target that the server chose could never be permitted, or the client's own upstream
            speaks another kind of protocol.
        """
        if self._claimed_by is not None:
            rule = Rule(path_prefix="/", upstream=self._claimed_by)
            return GroupSnapshot(rules=(rule,), upstreams={self._claimed_by: self._upstreams[self._claimed_by]})
        upstreams: dict[str, UpstreamSettings] = {}
        for name, pushed in snapshot.upstreams.items():
            own = self._upstreams.get(name)
            if own is None:
                for index, target in enumerate(pushed.targets):
                    self._pushed.check(target, f"{key_path('upstreams', name)}.targets[{index}]")
            elif own.tcp is not pushed.tcp:
                expected = "TCP targets" if pushed.tcp else "HTTP targets"
                where = f"{key_path('upstreams', name)}.targets"
                raise ConfigurationError(
                    f"expected {expected}, as the server's upstream of this name has", key_path=where
                )
            upstreams[name] = own or pushed
        return msgspec.structs.replace(snapshot, upstreams=upstreams)

    def unused_by(self, snapshot: GroupSnapshot) -> list[str]:
        """Names of own upstreams that take nobody's place, so that no rule leads to them."""
        used = snapshot.upstreams.keys() if self._claimed_by is None else {self._claimed_by}
        return sorted(self._upstreams.keys() - used)

    def of(self, upstream: UpstreamSettings) -> TargetPolicy:
        """What the targets of ``upstream``, as ``applied_to`` gave it, may be dialled at."""
        for name, own in self._upstreams.items():
            # The very object: a pushed upstream that is written the same is none of ours.
            if own is upstream:
                return self._own[name]
        return self._pushed


def check_own_targets(upstreams: Mapping[str, UpstreamSettings], found: Findings) -> None:
    """Refuse targets of a client's own that could not be dialled under its own word."""
    for name, upstream in upstreams.items():
        with found:
            for index, target in enumerate(upstream.targets):
                path = f"{key_path('upstreams', name)}.targets[{index}]"
                with found:
                    if found.clean(path):
                        _pattern(target, path)


def _patterns(name: str, upstream: UpstreamSettings) -> list[str]:
    """Patterns for ``TargetPolicy`` that permit an upstream's targets and nothing else."""
    where = f"{key_path('upstreams', name)}.targets"
    return [_pattern(target, f"{where}[{index}]") for index, target in enumerate(upstream.targets)]


def _pattern(target: str, path: str) -> str:
    parsed = parse_target(target, path)
    pattern = authority(parsed.host, parsed.port) if parsed.host else target
    try:
        TargetPolicy((pattern,))
    except ConfigurationError:
        raise mistake(path, "a host name or a whole IP address", got=target) from None
    return pattern
