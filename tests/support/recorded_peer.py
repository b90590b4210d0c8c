"""An older client or server: one end of a recorded conversation, played against the other end of today.

A recorded frame is sent as soon as what the recorded peer had received by then has been received from today's end: so
many bytes, heads and ends of each session, however they are batched. What a peer only echoes, it echoes of today's:

1. ``ack``, and ``received`` when resuming: the highest ``seq`` that came.
2. Pongs, by the nonces that came.
3. The tunnel's id and resume token, a configuration's hash and version, as today's server told them.

Frames that today's end says it has not received are sent again when the tunnel is resumed. Data waits for the credit
that today's limits and window updates give.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import anyio
import msgspec
from support.credit import Credit
from support.golden_vectors import CODECS
from support.progress import progress
from support.recordings import Recording, Step, said

from tunnel.domain.envelopes import (
    KIND_OF,
    ConfigApplied,
    ConfigRejected,
    ConfigSyncResponse,
    Envelope,
    Frame,
    Payload,
    Ping,
    Pong,
    Register,
    RegisterResponse,
    UnknownPayload,
)
from tunnel.domain.errors import LinkError
from tunnel.ports.transport import Link

__all__ = ["Incompatible", "RecordedPeer"]

_DEADLINE_S = 20.0
"""Of virtual time; no recorded conversation takes as long."""
_STALLED_S = 1.5
"""How long a link is stalled before it is cut, so that today's end says something that is lost."""

_SOON_S = 1.0
"""Acknowledgements come within 50 ms, whatever else is said."""

Rewrite = Callable[[bytes], bytes]


class Incompatible(AssertionError):
    """Today's end does not get on with the recorded peer; says what it waited for, or what it could not read."""


class RecordedPeer:
    """Plays one side of ``recording``.

    Args:
        recording: What to play.
        side: ``client`` or ``server``: which end is played.
        codec: In which encoding.
        pace_s: Seconds between frames it takes in; the longer, the more today's end batches.
        rewrite: Applied to the bytes of each recorded frame, for peers of yet other versions.
    """

    def __init__(
        self, recording: Recording, *, side: str, codec: str, pace_s: float = 0.0, rewrite: Rewrite | None = None
    ) -> None:
        self._recording = recording
        self._side = side
        self._encode, self._decode = CODECS[codec]
        self._codec = codec
        self._pace_s = pace_s
        self._rewrite = rewrite
        self._link: Link
        self._news = anyio.Event()
        self._frames: list[Frame] = []
        self._have: Counter[str] = Counter()
        self._need: Counter[str] = Counter()
        self._credit = Credit()
        self._sent: list[Frame] = []
        self._received = 0
        self._acknowledged = 0
        self._acked = 0
        self._told_received: int | None = None
        self._pongs: list[int] = []
        self._registered: RegisterResponse | None = None
        self._config: tuple[int, str] = (0, "")
        self._ended: LinkError | None = None
        self.links = max(step.link for step in recording.steps)
        self.played = False
        """Whether all was said and heard."""
        self.over = anyio.Event()
        """Set once it was, or something went wrong."""

    # -- what is asked for

    async def play(self, link: Link, number: int) -> None:
        """Play what was recorded on one link, and after the last one go on answering until the link ends.

        Raises:
            Incompatible: Something did not come, or could not be read.
        """
        self._link = link
        self._ended = None
        last = number == self.links
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._read, last)
            await self._write(self._script(number))
            if last:
                self.played = True
                self.over.set()
                await self._until(lambda: self._ended is not None, "", math.inf)
            else:
                # Whatever is said from here on is lost with the link.
                tasks.cancel_scope.cancel()
        if not last:
            await anyio.sleep(_STALLED_S)
            link.abort()

    def heard(self) -> dict[str, object]:
        """What today's end said, by session."""
        return said(self._frames)

    # -- in

    async def _read(self, last: bool) -> None:
        while True:
            try:
                frame = await self._link.receive()
            except LinkError as exc:
                self._ended = exc
                self._tell()
                return
            self._take(self._decode(self._encode(frame)))
            self._tell()
            await anyio.sleep(self._pace_s)

    def _take(self, frame: Frame) -> None:
        if frame.seq:
            if frame.seq <= self._received:
                return
            if frame.seq != self._received + 1:
                raise Incompatible(f"{self._recording.name}: frame {frame.seq} came after {self._received}")
            self._received = frame.seq
        if frame.ack > max((each.seq for each in self._sent), default=0):
            raise Incompatible(f"{self._recording.name}: frame {frame.ack} was acknowledged and never sent")
        self._acked = max(self._acked, frame.ack)
        self._frames.append(frame)
        for envelope in frame.envelopes:
            self._have += progress(envelope)
            if not self._credit.took(envelope):
                number = envelope.session_id
                raise Incompatible(f"{self._recording.name}: session {number} was sent more than its credit")
            match envelope.payload:
                case UnknownPayload(why):
                    raise Incompatible(
                        f"{self._recording.name}: session {envelope.session_id} was sent what it cannot read: {why}"
                    )
                case Ping(nonce):
                    self._pongs.append(nonce)
                case Register(resume=resume) if resume is not None:
                    self._told_received = resume.received
                case RegisterResponse() as response:
                    self._registered = response
                    self._config = (0, response.config_hash)
                    self._told_received = response.received if response.resumed else None
                case ConfigSyncResponse(version, hash_):
                    self._config = (version, hash_)
                case _:
                    pass

    # -- out

    def _script(self, link: int) -> list[Step]:
        """What was recorded on a link, the own frames in order of their arrival.

        A frame that crossed others is sent after these: today's end is to receive it when the recorded one did.
        """
        script: list[Step] = []
        under_way: list[Step] = []
        for step in self._recording.steps:
            if step.link != link:
                continue
            if step.sender == self._side and (step.after or under_way):
                under_way.append(step)
                continue
            script.append(step)
            while under_way and step.text.get("seq", 0) >= under_way[0].after:
                script.append(under_way.pop(0))
        return script + under_way

    async def _write(self, steps: list[Step]) -> None:
        resent = False
        for step in steps:
            frame = self._read_step(step)
            if step.sender != self._side:
                if not step.lost:
                    for envelope in frame.envelopes:
                        self._need += progress(envelope)
                continue
            if _is_only_echo(frame):
                continue
            if frame.seq and not resent and self._told_received is not None and step.link > 1:
                await self._resend()
                resent = True
            if frame.seq and any(each.seq == frame.seq for each in self._sent):
                continue
            await self._until(self._has_come, "")
            await self._until(lambda frame=frame: self._credit.affords(frame), "credit")
            self._credit.sent(frame)
            if frame.seq:
                self._sent.append(frame)
            if not step.lost:
                await self._send(frame)
        await self._until(self._has_come, "")
        if self._ended is None and steps[-1].link == self.links:
            everything = max((each.seq for each in self._sent), default=0)
            await self._until(lambda: self._acked == everything or self._ended is not None, "acknowledgement", _SOON_S)

    def _read_step(self, step: Step) -> Frame:
        data = step.encodings[self._codec]
        if self._rewrite is not None and step.sender == self._side:
            data = self._rewrite(data)
        frame = self._decode(data)
        for envelope in frame.envelopes:
            # On the tunnel itself, unknown kinds are passed over.
            if isinstance(envelope.payload, UnknownPayload) and envelope.session_id:
                raise Incompatible(f"{self._recording.name}: a recorded frame cannot be read: {envelope.payload.why}")
        return frame

    async def _resend(self) -> None:
        await self._until(lambda: self._told_received is not None, "what was received")
        received = self._told_received or 0
        for frame in [each for each in self._sent if each.seq > received]:
            await self._send(frame)

    async def _send(self, frame: Frame) -> None:
        envelopes = tuple(Envelope(each.session_id, each.kind, self._echoed(each.payload)) for each in frame.envelopes)
        ack = self._received if any(each.session_id for each in envelopes) else 0
        try:
            await self._link.send(Frame(envelopes, ack, frame.seq))
        except LinkError as exc:
            self._ended = self._ended or exc

    def _echoed(self, payload: Payload | UnknownPayload) -> Payload | UnknownPayload:
        match payload:
            case Register(resume=resume) if resume is not None and self._registered is not None:
                return msgspec.structs.replace(
                    payload,
                    resume=msgspec.structs.replace(
                        resume,
                        tunnel_id=self._registered.tunnel_id,
                        resume_token=self._registered.resume_token,
                        received=self._received,
                    ),
                    config_hash=self._config[1],
                )
            case RegisterResponse(resumed=True):
                return msgspec.structs.replace(payload, received=self._received)
            case ConfigApplied(version) | ConfigRejected(version):
                told, hash_ = self._config
                return msgspec.structs.replace(payload, version=told if version else 0, hash=hash_)
            case _:
                return payload

    # -- waiting

    def _tell(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    def _has_come(self) -> bool:
        return all(self._have[key] >= count for key, count in self._need.items())

    async def _until(self, condition: Callable[[], bool], what: str, within_s: float = _DEADLINE_S) -> None:
        forever = within_s == math.inf
        with anyio.move_on_after(within_s) as scope:
            while not condition():
                if self._ended is not None and not forever:
                    break
                news = self._news
                await self._answer()
                if news is self._news:
                    await news.wait()
            else:
                await self._answer()
                return
        why = "it did not come in time" if scope.cancelled_caught else f"the link ended: {self._ended}"
        missing = ", ".join(
            f"{key} ({self._have[key]} of {count})" for key, count in self._need.items() if self._have[key] < count
        )
        raise Incompatible(
            f"{self._recording.name}: the recorded {self._side} waits for {missing or what or 'nothing'}; {why}"
        )

    async def _answer(self) -> None:
        """Acknowledge, and answer pings, as every peer does by itself."""
        pongs, self._pongs = self._pongs, []
        if not pongs and self._acknowledged == self._received:
            return
        self._acknowledged = self._received
        envelopes = tuple(Envelope(0, KIND_OF[Pong], Pong(nonce)) for nonce in pongs)
        try:
            await self._link.send(Frame(envelopes, self._received))
        except LinkError as exc:
            self._ended = self._ended or exc


def _is_only_echo(frame: Frame) -> bool:
    """Whether a peer says this by itself: acknowledgements and pongs."""
    return not frame.seq and all(isinstance(each.payload, Pong) for each in frame.envelopes)
