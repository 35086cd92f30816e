"""TLS: the connection goes to the checked address, the certificate is checked against the name."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from automate_core.http import OutboundFailed, client, request


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


def _certificate(path: Path, name: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )


@pytest.fixture
def tls_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, list[str | None]]]:
    """A TLS server for `api.example` on loopback that this process trusts, and the names it was asked for."""
    bundle = tmp_path / "api.pem"
    _certificate(bundle, "api.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(bundle)
    asked: list[str | None] = []
    context.sni_callback = lambda connection, name, own: asked.append(name)
    listener = HTTPServer(("127.0.0.1", 0), _Handler)
    listener.socket = context.wrap_socket(listener.socket, server_side=True)
    threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    begin_pool_anew()
    yield listener.server_address[1], asked
    begin_pool_anew()
    listener.shutdown()
    listener.server_close()


def begin_pool_anew() -> None:
    """Have the next request read what this process trusts, and leave no connection behind."""
    client._pool().close()
    client._pool.cache_clear()


def test_certificate_is_checked_against_the_name_in_the_url(
    tls_port: tuple[int, list[str | None]], settings: Any, answers: dict[str, list[list[str]]]
) -> None:
    port, asked = tls_port
    settings.AUTOMATE = {"HTTP_ALLOW": [f"api.example:{port}", f"other.example:{port}"]}
    answers |= {"api.example": [["127.0.0.1"]], "other.example": [["127.0.0.1"]]}
    assert request("GET", f"https://api.example:{port}/").text() == "ok"
    with pytest.raises(OutboundFailed) as failed:
        request("GET", f"https://other.example:{port}/")
    assert failed.value.performed is False
    assert asked == ["api.example", "other.example"]


def test_untrusted_certificate_is_refused(
    tls_port: tuple[int, list[str | None]],
    settings: Any,
    answers: dict[str, list[list[str]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port, _ = tls_port
    settings.AUTOMATE = {"HTTP_ALLOW": [f"api.example:{port}"]}
    answers["api.example"] = [["127.0.0.1"]]
    monkeypatch.delenv("SSL_CERT_FILE")
    begin_pool_anew()
    with pytest.raises(OutboundFailed):
        request("GET", f"https://api.example:{port}/")
