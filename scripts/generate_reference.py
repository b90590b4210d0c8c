"""Regenerate what the reference says of settings and options, or with ``--check`` tell whether it still holds.

In the tables of ``docs/reference/configuration.md`` the columns "type" and "default" are made of the Structs that read
a configuration. A meaning is kept as it was written for the page; a setting that has no row gets one at the end of the
table of its siblings, with the text of the Struct's docstring. A row whose setting is gone is dropped. Where code says
that there is no value, the page may say in words what happens then.

The options in ``docs/reference/cli.md`` are made of the parsers, between two marks.
"""

from __future__ import annotations

import argparse
import difflib
import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from typing import Final

import msgspec
from msgspec import inspect as shapes

from tunnel.app import cli
from tunnel.domain.configuration import ClientSettings, MiddlewareSettings, ServerSettings

REFERENCE = Path(__file__).resolve().parents[1] / "docs" / "reference"

HEADER = ("key", "type", "default", "meaning")
OPTIONS = re.compile(r"(?<=<!-- generated: options -->\n).*?(?=<!-- end of what is generated -->)", re.DOTALL)

_ARGUMENT: Final = re.compile(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)
_SIZES: Final = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


@dataclass(frozen=True)
class Setting:
    """One key, as its Struct declares it.

    Args:
        kind: Its type, in words.
        default: As a user would write it; None: code has no value for it.
        required: Whether it has to be given.
        meaning: What the Struct's docstring says.
    """

    kind: str
    default: str | None
    required: bool
    meaning: str


def settings() -> dict[str, Setting]:
    """Every setting by its dotted path, in the order in which they are declared."""
    return {
        **dict(_settings(shapes.type_info(ServerSettings), "")),
        **dict(_settings(shapes.type_info(ClientSettings), "")),
    }


def _settings(kind: shapes.Type, path: str) -> Iterator[tuple[str, Setting]]:
    assert isinstance(kind, shapes.StructType)
    told = dict(_ARGUMENT.findall(inspect.cleandoc(kind.cls.__doc__ or "")))
    for field in kind.fields:
        if kind.cls is MiddlewareSettings and field.name == "options":
            # They stand in the table itself, and each kind has its own.
            yield f"{path}.OPTION", Setting("any", "-", False, "an option of that kind")
            continue
        here = _as_written(f"{path}.{field.encode_name}".lstrip("."))
        yield from _below(field.type, here, field, " ".join(told.get(field.name, "").split()))


def _below(kind: shapes.Type, path: str, field: shapes.Field, meaning: str) -> Iterator[tuple[str, Setting]]:
    """The settings that a field holds: itself, or those of the tables in it."""
    name = field.encode_name
    match kind:
        case shapes.StructType():
            yield from _settings(kind, path)
        case shapes.UnionType(types=types):
            tables = [each for each in types if isinstance(each, shapes.StructType)]
            values = [each for each in types if not isinstance(each, shapes.StructType | shapes.NoneType)]
            for table in tables:
                yield from _settings(table, path)
            for value in values[:1]:
                yield from _below(value, path, field, meaning)
        case shapes.DictType(value_type=value):
            yield from _below(value, f"{path}.NAME", field, meaning)
        case shapes.VarTupleType(item_type=shapes.StructType() as item):
            yield from _settings(item, f"{path}[]")
        case _:
            # What is said of a table as a whole is no value of one key in it.
            whole = path.endswith(f".{name}") or path == name
            yield (
                path,
                Setting(_kind(kind, name), _default(field, kind) if whole else None, whole and field.required, meaning),
            )


def _as_written(path: str) -> str:
    """Two tables that have the same keys elsewhere are listed once."""
    path = re.sub(r"^(forward\.)?upstreams\.", "groups.NAME.upstreams.", path)
    path = re.sub(r"^forward\.rules\[\]\.(?!groups$)", "rules[].", path)
    return path.replace("groups.NAME.rules[]", "rules[]")


def _kind(kind: shapes.Type, name: str) -> str:
    match kind:
        case shapes.BoolType():
            return "boolean"
        case shapes.LiteralType(values=values):
            return " or ".join(f'`"{value}"`' for value in values)
        case shapes.IntType() | shapes.FloatType():
            unit = {"bytes": "bytes", "s": "seconds", "percent": "percent"}.get(name.rpartition("_")[2])
            word = unit or ("integer" if isinstance(kind, shapes.IntType) else "number")
            return f"{word}{_bounds(kind, unit)}"
        case shapes.VarTupleType(item_type=item):
            return f"list of {_kind(item, name)}"
        case _:
            return "text"


def _bounds(kind: shapes.IntType | shapes.FloatType, unit: str | None) -> str:
    least = kind.ge if kind.ge is not None else kind.gt
    most = kind.le if kind.le is not None else kind.lt
    if least is None:
        return "" if most is None else f", up to {_number(most, unit)}"
    if most is None:
        return f", {'more than' if kind.ge is None else 'from'} {_number(least, unit)}"
    if kind.ge is None:
        return f", more than {_number(least, unit)}, up to {_number(most, unit)}"
    return f", {_number(least, unit)} to {_number(most, unit)}"


def _number(value: float, unit: str | None) -> str:
    if unit == "bytes":
        for size, name in _SIZES:
            if value >= size and value % size == 0:
                return f"{int(value // size)} {name}"
    return f"{value:,g}" if abs(value) < 1e6 else f"{int(value):,}"


def _default(field: shapes.Field, kind: shapes.Type) -> str | None:
    value = field.default if field.default is not msgspec.NODEFAULT else None
    if field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    match value:
        case None | () | "":
            return None
        case bool():
            return f"`{str(value).lower()}`"
        case int() | float():
            unit = "bytes" if field.encode_name.endswith("_bytes") else None
            return _number(value, unit) + (" s" if field.encode_name.endswith("_s") else "")
        case tuple():
            return _listed(value)
        case Mapping():
            return None
        case _:
            return f'`"{value}"`'


def _listed(values: tuple[object, ...]) -> str:
    return "`[" + ", ".join(f'"{each}"' for each in values) + "]`"


def configuration_page(text: str) -> str:
    """The page with its tables of settings made anew."""
    known = settings()
    tables = list(_tables(text.splitlines()))
    listed = [[_cells(row)[0].strip("`") for row in rows] for _, rows in tables]
    present = {key for keys in listed for key in keys}
    added: dict[int, list[str]] = {}
    for key in known:
        if key not in present:
            near = max(range(len(tables)), key=lambda index: max(_shared(key, each) for each in listed[index]))
            added.setdefault(near, []).append(key)
    lines = text.splitlines()
    for index, (start, rows) in reversed(list(enumerate(tables))):
        made = [_row(known[key], _cells(row)) for key, row in zip(listed[index], rows, strict=True) if key in known]
        made += [_row(known[key], (f"`{key}`", "", known[key].meaning)) for key in added.get(index, ())]
        lines[start : start + 2 + len(rows)] = [_joined(HEADER), _joined(["---"] * len(HEADER)), *made]
    return "\n".join(lines) + "\n"


def _shared(key: str, other: str) -> int:
    """How many parts two keys begin with in common."""
    return sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(key.split("."), other.split("."), strict=False))
    )


def _tables(lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Where the tables of settings begin, and their rows."""
    for start, line in enumerate(lines):
        if _cells(line)[:1] == ["key"]:
            rows: list[str] = []
            while start + 2 + len(rows) < len(lines) and lines[start + 2 + len(rows)].startswith("|"):
                rows.append(lines[start + 2 + len(rows)])
            yield start, rows


def _cells(line: str) -> list[str]:
    # A bar within a cell is escaped.
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] if line.startswith("|") else []


def _joined(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _row(setting: Setting, cells: Sequence[str]) -> str:
    """One row: what code says, and the words of the page for what code does not say."""
    key, *_, written, meaning = cells
    if setting.required:
        default = "required"
    else:
        default = setting.default or written or "none"
    return _joined((key, setting.kind, default, _without_range(meaning, setting.kind)))


def _without_range(meaning: str, kind: str) -> str:
    """What a row means, without the range that its type says: rows written by hand often repeat it."""
    bounds = kind.partition(", ")[2]
    for form in {
        bounds,
        bounds.replace(",", ""),
        bounds.replace(" to ", " - "),
        bounds.replace(",", "").replace(" to ", " - "),
    }:
        if " " in form:
            meaning = re.sub(rf"^{re.escape(form)}(?:: |; | )|[;,](?: from)? {re.escape(form)}(?=[;.]|$)", "", meaning)
    return meaning


def command_line_page(text: str) -> str:
    """The page with its options made anew."""
    made = "".join(_options(name, parser) for name, parser in _parsers())
    text, places = OPTIONS.subn(lambda _: f"\n{made}", text)
    if places != 1:
        raise SystemExit("docs/reference/cli.md has no place for the options")
    return text


def _parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for name in cli._COMMANDS:
        parser = argparse.ArgumentParser(prog=f"tunnel {name}", formatter_class=_Wide)
        import_module(f"tunnel.app.cli.{name}").add_arguments(parser)
        yield from _with_actions(f"tunnel {name}", parser)


def _with_actions(name: str, parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """A command, or each action of a command that has some."""
    actions = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not actions:
        yield name, parser
    for choices in actions:
        for action, its_parser in choices.items():
            yield f"{name} {action}", its_parser


class _Wide(argparse.HelpFormatter):
    """Breaks lines at the same width wherever it runs."""

    COLUMNS: Final = 100

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=self.COLUMNS)


def _options(name: str, parser: argparse.ArgumentParser) -> str:
    shown = parser._get_formatter()
    shown.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups)
    usage = shown.format_help()
    rows = [
        _joined(
            (
                f"`{', '.join(action.option_strings) or action.metavar or action.dest}`",
                # A bar would end the cell, and brackets make a link.
                re.sub(r"[|\[]", r"\\\g<0>", shown._expand_help(action)),
            )
        )
        for action in parser._actions
        if action.help and not isinstance(action, argparse._HelpAction)
    ]
    table = "\n".join(["| | |", "| --- | --- |", *rows]) + "\n\n" if rows else ""
    # The page's own test types this, and compares.
    typed = f"COLUMNS={_Wide.COLUMNS + 2} {name} --help | sed -n '1,/^$/p'"
    return f"### {name}\n\n<!-- test: typed\n{typed}\n-->\n```text\n{usage}```\n\n{table}"


PAGES: Final = {"configuration.md": configuration_page, "cli.md": command_line_page}


def drift() -> list[str]:
    """What differs between the pages and what they should say, as lines of a diff."""
    lines: list[str] = []
    for name, made in PAGES.items():
        present = (REFERENCE / name).read_text()
        wanted = made(present)
        lines += difflib.unified_diff(
            present.splitlines(), wanted.splitlines(), name, f"{name} (generated)", "", "", n=0
        )
    return lines


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the pages differ")
    if parser.parse_args(arguments).check:
        differences = drift()
        sys.stdout.writelines(f"{line}\n" for line in differences)
        return 1 if differences else 0
    for name, made in PAGES.items():
        page = REFERENCE / name
        page.write_text(made(page.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
