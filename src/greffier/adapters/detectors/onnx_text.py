"""A text classifier of the operator's own, from an ONNX file and a tokenizer file; nothing is fetched.

Both files are pinned by digest: the bytes that are hashed are the bytes that are loaded, and a model that would read
further files cannot. Inference runs in a thread of its own (the runtime releases the interpreter) with a deadline; what
is late is stopped and counts as not measured. A text is classified in overlapping windows to its end, never cut off.
"""

import asyncio
import hashlib
import hmac
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers import Tokenizer

from greffier.core.errors import Code, GreffierError
from greffier.core.rulings import Finding
from greffier.guardrails.ports import DetectorError, Measured, Passage
from greffier.guardrails.settings import OnnxSettings, PinnedFile

_BATCH = 16
_PROBE = "What are your opening hours?"
_MOST_TOKENIZER_BYTES = 64 << 20


class _Window:
    """A piece of a passage as the model takes it."""

    __slots__ = ("end", "ids", "passage", "start")

    def __init__(self, passage: int, ids: Sequence[int], start: int, end: int) -> None:
        self.passage = passage
        self.ids = ids
        self.start = start
        self.end = end


class OnnxClassifier:
    """`OutsideDetector` over a model file.

    Args:
        name: As screens name it.
        settings: Files, labels and limits.
        base: Folder that the files' paths are relative to.
        timeout_s: For all passages of a request, waiting for the thread included.
        max_chars: Longest text it takes.

    Raises:
        GreffierError: A file is missing, too large, not the one that was pinned, or no classifier with these labels.
    """

    def __init__(self, name: str, settings: OnnxSettings, base: Path, *, timeout_s: float, max_chars: int) -> None:
        self.name = name
        self._labels = settings.labels
        self._settings = settings
        self._timeout_s = timeout_s
        self._max_chars = max_chars
        self._rule = f"onnx:{settings.model.sha256[:12]}"
        model = _pinned(name, base, settings.model, settings.max_mib << 20)
        vocabulary = _pinned(name, base, settings.tokenizer, _MOST_TOKENIZER_BYTES)
        try:
            self._tokenizer = Tokenizer.from_str(vocabulary.decode())
            self._pad = (self._tokenizer.padding or {}).get("pad_id", 0)
            self._tokenizer.no_padding()
            self._tokenizer.enable_truncation(settings.max_tokens, stride=settings.overlap_tokens)
            self._session = onnxruntime.InferenceSession(
                model, sess_options=_options(settings.threads), providers=["CPUExecutionProvider"]
            )
            self._inputs = tuple(each.name for each in self._session.get_inputs())
            shape = self._infer(self._windows([Passage(_PROBE)]), onnxruntime.RunOptions()).shape
        except Exception as error:  # whatever the two libraries raise, the workspace named a file that cannot be used
            raise _unusable(name, f"its files cannot be used: {str(error).splitlines()[0][:200]}") from error
        if shape[1:] != (len(settings.labels),):
            raise _unusable(name, f"the model has outputs of shape {shape[1:]}, not {len(settings.labels)} labels")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"onnx-{name}")

    async def close(self) -> None:
        """End the thread; what still runs in it ends unheard."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def measure_all(
        self, screen: str, passages: Sequence[Passage], *, scores: bool = False
    ) -> tuple[Measured, ...]:
        """See `OutsideDetector.measure_all`; every screen gets the same answer.

        Raises:
            DetectorError: A text is too long, or the model failed or was too slow.
        """
        del screen
        if any(len(passage.text) > self._max_chars for passage in passages):
            raise DetectorError(f"{self.name}: a text is longer than {self._max_chars} characters")
        run = onnxruntime.RunOptions()
        running = asyncio.get_running_loop().run_in_executor(self._thread, self._classify, tuple(passages), run)
        try:
            async with asyncio.timeout(self._timeout_s):
                chances = await running
        except TimeoutError:
            raise DetectorError(f"{self.name}: no answer in time") from None
        except DetectorError:
            raise
        except Exception as error:  # the runtime has many classes of failure, and all of them mean: not measured
            raise DetectorError(f"{self.name}: {str(error).splitlines()[0][:200]}") from error
        finally:
            run.terminate = True  # the thread is free for the next request before the model has finished this one
        return tuple(self._measured(found, scores=scores) for found in chances)

    def _measured(self, found: list[tuple[_Window, npt.NDArray[np.float32]]], *, scores: bool) -> Measured:
        findings: list[Finding] = []
        best: dict[str, float] = {}
        for window, chances in found:
            for label, chance in zip(self._labels, chances.tolist(), strict=True):
                if not label:
                    continue
                best[label] = max(best.get(label, 0.0), chance)
                if chance >= self._settings.at_least:
                    findings.append(
                        Finding(self.name, label, window.start, window.end, round(chance, 4), rule=self._rule)
                    )
        return Measured(tuple(findings), scores=best if scores else {})

    def _classify(self, passages: Sequence[Passage], run: Any) -> list[list[tuple[_Window, npt.NDArray[np.float32]]]]:
        """Windows and their chances, passage by passage; runs in the thread."""
        windows = self._windows(passages)
        found: list[list[tuple[_Window, npt.NDArray[np.float32]]]] = [[] for _ in passages]
        for at in range(0, len(windows), _BATCH):
            if run.terminate:
                raise DetectorError(f"{self.name}: stopped")
            batch = windows[at : at + _BATCH]
            for window, row in zip(batch, self._chances(self._infer(batch, run)), strict=True):
                found[window.passage].append((window, row))
        return found

    def _windows(self, passages: Sequence[Passage]) -> list[_Window]:
        windows: list[_Window] = []
        encodings = self._tokenizer.encode_batch([passage.text for passage in passages])
        for index, (passage, first) in enumerate(zip(passages, encodings, strict=True)):
            if not passage.text:
                continue
            if len(first.overflowing) >= self._settings.max_windows:
                raise DetectorError(f"{self.name}: a text has more than {self._settings.max_windows} windows")
            for piece in (first, *first.overflowing):
                real = [
                    span for span, special in zip(piece.offsets, piece.special_tokens_mask, strict=True) if not special
                ]
                start = min((span[0] for span in real), default=0)
                end = max((span[1] for span in real), default=len(passage.text))
                windows.append(_Window(index, piece.ids, start, end))
        return windows

    def _infer(self, windows: Sequence[_Window], run: Any) -> npt.NDArray[np.float32]:
        length = max(len(window.ids) for window in windows)
        ids = np.full((len(windows), length), self._pad, dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, window in enumerate(windows):
            ids[row, : len(window.ids)] = window.ids
            mask[row, : len(window.ids)] = 1
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        feed = {name: given[name] for name in self._inputs}
        logits: npt.NDArray[np.float32] = self._session.run(None, feed, run)[0]
        return logits

    def _chances(self, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        if not np.isfinite(logits).all():
            raise DetectorError(f"{self.name}: the model computes no numbers")
        if self._settings.activation == "sigmoid":
            return np.asarray(1 / (1 + np.exp(-logits)), dtype=np.float32)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def _options(threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what matters is raised
    return options


def _pinned(name: str, base: Path, file: PinnedFile, limit: int) -> bytes:
    try:
        with (base / file.path).open("rb") as opened:
            data = opened.read(limit + 1)
    except OSError as error:
        raise _unusable(name, f"{file.path} cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise _unusable(name, f"{file.path} is larger than {limit >> 20} MiB")
    found = hashlib.sha256(data).hexdigest()
    if not hmac.compare_digest(found, file.sha256):
        raise _unusable(name, f"{file.path} has the digest {found}, not the one that the workspace pins")
    return data


def _unusable(name: str, why: str) -> GreffierError:
    return GreffierError(
        Code.GUARDRAIL_UNAVAILABLE,
        f"the detector '{name}' cannot be used: {why}",
        "Restore the file that was reviewed, or correct the detector in guardrails/.",
    )
