from __future__ import annotations

import subprocess
import sys

import pytest

from tunnel.domain.errors import ConfigurationError
from tunnel.domain.rules.patterns import compile_pattern


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
