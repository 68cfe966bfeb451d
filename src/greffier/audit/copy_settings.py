"""The part of ``greffier.yaml`` about copies of the log that nobody can change: buckets under a retention lock."""

from typing import Annotated, Literal

from msgspec import Meta

from greffier.audit.sink_settings import SinkTlsSettings
from greffier.core.settings import SecretRef, Settings, ValueOrEnv

BucketName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", description="Name of a bucket")]
KeyPrefix = Annotated[str, Meta(pattern=r"^([A-Za-z0-9._-]+/)*[A-Za-z0-9._-]*$", description="Path inside the bucket")]


class CopySettings(Settings, frozen=True, kw_only=True):
    """A bucket with object lock (S3 API) that gets a copy of the log's tiles and, at intervals, of a checkpoint.

    ``url``: the API's address, for example ``https://s3.eu-central-1.amazonaws.com``; ``http://`` only on this machine.
    ``prefix``: where in the bucket; one per log. ``mode``: ``compliance`` cannot be lifted by anyone before its time,
    ``governance`` by whoever has the right to bypass it. ``retain_days``: how long each copy is locked.
    ``every_s``: how often a checkpoint is copied. ``records``: whether the records behind the hashes are copied too;
    they name people by reference and then stay as long as the lock. ``on_start``: what happens when the bucket is out
    of reach or does not lock: ``refuse`` the start, or ``warn`` and go on. ``addressing``: where the bucket's name
    goes, into the ``path`` or, as a ``virtual_host``, before the host's name. ``session_token``: of temporary
    credentials; keys and token in files are read again for every request, so renewing them is replacing the files.
    """

    kind: Literal["s3"] = "s3"
    url: ValueOrEnv
    bucket: BucketName
    prefix: KeyPrefix = ""
    region: Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,64}$")] = "us-east-1"
    access_key: SecretRef
    secret_key: SecretRef
    session_token: SecretRef | None = None
    addressing: Literal["path", "virtual_host"] = "path"
    tls: SinkTlsSettings = SinkTlsSettings()
    mode: Literal["compliance", "governance"] = "compliance"
    retain_days: Annotated[int, Meta(ge=1, le=36_500)]
    every_s: Annotated[int, Meta(ge=1, le=86_400)] = 3600
    records: bool = False
    on_start: Literal["refuse", "warn"] = "refuse"
    timeout_s: Annotated[float, Meta(gt=0, le=600)] = 30.0
