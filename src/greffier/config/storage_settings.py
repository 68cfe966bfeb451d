"""The part of ``greffier.yaml`` about where records are kept."""

from typing import Annotated

from msgspec import Meta

from greffier.core.settings import Identifier, SecretRef, Settings


class ContentRootSettings(Settings, frozen=True, kw_only=True):
    """The root key of captured content, an AES-256 key in a PKCS#11 token; needs the extra ``hsm``.

    ``key``: its label; it must be sensitive and not extractable. ``previous``: labels of roots it takes over from,
    needed until ``greffier retention rewrap`` has run. A root file that is still there is one of them.
    """

    module: str
    token: str
    key: Identifier
    pin: SecretRef
    previous: tuple[Identifier, ...] = ()


class StorageSettings(Settings, frozen=True, kw_only=True):
    """Without ``url``, everything is kept in SQLite files of the workspace's state folder, on one machine.

    ``url``: where PostgreSQL (15 or newer) is, with the user that gateways connect as; a libpq connection string, in
    which several hosts may stand. ``admin_url``: the same database as the owner of the tables, for ``greffier db``;
    gateways need neither the reference nor the right. ``pool_size``: most connections that each store of a worker
    holds, besides the journal's one. ``spool_mb``: how much evidence a worker keeps on its own disk while the journal
    cannot be written. ``content_root``: where the root key of captured content is, if not in a file.
    """

    url: SecretRef | None = None
    admin_url: SecretRef | None = None
    pool_size: Annotated[int, Meta(ge=1, le=50)] = 2
    connect_timeout_s: Annotated[int, Meta(ge=1, le=60)] = 5
    spool_mb: Annotated[int, Meta(ge=1, le=65_536)] = 256
    content_root: ContentRootSettings | None = None
