"""The shape of the package: who may import whom, what `import tunnel` costs, and that the reference agrees with it."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import msgspec
import pytest
from msgspec import inspect

import tunnel
from tunnel.app.container import ServerContainer
from tunnel.domain.configuration import ClientSettings, MiddlewareSettings, ServerSettings
from tunnel.domain.envelopes import KIND_OF, Kind
from tunnel.domain.limits import Limits

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "tunnel"

# Breaches of each contract: the module that commits it, its code, and the import that must be reported.
BREACHES = {
    "layers": [
        ("domain/inward.py", "import tunnel.ports.clock", "tunnel.domain.inward -> tunnel.ports.clock"),
        ("ports/inward.py", "import tunnel.adapters.memory", "tunnel.ports.inward -> tunnel.adapters.memory"),
        ("sockets/inward.py", "import tunnel.adapters.tcp", "tunnel.sockets.inward -> tunnel.adapters.tcp"),
        ("adapters/memory/inward.py", "import tunnel.app", "tunnel.adapters.memory.inward -> tunnel.app"),
        ("outside.py", "", "tunnel.outside"),
    ],
    "adapters": [
        ("adapters/memory/sibling.py", "import tunnel.adapters.grpc", "tunnel.adapters.memory.sibling"),
    ],
    "pure": [
        ("domain/impure.py", "from time import monotonic", "tunnel.domain.impure -> time"),
        ("ports/impure.py", "import asyncio", "tunnel.ports.impure -> asyncio"),
    ],
    "testing": [
        ("testing/adapted.py", "import tunnel.adapters.grpc", "tunnel.testing.adapted -> tunnel.adapters.grpc"),
        ("testing/applied.py", "import tunnel.app.server", "tunnel.testing.applied -> tunnel.app.server"),
        (
            "testing/fixtures/adapted.py",
            "import tunnel.adapters.grpc",
            "tunnel.testing.fixtures.adapted -> tunnel.adapters.grpc",
        ),
    ],
    "protobuf": [
        ("adapters/memory/proto.py", "import google.protobuf.message", "tunnel.adapters.memory.proto -> google"),
        ("app/remote.py", "import grpc.aio", "tunnel.app.remote -> grpc"),
    ],
    "generated": [
        (
            "app/generated.py",
            "import tunnel.adapters.grpc._generated",
            "tunnel.app.generated -> tunnel.adapters.grpc._generated",
        ),
    ],
    "container": [
        ("app/injected.py", "from dependency_injector import providers", "tunnel.app.injected -> dependency_injector"),
    ],
    "anyio": [
        ("app/looped.py", "import asyncio", "tunnel.app.looped -> asyncio"),
        ("adapters/memory/looped.py", "import asyncio", "tunnel.adapters.memory.looped -> asyncio"),
    ],
}

IMPURE = {
    *("anyio", "asyncio", "concurrent", "logging", "os", "random", "secrets", "select", "selectors", "socket"),
    *("ssl", "threading", "time", "trio", "grpc", "httptools", "uvicorn", "uvloop", "websockets", "google"),
    *("dependency_injector",),
}


def contracts() -> dict[str, str]:
    """Names of the import contracts by id."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return {contract["id"]: contract["name"] for contract in settings["tool"]["importlinter"]["contracts"]}


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root / "src"), "COLUMNS": "400"},
        capture_output=True,
        text=True,
    )


def loaded_by(code: str) -> set[str]:
    """Top-level packages loaded in a fresh interpreter by ``code``."""
    report = "import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def imports_of(path: Path) -> set[str]:
    """Top-level packages that a module imports anywhere, even inside functions or for types only."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
            found.add(node.module.partition(".")[0])
    return found


def table_rows(page: str, *, heading: str = "") -> list[list[str]]:
    """Cells of every table row below ``heading`` in a page of the reference, without backticks."""
    text = (ROOT / "docs/reference" / page).read_text()
    section = text.partition(f"\n{heading}\n")[2] if heading else text
    if heading:
        level = len(heading) - len(heading.lstrip("#"))
        section = re.split(rf"^#{{2,{level}}} ", section, maxsplit=1, flags=re.MULTILINE)[0]
    return [
        [cell.strip().strip("`") for cell in line.strip().strip("|").split(" | ")]
        for line in section.splitlines()
        if line.startswith("| ")
    ]


def quantity(text: str) -> float:
    """``256 KiB``, ``20,000`` or ``0.1`` as a number."""
    number, _, unit = text.partition(" ")
    return float(number.replace(",", "")) * {"": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}[unit]


def setting_paths(kind: inspect.Type, path: str = "") -> set[str]:
    """Dotted paths of every setting below ``kind``, written as the configuration page writes them."""
    match kind:
        case inspect.StructType(cls=cls) if cls is MiddlewareSettings:
            return {f"{path}.use", f"{path}.OPTION"}
        case inspect.StructType(fields=fields):
            return set().union(*(setting_paths(f.type, f"{path}.{f.encode_name}".lstrip(".")) for f in fields))
        case inspect.UnionType(types=types):
            return set().union(*(setting_paths(each, path) for each in types if not isinstance(each, inspect.NoneType)))
        case inspect.DictType(value_type=value):
            return setting_paths(value, f"{path}.NAME")
        case inspect.VarTupleType(item_type=inspect.StructType() as item):
            return setting_paths(item, f"{path}[]")
        case _:
            # Upstreams of a client's own and of the server have the keys of those of a group, and rules those of rules.
            path = re.sub(r"^(forward\.)?upstreams\.", "groups.NAME.upstreams.", path)
            path = re.sub(r"^forward\.rules\[\]\.(?!groups)", "rules[].", path)
            return {path.replace("groups.NAME.rules[]", "rules[]")}


def test_import_contracts_are_kept():
    done = lint_imports(ROOT)

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_import_contract_reports_its_breaches(tmp_path):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    copy = tmp_path / "src" / "tunnel"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for breaches in BREACHES.values():
        for module, code, _ in breaches:
            (copy / module).write_text(f"{code}\n")

    done = lint_imports(tmp_path)

    assert done.returncode == 1, done.stdout + done.stderr
    summary, _, details = done.stdout.partition("Broken contracts")
    assert set(contracts()) == set(BREACHES)
    for contract, name in contracts().items():
        assert f"{name} BROKEN" in summary
        section = details.partition(f"{name}\n---")[2]
        section = min((section.partition(f"{other}\n---")[0] for other in contracts().values()), key=len)
        for _, _, reported in BREACHES[contract]:
            assert reported in section


@pytest.mark.parametrize(
    "path",
    [path for layer in ("domain", "ports") for path in sorted((SOURCE / layer).rglob("*.py"))],
    ids=lambda path: str(path.relative_to(SOURCE)),
)
def test_domain_and_ports_import_nothing_impure(path):
    assert imports_of(path) & IMPURE == set()


def test_importing_the_package_loads_nothing_heavy():
    loaded = loaded_by("import tunnel")

    assert loaded & {"pytest", "hypothesis", "trio"} == set()
    assert loaded & {"grpc", "google", "websockets", "uvicorn", "httptools", "anyio", "asyncio", "msgspec"} == set()


def test_errors_are_had_without_loading_a_transport():
    loaded = loaded_by("from tunnel import ConfigurationError, TunnelError")

    assert loaded & {"grpc", "google", "websockets", "uvicorn", "anyio", "asyncio"} == set()


@pytest.mark.parametrize("name", tunnel.__all__)
def test_exported_name_exists(name):
    assert getattr(tunnel, name) is not None
    assert name in dir(tunnel)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        tunnel.nothing  # noqa: B018


def test_exports_are_those_documented():
    documented = [name for name, *_ in table_rows("api.md", heading="## Names")[2:]]

    assert sorted(documented) == sorted(tunnel.__all__)


def test_protocol_page_lists_the_fields_of_every_envelope():
    rows = [row for row in table_rows("protocol.md", heading="## Envelopes") if row[1].isdigit()]
    documented = {(row[0], int(row[1])): row[-1].split(", ") for row in rows}

    assert documented == {
        (Kind(kind).name.lower(), kind): [field.name for field in msgspec.structs.fields(payload)]
        for payload, kind in KIND_OF.items()
    }


def test_protocol_page_lists_the_announced_limits_in_wire_order():
    rows = table_rows("protocol.md", heading="## Limits")[2:]
    documented = [(name.partition(",")[0], quantity(default)) for name, default, *_ in rows]
    announced = [(field.name, field.default) for field in msgspec.structs.fields(Limits)]

    assert documented[: len(announced)] == announced


def test_middleware_page_lists_the_options_of_every_kind():
    kinds = {name: kind() for name, kind in ServerContainer().middleware.providers.items()}

    for name, kind in kinds.items():
        rows = table_rows("middleware.md", heading=f"### `{name}`")
        documented = {row[0] for row in rows} - {"option", "---"}
        options = inspect.type_info(kind.Options)
        assert documented == setting_paths(options), name
        required = {field.name for field in options.fields if field.required}
        assert {row[0].partition(".")[0] for row in rows if row[1] == "required"} == required, name


def test_configuration_page_lists_every_setting():
    documented = {row[0] for row in table_rows("configuration.md")} - {"key", "---"}

    assert documented == setting_paths(inspect.type_info(ServerSettings)) | setting_paths(
        inspect.type_info(ClientSettings)
    )


def test_configuration_page_says_of_every_table_what_a_reload_does():
    page = (ROOT / "docs/reference/configuration.md").read_text()
    section = page.partition("\n### What a server does\n")[2].partition("\n### ")[0]
    told = {name.partition(".")[0].strip("[]") for name in re.findall(r"`([\w.\[\]*]+)`", section)}

    assert {field.encode_name for field in msgspec.structs.fields(ServerSettings)} <= told
