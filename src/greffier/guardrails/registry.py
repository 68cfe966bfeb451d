"""Detectors by name, as screens refer to them."""

from collections.abc import Callable, Mapping

from greffier.core.errors import Code, GreffierError
from greffier.guardrails.detectors.health import SpecialCategories
from greffier.guardrails.detectors.identifiers import Identifiers
from greffier.guardrails.detectors.injection_rules import InjectionRules
from greffier.guardrails.detectors.leak import Leaks
from greffier.guardrails.detectors.learned import attack_likelihood, learned_detectors
from greffier.guardrails.detectors.secrets import Secrets
from greffier.guardrails.detectors.signatures import Signatures
from greffier.guardrails.detectors.topics import Topics
from greffier.guardrails.ports import Detector, OutsideDetector
from greffier.guardrails.settings import ScreenSettings, TopicSettings
from greffier.guardrails.signature_packs import SignaturePack

Factory = Callable[[Mapping[str, TopicSettings]], Detector]
"""Builds a detector for a snapshot; gets the workspace's topics. Raises `GreffierError` when it cannot load."""


def _plain(make: Callable[[], Detector]) -> Factory:
    """A factory for a detector that does not depend on the workspace."""
    return lambda _topics: make()


DETECTORS: dict[str, Factory] = {
    "identifiers": _plain(Identifiers),
    "secrets": _plain(Secrets),
    "injection": _plain(lambda: InjectionRules(attack_likelihood())),
    "leak": _plain(Leaks),
    "health": _plain(SpecialCategories),
    "topics": Topics,
    **{name: _plain(make) for name, make in learned_detectors().items()},
}
"""Built-in detectors; an embedding application may add its own before it builds a `Guard`."""

DEFAULT: tuple[str, ...] = (
    *("identifiers", "secrets", "injection", "health", "topics", "leak"),
    *("injection_model", "names", "toxicity", "disallowed"),
)
"""What a screen without ``detectors`` uses."""

JUDGES: Mapping[str, tuple[str, ...]] = {
    "injection_model": ("prompt_injection", "jailbreak", "indirect_injection"),
    "toxicity": ("toxicity",),
    "disallowed": ("disallowed_topic",),
}
"""Detectors whose findings matter to rules only: no class of data and no edit follows from them. Where no rule of a
direction names their types they need not run; a rule with ``then: allow`` has them recorded all the same."""


class Builder:
    """Builds each detector once per snapshot and shares it between screens.

    Args:
        topics: As the workspace defines them.
        outside: Detectors in other processes, by the name under which screens ask for them.
        packs: Signature packs of the workspace.
    """

    def __init__(
        self,
        topics: Mapping[str, TopicSettings],
        outside: Mapping[str, OutsideDetector] | None = None,
        packs: Mapping[str, SignaturePack] | None = None,
    ) -> None:
        self._topics = topics
        self._packs = packs or {}
        self._outside = outside or {}
        self._built: dict[str, Detector] = {}

    def detectors(self, screen: str, settings: ScreenSettings) -> tuple[Detector, ...]:
        """The detectors a screen names, or the default ones.

        Raises:
            GreffierError: A name is unknown or its detector cannot load; the start must not go on without a detector
                that the workspace asked for.
        """
        names = settings.detectors or DEFAULT
        if self._packs and Signatures.name not in names:
            names = (*names, Signatures.name)  # whoever installs a pack wants it looked for everywhere
        return tuple(self._one(screen, name) for name in names if name not in self._outside)

    def outside(self, settings: ScreenSettings) -> tuple[OutsideDetector, ...]:
        """The detectors a screen names that work in other processes."""
        return tuple(self._outside[name] for name in settings.detectors if name in self._outside)

    def _one(self, screen: str, name: str) -> Detector:
        built = self._built.get(name)
        if built is None and name == Signatures.name:
            built = self._built[name] = Signatures(self._packs)
        if built is None:
            factory = DETECTORS.get(name)
            if factory is None:
                raise GreffierError(
                    Code.GUARDRAIL_UNAVAILABLE,
                    f"screen '{screen}' names the detector '{name}', which does not exist",
                    f"Use one of: {', '.join(sorted(DETECTORS))}.",
                )
            built = self._built[name] = factory(self._topics)
        return built
