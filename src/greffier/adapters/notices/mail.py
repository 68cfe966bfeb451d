"""Notices as messages in a folder (RFC 5322), for whatever sends mail there: a spool, a gateway, a person."""

import os
import re
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, formataddr
from pathlib import Path

from greffier.adapters.notices.webhook import NotTold

_MAILBOX = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")


def address(name: str, contact: str) -> str:
    """Who writes, as a message says it; empty where the contact has no e-mail address among its words."""
    found = _MAILBOX.search(contact)
    return "" if found is None else formataddr((name, found.group()))


def message(  # noqa: PLR0917 - the parts of a message
    sender: str, to: str, subject: str, text: str, identifier: str, at_ms: int, body: bytes
) -> bytes:
    """A message with a text for people and the notice itself attached for programs."""
    mail = EmailMessage()
    if sender:
        mail["From"] = sender
    mail["To"] = to
    mail["Subject"] = subject
    mail["Date"] = format_datetime(datetime.fromtimestamp(at_ms / 1000, UTC))
    mail["Message-ID"] = f"<{identifier}@greffier.invalid>"
    mail.set_content(text)
    mail.add_attachment(body, maintype="application", subtype="json", filename=f"{identifier}.json")
    return mail.as_bytes()


def leave(folder: Path, identifier: str, mail: bytes) -> None:
    """Leave a message in a folder, whole or not at all; leaving it again is harmless.

    Raises:
        NotTold: The folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        scratch = folder / f".{identifier}.new"
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(mail)
            file.flush()
            os.fsync(file.fileno())
        scratch.rename(folder / f"{identifier}.eml")
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
    except OSError as error:
        raise NotTold(f"the message cannot be left in {folder}: {error.strerror}") from error
