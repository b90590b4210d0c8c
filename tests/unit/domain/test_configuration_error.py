"""How one error tells of several mistakes."""

from __future__ import annotations

from tunnel.domain.errors import ConfigurationError


def of(count: int) -> ConfigurationError:
    return ConfigurationError.of([ConfigurationError(f"expected {n}", key_path=f"k{n}") for n in range(count)])


def test_single_mistake_reads_as_ever() -> None:
    error = ConfigurationError("expected a table", key_path="rules", source="server.toml")

    assert str(error) == "server.toml: rules: expected a table"
    assert error.mistakes == (error,)


def test_several_are_told_in_one_line_with_the_file_once() -> None:
    error = ConfigurationError.of(of(2).mistakes, source="server.toml")

    assert str(error) == "server.toml: 2 mistakes: k0: expected 0; k1: expected 1"


def test_whoever_looks_at_one_sees_the_first() -> None:
    error = ConfigurationError.of(of(2).mistakes, source="server.toml")

    assert (error.source, error.key_path, error.expected) == ("server.toml", "k0", "expected 0")
    assert [str(each) for each in error.mistakes] == ["server.toml: k0: expected 0", "server.toml: k1: expected 1"]


def test_line_is_bounded_and_the_mistakes_are_not() -> None:
    assert str(of(20)).endswith("; k19: expected 19")
    assert str(of(22)).startswith("22 mistakes: k0: expected 0; ")
    assert str(of(22)).endswith("; k19: expected 19; and 2 more")
    assert len(of(22).mistakes) == 22


def test_errors_of_several_add_up() -> None:
    assert len(ConfigurationError.of([*of(2).mistakes, *of(3).mistakes]).mistakes) == 5
