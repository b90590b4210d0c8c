"""The numbers of envelopes and frames, as the protocol's own file has them."""

from __future__ import annotations

import re
from enum import IntEnum
from pathlib import Path

import pytest

from tunnel.domain.kinds import GrpcFrameType, Kind, WebSocketOpcode

PROTO = (Path(__file__).parents[3] / "proto" / "tunnel" / "v1" / "tunnel.proto").read_text()


def numbers_in(opening: str) -> dict[str, int]:
    """Names and numbers of the block that begins so."""
    block = PROTO.partition(opening)[2].partition("}")[0]
    return {name.upper(): int(number) for name, number in re.findall(r"(\w+) = (\d+);", block)}


def test_kinds_have_the_numbers_of_their_payloads() -> None:
    assert {kind.name: kind.value for kind in Kind} == numbers_in("oneof payload {")


@pytest.mark.parametrize(("kind", "opening"), [(GrpcFrameType, "enum Type {"), (WebSocketOpcode, "enum Opcode {")])
def test_frames_have_the_numbers_of_their_enumeration(kind: type[IntEnum], opening: str) -> None:
    assert {each.name: each.value for each in kind} == numbers_in(opening)
