"""What a block claims to be, and pages that do not say it."""

from pathlib import Path

import pytest
from support.pages.blocks import Block, Claim, PageError, blocks_of


def blocks(tmp_path: Path, text: str) -> list[Block]:
    page = tmp_path / "page.md"
    page.write_text(text)
    return blocks_of(page, "page.md")


def test_language_says_what_a_block_is(tmp_path):
    found = blocks(tmp_path, "```toml\na = 1\n```\n```python\npass\n```\n```sh\ntrue\n```\n```text\nout\n```\n")

    assert [block.claim for block in found] == [Claim.SETTINGS, Claim.PROGRAM, Claim.COMMANDS, Claim.OUTPUT]
    assert [block.where for block in found] == ["page.md:1", "page.md:4", "page.md:7", "page.md:10"]


def test_titled_block_is_a_file(tmp_path):
    (block,) = blocks(tmp_path, '1. Save:\n\n   ```toml title="server.toml"\n   a = 1\n     b = 2\n   ```\n')

    assert (block.claim, block.title, block.text) == (Claim.FILE, "server.toml", "a = 1\n  b = 2\n")


def test_comments_belong_to_the_next_block(tmp_path):
    text = '<!-- test: given a.toml\nx = 1\n-->\n<!-- test: stays "it listens" -->\n```sh\nrun\n```\n```sh\nnext\n```\n'

    first, second = blocks(tmp_path, text)

    assert (first.given, first.remarks["stays"]) == ({"a.toml": "x = 1\n"}, "it listens")
    assert (second.given, second.remarks) == ({}, {})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("```text\na picture\n```\n", "nothing says what this block of text is", id="no claim"),
        pytest.param("```\nsomething\n```\n", "this block of no language", id="no language"),
        pytest.param("<!-- test: needs -->\n```sh\nfalse\n```\n", "'needs' needs something after it", id="no program"),
        pytest.param("<!-- test: skip it is long -->\n```sh\nfalse\n```\n", "nobody understands 'skip'", id="unknown"),
        pytest.param("```sh\ntrue\n```\n<!-- test: said -->\n", "no block follows the comment", id="dangling"),
        pytest.param("```sh\ntrue\n", "a fence is not closed", id="open fence"),
        pytest.param(
            "<!-- test: picture -->\n```text\na\n```\n```text\nb\n```\n", "nothing says", id="after a picture"
        ),
    ],
)
def test_page_that_claims_too_little_is_refused(tmp_path, text, complaint):
    with pytest.raises(PageError, match=complaint):
        blocks(tmp_path, text)
