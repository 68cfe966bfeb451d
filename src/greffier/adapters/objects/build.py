"""Builds the place of copies from what the workspace says."""

from pathlib import Path

import msgspec

from greffier.adapters.http import BadHeader, BadUrl, HttpClient, Origin, tls_context
from greffier.adapters.objects.s3 import Bucket, S3Store
from greffier.adapters.objects.sigv4 import Credentials
from greffier.adapters.secrets.references import SecretMissing, resolve_secret, resolve_value
from greffier.audit.copies import CopyUnavailable, LockedStore
from greffier.audit.copy_settings import CopySettings
from greffier.core.clock import SystemClock
from greffier.core.deployment import Timeouts

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_CONNECTIONS = 8
_MOST_BYTES = 20_000_000  # a bundle holds 256 records of at most 65,535 bytes


def build_store(name: str, settings: CopySettings, root: Path) -> LockedStore:
    """Build a store. Opens no connection.

    Args:
        name: Of the copy in the workspace.
        settings: What the workspace says about it.
        root: Where relative file references start: the workspace.

    Raises:
        CopyUnavailable: A secret or certificate is missing, or the address is wrong. Says what to correct.
    """
    try:
        origin = Origin.parse(resolve_value(settings.url))
        if origin.scheme == "http" and origin.host not in _LOOPBACK:
            raise CopyUnavailable(f"copy '{name}': evidence would leave this machine unencrypted. Use https://.")
        if settings.addressing == "virtual_host":
            origin = _of_bucket(origin, settings.bucket)
        tls = None
        if origin.scheme == "https":
            tls = tls_context(
                str(root / settings.tls.ca_file) if settings.tls.ca_file else None,
                str(root / settings.tls.client_cert_file) if settings.tls.client_cert_file else None,
                resolve_secret(settings.tls.client_key, root) if settings.tls.client_key else None,
            )
        _credentials(settings, root)
    except SecretMissing as error:
        raise CopyUnavailable(f"copy '{name}': {error}. Set it before the start.") from error
    except (BadUrl, BadHeader, ValueError) as error:
        raise CopyUnavailable(f"copy '{name}': {error}. Correct 'url'.") from error
    except OSError as error:
        raise CopyUnavailable(f"copy '{name}': a TLS file cannot be used: {error.strerror or error}") from error
    timeouts = Timeouts(connect_s=5.0, first_token_s=settings.timeout_s, total_s=settings.timeout_s)
    client = HttpClient(origin, tls=tls, timeouts=timeouts, max_connections=_CONNECTIONS, max_answer_bytes=_MOST_BYTES)
    in_path = settings.addressing == "path"
    bucket = Bucket(settings.bucket, settings.prefix, settings.region, settings.mode, in_path)

    def credentials() -> Credentials:
        try:
            return _credentials(settings, root)
        except SecretMissing as error:
            raise CopyUnavailable(f"copy '{name}': {error}") from error

    return S3Store(client, bucket, credentials, SystemClock().wall_ms)


def _credentials(settings: CopySettings, root: Path) -> Credentials:
    token = resolve_secret(settings.session_token, root) if settings.session_token else ""
    return Credentials(resolve_secret(settings.access_key, root), resolve_secret(settings.secret_key, root), token)


def _of_bucket(origin: Origin, bucket: str) -> Origin:
    """The bucket's own host.

    Raises:
        ValueError: A certificate for the API's hosts would not fit it, or the API is named by a number.
    """
    if "." in bucket:
        raise ValueError("a bucket with a dot in its name is addressed in the path")
    if not origin.host.rpartition(".")[2].isalpha():
        raise ValueError("addressing: virtual_host needs a host with a name")
    return msgspec.structs.replace(origin, host=f"{bucket}.{origin.host}")
