"""Supply the sinks from the supervisor, next to the sealer and away from the processes that answer requests."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import SystemRandom

from greffier.adapters.sinks.build import BadSink, build_sink
from greffier.app.stores import open_journal, open_progress, open_reader
from greffier.audit.checkpoint import BadCheckpoint, Checkpoint, unverified
from greffier.audit.export.codes import Severity
from greffier.audit.ports import JournalReader
from greffier.audit.sealer import read_note
from greffier.audit.shipping import Plan, Shipper
from greffier.audit.sink_settings import SinkSettings
from greffier.audit.sinks import Sink, SinkUnavailable, Writer
from greffier.audit.tiles import BadLog, TileStore
from greffier.config.paths import WorkspacePaths
from greffier.config.snapshot import Snapshot
from greffier.core.clock import SystemClock
from greffier.telemetry.sharing import share
from greffier.telemetry.sinks import SinkMetrics

log = logging.getLogger(__name__)

_SHOW_EVERY_S = 1.0
_STOP_S = 15.0


def plan_of(name: str, settings: SinkSettings, workspace: str) -> Plan:
    """What a sink gets, as the workspace says."""
    return Plan(
        name=name,
        workspace=workspace,
        events=settings.events,
        at_least=Severity[settings.at_least.upper()],
        from_now=settings.begin == "now",
        batch=settings.batch,
        timeout_s=settings.timeout_s,
        checkpoint_every_s=settings.checkpoint_every_s,
    )


def newest_checkpoint(paths: WorkspacePaths) -> Checkpoint | None:
    """The newest signed checkpoint, for the record of a SIEM; whoever relies on it verifies it there."""
    try:
        note = read_note(TileStore(paths.log))
        return unverified(note) if note else None
    except (BadLog, BadCheckpoint):  # the sealer says so, loudly; the events go on to the SIEM all the same
        return None


@asynccontextmanager
async def shipping(
    paths: WorkspacePaths, snapshot: Snapshot, metrics: Path | None = None
) -> AsyncIterator[Sequence[Shipper]]:
    """Supply every sink of the workspace while inside, and once more on the way out.

    Args:
        paths: The workspace.
        snapshot: The configuration at the start. Other sinks are taken up at the next start.
        metrics: Folder of the metrics that all processes share.

    Raises:
        SinkUnavailable: A sink cannot be built, or is out of reach and the workspace does not say ``on_start: warn``.
        JournalUnavailable: The journal cannot be read.
    """
    sinks = snapshot.workspace.sinks
    if not sinks:
        yield ()
        return
    await open_journal(paths, snapshot.workspace.audit).close()  # makes it where there is none yet
    reader = open_reader(paths)
    shippers = await _prepared(paths, snapshot, reader)
    stop = asyncio.Event()
    tasks = [asyncio.create_task(one.run(stop), name=f"sink-{one.plan.name}") for one in shippers]
    showing = asyncio.create_task(_show(shippers, metrics, stop))
    try:
        yield shippers
    finally:
        stop.set()
        _, late = await asyncio.wait([*tasks, showing], timeout=_STOP_S)
        for task in late:
            log.error("%s did not stop in time; what it did not deliver is delivered after the next start", task)
            task.cancel()
        await asyncio.gather(*tasks, showing, return_exceptions=True)
        reader.close()


async def _prepared(paths: WorkspacePaths, snapshot: Snapshot, reader: JournalReader) -> list[Shipper]:
    built = list(_built(paths, snapshot))
    shippers = []
    for name, settings, sink, writer in built:
        state = open_progress(paths, name)
        await asyncio.to_thread(state.load)  # a damaged cursor stops the start as well
        try:
            async with asyncio.timeout(settings.timeout_s):
                await sink.probe()
        except (SinkUnavailable, TimeoutError) as error:
            reason = str(error) or "no answer in time"
            if settings.on_start == "refuse":
                for _, _, other, _ in built:
                    await other.close()
                raise SinkUnavailable(
                    f"sink '{name}': {reason} (it is required at the start; 'on_start: warn' makes it optional)"
                ) from error
            log.warning("sink %s is out of reach at the start: %s", name, reason)
        shippers.append(
            Shipper(
                plan_of(name, settings, snapshot.workspace.name),
                sink,
                writer,
                reader,
                lambda: newest_checkpoint(paths),
                state,
                SystemClock(),
                SystemRandom(),
            )
        )
    return shippers


def _built(paths: WorkspacePaths, snapshot: Snapshot) -> Iterator[tuple[str, SinkSettings, Sink, Writer]]:
    for name, settings in snapshot.workspace.sinks.items():
        try:
            sink, writer = build_sink(name, settings, paths.root)
        except BadSink as error:
            raise SinkUnavailable(f"{error.reason}. {error.remedy}") from error
        yield name, settings, sink, writer


async def _show(shippers: Sequence[Shipper], metrics: Path | None, stop: asyncio.Event) -> None:
    if metrics is None:
        await stop.wait()
        return
    share(metrics)
    gauges = SinkMetrics()
    while True:
        for one in shippers:
            progress = one.progress
            gauges.show(
                one.plan.name,
                lag=one.lag,
                delivered=progress.delivered,
                rejected=progress.rejected,
                failing=bool(progress.error),
            )
        if stop.is_set():
            return
        try:
            async with asyncio.timeout(_SHOW_EVERY_S):
                await stop.wait()
        except TimeoutError:
            continue
