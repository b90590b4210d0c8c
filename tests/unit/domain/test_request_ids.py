import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tunnel.domain.envelopes import GrpcFrame, GrpcFrameType, Headers, HttpRequest, TcpOpen
from tunnel.domain.request_ids import REQUEST_ID, RequestIds, request_id_of

OTHERS: Headers = (b"host", b"a.test", b"accept", REQUEST_ID)


def test_names_are_the_prefix_and_a_number() -> None:
    ids = RequestIds("a%d")

    assert [ids.identify((), keep=True)[0] for _ in range(17)][::8] == [b"a%d-1", b"a%d-9", b"a%d-11"]


def test_name_is_added_at_the_end() -> None:
    assert RequestIds("p").identify(OTHERS, keep=True) == (b"p-1", (*OTHERS, REQUEST_ID, b"p-1"))


@pytest.mark.parametrize("keep", [True, False])
def test_name_that_is_given_is_kept_or_replaced_in_its_place(*, keep: bool) -> None:
    given_headers = (REQUEST_ID, b"mine", *OTHERS)
    name, headers = RequestIds("p").identify(given_headers, keep=keep)

    assert name == (b"mine" if keep else b"p-1")
    assert headers == (REQUEST_ID, name, *OTHERS)


def test_of_several_names_none_is_kept() -> None:
    fields = (REQUEST_ID, b"one", *OTHERS, REQUEST_ID, b"two", REQUEST_ID, b"three")

    assert RequestIds("p").identify(fields, keep=True) == (b"p-1", (REQUEST_ID, b"p-1", *OTHERS))


def test_fields_behind_a_name_that_goes_stay() -> None:
    fields = (REQUEST_ID, b"one", REQUEST_ID, b"two", *OTHERS)

    assert RequestIds("p").identify(fields, keep=True)[1] == (REQUEST_ID, b"p-1", *OTHERS)


def test_name_is_a_field_and_no_value_wherever_it_stands() -> None:
    fields = (b"accept", REQUEST_ID, b"x-a", b"1", b"x-b", b"2", REQUEST_ID, b"mine")

    assert RequestIds("p").identify(fields, keep=True) == (b"mine", fields)


@given(st.binary(max_size=140))
@example(b"x\n")
@example(b"")
@example(b"x" * 128)
@example(b"x" * 129)
def test_what_is_kept_can_stand_anywhere(value: bytes) -> None:
    name, _ = RequestIds("p").identify((REQUEST_ID, value), keep=True)

    assert 1 <= len(name) <= 128
    assert name.decode("ascii").isprintable()
    assert not set(name) & set(b' "=,;\\')


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (HttpRequest("GET", headers=(*OTHERS, REQUEST_ID, b"r")), "r"),
        (HttpRequest("GET", headers=OTHERS), ""),
        (HttpRequest("GET", headers=(REQUEST_ID, b"two words")), ""),
        (GrpcFrame(GrpcFrameType.METADATA, metadata=(REQUEST_ID, b"r")), "r"),
        (TcpOpen("ssh"), ""),
    ],
)
def test_name_of_a_conversation_is_that_of_its_head(head: HttpRequest | GrpcFrame | TcpOpen, name: str) -> None:
    assert request_id_of(head) == name
