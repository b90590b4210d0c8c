from __future__ import annotations

import subprocess
import sys

import pytest

from tunnel.domain.errors import ConfigurationError
from tunnel.domain.rules.patterns import MAX_PATTERN_CHARACTERS, compile_pattern


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("a|ab", b"ab", True),
        ("a", b"ab", False),
        ("b", b"ab", False),
        (".*", b"a\nb", True),
        ("a.c", "aéc".encode(), True),
        ("é+", "éé".encode(), True),
        ("(?i)AB", b"ab", True),
        (".", b"\xff", False),
        (r"\C", b"\xff", True),
        ("", b"", True),
        ("a$", b"a\n", False),
    ],
)
def test_patterns_match_whole_values(pattern: str, text: bytes, matches: bool) -> None:
    assert (compile_pattern(pattern).fullmatch(text) is not None) is matches


def test_patterns_that_take_other_engines_years_match_at_once() -> None:
    assert compile_pattern("(a*)*b").fullmatch(b"a" * 60_000) is None


def test_groups_are_there_for_who_asks_and_cost_nothing_else() -> None:
    pattern = "/(a|b)/(c)?"
    assert compile_pattern(pattern).groups == 0
    capturing = compile_pattern(pattern, captures=True)
    found = capturing.fullmatch(b"/b/")
    assert found is not None
    assert (capturing.groups, found.group(0), found.group(1), found.group(2)) == (2, b"/b/", b"b", None)


def test_pattern_without_its_package_is_a_mistake_of_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "re2", None)
    with pytest.raises(ConfigurationError, match="patterns need the package google-re2"):
        compile_pattern("never compiled before")


def test_patterns_have_a_greatest_length() -> None:
    assert MAX_PATTERN_CHARACTERS == 1000
    assert compile_pattern("x" * 1000).fullmatch(b"x" * 1000) is not None
    with pytest.raises(ConfigurationError, match=r"^expected a pattern of at most 1000 characters$"):
        compile_pattern("x" * 1001)


def run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)


def test_engine_is_loaded_with_the_first_pattern() -> None:
    script = """
import sys
from tunnel.domain.rules import Rule, RulesEngine
RulesEngine([Rule(host="a.test", path="/a", headers={"a": "b"})])
assert "re2" not in sys.modules
RulesEngine([Rule(path_regex="/a")])
assert "re2" in sys.modules
"""
    done = run(script)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_the_package_a_pattern_says_what_to_install() -> None:
    script = """
import sys
sys.modules["re2"] = None
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.rules import Rule, RulesEngine
RulesEngine([Rule(path="/a")])
try:
    RulesEngine([Rule(path="/a"), Rule(path_regex="/a")])
except ConfigurationError as error:
    print(error)
"""
    done = run(script)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "rules[1].path_regex: patterns need the package google-re2, which is not installed; "
        "pip install 'hextunnel[regex]'\n"
    )


def test_engine_writes_nothing_by_itself(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigurationError):
        compile_pattern("(unbalanced")
    assert capfd.readouterr() == ("", "")
