"""Buckets as hosts of their own, and temporary credentials in files that somebody renews."""

import asyncio
import socket
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from greffier.adapters.objects.build import build_store
from greffier.audit.copies import CopyUnavailable
from greffier.audit.copy_settings import CopySettings
from greffier.core.clock import SystemClock
from greffier.testing.object_storage import BUCKET, ObjectStorage

DAY_MS = 86_400_000


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every host below ``localhost`` is this machine, whatever the resolver here knows of RFC 6761."""
    ask = socket.getaddrinfo

    def answer(host: Any, *more: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        return ask("127.0.0.1" if str(name).endswith("localhost") else host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", answer)


def settings(storage: ObjectStorage, addressing: Literal["path", "virtual_host"], **more: Any) -> CopySettings:
    url = storage.url.replace("127.0.0.1", "localhost")
    return CopySettings(
        url=url,
        bucket=BUCKET,
        prefix="hosted",
        access_key="file:key",
        secret_key="file:secret",
        addressing=addressing,
        retain_days=1,
        **more,
    )


def write(root: Path, key: str, secret: str, token: str = "") -> None:
    for name, value in (("key", key), ("secret", secret), ("token", token)):
        (root / name).write_text(value + "\n")


async def round_trip(root: Path, chosen: CopySettings, data: bytes) -> bytes | None:
    store = build_store("vault", chosen, root)
    try:
        await store.probe()
        await store.put("file", data, SystemClock().wall_ms() + DAY_MS)
        assert [version.key for version in await store.versions("file")]
        return await store.get("file")
    finally:
        await store.close()


@pytest.mark.usefixtures("named")
@pytest.mark.parametrize("addressing", ["path", "virtual_host"])
def test_both_ways_to_name_a_bucket_reach_the_same_copies(
    storage: ObjectStorage, addressing: Literal["path", "virtual_host"], tmp_path: Path
) -> None:
    write(tmp_path, storage.access_key, storage.secret_key)
    data = f"as {addressing}".encode()
    assert asyncio.run(round_trip(tmp_path, settings(storage, addressing), data)) == data
    assert storage.client().get_object(Bucket=BUCKET, Key="hosted/file")["Body"].read() == data


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"bucket": "with.dots"}, "dot in its name"), ({"url": "http://127.0.0.1:9"}, "host with a name")],
)
def test_a_bucket_that_cannot_be_a_host_is_refused(
    storage: ObjectStorage, change: dict[str, str], reason: str, tmp_path: Path
) -> None:
    write(tmp_path, "key", "secret")
    chosen = msgspec.structs.replace(settings(storage, "virtual_host"), **change)
    with pytest.raises(CopyUnavailable, match=reason):
        build_store("vault", chosen, tmp_path)


@pytest.mark.usefixtures("named")
def test_temporary_credentials_are_read_again_for_every_request(storage: ObjectStorage, tmp_path: Path) -> None:
    write(tmp_path, *storage.temporary[0])
    chosen = settings(storage, "path", session_token="file:token")

    async def work() -> None:
        store = build_store("vault", chosen, tmp_path)
        try:
            await store.put("renewed", b"1", SystemClock().wall_ms() + DAY_MS)
            write(tmp_path, storage.access_key + "X", "expired", "expired")
            with pytest.raises(CopyUnavailable, match="403"):
                await store.get("renewed")
            write(tmp_path, *storage.temporary[1])
            assert await store.get("renewed") == b"1"
            (tmp_path / "token").unlink()
            with pytest.raises(CopyUnavailable, match="token"):
                await store.get("renewed")
        finally:
            await store.close()

    asyncio.run(work())
