"""What each built-in kind does to HTTP, WebSocket, gRPC and TCP."""

import base64
import hashlib
import json
from typing import ClassVar

import anyio
import msgspec
import pytest
from middleware_kit import GET, Answering, Guarded

from tunnel.domain.envelopes import GrpcFrame, GrpcFrameType, HttpRequest, HttpResponse, TcpOpen
from tunnel.domain.errors import ConfigurationError, ErrorCode, SessionError
from tunnel.domain.middleware.header_edits import first_field
from tunnel.domain.middleware.passwords import PasswordHash
from tunnel.domain.refusal import Refusal

pytestmark = pytest.mark.anyio

METADATA, DATA, TRAILER = GrpcFrameType.METADATA, GrpcFrameType.DATA, GrpcFrameType.TRAILER
CALL = GrpcFrame(METADATA, "a.B", "C", (b":authority", b"app.test", b"x-a", b"1"))
TCP = TcpOpen("ssh", peer="192.0.2.9")
HANDSHAKE = msgspec.structs.replace(GET, protocol="websocket", end=False)
EDITS = {"use": "headers", "request": {"set": {"X-A": "2"}}, "response": {"set": {"X-R": "3"}, "remove": ["server"]}}


def get(path="/", query=None, **fields):
    headers = tuple(each.encode() for pair in fields.items() for each in (pair[0].replace("_", "-"), pair[1]))
    return HttpRequest("GET", path.encode(), query, b"app.test", (b"host", b"app.test", *headers), end=True)


def problem_of(stream):
    assert first_field(stream.answer.headers, b"content-type") == b"application/problem+json"
    return json.loads(stream.answer.body)


class TestHeaders:
    async def test_http_is_changed_both_ways(self):
        guarded = Guarded({"h": EDITS})
        stream = await guarded.ask(get(x_a="1"))
        assert guarded.target.heads[0].headers == (b"host", b"app.test", b"x-a", b"2")
        assert stream.answer == HttpResponse(200, (b"x-r", b"3"), b"ok", end=True)

    async def test_informational_response_is_left_alone(self):
        final = HttpResponse(200, end=True)
        stream = await Guarded({"h": EDITS}, Answering(HttpResponse(100), final)).ask()
        assert stream.sent == [HttpResponse(100), HttpResponse(200, (b"x-r", b"3"), end=True)]

    async def test_acceptance_of_a_websocket_is_changed(self):
        stream = await Guarded({"h": EDITS}, Answering(HttpResponse(101))).ask(HANDSHAKE)
        assert stream.sent == [HttpResponse(101, (b"x-r", b"3"))]

    async def test_call_keeps_what_must_come_first(self):
        guarded = Guarded({"h": EDITS}, Answering(GrpcFrame(METADATA), GrpcFrame(TRAILER)))
        stream = await guarded.ask(CALL)
        assert guarded.target.heads[0].metadata == (b":authority", b"app.test", b"x-a", b"2")
        assert [each.metadata for each in stream.sent] == [(b"x-r", b"3"), ()]

    async def test_call_that_fails_at_once_tells_it_with_its_status(self):
        stream = await Guarded({"h": EDITS}, Answering(GrpcFrame(TRAILER, status=5))).ask(CALL)
        assert stream.sent == [GrpcFrame(TRAILER, metadata=(b"x-r", b"3"), status=5)]

    async def test_call_answered_without_metadata_gets_some(self):
        stream = await Guarded({"h": EDITS}, Answering(GrpcFrame(DATA, data=b"x"), GrpcFrame(TRAILER))).ask(CALL)
        assert stream.sent[:2] == [GrpcFrame(METADATA, metadata=(b"x-r", b"3")), GrpcFrame(DATA, data=b"x")]

    async def test_call_of_one_envelope_stays_one(self):
        whole = GrpcFrame(GrpcFrameType.WHOLE, "a.B", "C", CALL.metadata, b"message")
        guarded = Guarded({"h": EDITS}, Answering(GrpcFrame(TRAILER)))
        await guarded.ask(whole)
        assert guarded.target.heads == [msgspec.structs.replace(whole, metadata=(*CALL.metadata[:2], b"x-a", b"2"))]

    async def test_first_named_is_outermost(self):
        first = {"use": "headers", "request": {"add": {"x-n": "1"}}, "response": {"add": {"x-n": "1"}}}
        second = {"use": "headers", "request": {"add": {"x-n": "2"}}, "response": {"add": {"x-n": "2"}}}
        guarded = Guarded({"first": first, "second": second}, Answering(HttpResponse(200, end=True)))
        stream = await guarded.ask(get())
        assert guarded.target.heads[0].headers[2:] == (b"x-n", b"1", b"x-n", b"2")
        assert stream.answer.headers == (b"x-n", b"2", b"x-n", b"1")


class TestPaths:
    async def test_strip_prefix_tells_the_target_which(self):
        guarded = Guarded({"s": {"use": "strip_prefix", "prefixes": ["/api"]}})
        await guarded.ask(get("/api/x", b"q=1", x_forwarded_prefix="/forged"))
        head = guarded.target.heads[0]
        assert (head.path, head.query) == (b"/x", b"q=1")
        assert head.headers == (b"host", b"app.test", b"x-forwarded-prefix", b"/api")

    async def test_path_without_the_prefix_passes_but_for_a_forged_field(self):
        guarded = Guarded({"s": {"use": "strip_prefix", "prefixes": ["/api"]}})
        await guarded.ask(get("/other", x_forwarded_prefix="/forged"))
        assert guarded.target.heads == [get("/other")]

    async def test_rewrite_changes_path_and_host_and_keeps_the_query(self):
        guarded = Guarded({"r": {"use": "rewrite", "prefix": "/a", "replace_prefix": "/b", "host": "c.test"}})
        await guarded.ask(get("/a/x", b"q"))
        head = guarded.target.heads[0]
        assert (head.path, head.query, head.host, head.headers) == (b"/b/x", b"q", b"c.test", (b"host", b"c.test"))

    @pytest.mark.parametrize("use", ["strip_prefix", "rewrite", "redirect", "compression"])
    async def test_call_passes_what_has_no_meaning_for_it(self, use):
        table = {"strip_prefix": {"prefixes": ["/a"]}, "rewrite": {"path": "/b"}, "redirect": {"path": "/b"}}
        guarded = Guarded({"m": {"use": use, **table.get(use, {})}}, Answering(GrpcFrame(TRAILER)))
        assert (await guarded.ask(CALL)).sent == [GrpcFrame(TRAILER)]

    @pytest.mark.parametrize(
        ("use", "rule"),
        [
            ("compression", {"protocol": "websocket"}),
            ("compression", {"protocol": "grpc"}),
            ("request_id", {"protocol": "tcp"}),
        ],
    )
    async def test_rule_for_what_it_has_no_meaning_for_is_refused(self, use, rule):
        with pytest.raises(ConfigurationError) as caught:
            Guarded({"m": {"use": use}}, **rule)
        assert caught.value.key_path == "rules[0].middleware[0]"

    async def test_rule_of_a_grpc_service_is_one_for_calls(self):
        with pytest.raises(ConfigurationError, match="has a meaning for grpc"):
            Guarded({"m": {"use": "compression"}}, service="a.B")


class TestRedirect:
    @pytest.mark.parametrize(
        ("options", "head", "location"),
        [
            ({"scheme": "https"}, get("/a", b"b=c"), b"https://app.test/a?b=c"),
            ({"scheme": "https"}, get("/a", x_forwarded_proto="https"), None),
            ({"scheme": "https", "port": 8443}, get("/a"), b"https://app.test:8443/a"),
            ({"host": "www.app.test"}, get("/a"), b"http://www.app.test/a"),
            ({"host": "app.test"}, get("/a"), None),
            ({"path": "/new"}, get("/a"), b"http://app.test/new"),
            ({"path": "/new"}, get("/new"), None),
            ({"prefix": "/a", "replace_prefix": "/"}, get("/a//evil.test/x"), b"http://app.test//evil.test/x"),
            ({"regex": "/u/(.*)", "replacement": "/users/\\1"}, get("/u/7"), b"http://app.test/users/7"),
        ],
    )
    async def test_location(self, options, head, location):
        stream = await Guarded({"r": {"use": "redirect", "status": 308, **options}}).ask(head)
        answer = stream.answer
        if location is None:
            assert answer.status == 200
        else:
            assert (answer.status, first_field(answer.headers, b"location")) == (308, location)

    async def test_port_of_the_host_is_kept_unless_the_scheme_changes(self):
        head = msgspec.structs.replace(get("/a"), host=b"app.test:8080")
        kept = await Guarded({"r": {"use": "redirect", "path": "/b"}}).ask(head)
        gone = await Guarded({"r": {"use": "redirect", "scheme": "https"}}).ask(head)
        assert first_field(kept.answer.headers, b"location") == b"http://app.test:8080/b"
        assert first_field(gone.answer.headers, b"location") == b"https://app.test/a"

    async def test_websocket_is_redirected_too(self):
        stream = await Guarded({"r": {"use": "redirect", "scheme": "https"}}).ask(HANDSHAKE)
        assert stream.answer.status == 302


class TestRequestId:
    async def test_name_is_made_and_told(self):
        guarded = Guarded({"n": {"use": "request_id", "header": "X-Trace"}})
        stream = await guarded.ask(get(x_trace="theirs"))
        name = first_field(guarded.target.heads[0].headers, b"x-trace")
        assert name not in (None, b"theirs")
        assert first_field(stream.answer.headers, b"x-trace") == name

    async def test_well_formed_name_is_kept_if_configured(self):
        guarded = Guarded({"n": {"use": "request_id", "header": "x-trace", "keep": True, "answer": False}})
        await guarded.ask(get(x_trace="theirs"))
        stream = await guarded.ask(get(x_trace="not a name"))
        names = [first_field(head.headers, b"x-trace") for head in guarded.target.heads]
        assert names[0] == b"theirs"
        assert names[1] != b"not a name"
        assert first_field(stream.answer.headers, b"x-trace") is None


class TestIpFilter:
    TABLE: ClassVar = {"use": "ip_filter", "allow": ["192.0.2.0/24"], "deny": ["192.0.2.66"]}

    @pytest.mark.parametrize(
        ("peer", "status"), [("192.0.2.1", 200), ("192.0.2.66", 403), ("198.51.100.1", 403), ("", 403)]
    )
    async def test_http(self, peer, status):
        stream = await Guarded({"f": self.TABLE}).ask(get(), peer=peer)
        assert stream.answer.status == status
        if status != 200:
            assert problem_of(stream)["code"] == "forbidden"

    async def test_proxy_is_asked_for_whom_it_asks_if_trusted(self):
        table = {**self.TABLE, "trusted_proxies": ["10.0.0.1"]}
        stream = await Guarded({"f": table}).ask(get(x_forwarded_for="192.0.2.1, 10.0.0.1"))
        assert stream.answer.status == 200

    async def test_call_and_websocket_are_answered_in_their_own_way(self):
        guarded = Guarded({"f": self.TABLE})
        call = await guarded.ask(CALL, peer="198.51.100.1")
        assert [(each.type, each.status) for each in call.sent] == [(TRAILER, 7)]
        assert (await guarded.ask(HANDSHAKE, peer="198.51.100.1")).answer.status == 403

    async def test_tcp_is_reset(self):
        guarded = Guarded({"f": self.TABLE})
        with pytest.raises(Refusal):
            await guarded.ask(TcpOpen("ssh", peer="198.51.100.1"))
        assert not guarded.target.heads


class TestRateLimit:
    async def test_too_many_are_told_when_to_come_back(self):
        guarded = Guarded({"l": {"use": "rate_limit", "requests": 2, "per_s": 10}})
        statuses = [(await guarded.ask(get())).answer.status for _ in range(3)]
        stream = await guarded.ask(get())
        assert statuses == [200, 200, 429]
        assert problem_of(stream)["code"] == "overloaded"
        assert first_field(stream.answer.headers, b"retry-after") == b"5"
        await guarded.clock.advance(5)
        assert (await guarded.ask(get())).answer.status == 200

    @pytest.mark.parametrize(
        ("by", "one", "other"),
        [
            ("address", {"x_forwarded_for": "192.0.2.1"}, {"x_forwarded_for": "192.0.2.2"}),
            ("address", {"x_forwarded_for": "2001:db8::1"}, {"x_forwarded_for": "2001:db8:0:1::1"}),
            ("header:x-key", {"x_key": "a"}, {"x_key": "b" * 100}),
        ],
    )
    async def test_visitors_do_not_share_a_limit(self, by, one, other):
        guarded = Guarded({"l": {"use": "rate_limit", "requests": 1, "by": by}})
        heads = [get(**one), get(**one), get(**other), get(**other)]
        assert [(await guarded.ask(head)).answer.status for head in heads] == [200, 429, 200, 429]

    async def test_network_of_ipv6_shares_one(self):
        guarded = Guarded({"l": {"use": "rate_limit", "requests": 1}})
        heads = [get(x_forwarded_for="2001:db8::1"), get(x_forwarded_for="2001:db8::2")]
        assert [(await guarded.ask(head)).answer.status for head in heads] == [200, 429]

    async def test_call_and_tcp(self):
        guarded = Guarded({"l": {"use": "rate_limit", "requests": 1, "by": "all"}}, Answering(GrpcFrame(TRAILER)))
        await guarded.ask(CALL)
        assert [each.status for each in (await guarded.ask(CALL)).sent] == [8]
        with pytest.raises(Refusal) as caught:
            await guarded.ask(TCP)
        assert caught.value.code is ErrorCode.OVERLOADED


class TestCircuitBreaker:
    TABLE: ClassVar = {"use": "circuit_breaker", "min_requests": 2, "open_s": 10}

    async def test_opens_after_failures_and_closes_after_a_good_probe(self):
        guarded = Guarded({"c": self.TABLE}, Answering(HttpResponse(503, end=True)))
        statuses = [(await guarded.ask()).answer.status for _ in range(3)]
        refused = await guarded.ask()
        assert len(guarded.target.heads) == 2
        assert statuses == [503] * 3
        assert problem_of(refused)["code"] == "overloaded"
        assert first_field(refused.answer.headers, b"retry-after") == b"10"
        await guarded.clock.advance(10)
        guarded.target.answer = (HttpResponse(200, end=True),)
        assert [(await guarded.ask()).answer.status for _ in range(2)] == [200, 200]

    @pytest.mark.parametrize("own", [ErrorCode.TOO_LARGE, ErrorCode.ROUTE_NOT_FOUND])
    async def test_error_before_an_answer_is_a_failure_but_not_the_visitors_own(self, own):
        guarded = Guarded({"c": self.TABLE})
        for code in [own] * 3 + [ErrorCode.UPSTREAM_UNREACHABLE] * 2:
            guarded.target.answer = (SessionError(code),)
            with pytest.raises(SessionError):
                await guarded.ask()
        guarded.target.answer = (SessionError(ErrorCode.UPSTREAM_UNREACHABLE),)
        assert (await guarded.ask()).answer.status == 503

    async def test_status_of_a_call_counts(self):
        guarded = Guarded({"c": self.TABLE}, Answering(GrpcFrame(METADATA), GrpcFrame(TRAILER, status=14)))
        await guarded.ask(CALL)
        await guarded.ask(CALL)
        assert [each.status for each in (await guarded.ask(CALL)).sent] == [8]

    async def test_visitor_that_leaves_says_nothing(self):
        guarded = Guarded({"c": {**self.TABLE, "min_requests": 1}})

        class Stuck(Answering):
            async def handle(self, stream):
                await anyio.sleep_forever()

        answering, guarded.target = guarded.target, Stuck()
        with anyio.move_on_after(0):
            await guarded.ask()
        guarded.target = answering
        assert (await guarded.ask()).answer.status == 200


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class TestBasicAuth:
    SLOW = str(PasswordHash.of(b"slow", bytes(16)))
    USERS: ClassVar = {"ann": "sha256$" + hashlib.sha256(b"fast").hexdigest(), "bob": SLOW}
    TABLE: ClassVar = {"use": "basic_auth", "users": USERS, "realm": "shop"}

    @pytest.mark.parametrize(
        ("field", "status"),
        [
            (basic("ann", "fast"), 200),
            (basic("bob", "slow"), 200),
            (basic("ann", "slow"), 401),
            (basic("bob", "fast"), 401),
            (basic("eve", "fast"), 401),
            ("Basic nonsense", 401),
            ("Bearer fast", 401),
        ],
    )
    async def test_who_passes(self, field, status):
        stream = await Guarded({"b": self.TABLE}).ask(get(authorization=field))
        assert stream.answer.status == status

    async def test_refusal_names_the_realm(self):
        stream = await Guarded({"b": self.TABLE}).ask()
        assert problem_of(stream)["code"] == "unauthenticated"
        challenge = first_field(stream.answer.headers, b"www-authenticate")
        assert challenge == b'Basic realm="shop", charset="UTF-8"'

    async def test_password_is_compared_once(self, monkeypatch):
        compared = []
        fits = PasswordHash.fits
        monkeypatch.setattr(PasswordHash, "fits", lambda self, text: compared.append(text) or fits(self, text))
        guarded = Guarded({"b": self.TABLE})
        for _ in range(3):
            assert (await guarded.ask(get(authorization=basic("bob", "slow")))).answer.status == 200
        assert compared == [b"slow"]

    async def test_target_is_told_the_user_and_not_the_password(self):
        guarded = Guarded({"b": {**self.TABLE, "remove_header": True, "user_header": "X-User"}})
        await guarded.ask(get(authorization=basic("ann", "fast"), x_user="root"))
        assert guarded.target.heads[0].headers == (b"host", b"app.test", b"x-user", b"ann")

    async def test_call_gets_a_status(self):
        stream = await Guarded({"b": self.TABLE}).ask(CALL)
        assert [each.status for each in stream.sent] == [16]

    async def test_malformed_hash_is_refused_and_not_repeated(self):
        with pytest.raises(ConfigurationError) as caught:
            Guarded({"b": {"use": "basic_auth", "users": {"ann": "hunter2"}}})
        assert caught.value.key_path == "middleware.b.users.ann"
        assert "hunter2" not in str(caught.value)


class TestChain:
    async def test_refusal_of_an_inner_one_is_changed_by_those_around_it(self):
        stream = await Guarded({"h": EDITS, "f": {"use": "ip_filter", "deny": ["192.0.2.1"]}}).ask()
        assert stream.answer.status == 403
        assert first_field(stream.answer.headers, b"x-r") == b"3"

    @pytest.mark.parametrize(
        ("table", "message"),
        [
            ({"use": "heades"}, 'middleware.m.use: unknown kind of middleware "heades"'),
            ({"use": "headers", "requst": {}}, "middleware.m.requst: unknown key"),
            ({"use": "headers", "request": {"set": {"host": "x"}}}, "middleware.m.request.set.host: expected a field"),
            ({"use": "rate_limit"}, 'middleware.m: missing the required key "requests"'),
            ({"use": "rate_limit", "requests": 0}, "middleware.m.requests: expected a number above 0"),
            ({"use": "rate_limit", "requests": 1, "by": "x"}, "middleware.m.by: expected"),
            ({"use": "ip_filter"}, "middleware.m: expected at least one network"),
            ({"use": "ip_filter", "allow": ["x"]}, "middleware.m.allow[0]: expected an IP address"),
            ({"use": "redirect", "status": 200, "path": "/"}, "middleware.m.status: expected one of"),
            ({"use": "rewrite"}, "middleware.m: expected one of"),
            ({"use": "strip_prefix", "prefixes": ["a"]}, "middleware.m.prefixes[0]: expected a path"),
            ({"use": "compression", "types": ["Text"]}, "middleware.m.types[0]: expected a type"),
            ({"use": "circuit_breaker", "statuses": [200]}, "middleware.m.statuses[0]: expected an integer"),
        ],
    )
    async def test_mistake_names_its_key(self, table, message):
        with pytest.raises(ConfigurationError) as caught:
            Guarded({"m": table})
        assert str(caught.value).startswith(message)
