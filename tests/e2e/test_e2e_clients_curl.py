"""What curl does, it can do through the tunnel."""

import hashlib
import json
import subprocess
import time

import pytest
from e2e_clients import Curl, program, run_program
from e2e_data import MIB, blocks, digest
from e2e_visitor import HOST, exchange_state, run
from site_app import FILE, TEXT

LARGE = 3 * MIB
STOPS_WITHIN_S = 1.0


@pytest.fixture
def curl(site_tunnel) -> Curl:
    return Curl(program("curl"), site_tunnel.ingress)


@pytest.fixture
def large_file(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(b"".join(blocks(LARGE)))
    return path


def head_of(raw: bytes) -> dict[str, str]:
    """The fields of the last head that `curl -i` printed, and its status line under ''."""
    *_, last = raw.rpartition(b"HTTP/1.1 ")
    status, *fields = last.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    return {"": status, **{name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}}


def uploaded(body: bytes) -> tuple[int, str]:
    told = json.loads(body)
    return told["bytes"], told["sha256"]


def test_plain_request_is_answered(curl):
    told = json.loads(curl.body(curl.url("/inspect?x=%20y")))

    fields = dict(told["headers"])
    assert (told["method"], told["target"]) == ("GET", "/inspect?x=%20y")
    assert (f"{HOST}:{curl.ingress[1]}", "*/*") == (fields["host"], fields["accept"])
    assert fields["user-agent"].startswith("curl/")


def test_http10_gets_its_answer_without_chunks(curl):
    raw = curl.body("--http1.0", "--raw", "--include", curl.url("/download?framing=chunked&bytes=100000"))

    head, _, body = raw.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert hashlib.sha256(body).hexdigest() == digest(100_000)


def test_expected_body_is_sent_when_the_site_asks_for_it(curl, large_file):
    ran = curl(
        *("--verbose", "--header", "Expect: 100-continue", "--expect100-timeout", "15", "--max-time", "10"),
        *("--data-binary", f"@{large_file}", curl.url("/upload")),
    )

    assert (LARGE, digest(LARGE)) == uploaded(ran.out)
    assert "HTTP/1.1 100 Continue" in ran.err


def test_expected_body_is_kept_where_the_site_refuses_it_by_its_head(curl, large_file):
    # curl says Expect by itself of a body that large.
    ran = curl(
        *("--verbose", "--expect100-timeout", "15", "--max-time", "10"),
        *("--data-binary", f"@{large_file}", "--output", "/dev/null", "--write-out", "%{http_code} %{size_upload}"),
        curl.url("/unwanted"),
    )

    assert "< HTTP/1.1 417 " in ran.err
    assert "100 Continue" not in ran.err
    assert ran.out == b"417 0"


def test_body_that_is_sent_before_it_is_asked_for_arrives(curl, large_file):
    expecting = ("--header", "Expect: 100-continue", "--expect100-timeout", "0.001")

    assert (LARGE, digest(LARGE)) == uploaded(
        curl.body(*expecting, "--data-binary", f"@{large_file}", curl.url("/upload"))
    )


def test_file_is_uploaded_with_its_length(curl, large_file):
    assert (LARGE, digest(LARGE)) == uploaded(curl.body("--upload-file", str(large_file), curl.url("/upload")))


def test_standard_input_is_uploaded_in_chunks(curl):
    body = b"".join(blocks(LARGE))

    assert (LARGE, digest(LARGE)) == uploaded(curl.body("--upload-file", "-", curl.url("/upload"), stdin=body))
    told = json.loads(curl.body("--upload-file", "-", curl.url("/inspect"), stdin=b"abc"))
    assert told["method"] == "PUT"
    assert ["Transfer-Encoding", "chunked"] in told["headers"]


def test_form_is_uploaded(curl, large_file):
    told = json.loads(curl.body("--form", "name=value", "--form", f"file=@{large_file}", curl.url("/upload")))

    assert told["bytes"] > LARGE


def test_events_are_printed_as_they_come(curl):
    command = curl.command("--no-buffer", curl.url("/ticks?n=3"))
    with subprocess.Popen(command, stdout=subprocess.PIPE) as running:
        # The stream stays open, so these lines are there because nothing held them back.
        lines = [running.stdout.readline() for _ in range(9)]
        running.terminate()

    assert b"".join(lines).count(b"data: tick") == 3


def test_head_tells_of_the_body_it_does_not_have(curl):
    head = head_of(curl.body("--head", curl.url("/file")))

    assert (f"{MIB}", '"file"') == (head["content-length"], head["etag"])


def test_compressed_body_is_passed_on_as_it_is(curl):
    assert curl.body("--compressed", curl.url("/compressed")) == TEXT
    assert curl.body("--header", "Accept-Encoding: gzip", curl.url("/compressed")).startswith(b"\x1f\x8b")
    assert curl.body(curl.url("/compressed")) == TEXT


@pytest.mark.parametrize(
    ("asked", "part"), [("0-99", FILE[:100]), ("1000000-", FILE[1_000_000:]), ("-7", FILE[-7:]), ("5-5", FILE[5:6])]
)
def test_range_is_answered(curl, asked, part):
    assert part == curl.body("--range", asked, curl.url("/file"))


def test_download_is_resumed(curl, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(FILE[:300_000])

    curl.body("--continue-at", "-", "--output", str(path), curl.url("/file"))

    assert path.read_bytes() == FILE


def test_one_connection_serves_several_requests(curl):
    pairs = [argument for number in range(5) for argument in ("--output", "/dev/null", curl.url(f"/inspect?{number}"))]

    assert curl.body(*pairs, "--write-out", "%{num_connects} ") == b"1 0 0 0 0 "


def test_one_connection_serves_uploads_and_downloads_in_turn(curl, large_file):
    ran = curl(
        *("--upload-file", str(large_file), curl.url("/upload"), "--output", "/dev/null"),
        *("--next", "--silent", "--connect-to", f"::{curl.ingress[0]}:{curl.ingress[1]}"),
        *(curl.url("/download?framing=chunked&bytes=500000"), "--output", "/dev/null"),
        *("--write-out", "%{num_connects} %{size_download}"),
    )

    assert ran.out.endswith(b"0 500000")


def test_slow_reader_gets_all(curl):
    # Half a second: what is in between fills up and has to wait.
    body = curl.body("--limit-rate", "6M", curl.url(f"/download?bytes={LARGE}"))

    assert hashlib.sha256(body).hexdigest() == digest(LARGE)


def test_transfer_that_is_given_up_stops_the_sites_work(curl, site, site_tunnel):
    name = f"given-up-{site_tunnel.name}"
    ran = curl("--max-time", "0.4", "--output", "/dev/null", curl.url(f"/download?id={name}&bytes={1 << 40}"))
    ended = time.monotonic()

    state = run(exchange_state(site, name, until="cancelled"))

    assert (ran.code, state["finished"]) == (28, None)
    assert state["cancelled"] - ended < STOPS_WITHIN_S


def test_upgrade_to_http2_is_not_taken_up(curl):
    raw = curl.body("--http2", "--include", curl.url("/inspect"))

    assert head_of(raw)[""] == "200 OK"
    fields = dict(json.loads(raw.rpartition(b"\r\n\r\n")[2])["headers"])
    assert {"upgrade", "connection"}.isdisjoint(fields)


def test_ingress_may_be_used_as_a_proxy(curl):
    proxy = f"http://{curl.ingress[0]}:{curl.ingress[1]}"
    ran = run_program(curl.path, "--disable", "--silent", "--proxy", proxy, "http://somewhere.test/inspect?x=1")
    told = json.loads(ran.out)

    fields = dict(told["headers"])
    assert (told["target"], fields["host"]) == ("/inspect?x=1", "somewhere.test")
    assert "proxy-connection" not in fields


@pytest.mark.parametrize(
    "host", ["[2001:db8::1]", "[::1]", "app.example.test.", "APP.example.TEST", "xn--bcher-kva.test"]
)
def test_authority_arrives_as_it_is_written(curl, host):
    told = json.loads(curl.body(curl.url("/inspect", host=host)))

    # curl itself leaves the dot out (since 7.84) and writes names in lower case or not, by its version.
    seen = dict(told["headers"])["host"]
    assert seen.rpartition(":")[0].lower().rstrip(".") == host.lower().rstrip(".")


def test_trailing_dot_names_the_same_host(curl):
    told = json.loads(curl.body("--header", f"Host: {HOST}.", curl.url("/inspect")))

    assert f"{HOST}." == dict(told["headers"])["host"]


def test_paths_are_not_tidied_up(curl):
    target = "/inspect//a/%2F/;b=c/~d/%7e?%00&&="

    assert target == json.loads(curl.body("--path-as-is", curl.url(target)))["target"]


@pytest.mark.parametrize("target", ["/a/../inspect", "/./inspect", "/a/%2e%2e/inspect"])
def test_dot_segments_that_are_not_tidied_up_are_refused(curl, target):
    raw = curl.body("--path-as-is", "--include", curl.url(target))

    head = head_of(raw)
    assert (head[""], head["connection"]) == ("400 Bad Request", "close")


def test_answer_that_comes_while_the_body_is_sent_is_read(curl, large_file):
    raw = curl("--header", "Expect:", "--data-binary", f"@{large_file}", "--include", curl.url("/early"))

    assert head_of(raw.out)[""].startswith("413 ")
    assert raw.out.endswith(b"too much")


def test_redirects_are_followed(curl):
    relative = curl.body("--location", curl.url("/redirect?status=302&to=/inspect?relative"))
    absolute = curl.body("--location", curl.url(f"/redirect?status=302&to={curl.url('/inspect?absolute')}"))
    posted = curl.body("--location", "--data", "x=1", curl.url("/redirect?status=307&to=/inspect"))

    assert [json.loads(body)["target"] for body in (relative, absolute, posted)] == [
        "/inspect?relative",
        "/inspect?absolute",
        "/inspect",
    ]
    assert json.loads(posted)["method"] == "POST"


def test_each_cookie_is_kept(curl, tmp_path):
    jar = str(tmp_path / "jar")
    raw = curl.body("--include", "--cookie-jar", jar, curl.url("/cookies"))
    sent = curl.body("--cookie", jar, curl.url("/visitors-cookies"))

    assert raw.lower().count(b"\r\nset-cookie: ") == 2
    assert sent == b"a=1"  # the other one is for https alone


def test_trailers_reach_who_asks_for_them(curl, tmp_path):
    heads = tmp_path / "heads"
    body = curl.body(
        "--header", "TE: trailers", "--header", "Connection: TE", "--dump-header", str(heads), curl.url("/trailers")
    )

    assert body == b"body"
    assert b"x-sum: 17" in heads.read_bytes().lower()


def test_many_at_once_are_answered(curl):
    ran = curl(
        "--parallel",
        "--parallel-max",
        "30",
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_code} ",
        curl.url("/inspect?[1-60]"),
    )

    assert ran.out.decode().split() == ["200"] * 60
