"""What a dead worker last said of itself must not be added up with what the living say, for ever."""

import os
import subprocess
import sys
from pathlib import Path

from greffier.app.supervisor import forget_gauges

SAYS = """
import os
from greffier.telemetry.metrics import Metrics
metrics = Metrics()
metrics.journal(out_of_reach=True, spooled=7, spooled_bytes=700)
metrics.reloaded("refused")
{more}
"""


def run(folder: Path, more: str) -> tuple[int, str]:
    """Be a worker; its process id and what it printed."""
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(folder)}
    command = [sys.executable, "-c", SAYS.format(more=f"print(os.getpid())\n{more}")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    pid, _, rest = done.stdout.partition("\n")
    return int(pid), rest


def test_a_dead_workers_gauges_go_and_its_counts_stay(tmp_path: Path) -> None:
    dead, _ = run(tmp_path, "")
    forget_gauges(tmp_path, dead)
    _, told = run(tmp_path, "print(metrics.render().decode())")
    lines = told.splitlines()
    assert "greffier_journal_spooled_events 7.0" in lines
    assert "greffier_journal_out_of_reach 1.0" in lines
    assert 'greffier_snapshot_reloads_total{result="refused"} 2.0' in lines
