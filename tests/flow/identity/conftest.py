"""A real OpenID Connect provider (npm oidc-provider) in a process of its own, which tests start, rotate and kill."""

import base64
import fcntl
import json
import os
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, RSAKey

from greffier.testing.ports import free_port

PEER = Path(__file__).parents[2] / "peers" / "oidc"
AUDIENCE = "https://gateway.example.test"


class OidcProvider:
    def __init__(self, folder: Path, port: int) -> None:
        self.issuer = f"http://127.0.0.1:{port}"
        self._port = port
        self._jwks = folder / "jwks.json"
        self._log = folder / "provider.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, kid: str, algorithm: str = "ES256") -> None:
        """Start with one signing key; a second start with another key id is a rotation."""
        self.stop()
        parameters: Any = {"kid": kid, "use": "sig", "alg": algorithm}
        key = ECKey.generate_key("P-256", parameters) if algorithm == "ES256" else RSAKey.generate_key(2048, parameters)
        self._jwks.write_text(json.dumps({"keys": [key.as_dict(private=True)]}))
        environment = os.environ | {"PORT": str(self._port), "JWKS_FILE": str(self._jwks), "ALGORITHM": algorithm}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["node", "provider.mjs"], cwd=PEER, env=environment, stdout=subprocess.PIPE, stderr=log
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.startswith(b"listening"), self._log.read_text()

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def token(self, client: str = "claims-batch", resource: str = AUDIENCE) -> str:
        secrets = {"claims-batch": "claims-batch-secret-0123456789", "stranger": "stranger-secret-0123456789abc"}
        basic = base64.b64encode(f"{client}:{secrets[client]}".encode()).decode()
        form = {"grant_type": "client_credentials", "scope": "gateway:invoke", "resource": resource}
        request = urllib.request.Request(  # noqa: S310 - loopback
            f"{self.issuer}/token",
            data=urllib.parse.urlencode(form).encode(),
            headers={"Authorization": f"Basic {basic}"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - loopback
            token: str = json.load(answer)["access_token"]
        return token


@pytest.fixture(scope="session")
def _installed_provider() -> None:
    """Install the pinned packages once; a machine without npm fails the tests, it does not skip them."""
    npm = shutil.which("npm")
    assert npm is not None, "the identity tests need Node.js and npm: install them, for example 'apt-get install npm'"
    lock = (PEER / "package-lock.json").read_bytes()
    stamp = PEER / "node_modules" / ".installed-lock"
    with (PEER / "package.json").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # two test runs at once must not install over each other
        if not stamp.exists() or stamp.read_bytes() != lock:
            command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
            done = subprocess.run(command, cwd=PEER, capture_output=True, text=True, timeout=300, check=False)
            assert done.returncode == 0, done.stderr
            stamp.write_bytes(lock)


@pytest.fixture
def provider(_installed_provider: None, tmp_path: Path) -> Iterator[OidcProvider]:
    started = OidcProvider(tmp_path, free_port())
    started.start("first")
    yield started
    started.stop()
