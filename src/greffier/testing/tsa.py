"""A real time-stamping authority for tests: ``openssl ts -reply`` behind a loopback HTTP server."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_CONFIG = """
[tsa]
default_tsa = tsa_config
[tsa_config]
serial = {folder}/serial
crypto_device = builtin
signer_cert = {folder}/tsa.pem
certs = {folder}/ca.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ordering = yes
tsa_name = yes
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""


@contextmanager
def time_stamping_authority(folder: Path) -> Iterator[tuple[str, Path]]:
    """Run an authority; yield its address and the certificate it leads to."""
    (folder / "serial").write_text("01\n")
    (folder / "tsa.cnf").write_text(_CONFIG.format(folder=folder))
    (folder / "ext").write_text("extendedKeyUsage=critical,timeStamping\nkeyUsage=critical,digitalSignature\n")
    new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    _openssl(folder, *new, "-x509", "-days", "30", "-subj", "/CN=Test CA", "-keyout", "ca.key", "-out", "ca.pem")
    _openssl(folder, *new, "-subj", "/CN=Test TSA", "-keyout", "tsa.key", "-out", "tsa.csr")
    signing = ["x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"]
    _openssl(folder, *signing, "-days", "30", "-extfile", "ext", "-out", "tsa.pem")

    class Authority(BaseHTTPRequestHandler):
        """Answers one question."""

        def do_POST(self) -> None:
            """Stamp what was sent."""
            length = int(self.headers["content-length"])
            (folder / "query.tsq").write_bytes(self.rfile.read(length))
            _openssl(
                folder, "ts", "-reply", "-config", "tsa.cnf", "-section", "tsa_config",
                "-queryfile", "query.tsq", "-out", "reply.tsr",
            )  # fmt: skip
            answer = (folder / "reply.tsr").read_bytes()
            self.send_response(200)
            self.send_header("content-type", "application/timestamp-reply")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_arguments: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Authority)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", folder / "ca.pem"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)  # noqa: S607 - the system's own
