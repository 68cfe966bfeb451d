"""The part of ``greffier.yaml`` about evidence."""

from typing import Annotated

from msgspec import Meta

from greffier.core.settings import Identifier, SecretRef, Settings


class LogHsmSettings(Settings, frozen=True, kw_only=True):
    """The P-256 key that signs checkpoints, in a PKCS#11 token; needs the extra ``hsm``.

    To rotate it, make another key in the token and write its label here: old checkpoints stay verifiable.
    """

    module: str
    token: str
    key: Identifier
    pin: SecretRef


class AuditSettings(Settings, frozen=True, kw_only=True):
    """``origin`` names the log in its checkpoints (C2SP tlog-checkpoint); unique to the organisation and installation.

    ``seal_interval_ms``: how often new events are sealed under a signed checkpoint.
    ``commit_interval_ms``: how long to gather events for one commit; 0 commits at once at low load and gathers for up
    to five milliseconds under load. ``spool_*_s``: how long requests of a risk class may go on when the journal cannot
    be written (0 refuses at once); high-risk ones never.
    """

    origin: str = "greffier.local/log"
    seal_interval_ms: Annotated[int, Meta(ge=50, le=60_000)] = 1000
    commit_interval_ms: Annotated[float, Meta(ge=0, le=100)] = 0.0
    append_timeout_ms: Annotated[int, Meta(ge=50, le=60_000)] = 2000
    spool_limited_s: Annotated[int, Meta(ge=0, le=600)] = 600
    spool_minimal_s: Annotated[int, Meta(ge=0, le=3600)] = 3600
    content_retention_days: Annotated[int, Meta(ge=1)] = 30
    key_name: Identifier = "greffier-log"
    hsm: LogHsmSettings | None = None
