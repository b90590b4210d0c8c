"""A page that promises what does not happen is found out, in each way in which it may."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.pages.blocks import PageError
from support.pages.terminal import Terminal
from support.pages.walk import walk


@pytest.fixture
def walked(tmp_path: Path, terminal_in: Callable[..., Terminal], scratch: Path) -> Callable[..., list[str]]:
    """Walk a page that says this, and return what could not be run."""

    def walked(page: str, *, brief: bool = True) -> list[str]:
        file = tmp_path / "page.md"
        file.write_text(page)
        directory = tmp_path / "reader"
        directory.mkdir(exist_ok=True)
        told: list[str] = []
        walk(file, "page.md", terminal_in(directory), scratch, brief=brief, told=told.append)
        return told

    return walked


def test_nothing_may_be_skipped(walked: Callable[..., list[str]]) -> None:
    with pytest.raises(PageError, match="nobody understands 'skip'"):
        walked("<!-- test: skip no time -->\n```sh\ntrue\n```\n")


@pytest.mark.parametrize("language", ["sh", "python", "toml", "json", ""])
def test_picture_is_of_no_language_that_could_be_run(walked: Callable[..., list[str]], language: str) -> None:
    with pytest.raises(PageError, match="a picture is of mermaid or text"):
        walked(f"<!-- test: picture -->\n```{language}\n-->\n```\n")


def test_block_that_nothing_prints_is_refused(walked: Callable[..., list[str]]) -> None:
    with pytest.raises(PageError, match="nothing says what this block of text is"):
        walked("```text\nhello\n```\n")


def test_output_that_is_another_is_found(walked: Callable[..., list[str]]) -> None:
    with pytest.raises(PageError, match="expected 'hallo'"):
        walked("```sh\necho hello\n```\n\n```text\nhallo\n```\n")


def test_what_varies_is_another_each_time_and_the_rest_is_not(walked: Callable[..., list[str]]) -> None:
    page = r"""
<!-- test: typed
echo at {} it was {}
-->
<!-- test: varies [\d:]{{5}} -->
```text
at 12:00 it was 7
```
"""

    walked(page.format("13:59", 7))
    with pytest.raises(PageError):
        walked(page.format("13:59", 8))
    with pytest.raises(PageError):
        walked(page.format("noon", 7))


def test_part_is_in_the_file_with_the_same_values(walked: Callable[..., list[str]]) -> None:
    page = """
<!-- test: given whole.toml
[[a]]
b = 1
[[a]]
b = 2
c = {}
-->
<!-- test: part whole.toml -->
```toml
[[a]]
b = 2
c = 3
```
"""

    walked(page.format(3))
    with pytest.raises(PageError, match="does not say this"):
        walked(page.format(4))


def test_exchange_needs_what_is_shown(walked: Callable[..., list[str]]) -> None:
    with pytest.raises(PageError, match="with something that is shown"):
        walked("<!-- test: instead false => true -->\n```sh\nexit 1\n```\n")


def test_brief_form_is_typed_unless_all_is_run_at_full_length(walked: Callable[..., list[str]]) -> None:
    page = "<!-- test: briefly 100 => 1 -->\n```sh\ntest 100 = 1\n```\n"

    walked(page)
    with pytest.raises(PageError, match="ended with 1"):
        walked(page, brief=False)


def test_missing_program_is_told_and_its_block_is_not_run(walked: Callable[..., list[str]]) -> None:
    page = "<!-- test: needs sh no-such-program -->\n```sh\nfalse\n```\n\n```text\nwhatever\n```\n"

    assert walked(page) == ["page.md:2 is not run: no no-such-program here"]


def test_command_on_a_terminal_may_draw(walked: Callable[..., list[str]]) -> None:
    drawing = "[ -t 1 ] && printf '\\033[2J\\033[1mto draw\\033[0m\\n'; exec sleep 60"
    page = f"""
<!-- test: terminal -->
<!-- test: stays draw -->
```sh
{drawing}
```

<!-- test: said -->
```text
to draw
```
"""

    walked(page)
