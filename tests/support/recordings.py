"""Recorded conversations: the frames of both ends of a tunnel, in order, and what came of them.

The files and their notation are described in tests/contract/recordings/README.md. Run as a program, this records the
scenes that have no file yet::

    PYTHONPATH=src:tests python tests/support/recordings.py

It never changes a file that is there: such a file is an older peer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from support.golden_vectors import CODECS, hex_text, json_text, unhex
from support.transcripts import plain, transcript

from tunnel.domain.envelopes import Error, Frame, Kind, StopSending, UnknownPayload, WindowUpdate

__all__ = ["FOLDER", "Recording", "Step", "load", "names", "plain_frame", "said", "save"]

FOLDER = Path(__file__).parents[1] / "contract" / "recordings"


class Step(msgspec.Struct):
    """One frame on its way.

    Args:
        link: Number of the link, from 1.
        sender: ``client`` or ``server``.
        lost: Whether the link was gone before it arrived.
        encodings: The bytes by codec.
        text: What it says, as the file has it.
        after: Number of a frame of its receiver's, which that one had sent before this arrived, though its sender did
            not have it yet; 0 when they did not cross.
    """

    link: int
    sender: str
    lost: bool
    encodings: dict[str, bytes]
    text: Any
    after: int = 0


class Recording(msgspec.Struct):
    """One file.

    Args:
        name: Its stem.
        about: What happens.
        visitor: What the visitor was given, by the number of the visitor.
        upstream: What the upstream was given, in the order of its conversations.
        steps: The frames.
        client: The code with which the client was turned away for good; empty when it was not.
    """

    name: str
    about: str
    visitor: list[Any]
    upstream: list[Any]
    steps: list[Step]
    client: str = ""


def names() -> list[str]:
    """The recordings there are."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


@cache
def load(name: str) -> Recording:
    """Read a file."""
    content = json.loads((FOLDER / f"{name}.json").read_text())
    steps = [
        Step(
            step["link"],
            step["from"],
            step.get("lost", False),
            {codec: unhex(step[codec]) for codec in CODECS},
            step["frame"],
            step.get("arrives_after_seq", 0),
        )
        for step in content["steps"]
    ]
    return Recording(name, content["about"], content["visitor"], content["upstream"], steps, content.get("client", ""))


def save(recording: Recording, folder: Path = FOLDER) -> None:
    """Write a file that is not there yet."""
    steps = [
        {
            "link": step.link,
            "from": step.sender,
            **({"lost": True} if step.lost else {}),
            **({"arrives_after_seq": step.after} if step.after else {}),
            "frame": step.text,
            **{codec: hex_text(data) for codec, data in step.encodings.items()},
        }
        for step in recording.steps
    ]
    content = {
        "about": recording.about,
        **({"client": recording.client} if recording.client else {}),
        "visitor": recording.visitor,
        "upstream": recording.upstream,
        "steps": steps,
    }
    with (folder / f"{recording.name}.json").open("x") as file:
        file.write(json_text(content) + "\n")


def plain_frame(frame: Frame) -> dict[str, Any]:
    """A frame as a file shows it."""
    numbers = {name: number for name, number in (("seq", frame.seq), ("ack", frame.ack)) if number}
    envelopes = [
        {"session": each.session_id, Kind(each.kind).name.lower(): plain(each.payload)} for each in frame.envelopes
    ]
    return {**numbers, "envelopes": envelopes}


def said(frames: Iterable[Frame]) -> dict[str, Any]:
    """What one end says in ``frames``, by session: data and control, which is not ordered with it."""
    sessions: dict[int, tuple[list[Any], list[Any]]] = {}
    seen: set[int] = set()
    for frame in frames:
        if frame.seq in seen:
            # Sent again on another link.
            continue
        if frame.seq:
            seen.add(frame.seq)
        for envelope in frame.envelopes:
            data, control = sessions.setdefault(envelope.session_id, ([], []))
            match envelope.payload:
                case WindowUpdate():
                    # Credit is returned in steps of this end's own choice.
                    continue
                case Error(code) | StopSending(code):
                    control.append(f"{Kind(envelope.kind).name.lower()} {code}")
                case UnknownPayload():
                    data.append(envelope.payload)
                case payload if envelope.session_id:
                    data.append(payload)
    return {
        str(number): [*transcript(data), *sorted(control)]
        for number, (data, control) in sorted(sessions.items())
        if number
    }


if __name__ == "__main__":
    from support.recorder import record_missing

    record_missing()
