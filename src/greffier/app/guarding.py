"""The gateway's connection to ``greffier guard serve``, kept over snapshots while its settings stay the same."""

from pathlib import Path

from greffier.adapters.detectors.remote import RemoteGuard
from greffier.adapters.http import BadHeader, BadUrl, Origin
from greffier.adapters.secrets.references import SecretMissing, resolve_secret, resolve_value
from greffier.core.errors import Code, GreffierError
from greffier.guardrails.settings import ServiceSettings

_NAME = Origin("http", "guard-service.invalid", 80)
"""What the ``host`` header says where there is a socket and no host."""


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
