"""The benchmark runs and draws its page. Nothing is said about the figures: a test machine is shared."""

import json
import subprocess
import sys
from pathlib import Path

RUN = Path(__file__).parents[2] / "bench" / "run.py"


def test_a_quick_run_measures_and_writes_the_page(tmp_path: Path) -> None:
    command = [sys.executable, str(RUN), "--quick", "--only", "greffier"]
    command += ["--output", str(tmp_path / "out"), "--work", str(tmp_path / "work")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    ours = results["rounds"]["Greffier"][0]
    assert all(ours[phase]["bad"] == 0 for phase in ("max", "rate50", "stream", "streams")), done.stderr
    assert results["soak"]["failed"] == 0
    assert results["verified"].startswith("OK")
    page = (tmp_path / "out" / "RESULTS.md").read_text()
    for heading in (
        "Against the bar",
        "As fast as it goes",
        "Added latency",
        "By stage",
        "Memory",
        "Cost over the size",
    ):
        assert f"\n## {heading}" in page


def test_the_evidence_is_measured_on_both_stores(tmp_path: Path) -> None:
    scale = RUN.parent / "audit" / "scale.py"
    command = [sys.executable, str(scale), "--events", "512", "--days", "2", "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=230, check=False)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    assert {run["events"] for run in results.values()} == {512}
    assert "drop" in results["postgresql-512"]["steps"]
    page = (tmp_path / "RESULTS.md").read_text()
    assert "| PostgreSQL | 512 | 2 |" in page
    assert "| SQLite | 512 | 1 |" in page
