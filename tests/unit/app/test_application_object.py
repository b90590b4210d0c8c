"""Finding the object that a target names, and how it wants to be called."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

import pytest

from tunnel.app.application_object import interface_of, load_object
from tunnel.domain.errors import ConfigurationError

SOURCE = """
async def app(scope, receive, send): ...
def site(environ, start_response): ...
def make(): return app
def broken(): raise ValueError("no settings")
class Inside:
    async def __call__(self, scope, receive, send): ...
class inner:
    app = Inside()
number = 3
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package with a module, and with others that cannot be imported."""
    package = tmp_path / "shop_of_test"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "main.py").write_text(SOURCE)
    (package / "broken.py").write_text("1 / 0")
    (package / "needs.py").write_text("import a_package_that_is_not_there")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.startswith("shop_of_test")]:
        monkeypatch.delitem(sys.modules, name)
    return "shop_of_test"


@pytest.mark.parametrize(
    ("target", "interface"),
    [
        ("asgi:{}.main:app", "asgi"),
        ("asgi:{}.main:make()", "asgi"),
        ("asgi:{}.main:inner.app", "asgi"),
        ("wsgi:{}.main:site", "wsgi"),
    ],
)
def test_application_is_imported(shop: str, target: str, interface: str) -> None:
    found = load_object(target.format(shop), {}, "p")
    assert found.interface == interface
    assert found.name == target.format(shop).partition(":")[2]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("asgi:no_such_module:app", 'there is no module "no_such_module"'),
        ("asgi:{}.nothing:app", 'there is no module "{}.nothing"'),
        ("asgi:{}.main:nothing", 'the module "{}.main" has no "nothing"'),
        ("asgi:{}.broken:app", "importing {}.broken failed: ZeroDivisionError: division by zero"),
        ("asgi:{}.needs:app", "importing {}.needs failed: ModuleNotFoundError: No module named"),
        ("asgi:{}.main:broken()", "calling {}.main:broken() failed: ValueError: no settings"),
        ("asgi:{}.main:number", "expected an application of ASGI, got a int"),
        ("asgi:{}.main:make", "expected an application of ASGI, got a function that is called otherwise"),
        ("asgi:{}.main:Inside", "expected an application of ASGI, got the class Inside"),
        ("asgi:{}.main:site", 'this is an application of WSGI: "wsgi:..."'),
        ("wsgi:{}.main:app", 'this is an application of ASGI: "asgi:..."'),
    ],
)
def test_mistake_names_the_key_and_what_is_wrong(shop: str, target: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_object(target.format(shop), {}, "upstreams.app.targets[0]")
    assert str(caught.value).startswith(f"upstreams.app.targets[0]: {message.format(shop)}")


def test_registered_application_is_found_by_name() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    assert load_object("app:shop", {"shop": app}, "p") == (app, "asgi", "shop")
    with pytest.raises(ConfigurationError, match='p: unknown application "shup"; expected "shop"; did you mean "shop"'):
        load_object("app:shup", {"shop": app}, "p")
    with pytest.raises(ConfigurationError, match="none was given in code"):
        load_object("app:shop", {}, "p")
    with pytest.raises(ConfigurationError, match="expected an application of ASGI or WSGI, got a str"):
        load_object("app:shop", {"shop": "a URL"}, "p")


def test_interface_is_told_by_how_it_is_called() -> None:
    async def asgi(scope: Any, receive: Any, send: Any) -> None: ...
    def wrapped(scope: Any, receive: Any, send: Any) -> Any: ...
    def wsgi(environ: Any, start_response: Any) -> Any: ...
    def neither(one: Any) -> Any: ...

    class Wsgi:
        def __call__(self, environ: Any, start_response: Any) -> Any: ...

        def handle(self, environ: Any, start_response: Any) -> Any: ...

    assert [interface_of(each) for each in (asgi, wrapped, functools.partial(asgi))] == ["asgi"] * 3
    assert [interface_of(each) for each in (wsgi, Wsgi(), Wsgi().handle)] == ["wsgi"] * 3
    assert [interface_of(each) for each in (neither, Wsgi, 3, len)] == [None] * 4


def test_frameworks_are_told_apart() -> None:
    fastapi, starlette = pytest.importorskip("fastapi"), pytest.importorskip("starlette.applications")
    flask = pytest.importorskip("flask")
    assert interface_of(fastapi.FastAPI()) == "asgi"
    assert interface_of(starlette.Starlette()) == "asgi"
    assert interface_of(flask.Flask("shop")) == "wsgi"
