"""RFC 3161 timestamps of checkpoints: someone with a clock of his own says that a checkpoint existed by then.

We ask and keep; verifying is left to ``openssl ts``, so that nobody has to trust our own reading of the answer.
"""

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

from greffier.adapters.anchors.fetch import fetch

_SHA256 = bytes.fromhex("300d06096086480165030402010500")  # AlgorithmIdentifier sha256, NULL
_ANSWER_BYTES = 65_536
_NONCE_BYTES = 8
_TIMEOUT_S = 30


class BadTimestamp(Exception):  # noqa: N818 - named for what was found
    """The timestamp is not there, or does not verify. The message is openssl's."""


def query(data: bytes, nonce: bytes) -> bytes:
    """A TimeStampReq (RFC 3161 section 2.4.1) in DER: version 1, SHA-256 of the data, nonce, certificate wanted."""
    imprint = _tlv(0x30, _SHA256 + _tlv(0x04, hashlib.sha256(data).digest()))
    number = b"\x00" + nonce.lstrip(b"\x00") if nonce.lstrip(b"\x00")[:1] >= b"\x80" else nonce.lstrip(b"\x00")
    return _tlv(0x30, _tlv(0x02, b"\x01") + imprint + _tlv(0x02, number or b"\x00") + _tlv(0x01, b"\xff"))


def timestamp(url: str, data: bytes, ca_file: Path, untrusted: Path | None = None) -> bytes:
    """Have data timestamped; the answer verified against our question, nonce included.

    Args:
        url: Address of the time-stamping authority.
        data: What to stamp; only its digest is sent.
        ca_file: Certificates the authority must lead to.
        untrusted: Intermediate certificates, where the answer does not carry them.

    Raises:
        BadTimestamp: It refuses, or what it says does not verify.
        Unreachable: It does not answer.
    """
    asked = query(data, os.urandom(_NONCE_BYTES))
    answer = fetch(
        url, _ANSWER_BYTES, body=asked, content_type="application/timestamp-query", accept="application/timestamp-reply"
    )
    with tempfile.TemporaryDirectory() as folder:
        question = Path(folder, "query.tsq")
        question.write_bytes(asked)
        _openssl(answer, ["-queryfile", str(question)], ca_file, untrusted)
    return answer


def verify_timestamp(data: bytes, answer: bytes, ca_file: Path, untrusted: Path | None = None) -> str:
    """Verify a kept timestamp, and return when it was made, in openssl's words.

    Raises:
        BadTimestamp: It does not verify.
    """
    with tempfile.TemporaryDirectory() as folder:
        stamped = Path(folder, "data")
        stamped.write_bytes(data)
        _openssl(answer, ["-data", str(stamped)], ca_file, untrusted)
        reply = Path(folder, "answer.tsr")
        reply.write_bytes(answer)
        shown = _run(["openssl", "ts", "-reply", "-in", str(reply), "-text"])
    lines = [line.partition(":")[2].strip() for line in shown.splitlines() if line.startswith("Time stamp:")]
    return lines[0] if lines else ""


def _openssl(answer: bytes, about: list[str], ca_file: Path, untrusted: Path | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        reply = Path(folder, "answer.tsr")
        reply.write_bytes(answer)
        chain = ["-untrusted", str(untrusted)] if untrusted else []
        _run(["openssl", "ts", "-verify", "-in", str(reply), "-CAfile", str(ca_file), *chain, *about])


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=_TIMEOUT_S)
    except FileNotFoundError as error:
        raise BadTimestamp("the command openssl is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise BadTimestamp("openssl does not finish") from error
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise BadTimestamp(lines[-1] if lines else "the timestamp does not verify")
    return done.stdout.decode("utf-8", "replace")


def _tlv(tag: int, value: bytes) -> bytes:
    return bytes([tag, len(value)]) + value  # every value here is shorter than 128 bytes
