"""Metrics of several processes, answered by any of them: values live in files of one folder, mapped into memory.

prometheus-client decides between its own memory and such files when it is imported, from an environment variable. A
process forked from one that has imported it would keep the wrong choice, so it is made here, once per process.
"""

import os
from pathlib import Path

from prometheus_client import values

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Names the folder for prometheus-client, which reads it whenever it opens or collects a file."""

_sharing: set[int] = set()


def share(folder: Path) -> None:
    """Keep the values of metrics made from now on in files of ``folder``."""
    os.environ[FOLDER] = str(folder)
    if os.getpid() not in _sharing:
        _sharing.add(os.getpid())
        values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]
