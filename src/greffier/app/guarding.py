"""Detectors in other processes: connections to them, kept over snapshots while their settings stay the same."""

from collections.abc import Mapping
from pathlib import Path

from greffier.adapters.detectors.http_detector import HttpDetector, http_client
from greffier.adapters.detectors.judge import JudgeDetector
from greffier.adapters.detectors.remote import RemoteGuard
from greffier.adapters.http import BadHeader, BadUrl, Origin
from greffier.adapters.secrets.references import SecretMissing, resolve_secret, resolve_value
from greffier.app.optional import ClosableDetector, onnx_classifier
from greffier.config.snapshot import Snapshot
from greffier.core.errors import Code, GreffierError
from greffier.guardrails.ports import OutsideDetector
from greffier.guardrails.settings import DetectorSettings, ServiceSettings
from greffier.llm.ports import Provider

_NAME = Origin("http", "guard-service.invalid", 80)
"""What the ``host`` header says where there is a socket and no host."""


_Own = JudgeDetector | ClosableDetector


class GuardServices:
    """One client at a time; replaced ones are closed with the last request that uses them."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._settings: ServiceSettings | None = None
        self._client: RemoteGuard | None = None
        self._retired: list[RemoteGuard] = []

    def for_settings(self, settings: ServiceSettings | None) -> RemoteGuard | None:
        """The client of a snapshot; None where detectors run in the gateway.

        Raises:
            GreffierError: The URL cannot be used, or it or the token is missing.
        """
        if settings != self._settings:
            fresh = None if settings is None else _build(settings, self._base)
            if self._client is not None:
                self._retired.append(self._client)
            self._client, self._settings = fresh, settings
        return self._client

    def warnings(self) -> list[str]:
        """What an operator should know."""
        problem = self._client.problem if self._client else ""
        return [f"the guard service does not measure: {problem}"] if problem else []

    async def close(self) -> None:
        """Close all connections."""
        for client in (*self._retired, *([self._client] if self._client else [])):
            await client.close()


class OwnDetectors:
    """The workspace's own detectors, built anew when their settings, or the providers they ask, change."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._built: dict[str, tuple[DetectorSettings, Provider | None, _Own]] = {}
        self._retired: list[_Own] = []

    def for_snapshot(self, snapshot: Snapshot, providers: Mapping[str, Provider]) -> dict[str, OutsideDetector]:
        """The detectors by name.

        Raises:
            GreffierError: A URL cannot be used, or a variable or token is missing.
        """
        wanted: dict[str, tuple[DetectorSettings, Provider | None, _Own]] = {}
        for name, settings in snapshot.detectors.items():
            provider = providers.get(settings.deployment) if settings.deployment else None
            known = self._built.get(name)
            if known is None or known[0] != settings or known[1] is not provider:
                known = (settings, provider, _own(name, settings, provider, snapshot, self._base))
            wanted[name] = known
        kept = {id(entry[2]) for entry in wanted.values()}
        self._retired += [entry[2] for entry in self._built.values() if id(entry[2]) not in kept]
        self._built = wanted
        return {name: entry[2] for name, entry in wanted.items()}

    async def close(self) -> None:
        """Close all connections."""
        for detector in (*self._retired, *(entry[2] for entry in self._built.values())):
            if not isinstance(detector, JudgeDetector):  # its provider is closed by whoever opened it
                await detector.close()


def _own(name: str, settings: DetectorSettings, provider: Provider | None, snapshot: Snapshot, base: Path) -> _Own:
    timeout_s = settings.timeout_ms / 1000
    if settings.kind == "onnx":
        return onnx_classifier(name, settings, base)
    if settings.kind == "judge":
        if provider is None or settings.deployment is None:
            reason = f"the judge '{name}' has no deployment to ask"
            raise GreffierError(Code.GUARDRAIL_UNAVAILABLE, reason, "Name a deployment of the workspace.")
        return JudgeDetector(
            name,
            provider,
            model=snapshot.deployments[settings.deployment].model,
            question=settings.question,
            type_=settings.types[0],
            timeout_s=timeout_s,
            max_chars=settings.max_chars,
        )
    try:
        return HttpDetector(
            name,
            http_client(resolve_value(settings.url or ""), timeout_s),
            token="" if settings.token is None else resolve_secret(settings.token, base),
            types=settings.types,
            timeout_s=timeout_s,
            max_chars=settings.max_chars,
        )
    except (BadUrl, BadHeader, SecretMissing) as error:
        reason = f"the detector '{name}' cannot be used: {error}"
        raise GreffierError(Code.GUARDRAIL_UNAVAILABLE, reason, "Correct it in guardrails/.") from error


def _build(settings: ServiceSettings, base: Path) -> RemoteGuard:
    try:
        return _client(settings, base)
    except (BadUrl, BadHeader, SecretMissing) as error:
        raise GreffierError(
            Code.GUARDRAIL_UNAVAILABLE, f"the guard service cannot be used: {error}", "Correct guardrails_service."
        ) from error


def _client(settings: ServiceSettings, base: Path) -> RemoteGuard:
    return RemoteGuard(
        _NAME if settings.url is None else Origin.parse(resolve_value(settings.url)),
        socket_path=None if settings.socket is None else str(base / settings.socket),
        token="" if settings.token is None else resolve_secret(settings.token, base),
        deadline_ms=settings.deadline_ms,
        hedge_after_ms=settings.hedge_after_ms,
        max_batch=settings.max_batch,
        max_connections=settings.max_connections,
    )
