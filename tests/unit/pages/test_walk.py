"""Pages that do what they say, and pages that do not."""

import sys
from pathlib import Path

import pytest
from support.pages.blocks import PageError
from support.pages.configurations import check_settings
from support.pages.ports import PagePorts
from support.pages.terminal import Terminal, reader_environment
from support.pages.walk import walk


@pytest.fixture
def walked(tmp_path):
    def walked(text: str, *, full: bool = False) -> Path:
        page, place, scratch = tmp_path / "page.md", tmp_path / "place", tmp_path / "scratch"
        page.write_text(text)
        place.mkdir()
        scratch.mkdir()
        terminal = Terminal(place, reader_environment(Path(sys.executable).parent), tmp_path / "state")
        walk(page, "page.md", terminal, scratch, full=full)
        return place

    return walked


def test_directory_and_environment_hold_for_the_next_block(walked):
    walked(
        "```sh\nmkdir a && cd a\nexport WORD='two words'\n```\n"
        "```sh\nbasename $PWD; echo $WORD\n```\n```text\na\ntwo words\n```\n"
    )


def test_file_is_saved_and_added_to(walked):
    place = walked('```text title="a.txt"\none\n```\n<!-- test: append -->\n```text title="a.txt"\ntwo\n```\n')

    assert (place / "a.txt").read_text() == "one\n\ntwo\n"


def test_what_stays_is_heard_and_interrupted_in_the_end(walked):
    program = "import time\nprint('ready for you', flush=True)\ntime.sleep(600)\n"

    walked(f"<!-- test: stays ready -->\n```python\n{program}```\n<!-- test: said -->\n```text\nready for ...\n```\n")


def test_await_may_stand_outside_of_functions(walked):
    walked("```python\nimport asyncio\nawait asyncio.sleep(0)\nprint('awake')\n```\n```text\nawake\n```\n")


def test_hidden_commands_print_what_is_shown(walked):
    walked("<!-- test: typed\necho shown\n-->\n```text\nshown\n```\n")


def test_long_block_is_left_out_with_what_it_prints(walked):
    walked("<!-- test: full -->\n```sh\nfalse\n```\n```text\nnever\n```\n")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("```sh\nfalse\ntrue\n```\n", "page.md:1: ended with 1, not 0", id="a command fails"),
        pytest.param("<!-- test: exit 2 -->\n```sh\ntrue\n```\n", "ended with 0, not 2", id="a command does not fail"),
        pytest.param("```python\n1 / 0\n```\n", "ZeroDivisionError", id="a program fails"),
        pytest.param("```sh\necho a\n```\n```text\nb\n```\n", "page.md:4: expected 'b'", id="another output"),
        pytest.param("<!-- test: stays ready -->\n```sh\necho no\n```\n", "does not say 'ready'", id="does not start"),
        pytest.param("```toml\n[transport]\n```\n", "unknown key", id="a wrong configuration"),
        pytest.param("```toml\n[transports\n```\n", "page.md:1", id="no configuration at all"),
        pytest.param("<!-- test: full -->\n```sh\nfalse\n```\n", "ended with 1", id="a long block fails"),
    ],
)
def test_page_that_promises_too_much_fails(walked, text, complaint):
    with pytest.raises(PageError, match=complaint):
        walked(text, full=True)


def test_what_stays_must_not_end_by_itself(walked):
    with pytest.raises(PageError, match="ended with 0"):
        walked("<!-- test: stays ready -->\n```sh\necho ready\n```\n<!-- test: typed\nsleep 0.1\n-->\n```text\n```\n")


def test_ports_are_exchanged_wherever_they_are_named():
    ports = PagePorts(["listen = '127.0.0.1:7000'", "python3 -m http.server 3000"])

    exchanged = ports.exchanged("grpc://127.0.0.1:7000 --port 3000 17000 a7000 3000s")

    first, second = exchanged.split()[0].rpartition(":")[2], exchanged.split()[2]
    assert exchanged == f"grpc://127.0.0.1:{first} --port {second} 17000 a7000 3000s"
    assert "7000" not in (first, second)
    assert first != second


@pytest.mark.parametrize(
    "text",
    [
        '[[rules]]\ngroup = "web"\n',
        '[[ingress.tcp]]\nlisten = "127.0.0.1:1"\ngroup = "web"\nupstream = "ssh"\n',
        '[upstreams.app]\ntargets = ["http://127.0.0.1:1"]\n',
        '[tls]\nca = "not there.pem"\n',
        '[ingress.http]\nlisten = "127.0.0.1:1"\ntls = { certificate = "a.pem", key = "a.key" }\n',
    ],
)
def test_part_of_a_configuration_is_completed(text, tmp_path):
    assert check_settings(text, "toml", tmp_path, beside=tmp_path) is None
