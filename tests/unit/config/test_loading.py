"""What is in force: a signed release and nothing else, or the files in development mode, or an error."""

import os
import shutil
import threading
from pathlib import Path

import pytest

from greffier.adapters.signers.key_file import KeyFileSigner, create_key_file
from greffier.config.bundle import Bundle, build
from greffier.config.demo import write_demo
from greffier.config.loading import fingerprint, load_snapshot
from greffier.config.paths import WorkspacePaths
from greffier.config.problems import ConfigError
from greffier.config.releases import activate, current_pointer, revision_in_force, store_release, trust_folder
from greffier.config.signing import fingerprint as key_fingerprint
from greffier.config.signing import public_pem, sign


class FixedClock:
    def wall_ms(self) -> int:
        return 1234

    def monotonic(self) -> float:
        return 0.0


@pytest.fixture
def paths(tmp_path: Path) -> WorkspacePaths:
    write_demo(tmp_path / "demo")
    return WorkspacePaths(tmp_path / "demo")


@pytest.fixture
def signer(paths: WorkspacePaths) -> KeyFileSigner:
    key = create_key_file(paths.secrets / "bundle.pem")
    trust(paths, "release-team", key)
    return key


def trust(paths: WorkspacePaths, name: str, key: KeyFileSigner) -> None:
    trust_folder(paths).mkdir(exist_ok=True)
    (trust_folder(paths) / f"{name}.pem").write_bytes(public_pem(key.public_key_der()))


def release(paths: WorkspacePaths, signer: KeyFileSigner) -> Bundle:
    bundle = build(paths.root)
    store_release(paths, bundle.data, sign(bundle.data, signer))
    activate(paths, bundle.revision)
    return bundle


def edit(paths: WorkspacePaths, name: str, old: str, new: str) -> None:
    text = (paths.root / name).read_text()
    assert old in text
    (paths.root / name).write_text(text.replace(old, new))


def refusal(paths: WorkspacePaths) -> str:
    with pytest.raises(ConfigError) as refused:
        load_snapshot(paths)
    assert refused.value.remedy
    return refused.value.code


def test_development_mode_serves_the_files(paths: WorkspacePaths) -> None:
    snapshot = load_snapshot(paths, FixedClock())
    assert (snapshot.signed_by, snapshot.built_ms) == ("", 1234)
    assert snapshot.revision == build(paths.root).revision


def test_without_a_release_and_without_development_mode_nothing_is_served(paths: WorkspacePaths) -> None:
    edit(paths, "greffier.yaml", "unsafe_development_mode: true", "unsafe_development_mode: false")
    assert refusal(paths) == "unsigned"


def test_a_mistake_in_the_files_is_an_error(paths: WorkspacePaths) -> None:
    edit(paths, "greffier.yaml", "name: demo", "name: Demo!")
    assert refusal(paths) == "workspace_invalid"


def test_a_signed_release_is_served_whatever_the_files_say(paths: WorkspacePaths, signer: KeyFileSigner) -> None:
    edit(paths, "greffier.yaml", "unsafe_development_mode: true", "unsafe_development_mode: false")
    bundle = release(paths, signer)
    edit(paths, "greffier.yaml", "name: demo", "name: [")
    snapshot = load_snapshot(paths)
    assert (snapshot.revision, snapshot.signed_by) == (bundle.revision, "release-team")


def test_a_gateway_needs_no_files_but_the_release(paths: WorkspacePaths, signer: KeyFileSigner, tmp_path: Path) -> None:
    release(paths, signer)
    gateway = WorkspacePaths(tmp_path / "gateway")
    shutil.copytree(paths.releases, gateway.releases)
    shutil.copytree(trust_folder(paths), trust_folder(gateway))
    assert load_snapshot(gateway).signed_by == "release-team"


@pytest.mark.parametrize("victim", ["bundle.json", "bundle.sig"])
def test_a_changed_release_is_never_served_and_nothing_is_instead(
    paths: WorkspacePaths, signer: KeyFileSigner, victim: str
) -> None:
    bundle = release(paths, signer)
    path = paths.releases / bundle.revision / victim
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    assert refusal(paths) in {"signature_invalid", "signature_untrusted"}  # although development mode is on


@pytest.mark.parametrize("victim", ["bundle.json", "bundle.sig"])
def test_a_missing_part_of_a_release_is_an_error(paths: WorkspacePaths, signer: KeyFileSigner, victim: str) -> None:
    bundle = release(paths, signer)
    (paths.releases / bundle.revision / victim).unlink()
    assert refusal(paths) == "release_missing"


def test_a_key_that_is_no_longer_trusted(paths: WorkspacePaths, signer: KeyFileSigner) -> None:
    release(paths, signer)
    (trust_folder(paths) / "release-team.pem").unlink()
    assert refusal(paths) == "signature_untrusted"


def test_a_strangers_release(paths: WorkspacePaths, signer: KeyFileSigner, tmp_path: Path) -> None:
    """A thief who can write to the state folder's releases, and not to the trusted keys, gets nothing served."""
    bundle = release(paths, signer)
    stranger = create_key_file(tmp_path / "stranger.pem")
    (paths.releases / bundle.revision / "bundle.sig").write_bytes(sign(bundle.data, stranger))
    assert refusal(paths) == "signature_untrusted"
    with pytest.raises(ConfigError):
        store_release(paths, bundle.data, sign(bundle.data, stranger))


def test_a_release_under_another_releases_name(paths: WorkspacePaths, signer: KeyFileSigner) -> None:
    old = release(paths, signer)
    edit(paths, "greffier.yaml", "requests_per_minute: 600", "requests_per_minute: 1")
    new = release(paths, signer)
    for name in ("bundle.json", "bundle.sig"):
        shutil.copy(paths.releases / old.revision / name, paths.releases / new.revision / name)
    assert refusal(paths) == "release_mismatch"


@pytest.mark.parametrize("content", [b"", b"../../etc\n", b"\xff\xfe", b"0" * 63, b"A" * 64, b"x" * 10_000])
def test_a_pointer_that_names_no_release(paths: WorkspacePaths, signer: KeyFileSigner, content: bytes) -> None:
    release(paths, signer)
    current_pointer(paths).write_bytes(content)
    assert refusal(paths) in {"release_missing", "bundle_invalid"}


def test_a_dangling_pointer_is_an_error_not_development_mode(paths: WorkspacePaths) -> None:
    paths.ensure()
    current_pointer(paths).symlink_to("nowhere")
    assert refusal(paths) == "release_missing"


@pytest.mark.parametrize("obstacle", ["a file", "a loop of links"])
def test_releases_that_cannot_be_seen_are_an_error_not_development_mode(
    paths: WorkspacePaths, signer: KeyFileSigner, obstacle: str
) -> None:
    """What a missing permission does as well; tests run as root, whom permissions do not stop."""
    release(paths, signer)
    before = fingerprint(paths)
    shutil.rmtree(paths.releases)
    if obstacle == "a file":
        paths.releases.touch()
    else:
        paths.releases.symlink_to(paths.releases)
    assert refusal(paths) == "release_unreadable"
    assert fingerprint(paths) != before
    with pytest.raises(ConfigError):
        revision_in_force(paths)


def test_activate_refuses_what_would_not_load(paths: WorkspacePaths, signer: KeyFileSigner) -> None:
    first = release(paths, signer)
    with pytest.raises(ConfigError):
        activate(paths, "0" * 64)
    with pytest.raises(ConfigError):
        activate(paths, "../../../tmp")
    assert load_snapshot(paths).revision == first.revision


def test_going_back_to_an_earlier_release(paths: WorkspacePaths, signer: KeyFileSigner) -> None:
    first = release(paths, signer)
    edit(paths, "greffier.yaml", "requests_per_minute: 600", "requests_per_minute: 1")
    second = release(paths, signer)
    assert load_snapshot(paths).revision == second.revision
    activate(paths, first.revision)
    assert load_snapshot(paths).revision == first.revision


def test_the_workspace_may_expect_certain_keys(paths: WorkspacePaths, signer: KeyFileSigner, tmp_path: Path) -> None:
    expected = key_fingerprint(signer.public_key_der())
    edit(paths, "greffier.yaml", "name: demo", f"name: demo\nbundle_keys: ['{expected}']")
    assert load_snapshot_signed(paths, signer) == "release-team"
    other = create_key_file(tmp_path / "other.pem")
    trust(paths, "other", other)
    bundle = build(paths.root)
    with pytest.raises(ConfigError) as refused:
        store_release(paths, bundle.data, sign(bundle.data, other))
    assert refused.value.code == "signature_unexpected"


def load_snapshot_signed(paths: WorkspacePaths, signer: KeyFileSigner) -> str:
    release(paths, signer)
    return load_snapshot(paths).signed_by


def test_the_fingerprint_follows_the_files_in_development(paths: WorkspacePaths) -> None:
    seen = {fingerprint(paths)}
    assert fingerprint(paths) in seen
    edit(paths, "greffier.yaml", "requests_per_minute: 600", "requests_per_minute: 6000")
    seen.add(fingerprint(paths))
    (paths.root / "policies" / "new.yaml").write_text("rules: []")
    seen.add(fingerprint(paths))
    (paths.root / "policies" / "new.yaml").unlink()
    seen.add(fingerprint(paths))
    text = (paths.root / "prompts" / "assistant.md").read_bytes()
    (paths.root / "prompts" / "assistant.md").unlink()
    seen.add(fingerprint(paths))
    (paths.root / "prompts" / "assistant.md").write_bytes(text)
    os.utime(paths.root / "prompts" / "assistant.md", ns=(1, 1))
    seen.add(fingerprint(paths))
    assert len(seen) == 6


def test_the_fingerprint_follows_the_pointer_and_the_trusted_keys(
    paths: WorkspacePaths, signer: KeyFileSigner, tmp_path: Path
) -> None:
    before = fingerprint(paths)
    release(paths, signer)
    released = fingerprint(paths)
    assert released != before
    edit(paths, "greffier.yaml", "requests_per_minute: 600", "requests_per_minute: 1")
    assert fingerprint(paths) == released  # files do not count once a release is in force
    release(paths, signer)
    assert fingerprint(paths) != released
    again = fingerprint(paths)
    trust(paths, "other", create_key_file(tmp_path / "other.pem"))
    assert fingerprint(paths) != again


def test_the_state_folder_is_private(paths: WorkspacePaths, signer: KeyFileSigner) -> None:
    bundle = release(paths, signer)
    for path in (paths.state, paths.secrets, paths.releases, paths.releases / bundle.revision):
        assert path.stat().st_mode & 0o077 == 0


def test_a_reader_sees_the_old_release_or_the_new_one_never_half_of_each(
    paths: WorkspacePaths, signer: KeyFileSigner
) -> None:
    first = release(paths, signer)
    edit(paths, "greffier.yaml", "requests_per_minute: 600", "requests_per_minute: 1")
    second = release(paths, signer)
    revisions = [first.revision, second.revision]

    def swap() -> None:
        for turn in range(40):
            activate(paths, revisions[turn % 2])

    writer = threading.Thread(target=swap)
    writer.start()
    seen = set()
    while writer.is_alive():
        seen.add(load_snapshot(paths).revision)
    writer.join()
    assert seen <= set(revisions)
    assert list(paths.releases.rglob("*.tmp")) == []
