"""The root key of captured content in a token: what it wraps opens with it only, and it can be replaced."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pkcs11
import pytest
from typer.testing import CliRunner

from greffier.adapters.signers.content_hsm import HsmKeyWrapper
from greffier.app.stores import open_content
from greffier.audit.ports import ContentUnavailable
from greffier.cli.main import app
from greffier.config.demo import write_demo
from greffier.config.paths import WorkspacePaths
from greffier.storage.content_root import FileKeyWrapper

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
TOKEN = "greffier-content"
PIN = "123456"
SECRET = b"Mrs Planted lives in Canary Street"
SETTINGS = """
storage:
  content_root: {{module: %s, token: %s, key: {key}, pin: "env:CONTENT_PIN", previous: [{previous}]}}
""" % (MODULE, TOKEN)  # noqa: UP031 - braces of YAML


@pytest.fixture(scope="module", autouse=True)
def token(tmp_path_factory: pytest.TempPathFactory) -> None:
    assert Path(MODULE).exists(), "softhsm2 is not installed: run make dev"
    if "SOFTHSM2_CONF" not in os.environ:
        folder = tmp_path_factory.mktemp("softhsm")
        (folder / "tokens").mkdir()
        conf = folder / "softhsm2.conf"
        conf.write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
        os.environ["SOFTHSM2_CONF"] = str(conf)
    command = ["softhsm2-util", "--init-token", "--free", "--label", TOKEN, "--so-pin", "654321", "--pin", PIN]
    subprocess.run(command, check=True, capture_output=True)
    library = pkcs11.lib(MODULE)
    library.reinitialize()
    safe = {pkcs11.Attribute.SENSITIVE: True, pkcs11.Attribute.EXTRACTABLE: False}
    loose = {pkcs11.Attribute.SENSITIVE: False, pkcs11.Attribute.EXTRACTABLE: True}
    made = (("root-2026", 256, safe), ("root-2027", 256, safe), ("loose", 256, loose), ("short", 128, safe))
    with library.get_token(token_label=TOKEN).open(user_pin=PIN, rw=True) as session:
        for label, bits, template in made:
            session.generate_key(pkcs11.KeyType.AES, bits, store=True, label=label, template=template)


def root(key: str = "root-2026", pin: str = PIN) -> HsmKeyWrapper:
    return HsmKeyWrapper(MODULE, TOKEN, key, pin)


def test_a_key_comes_back_for_its_purpose_and_no_other() -> None:
    wrapper = root()
    wrapped = wrapper.wrap(b"k" * 32, b"acme, week 12")
    assert b"k" * 32 not in wrapped
    assert wrapper.unwrap(wrapped, b"acme, week 12") == b"k" * 32
    assert wrapper.wrap(b"k" * 32, b"acme, week 12") != wrapped
    for changed, purpose in ((wrapped, b"acme, week 13"), (wrapped[:-1] + bytes([wrapped[-1] ^ 1]), b"acme, week 12")):
        with pytest.raises(ContentUnavailable):
            wrapper.unwrap(changed, purpose)
    with pytest.raises(ContentUnavailable, match="not wrapped by the root key 'root-2027'"):
        root("root-2027").unwrap(wrapped, b"acme, week 12")
    assert wrapper.unwrap(wrapped, b"acme, week 12") == b"k" * 32  # a failure before leaves it usable
    assert PIN not in repr(wrapper)
    wrapper.close()
    assert wrapper.unwrap(wrapped, b"acme, week 12") == b"k" * 32  # a dropped session is opened again


def test_many_threads_share_one_session() -> None:
    wrapper = root()
    keys = [bytes([number]) * 32 for number in range(64)]
    with ThreadPoolExecutor(8) as pool:
        wrapped = list(pool.map(lambda key: wrapper.wrap(key, b"p"), keys))
        assert list(pool.map(lambda sealed: wrapper.unwrap(sealed, b"p"), wrapped)) == keys


@pytest.mark.parametrize(
    ("key", "pin", "reason"),
    [
        ("root-2026", "000000", "refused the PIN"), ("absent", PIN, "no AES key 'absent'"),
        ("loose", PIN, "could be taken out"), ("short", PIN, "not an AES key of 256 bits"),
    ],
)  # fmt: skip
def test_what_does_not_do_is_refused_at_the_start(key: str, pin: str, reason: str) -> None:
    command = [
        sys.executable, "-c",
        "import sys; from greffier.adapters.signers.content_hsm import HsmKeyWrapper; HsmKeyWrapper(*sys.argv[1:])",
        MODULE, TOKEN, key, pin,
    ]  # fmt: skip
    # A process of its own: a token stays open for the whole process, whatever PIN comes later.
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert reason in done.stderr
    assert pin not in done.stderr.splitlines()[-1]


def test_a_missing_module_or_token_is_told() -> None:
    with pytest.raises(ContentUnavailable, match="cannot be loaded"):
        HsmKeyWrapper("/nowhere.so", TOKEN, "root-2026", PIN)
    with pytest.raises(ContentUnavailable, match="no token 'other'"):
        HsmKeyWrapper(MODULE, "other", "root-2026", PIN)


# --- the workspace's content, from the file to the token, and from one key in it to the next


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WorkspacePaths:
    write_demo(tmp_path)
    monkeypatch.setenv("CONTENT_PIN", PIN)
    made = WorkspacePaths(tmp_path)
    made.ensure()
    return made


def configure(paths: WorkspacePaths, key: str, previous: str = "") -> None:
    text = paths.settings.read_text().partition("\nstorage:")[0]
    paths.settings.write_text(text + SETTINGS.format(key=key, previous=previous))


def keep(paths: WorkspacePaths, event: str) -> str:
    store = open_content(paths)
    kept = asyncio.run(store.put("acme", event, {"prompt": SECRET}))
    store.close()
    return kept["prompt"][0]


def read(paths: WorkspacePaths, part: str) -> bytes:
    store = open_content(paths)
    try:
        return store.get("acme", part)[0]
    finally:
        store.close()


def rewrap(paths: WorkspacePaths) -> None:
    done = CliRunner().invoke(app, ["retention", "rewrap", "--workspace", str(paths.root)])
    assert done.exit_code == 0, done.output
    assert "1 keys" in done.output


def test_the_root_moves_into_the_token_and_on_to_the_next_key(paths: WorkspacePaths) -> None:
    file = paths.secrets / "content-root.key"
    before = keep(paths, "req_1")
    copied = paths.content_keys_db.read_bytes()
    configure(paths, "root-2026")
    assert read(paths, before) == SECRET  # the file still opens what it wrapped
    rewrap(paths)
    file.unlink()
    assert read(paths, before) == SECRET
    after = keep(paths, "req_2")
    assert not file.exists()

    configure(paths, "root-2027")
    with pytest.raises(ContentUnavailable):
        read(paths, before)
    configure(paths, "root-2027", "root-2026")
    assert read(paths, after) == SECRET
    rewrap(paths)
    configure(paths, "root-2027")
    assert (read(paths, before), read(paths, after)) == (SECRET, SECRET)

    paths.content_keys_db.write_bytes(copied)  # an old copy of the key database, without the root of its time
    for beside in ("-wal", "-shm"):
        paths.content_keys_db.with_name(paths.content_keys_db.name + beside).unlink(missing_ok=True)
    with pytest.raises(ContentUnavailable):
        read(paths, before)


def test_the_old_wrapping_is_not_left_in_the_database(paths: WorkspacePaths) -> None:
    keep(paths, "req_1")
    with sqlite3.connect(paths.content_keys_db) as database:
        (old,) = database.execute("SELECT wrapped FROM epoch_key").fetchone()
    database.close()
    configure(paths, "root-2026")
    rewrap(paths)
    with sqlite3.connect(paths.content_keys_db) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    assert old not in paths.content_keys_db.read_bytes()


def test_without_its_pin_or_token_nothing_is_kept(paths: WorkspacePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(paths, "root-2026")
    monkeypatch.delenv("CONTENT_PIN")
    with pytest.raises(ContentUnavailable, match="CONTENT_PIN"):
        keep(paths, "req_1")
    assert not (paths.secrets / "content-root.key").exists()


def test_a_file_is_still_the_root_where_no_token_is_named(paths: WorkspacePaths) -> None:
    part = keep(paths, "req_1")
    FileKeyWrapper(paths.secrets / "content-root.key")
    assert read(paths, part) == SECRET
