"""A bundle is the workspace and nothing else: the same files give the same bytes; one changed byte is noticed."""

import json
import os
import random
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greffier.adapters.signers.key_file import create_key_file
from greffier.config.bundle import Bundle, build, parse_bundle
from greffier.config.compile import compile_snapshot
from greffier.config.demo import write_demo
from greffier.config.problems import ConfigError
from greffier.config.signing import public_pem, sign, trusted_keys, verify
from greffier.core.deployment import Price

USE = "use_cases/assistant.yaml"


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    write_demo(tmp_path / "demo")
    return tmp_path / "demo"


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes, dict[str, bytes]]:
    folder = tmp_path_factory.mktemp("signed")
    write_demo(folder / "demo")
    signer = create_key_file(folder / "k.pem")
    data = build(folder / "demo").data
    return data, sign(data, signer), {"release": signer.public_key_der()}


def test_the_same_files_give_the_same_bytes_anywhere_and_any_time(demo: Path, tmp_path: Path) -> None:
    first = build(demo)
    copy = tmp_path / "elsewhere" / "deeper"
    shutil.copytree(demo, copy)
    for folder in ("use_cases", "models", "policies"):  # another order on disk, other times
        entries = [(entry, entry.read_bytes()) for entry in (copy / folder).iterdir() if entry.is_file()]
        for entry, _ in entries:
            entry.unlink()
        for entry, data in random.Random(7).sample(entries, len(entries)):
            entry.write_bytes(data)
            os.utime(entry, (1, 1))
    second = build(copy)
    assert second.data == first.data
    assert second.revision == first.revision


def test_a_bundle_names_no_machine_and_no_time(demo: Path) -> None:
    data = build(demo).data
    assert str(demo).encode() not in data
    assert b".greffier" not in data
    assert json.loads(data)["format"] == "greffier.bundle/1"


def test_spelling_does_not_matter_but_meaning_does(demo: Path) -> None:
    before = build(demo).revision
    path = demo / "greffier.yaml"
    path.write_text(path.read_text().replace("name: demo", "\"name\":    'demo'   # a comment"))
    assert build(demo).revision == before
    path.write_text(path.read_text().replace("requests_per_minute: 600", "requests_per_minute: 601"))
    assert build(demo).revision != before


def test_defaults_are_written_out(demo: Path) -> None:
    """So that a later version's other default cannot change a release that was signed."""
    content = json.loads(build(demo).data)
    assert content["workspace"]["server"]["request_timeout_s"] == 600.0
    assert content["use_cases"]["assistant"]["caller_system"] == "append"
    assert content["screens"]["default"]["on_unavailable"] == "by_risk_class"


def test_canonical_json_is_sorted_and_dense(demo: Path) -> None:
    data = build(demo).data
    assert data == json.dumps(json.loads(data), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def test_reading_back_gives_the_same(demo: Path) -> None:
    bundle = build(demo)
    assert parse_bundle(bundle.data) == bundle


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b'{"format":"greffier.bundle/2"}', b"\xff", b'{"format":"greffier.bundle/1","x":1}']
)
def test_other_data_is_no_bundle(data: bytes) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_bundle(data)
    assert refused.value.code == "bundle_invalid"


def test_a_bundle_of_a_newer_version_is_refused(demo: Path) -> None:
    content = json.loads(build(demo).data)
    content["workspace"]["brand_new_protection"] = True
    with pytest.raises(ConfigError, match="brand_new_protection"):
        parse_bundle(json.dumps(content).encode())


@settings(max_examples=30, deadline=None)
@given(order=st.permutations(range(6)), split=st.lists(st.integers(0, 2), min_size=6, max_size=6))
def test_how_things_are_spread_over_files_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], split: list[int]
) -> None:
    root = tmp_path_factory.mktemp("w")
    write_demo(root)
    files: dict[int, list[str]] = {}
    for number in order:
        files.setdefault(split[number], []).append(
            f"  m{number}:\n    targets: [{{deployment: local-smollm2, weight: {number + 1}}}]"
        )
    for index, models in files.items():
        (root / "models" / f"more{index}.yaml").write_text("models:\n" + "\n".join(models) + "\n")
    (root / "guardrails" / "t.yaml").write_text(
        "topics:\n" + "\n".join(f"  t{n}: {{title: T, terms: [x]}}" for n in order)
    )
    revisions.add(build(root).revision)
    assert len(revisions) == 1


revisions: set[str] = set()


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_any_changed_byte_breaks_the_signature(
    signed: tuple[bytes, bytes, dict[str, bytes]], data: st.DataObject
) -> None:
    bundle, signature, trusted = signed
    assert verify(bundle, signature, trusted) == "release"
    which = data.draw(st.booleans())
    victim = bytearray(bundle if which else signature)
    position = data.draw(st.integers(0, len(victim) - 1))
    victim[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ConfigError) as refused:
        verify(*((bytes(victim), signature) if which else (bundle, bytes(victim))), trusted)
    assert refused.value.code in {"signature_invalid", "signature_untrusted"}


@settings(max_examples=50, deadline=None)
@given(cut=st.integers(1, 400), tail=st.binary(max_size=3))
def test_truncated_and_extended_signatures_are_refused(
    signed: tuple[bytes, bytes, dict[str, bytes]], cut: int, tail: bytes
) -> None:
    bundle, signature, trusted = signed
    altered = signature[:-cut] if not tail else signature + tail
    with pytest.raises(ConfigError):
        verify(bundle, altered, trusted)
    with pytest.raises(ConfigError):
        verify(bundle + tail if tail else bundle[:-cut], signature, trusted)


def test_a_signature_for_another_purpose_is_none_over_a_bundle(tmp_path: Path) -> None:
    signer = create_key_file(tmp_path / "k.pem")
    data = b"{}"
    honest = json.loads(sign(data, signer))

    class Confused:
        name = "confused"

        def sign(self, message: bytes) -> bytes:
            assert message != data
            return signer.sign(data)  # over the document itself, as a log's checkpoint would be

        def public_key_der(self) -> bytes:
            return signer.public_key_der()

    trusted = {"k": signer.public_key_der()}
    assert verify(data, sign(data, signer), trusted) == "k"
    confused = sign(data, Confused())
    assert json.loads(confused)["key"] == honest["key"]
    with pytest.raises(ConfigError) as refused:
        verify(data, confused, trusted)
    assert refused.value.code == "signature_invalid"


def test_the_name_of_the_signer_is_the_verifiers_own(signed: tuple[bytes, bytes, dict[str, bytes]]) -> None:
    bundle, signature, trusted = signed
    assert verify(bundle, signature, {"my-name-for-it": trusted["release"]}) == "my-name-for-it"


def test_without_trusted_keys_nothing_is_trusted(signed: tuple[bytes, bytes, dict[str, bytes]]) -> None:
    bundle, signature, _ = signed
    with pytest.raises(ConfigError) as refused:
        verify(bundle, signature, {})
    assert refused.value.code == "signature_untrusted"


def test_one_bad_file_among_the_trusted_keys_refuses_all(tmp_path: Path) -> None:
    signer = create_key_file(tmp_path / "k.pem")
    trust = tmp_path / "trusted"
    trust.mkdir()
    assert trusted_keys(trust) == {}
    (trust / "good.pem").write_bytes(public_pem(signer.public_key_der()))
    assert trusted_keys(trust) == {"good": signer.public_key_der()}
    (trust / "bad.pem").write_text("junk")
    with pytest.raises(ConfigError) as refused:
        trusted_keys(trust)
    assert refused.value.code == "trust_invalid"


def snapshot_of(bundle: Bundle) -> object:
    return compile_snapshot(bundle, signed_by="", now_ms=0)


def test_the_snapshot_follows_from_the_bundle_alone(demo: Path) -> None:
    bundle = build(demo)
    assert snapshot_of(bundle) == snapshot_of(parse_bundle(bundle.data))


DEPLOYMENTS = """\
deployments:
  near:
    {provider: openai_compatible, model: m, location: on_premises, region: eu, base_url: "http://10.0.0.1"}
  far:
    provider: openai_compatible
    model: m
    location: external
    region: us
    base_url: https://llm.example
    secret: env:KEY
    price: {input_per_million: "0.15", output_per_million: "12.000001", cached_per_million: "0"}
  narrow:
    provider: openai_compatible
    model: m
    location: external
    region: us
    base_url: https://llm.example
    secret: env:KEY
    data_classes: [public]
"""


def test_deployments_are_compiled(demo: Path) -> None:
    (demo / "models" / "more.yaml").write_text(DEPLOYMENTS)
    snapshot = compile_snapshot(build(demo), signed_by="me", now_ms=5)
    everything = {"public", "internal", "personal", "special_category", "payment", "secret"}
    assert set(snapshot.deployments["near"].data_classes) == everything
    assert set(snapshot.deployments["far"].data_classes) == {"public", "internal", "personal"}
    assert snapshot.deployments["narrow"].data_classes == ("public",)
    assert snapshot.deployments["near"].price is None
    assert snapshot.deployments["far"].price == Price(150_000, 12_000_001, 0)
    assert snapshot.deployment_settings["far"].secret == "env:KEY"
    assert (snapshot.signed_by, snapshot.built_ms) == ("me", 5)
    assert len(snapshot.use_case_digests["assistant"]) == 64


def test_a_use_case_digest_changes_with_the_use_case_only(demo: Path) -> None:
    before = compile_snapshot(build(demo), signed_by="", now_ms=0)
    (demo / "models" / "more.yaml").write_text(DEPLOYMENTS)
    after = compile_snapshot(build(demo), signed_by="", now_ms=0)
    assert after.revision != before.revision
    assert after.use_case_digests == before.use_case_digests
    (demo / USE).write_text((demo / USE).read_text().replace("Demo assistant", "Another"))
    assert compile_snapshot(build(demo), signed_by="", now_ms=0).use_case_digests != before.use_case_digests


def test_a_workspace_may_replace_the_default_screen(demo: Path) -> None:
    assert compile_snapshot(build(demo), signed_by="", now_ms=0).screens["default"].title == "Built-in default"
    (demo / "guardrails" / "s.yaml").write_text("screens:\n  default: {title: Ours}\n")
    assert compile_snapshot(build(demo), signed_by="", now_ms=0).screens["default"].title == "Ours"
