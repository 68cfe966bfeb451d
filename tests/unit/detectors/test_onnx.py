"""A classifier from a file: what was pinned is what runs, to the end of the text and within its time."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from greffier.adapters.detectors.onnx_text import OnnxClassifier
from greffier.core.errors import GreffierError
from greffier.guardrails.ports import DetectorError, Passage
from greffier.guardrails.settings import OnnxSettings
from greffier.testing.onnx_model import write_classifier

WEIGHTS = {"lawsuit": 5.0, "sue": 4.0, "friendly": -4.0}


def settings(given: dict[str, Any], **changes: Any) -> OnnxSettings:
    return msgspec.convert(
        {**given, "labels": ["", "legal_threat"], "max_tokens": 16, "overlap_tokens": 4, **changes}, OnnxSettings
    )


def built(folder: Path, timeout_s: float = 30.0, **changes: Any) -> OnnxClassifier:
    return OnnxClassifier(
        "lawyer", settings(write_classifier(folder, WEIGHTS), **changes), folder, timeout_s=timeout_s, max_chars=100_000
    )


async def test_it_finds_its_label_in_code_points(tmp_path: Path) -> None:
    classifier = built(tmp_path)
    texts = ("nothing here", "\U0001f600 a lawsuit", "", "friendly lawsuit")
    measured = await classifier.measure_all("s", [Passage(text) for text in texts], scores=True)
    assert [[(f.type, f.start, f.end) for f in each.findings] for each in measured] == [
        [],
        [("legal_threat", 0, 11)],
        [],
        [],
    ]
    assert measured[1].findings[0].rule.startswith("onnx:")
    assert measured[1].scores["legal_threat"] == pytest.approx(1 / (1 + np.exp(-3.0)), abs=1e-6)
    assert measured[3].scores["legal_threat"] == pytest.approx(1 / (1 + np.exp(1.0)), abs=1e-6)
    assert measured[2].scores == {}
    await classifier.close()


async def test_scores_are_told_only_when_asked_for(tmp_path: Path) -> None:
    classifier = built(tmp_path)
    assert (await classifier.measure_all("s", [Passage("a lawsuit")]))[0].scores == {}
    await classifier.close()


@pytest.mark.parametrize("words", [0, 5, 12, 13, 14, 15, 40, 199])
async def test_a_text_is_read_to_its_end_in_windows(tmp_path: Path, words: int) -> None:
    classifier = built(tmp_path)
    text = "word " * words + "we sue with a lawsuit"
    (measured,) = await classifier.measure_all("s", [Passage(text)])
    assert measured.findings
    assert max(f.end for f in measured.findings) == len(text)
    assert min(f.start for f in measured.findings) <= text.index("lawsuit")
    await classifier.close()


async def test_sigmoid_and_threshold(tmp_path: Path) -> None:
    classifier = built(tmp_path, activation="sigmoid", at_least=0.97)
    found = await classifier.measure_all("s", [Passage("lawsuit"), Passage("lawsuit sue")])
    assert [len(each.findings) for each in found] == [0, 1]
    await classifier.close()


async def test_a_text_of_too_many_windows_or_characters_is_not_measured(tmp_path: Path) -> None:
    classifier = built(tmp_path, max_windows=2)
    with pytest.raises(DetectorError, match="more than 2 windows"):
        await classifier.measure_all("s", [Passage("word " * 60)])
    with pytest.raises(DetectorError, match="longer than 100000"):
        await classifier.measure_all("s", [Passage("x" * 100_001)])
    await classifier.close()


async def test_what_computes_no_numbers_has_not_measured(tmp_path: Path) -> None:
    given = write_classifier(tmp_path, {"odd": float("nan")})
    classifier = OnnxClassifier("l", settings(given), tmp_path, timeout_s=30, max_chars=1000)
    with pytest.raises(DetectorError, match="no numbers"):
        await classifier.measure_all("s", [Passage("odd")])
    assert (await classifier.measure_all("s", [Passage("even")]))[0].findings == ()
    await classifier.close()


async def test_late_answers_are_stopped_and_the_next_request_is_served(tmp_path: Path) -> None:
    classifier = built(tmp_path, timeout_s=0.2)
    (tmp_path / "endless").mkdir()
    given = write_classifier(tmp_path / "endless", WEIGHTS, endless=True)
    session = classifier._session
    import onnxruntime  # noqa: PLC0415 - only this test exchanges the model behind the detector's back

    classifier._session = onnxruntime.InferenceSession(str(tmp_path / "endless" / given["model"]["path"]))
    with pytest.raises(DetectorError, match="no answer in time"):
        await classifier.measure_all("s", [Passage("a lawsuit")])
    classifier._session, classifier._timeout_s = session, 30.0
    (measured,) = await classifier.measure_all("s", [Passage("a lawsuit")])  # the only thread is free again
    assert measured.findings
    await classifier.close()


async def test_many_at_once_all_get_their_own_answer(tmp_path: Path) -> None:
    classifier = built(tmp_path)
    texts = [f"text {at} " + ("lawsuit" if at % 3 == 0 else "") for at in range(60)]
    answers = await asyncio.gather(*(classifier.measure_all("s", [Passage(text)]) for text in texts))
    assert [bool(measured.findings) for (measured,) in answers] == [at % 3 == 0 for at in range(60)]
    await classifier.close()


@pytest.mark.parametrize("file", ["model.onnx", "tokenizer.json"])
def test_another_file_than_the_pinned_one_is_refused(tmp_path: Path, file: str) -> None:
    given = settings(write_classifier(tmp_path, WEIGHTS))
    data = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(GreffierError, match="not the one that the workspace pins"):
        OnnxClassifier("l", given, tmp_path, timeout_s=1, max_chars=1000)
    (tmp_path / file).unlink()
    with pytest.raises(GreffierError, match="cannot be read"):
        OnnxClassifier("l", given, tmp_path, timeout_s=1, max_chars=1000)


def test_files_have_a_size_limit(tmp_path: Path) -> None:
    given = write_classifier(tmp_path, {f"word{at}": 1.0 for at in range(160_000)})
    with pytest.raises(GreffierError, match=r"model\.onnx is larger than 1 MiB"):
        OnnxClassifier("l", settings(given, max_mib=1), tmp_path, timeout_s=1, max_chars=1000)


def test_labels_must_be_those_of_the_model(tmp_path: Path) -> None:
    given = write_classifier(tmp_path, WEIGHTS)
    with pytest.raises(GreffierError, match="not 3 labels"):
        OnnxClassifier("l", settings(given, labels=["", "a", "b"]), tmp_path, timeout_s=1, max_chars=1000)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    given = write_classifier(tmp_path, WEIGHTS)
    given["model"] = given["tokenizer"]
    with pytest.raises(GreffierError, match="its files cannot be used"):
        OnnxClassifier("l", settings(given), tmp_path, timeout_s=1, max_chars=1000)
