"""What outlives a snapshot: journal, key directory, counters, breakers, connections, metrics."""

import asyncio
from random import SystemRandom

from greffier.adapters.providers.build import build_provider
from greffier.adapters.secrets.references import resolve_value
from greffier.app import optional
from greffier.app.guarding import GuardServices, OwnDetectors
from greffier.app.measured import MeasuredJournal
from greffier.app.observers import Observers
from greffier.app.references import References
from greffier.app.secrets import load_or_create_key
from greffier.app.stores import open_content, open_journal, open_keys, open_privacy, open_reader, open_reviews
from greffier.audit.ports import JournalReader
from greffier.audit.sealer import read_note
from greffier.audit.tiles import TileStore
from greffier.config.paths import WorkspacePaths
from greffier.config.snapshot import Snapshot
from greffier.core.clock import Clock
from greffier.core.deployment import Deployment
from greffier.identity.claims import Pseudonyms
from greffier.identity.directory import KeyDirectory
from greffier.identity.jwks import IssuerKeys
from greffier.identity.tokens import trusts_of
from greffier.limits.memory import LocalLimitState
from greffier.limits.ports import LimitState
from greffier.llm.ports import Provider
from greffier.llm.settings import DeploymentSettings
from greffier.pipeline.freshness import Freshness
from greffier.policy.standing import Standing
from greffier.router.health import HealthBoard
from greffier.storage.privacy import SqlConsentLedger
from greffier.telemetry.metrics import Metrics
from greffier.telemetry.settings import TelemetrySettings


class Providers:
    """One provider per deployment, kept over snapshots while its settings stay the same, so connections stay warm."""

    def __init__(self, paths: WorkspacePaths) -> None:
        self._paths = paths
        self._built: dict[str, tuple[DeploymentSettings, Deployment, Provider]] = {}
        self._retired: list[Provider] = []

    def for_snapshot(self, snapshot: Snapshot) -> dict[str, Provider]:
        """The providers of a snapshot. Nothing changes if one of them cannot be built.

        Raises:
            BadDeployment: A secret, certificate or model file of a deployment is missing.
        """
        wanted: dict[str, tuple[DeploymentSettings, Deployment, Provider]] = {}
        fresh: list[Provider] = []
        try:
            for name, settings in snapshot.deployment_settings.items():
                deployment = snapshot.deployments[name]
                known = self._built.get(name)
                if known is None or known[:2] != (settings, deployment):
                    provider = build_provider(name, settings, deployment, self._paths.root, self._paths.run)
                    fresh.append(provider)
                    known = (settings, deployment, provider)
                wanted[name] = known
        except Exception:
            self._retired += fresh
            raise
        kept = {id(entry[2]) for entry in wanted.values()}
        self._retired += [entry[2] for entry in self._built.values() if id(entry[2]) not in kept]
        self._built = wanted
        return {name: entry[2] for name, entry in wanted.items()}

    def take_retired(self) -> list[Provider]:
        """Providers that no new request will use; whoever takes them closes them."""
        retired, self._retired = self._retired, []
        return retired

    async def close(self) -> None:
        """Close all connections."""
        for _, _, provider in self._built.values():
            await provider.close()


class Plant:
    """The long-lived collaborators of a worker. Built once; `wiring.build_pipelines` joins them with a snapshot."""

    def __init__(self, paths: WorkspacePaths, snapshot: Snapshot, clock: Clock, *, worker: int, workers: int) -> None:
        audit = snapshot.workspace.audit
        identity = snapshot.workspace.identity
        self.paths = paths
        self.clock = clock
        self.worker = worker
        self.workers = workers
        self.metrics = Metrics()
        self.traces = _traces(snapshot.workspace.telemetry)
        self.observer = Observers([self.metrics, *([self.traces] if self.traces else [])])
        self.journal = MeasuredJournal(open_journal(paths, audit, spooled=True), self.metrics.appended)
        self._reader = open_reader(paths)
        self.content = open_content(paths)
        self.reviews = open_reviews(paths)
        self._keys = open_keys(paths)
        self.directory = KeyDirectory(self._keys, clock, poll_s=identity.key_poll_s, outage_s=identity.key_outage_s)
        pseudonym_key = load_or_create_key(paths.secrets / "pseudonym.key")
        self.pseudonyms = Pseudonyms(pseudonym_key)
        self.references = References(pseudonym_key)
        self._privacy = open_privacy(paths)
        self.standing = Standing(SqlConsentLedger(self._privacy), clock)
        self.issuer_keys = IssuerKeys(optional.jwks_source(paths.root), clock)
        self.limits = _limit_state(snapshot, clock)
        self.health = HealthBoard(clock, SystemRandom())
        self.freshness = Freshness(clock)
        self.providers = Providers(paths)
        self.guard_services = GuardServices(paths.root)
        self.own_detectors = OwnDetectors(paths.root)

    def sealed(self) -> tuple[int, int]:
        """Events under the newest checkpoint, and events that wait for one; as the files say, unverified."""
        note = read_note(TileStore(self.paths.log))
        sealed = int(note.split("\n")[1]) if note else 0
        return sealed, self.reader().size() - sealed

    def reader(self) -> JournalReader:
        """The journal, for reading."""
        return self._reader

    def trust(self, snapshot: Snapshot) -> None:
        """Keep the keys of the snapshot's issuers at hand, and forget all others."""
        self.issuer_keys.keep(trusts_of(snapshot.workspace.tenants))

    async def start(self) -> None:
        """Read the API keys and what people said about their data; nothing is served before both are known.

        Raises:
            KeyStoreUnavailable: The keys cannot be read.
            LedgerUnavailable: Consents and objections cannot be read.
        """
        await self.directory.start()
        await self.standing.start()

    async def close(self) -> None:
        """Release everything, the journal last, so that whatever ends on the way is still recorded."""
        await self.directory.close()
        await asyncio.to_thread(self._keys.close)
        await self.standing.close()
        self._privacy.close()
        await self.issuer_keys.close()
        await self.providers.close()
        await self.guard_services.close()
        await self.own_detectors.close()
        await self.limits.close()
        self.reviews.close()
        await asyncio.to_thread(self.content.close)
        await self.journal.close()
        self.metrics.flush()
        self._reader.close()
        if self.traces:
            await asyncio.to_thread(self.traces.close)


_HOLD_SLACK_S = 60.0


def _limit_state(snapshot: Snapshot, clock: Clock) -> LimitState:
    shared = snapshot.workspace.limits.shared
    hold_ttl_s = snapshot.workspace.server.request_timeout_s + _HOLD_SLACK_S
    if shared is None:
        return LocalLimitState(clock, hold_ttl_s=hold_ttl_s)
    url = resolve_value(shared.url)
    return optional.shared_limits(
        url, clock, lease_ms=shared.lease_ms, on_unavailable=shared.on_unavailable, hold_ttl_s=hold_ttl_s
    )


def _traces(settings: TelemetrySettings) -> optional.ClosableObserver | None:
    if settings.otlp_endpoint is None:
        return None
    return optional.traces(resolve_value(settings.otlp_endpoint), settings.sample_percent)
