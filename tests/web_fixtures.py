"""Fixtures around ``web_kit``, loaded with ``pytest_plugins``."""

import pytest

from tests.web_kit import make_certificate, serving


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def site(certificate, monkeypatch):
    """An HTTPS server whose certificate this process trusts; fill its ``pages``."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[1]))
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serving({}, certificate) as server:
        yield server
