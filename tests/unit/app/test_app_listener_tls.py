"""Certificates that one kind of listener cannot use."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from support.certificates import PrivateKey, self_signed

from tunnel.adapters.tls.listener import OpensslListenerTls
from tunnel.app.listener_tls import read_listener_tls
from tunnel.domain.configuration import ServerSettings, decode_server_settings
from tunnel.domain.errors import ConfigurationError


def settings(directory: Path, key: PrivateKey, transport: str) -> ServerSettings:
    certificate, secret = directory / "server.pem", directory / "server.key"
    certificate.write_bytes(self_signed(key).public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    tls = {"certificate": str(certificate), "key": str(secret)}
    return decode_server_settings({"transports": {transport: {"listen": "127.0.0.1:0", "tls": tls}}})


@pytest.mark.parametrize("key", [ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP521R1())])
def test_key_that_grpc_does_not_speak_is_refused_for_it_alone(tmp_path: Path, key: PrivateKey) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_listener_tls(settings(tmp_path, key, "grpc"), OpensslListenerTls)
    assert caught.value.key_path == "transports.grpc.tls.certificate"
    assert "P-256, P-384, RSA" in str(caught.value)
    assert read_listener_tls(settings(tmp_path, key, "websocket"), OpensslListenerTls)


def test_key_that_grpc_speaks_is_taken(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    assert read_listener_tls(settings(tmp_path, key, "grpc"), OpensslListenerTls)["transports.grpc"].key == "P-256"
