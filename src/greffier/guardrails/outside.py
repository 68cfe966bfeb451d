"""Detectors in other processes: asked about every text of a request at once, before rules decide about any of them.

Measuring in this process takes microseconds and waits for nothing, so screens measure text by text. Whoever must wait
(a guard service, an HTTP detector, a model as judge) is asked ahead: the same walk over the conversation that later
edits it first collects its texts. What nobody answered counts as not measured, never as clean.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from greffier.guardrails.engine import resolve
from greffier.guardrails.ports import DetectorError, Measured, OutsideDetector, Passage, Provenance

log = logging.getLogger(__name__)

Walk = Callable[[Callable[[str, Provenance], str]], object]
"""Visits every text of something with the given function."""

UNASKED = "outside"
"""Stands for the detector that should have been asked about a text and was not."""


class Outside:
    """What detectors in other processes said about the passages of one request or answer."""

    def __init__(self, known: Mapping[Passage, Measured] | None = None) -> None:
        self._known: dict[Passage, Measured] = dict(known or {})

    def joined(self, passage: Passage, measured: Measured) -> Measured:
        """What this process measured, together with what the others did."""
        theirs = self._known.get(passage)
        if theirs is None:
            return Measured(measured.findings, (*measured.failed, UNASKED), measured.scores)
        if not theirs.findings and not theirs.failed and not theirs.scores:
            return measured
        if not measured.findings and not measured.failed:
            return theirs
        findings = resolve((*measured.findings, *theirs.findings))
        return Measured(findings, (*measured.failed, *theirs.failed), {**measured.scores, **theirs.scores})

    def scores(self, passage: Passage) -> dict[str, float]:
        """Scores of classifiers in other processes, if they were asked for them."""
        return self._known.get(passage, _NOTHING).scores


_NOTHING = Measured()
_NOBODY = Outside()


async def ask_outside(
    screen: str, detectors: Sequence[OutsideDetector], walk: Walk, *, lang: str = "", scores: bool = False
) -> Outside:
    """Collect the texts that ``walk`` visits and ask every detector about all of them, side by side."""
    if not detectors:
        return _NOBODY
    passages: dict[Passage, None] = {}

    def collect(text: str, provenance: Provenance) -> str:
        passages[Passage(text, provenance, lang)] = None
        return text

    walk(collect)
    return Outside(await measure_outside(screen, detectors, tuple(passages), scores=scores))


async def measure_outside(
    screen: str, detectors: Sequence[OutsideDetector], passages: tuple[Passage, ...], *, scores: bool = False
) -> dict[Passage, Measured]:
    """Ask every detector about the passages. A detector that cannot measure is named in each answer."""
    if not passages:
        return {}
    answers = await asyncio.gather(*(_one(detector, screen, passages, scores=scores) for detector in detectors))
    return {passage: _merged([answer[at] for answer in answers]) for at, passage in enumerate(passages)}


async def _one(
    detector: OutsideDetector, screen: str, passages: tuple[Passage, ...], *, scores: bool
) -> tuple[Measured, ...]:
    try:
        answer = await detector.measure_all(screen, passages, scores=scores)
    except DetectorError:
        return (Measured(failed=(detector.name,)),) * len(passages)
    except Exception:  # whatever it raised, it has not measured, and the screen's on_unavailable decides
        log.exception("the detector %s raised instead of measuring", detector.name)
        return (Measured(failed=(detector.name,)),) * len(passages)
    if len(answer) != len(passages):
        return (Measured(failed=(detector.name,)),) * len(passages)
    return answer


def _merged(answers: list[Measured]) -> Measured:
    if len(answers) == 1:
        return answers[0]
    return Measured(
        resolve([finding for answer in answers for finding in answer.findings]),
        tuple(dict.fromkeys(name for answer in answers for name in answer.failed)),
        {name: score for answer in answers for name, score in answer.scores.items()},
    )
