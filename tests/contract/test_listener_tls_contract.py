"""The TLS of listeners under its contract."""

from __future__ import annotations

import shutil
import ssl
import tempfile
from pathlib import Path

from support.certificates import Authority

from tunnel.adapters.tls.listener import OpensslListenerTls
from tunnel.testing.listener_tls import ListenerTlsContract, ListenerTlsHarness


class OpensslHarness(ListenerTlsHarness):
    kind = OpensslListenerTls

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="tunnel-"))
        self._authority = Authority(self._folder)

    def tls(self, *, from_day: int = -1, to_day: int = 1, asks: bool = False) -> OpensslListenerTls:
        asked = self._authority.file if asks else None
        settings = self._authority.listener(client_ca=asked, from_day=from_day, to_day=to_day)
        return self.kind(settings, "kit.tls")

    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self._authority.file)

    def close(self) -> None:
        shutil.rmtree(self._folder)


class TestOpensslListenerTls(ListenerTlsContract):
    harness = OpensslHarness
