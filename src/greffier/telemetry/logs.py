"""Structured logs without content: an exception is told by its type and place, never by its message.

Messages of foreign exceptions may quote what a caller sent (a decoder's error, say), so only our own are printed.
"""

import json
import logging
import sys
import time
import traceback
from types import TracebackType
from typing import Literal

from greffier.core.errors import GreffierError

_FRAMES = 12
ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def _told(exc_info: ExcInfo) -> dict[str, object]:
    kind, error, trace = exc_info
    if kind is None or error is None:
        return {}
    frames = traceback.extract_tb(trace)[-_FRAMES:]
    told: dict[str, object] = {
        "error": f"{kind.__module__}.{kind.__qualname__}",
        "trace": [f"{frame.filename.rsplit('/site-packages/', 1)[-1]}:{frame.lineno}:{frame.name}" for frame in frames],
    }
    if isinstance(error, GreffierError):
        told["code"] = str(error.code)
        told["reason"] = error.reason
    return told


class JsonFormatter(logging.Formatter):
    """One JSON object a line, ``time`` first, for log shippers."""

    def format(self, record: logging.LogRecord) -> str:
        """Render a record."""
        entry: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry |= _told(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """The same facts for a person at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Render a record."""
        line = f"{time.strftime('%H:%M:%S', time.localtime(record.created))} {record.levelname.lower():7} "
        line += record.getMessage()
        if record.exc_info:
            told = _told(record.exc_info)
            line += f" [{told.get('error', '')} at {' > '.join(map(str, told.get('trace', [])[-3:]))}]"  # type: ignore[index]
        return line


def configure_logs(level: str, style: Literal["json", "text"]) -> None:
    """Send all logs to standard error in one format; libraries speak from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("greffier").setLevel(level.upper())
