from __future__ import annotations

import pytest

from tunnel.domain.envelopes import GrpcFrame, GrpcFrameType, HttpRequest, Opening, TcpOpen
from tunnel.domain.opening_fields import opening_fields, with_fields

FIELDS = (b"a", b"1", b"a", b"2")
OTHERS = (b"b", b"3")
REQUEST = HttpRequest("GET", path=b"/p", headers=FIELDS, end=True)
CALL = GrpcFrame(GrpcFrameType.METADATA, service="s", method="m", metadata=FIELDS)
CONNECTION = TcpOpen("ssh")


@pytest.mark.parametrize(("head", "fields"), [(REQUEST, FIELDS), (CALL, FIELDS), (CONNECTION, ())])
def test_fields_of_an_opening_are_those_of_its_protocol(head: Opening, fields: tuple[bytes, ...]) -> None:
    assert opening_fields(head) == fields


def test_other_fields_leave_the_rest_of_a_head_as_it_is() -> None:
    assert with_fields(REQUEST, OTHERS) == HttpRequest("GET", path=b"/p", headers=OTHERS, end=True)
    assert with_fields(CALL, OTHERS) == GrpcFrame(GrpcFrameType.METADATA, service="s", method="m", metadata=OTHERS)
    assert with_fields(CONNECTION, OTHERS) is CONNECTION
