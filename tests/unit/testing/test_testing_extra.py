"""What ``tunnel.testing`` says where its extra was not installed."""

from __future__ import annotations

import importlib
import importlib.util

import pytest

import tunnel.testing


def test_extra_is_named_when_something_of_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "hypothesis" else found(name))
    with pytest.raises(ModuleNotFoundError, match=r"needs hypothesis: install hextunnel\[testing\]"):
        importlib.reload(tunnel.testing)
    monkeypatch.undo()
    importlib.reload(tunnel.testing)
