"""Configuration files: three syntaxes, one line for whatever is wrong."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tunnel.adapters.config_file import FileConfigSource, read_table
from tunnel.domain.errors import ConfigurationError

TABLE = {"a": {"b": [1, "x", True]}}


def written(tmp_path: Path, name: str, content: str | bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.toml", '[a]\nb = [1, "x", true]'),
        ("c.TOML", '\ufeff[a]\nb = [1, "x", true]'),
        ("c.toml", '[a]\r\nb = [1, "x", true]\r\n'),
        ("c.yaml", "a:\n  b: [1, x, true]"),
        ("c.yml", "a: {b: [1, x, yes]}"),
        ("c.yaml", "base: &base {b: [1, x, true]}\na:\n  <<: *base\n"),
        ("c.json", '{"a": {"b": [1, "x", true]}}'),
    ],
)
def test_ending_says_the_syntax(tmp_path: Path, name: str, content: str) -> None:
    table = read_table(written(tmp_path, name, content))
    assert table["a"] == TABLE["a"]


@pytest.mark.parametrize("name", ["c.toml", "c.yaml"])
def test_empty_file_is_an_empty_table(tmp_path: Path, name: str) -> None:
    assert read_table(written(tmp_path, name, "# nothing\n")) == {}


MALFORMED = [
    ("c.toml", "a = 1\nb = \n", "line 2, column 5: malformed TOML: invalid value"),
    ("c.toml", "a = 1\na = 2\n", "line 2, column 6: malformed TOML: cannot overwrite a value"),
    ("c.toml", 'a = "x', "end of file: malformed TOML: unterminated string"),
    ("c.toml", "a = " + "[" * 100_000, "malformed TOML: nested too deeply"),
    ("c.toml", b"a = 1\nb = '\xff'", "line 2: expected UTF-8 text"),
    ("c.json", '{"a": 1,\n "b" 2}', "line 2, column 6: malformed JSON: expecting ':' delimiter"),
    ("c.json", "", "line 1, column 1: malformed JSON: expecting value"),
    ("c.json", '{"a": {"b": 1, "b": 2}}', 'malformed JSON: the key "b" is given twice in one table'),
    ("c.json", '{"a": NaN}', "malformed JSON: NaN is no JSON value"),
    ("c.json", '{"a": ' + "9" * 5000 + "}", "malformed JSON: a number is too long"),
    ("c.json", '{"a": ' + "[" * 100_000, "malformed JSON: nested too deeply"),
    ("c.json", "[]", "expected a table of settings at the top"),
    ("c.yaml", "a: 1\nb: [1\n", "line 3, column 1: malformed YAML: expected ',' or ']', but got '<stream end>'"),
    ("c.yaml", "a: 1\na: 2\n", 'line 2, column 1: malformed YAML: the key "a" is given twice in one table'),
    ("c.yaml", "x:\n  a: 1\n  a: 2\n", 'line 3, column 3: malformed YAML: the key "a" is given twice in one table'),
    ("c.yaml", "1: x\n", "line 1, column 1: malformed YAML: expected a text key; quote it"),
    ("c.yaml", "a: !!python/object:os.system x\n", "line 1, column 4: malformed YAML: could not determine a "
     "constructor for the tag 'tag:yaml.org,2002:python/object:os.system'"),
    ("c.yaml", "a: 1\n---\nb: 1\n", "line 2, column 1: malformed YAML: but found another document"),
    ("c.yaml", "a: 2026-13-45\n", "malformed YAML: an unquoted value looks like a date or number but is none"),
    ("c.yaml", "a: 1\nb: \x00\n", "line 2: malformed YAML: special characters are not allowed"),
    ("c.yaml", "just text", "expected a table of settings at the top"),
    ("c.ini", "[a]", "expected a file that ends in .toml, .yaml, .yml or .json"),
    ("config", "[a]", "expected a file that ends in .toml, .yaml, .yml or .json"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "message"), MALFORMED)
def test_malformed_file_is_one_line(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    path = written(tmp_path, name, content)
    with pytest.raises(ConfigurationError) as caught:
        read_table(path)
    assert str(caught.value) == f"{path}: {message}"


def test_missing_file_is_one_line() -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_table("nowhere/server.toml")
    assert str(caught.value) == "nowhere/server.toml: cannot be read: no such file or directory"


def test_directory_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "server.toml"
    path.mkdir()
    with pytest.raises(ConfigurationError) as caught:
        read_table(path)
    assert str(caught.value) == f"{path}: cannot be read: is a directory"


def test_name_that_no_file_can_have_is_one_line() -> None:
    with pytest.raises(ConfigurationError, match=r"^'a\\x00\.toml': expected the name of a file$"):
        read_table("a\0.toml")


@pytest.mark.parametrize(
    ("name", "content"),
    [("c.toml", 'token = "tnl_hush'), ("c.yaml", "token: 'tnl_hush\n"), ("c.json", '{"token": "tnl_hush')],
)
def test_broken_text_is_not_repeated(tmp_path: Path, name: str, content: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_table(written(tmp_path, name, content))
    assert "hush" not in str(caught.value)


def test_source_decodes_and_names_itself_in_errors(tmp_path: Path) -> None:
    path = written(tmp_path, "c.toml", "a = 1")

    def refuse(table: object) -> int:
        raise ConfigurationError("expected more", key_path="a")

    assert FileConfigSource(path, lambda table: table["a"]).load() == 1
    source = FileConfigSource(path, refuse)
    assert source.name == str(path)
    with pytest.raises(ConfigurationError) as caught:
        source.load()
    assert str(caught.value) == f"{path}: a: expected more"


def test_source_reads_afresh_each_time(tmp_path: Path) -> None:
    path = written(tmp_path, "c.toml", "a = 1")
    source = FileConfigSource(path, lambda table: table["a"])
    assert source.load() == 1
    path.write_text("a = 2")
    assert source.load() == 2


@contextmanager
def pipe(path: Path, content: str) -> Iterator[None]:
    """A named pipe, and somebody who writes to it once as soon as it is read."""
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=(content,))
    writer.start()
    try:
        yield
    finally:
        # Lets the writer in, whoever else did not.
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        writer.join()
        os.close(reader)


def test_source_is_read_from_a_pipe_once(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    source = FileConfigSource(path, lambda table: table["a"])
    with pipe(path, "a = 1"):
        assert source.load() == 1
    path.unlink()
    with pipe(path, "a = 2"), pytest.raises(ConfigurationError) as caught:
        source.load()
    assert (
        str(caught.value) == f"{path}: expected a regular file, to be read again: {str(path)!r} is a pipe or a device"
    )


def test_pipe_that_settings_point_to_is_not_read_again(tmp_path: Path) -> None:
    path = written(tmp_path, "c.toml", "a = 1")
    secret = tmp_path / "token"
    source = FileConfigSource(path, lambda _: secret.read_text(), files=lambda _: [str(secret)])
    with pipe(secret, "t"):
        assert source.load() == "t"
    secret.unlink()
    with pipe(secret, "t"), pytest.raises(ConfigurationError, match=r"is a pipe or a device$"):
        source.load()
