"""What a worker serves: the surfaces over the snapshot in force, swapped whole when a new snapshot is good."""

import asyncio
import contextlib
import logging
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST

import greffier
from greffier.app.chronicle import record_activation, record_time_source
from greffier.app.plant import Plant
from greffier.app.timekeeping import time_source
from greffier.app.wiring import bounds_of, build_pipelines, expiry_of, limit_warnings
from greffier.audit.copies import copy_warnings
from greffier.audit.ports import JournalUnavailable
from greffier.config.kept import keep_configuration
from greffier.config.loading import NOT_VERIFIED, fingerprint, load_snapshot, outlived
from greffier.config.problems import ConfigError
from greffier.config.snapshot import Snapshot
from greffier.core.context import RISK_CLASSES
from greffier.core.errors import GreffierError
from greffier.gateway.app import GatewayApp
from greffier.guardrails.signature_packs import pack_ends, pack_warnings
from greffier.llm.ports import Provider
from greffier.pipeline.freshness import Expiry

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 1.0
_ANSWER_WITHIN_S = 1.0


class FrontDoor:
    """Follows the workspace: a request keeps the snapshot it began with, and a bad one never replaces a good one.

    Implements `gateway.ports.Health`.
    """

    def __init__(self, plant: Plant, snapshot: Snapshot) -> None:
        self._plant = plant
        self._snapshot = snapshot
        self._fingerprint = fingerprint(plant.paths)
        self._refused = ""
        self._look_now = asyncio.Event()
        self._draining = False
        self._retiring: set[asyncio.Task[None]] = set()
        self._counting: asyncio.Task[tuple[int, int]] | None = None
        plant.freshness.time_source = time_source()
        pipelines = build_pipelines(plant, snapshot)
        plant.trust(snapshot)
        self.app = GatewayApp(pipelines, self, bounds=bounds_of(snapshot.workspace.server), clock=plant.clock)
        if not snapshot.signed_by:
            log.warning("UNSAFE DEVELOPMENT MODE: the configuration %s is not signed", snapshot.revision[:16])

    async def open(self) -> None:
        """Put on record what is about to be served.

        Raises:
            JournalUnavailable: It cannot be recorded, so nothing may be served.
        """
        await self._activate(self._snapshot)

    async def _activate(self, snapshot: Snapshot) -> None:
        """Keep a configuration for whoever reads its records later, and put its activation on record.

        Raises:
            JournalUnavailable: One of both cannot be done, so it must not be put in force.
        """
        plant = self._plant
        try:
            await asyncio.to_thread(keep_configuration, plant.paths, snapshot, plant.clock.wall_ms())
        except OSError as error:
            raise JournalUnavailable(f"the configuration cannot be kept: {error.strerror}") from error
        await record_activation(plant.journal, plant.clock, snapshot, plant.worker)

    def drain(self) -> None:
        """Finish what is in flight and take nothing new."""
        self._draining = True
        self.app.drain()

    def reload_soon(self) -> None:
        """Look for a new snapshot now instead of at the next tick."""
        self._fingerprint = ""
        self._look_now.set()

    async def follow_workspace(self) -> None:
        """Look for changes of the workspace or of the release in force, and put good ones in force."""
        while True:
            try:
                async with asyncio.timeout(_LOOK_EVERY_S):
                    await self._look_now.wait()
            except TimeoutError:
                pass
            self._look_now.clear()
            self._plant.metrics.breakers(self._breakers())
            self._show_journal()
            self._plant.metrics.flush()
            await self._look()
            await self._look_at_clock()

    async def _look(self) -> None:
        """One look. The age of what is in force starts anew only when nothing speaks against it."""
        try:
            seen = await asyncio.to_thread(fingerprint, self._plant.paths)
        except OSError as error:
            self._keep(f"the workspace cannot be read: {error.strerror}")
            self._fingerprint = ""
            return
        over = outlived(self._snapshot, self._plant.clock)
        if over or seen != self._fingerprint:
            self._fingerprint = "" if over else seen  # it is asked again until it is replaced, or the clock was wrong
            await self._reload()
        if not self._refused:
            self._plant.freshness.confirm()

    async def _look_at_clock(self) -> None:
        """Follow whether the machine's clock is synchronised; what changes is on record, as soon as it can be."""
        seen = time_source()
        freshness = self._plant.freshness
        if seen == freshness.time_source:
            return
        freshness.time_source = seen
        log.warning("the machine's clock is %s", seen)
        with contextlib.suppress(JournalUnavailable):  # every record says it too
            await record_time_source(self._plant.journal, self._plant.clock, seen, self._plant.worker)

    async def _reload(self) -> None:
        try:
            snapshot = await asyncio.to_thread(load_snapshot, self._plant.paths, self._plant.clock)
            if snapshot.revision == self._snapshot.revision:
                self._refused = ""
                self._plant.metrics.reloaded("unchanged")
                return
            pipelines = build_pipelines(self._plant, snapshot)
            await self._activate(snapshot)
        except ConfigError as error:
            self._keep(error.reason, unverified=error.code in NOT_VERIFIED)
            return
        except GreffierError as error:
            self._keep(error.reason)
            return
        except JournalUnavailable as error:
            self._keep(f"its activation cannot be recorded: {error}")
            self._fingerprint = ""  # tried again at the next look
            return
        except Exception as error:
            log.exception("a new configuration cannot be loaded")
            self._keep(type(error).__name__)
            return
        finally:
            self._retire(self._plant.providers.take_retired())
        self._plant.trust(snapshot)
        self.app.swap(pipelines)
        self._snapshot = snapshot
        self._refused = ""
        self._plant.metrics.reloaded("swapped")
        log.warning(
            "configuration %s is in force, signed by %s", snapshot.revision[:16], snapshot.signed_by or "NOBODY"
        )

    def _keep(self, refused: str, *, unverified: bool = False) -> None:
        """Stay with the snapshot in force, for as long as its bounds allow; ``/healthz``, metrics and log say why."""
        self._plant.metrics.reloaded("refused")
        if unverified:
            self._plant.freshness.distrust()
        if refused == self._refused:
            return
        self._refused = refused
        revision = self._snapshot.revision[:16]
        log.error("%s stays in force while its bounds allow, because nothing else may: %s", revision, refused)

    def _retire(self, providers: list[Provider]) -> None:
        """Close connections nobody needs any more, once every request that may still use them is over."""
        after_s = self._snapshot.workspace.server.request_timeout_s

        async def close_later() -> None:
            await asyncio.sleep(after_s)
            for provider in providers:
                await provider.close()

        if providers:
            task = asyncio.create_task(close_later(), name="retire-providers")
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    async def close(self) -> None:
        """Stop following."""
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)

    @property
    def _expiry(self) -> Expiry:
        return expiry_of(self._plant, self._snapshot)

    def _breakers(self) -> dict[str, str]:
        return {entry.deployment: entry.state for entry in self._plant.health.states()}

    def live(self) -> dict[str, Any]:
        """State of this worker for ``/healthz``."""
        keys = self._plant.directory.health()
        warnings = []
        if not self._snapshot.signed_by:
            warnings.append("unsafe development mode: the configuration is not signed")
        if self._refused:
            warnings.append(f"what should be in force was refused, its predecessor serves in bounds: {self._refused}")
        expiry = self._expiry
        refused = {risk: ruling for risk in RISK_CLASSES if (ruling := expiry.refusal(risk)) is not None}
        warnings += [f"{risk} risk is refused: {ruling.reason}" for risk, ruling in refused.items()]
        if expiry.time_source != "synchronised":
            warnings.append(f"the machine's clock is {expiry.time_source}; records say so (ts_src)")
        if keys.error:
            warnings.append(f"the key store is out of reach for {keys.age_s:.0f} s: {keys.error}")
        warnings += copy_warnings(self._plant.paths.copies, self._snapshot.workspace.copies)
        journal = self._plant.journal.state()
        if journal.out_of_reach:
            warnings.append(
                f"the journal is out of reach for {journal.out_s:.0f} s: {journal.why}; "
                f"{journal.waiting} event(s) wait on this machine's disk, {journal.refused} were refused"
            )
        warnings += limit_warnings(self._plant, self._snapshot)
        warnings += self._plant.guard_services.warnings()
        warnings += pack_warnings(self._snapshot.signature_packs, self._plant.clock.wall_ms())
        warnings += [f"issuer {i.issuer}: {i.error}" for i in self._plant.issuer_keys.health() if i.error]
        return {
            "version": greffier.__version__,
            "worker": self._plant.worker,
            "snapshot": self._snapshot.revision,
            "signed_by": self._snapshot.signed_by,
            "keys": keys.keys,
            "in_flight": self.app.in_flight,
            "journal": {
                "out_of_reach": journal.out_of_reach,
                "spooled_events": journal.waiting,
                "spooled_bytes": journal.waiting_bytes,
            },
            "breakers": self._breakers(),
            "warnings": warnings,
        }

    def _show_journal(self) -> None:
        state = self._plant.journal.state()
        self._plant.metrics.journal(
            out_of_reach=state.out_of_reach, spooled=state.waiting, spooled_bytes=state.waiting_bytes
        )

    async def _count_sealed(self) -> None:
        """Ask the journal how long it is; one that does not answer keeps nobody waiting, one question at a time."""
        counting = self._counting
        if counting is None:
            counting = asyncio.create_task(asyncio.to_thread(self._plant.sealed), name="count-sealed")
            self._counting = counting
        done, _ = await asyncio.wait([counting], timeout=_ANSWER_WITHIN_S)
        if done:
            self._counting = None
            with contextlib.suppress(JournalUnavailable):  # then the gauges stay as they are, and age in the scraper
                self._plant.metrics.sealed(*counting.result())

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether this worker should get traffic: it is not draining, and it can tell who is asking."""
        keys = self._plant.directory.health()
        reasons = ["draining"] * self._draining + ["the key store is out of reach"] * (not keys.usable)
        reasons += ["the configuration is too old"] * self._expiry.passed()
        return not reasons, {"snapshot": self._snapshot.revision, "reasons": reasons}

    async def metrics(self) -> tuple[str, bytes]:
        """``/metrics`` for all workers."""
        self._plant.metrics.in_flight(self.app.in_flight)
        self._show_journal()
        self._plant.metrics.packs(pack_ends(self._snapshot.signature_packs))
        await self._count_sealed()
        return CONTENT_TYPE_LATEST, self._plant.metrics.render()
