"""Detectors whose weights were trained by ``training/train_all.py``; numpy only at run time."""

from collections.abc import Callable
from functools import lru_cache

from greffier.guardrails.detectors.learned.harm import Disallowed
from greffier.guardrails.detectors.learned.injection import InjectionModel
from greffier.guardrails.detectors.learned.names import Names
from greffier.guardrails.detectors.learned.toxicity import Toxicity
from greffier.guardrails.ports import Detector, Passage


def learned_detectors() -> dict[str, Callable[[], Detector]]:
    """Return the constructors of the learned detectors by name; each loads and checks its model file."""
    return {"injection_model": InjectionModel, "names": Names, "toxicity": Toxicity, "disallowed": Disallowed}


@lru_cache(maxsize=1)
def attack_likelihood() -> Callable[[Passage], float]:
    """Return what tells how likely an attack a whole text is, from 0 to 1, for detectors that want a second opinion."""
    model = InjectionModel()
    return lambda passage: model.scores(passage)["injection"]
