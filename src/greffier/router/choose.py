"""The choice: permitted deployments first and only, then healthy ones, then priority, then weight."""

import math
from collections.abc import Mapping
from hashlib import blake2b
from random import Random

from greffier.core.clock import Clock
from greffier.core.context import Grant, Route
from greffier.core.deployment import Deployment, Price
from greffier.core.errors import Code
from greffier.core.rulings import Allow, Deny, Ruling
from greffier.router.health import HealthBoard
from greffier.router.permit import Exclusion, RouteNeeds, exclusions, refusal
from greffier.router.settings import ModelSettings, TargetSettings

_MIN_RETRY_S = 1.0
_Target = tuple[TargetSettings, Deployment]


class Router:
    """Chooses for one snapshot, over a health board that outlives it."""

    def __init__(
        self,
        models: Mapping[str, ModelSettings],
        deployments: Mapping[str, Deployment],
        health: HealthBoard,
        randomness: Random,
        clock: Clock,
    ) -> None:
        """Resolve every target.

        Raises:
            ValueError: A model names a deployment that does not exist, or the same one twice.
        """
        self._models = models
        self._targets = {name: _resolve(name, model, deployments) for name, model in models.items()}
        self._health = health
        self._random = randomness
        self._clock = clock
        health.adopt(models)

    def choose(self, grant: Grant, needs: RouteNeeds) -> Ruling[Route]:
        """Order the permitted deployments: the choice first, then its stand-ins; open breakers come last."""
        model = self._models.get(grant.model)
        if model is None:
            return Deny(Code.MODEL_NOT_FOUND, "route:model", "The model does not exist.", param="model")
        permitted, excluded = self._permitted(grant, needs)
        if not permitted:
            return refusal(grant.model, excluded, needs)
        sticky = f"{grant.tenant}\0{needs.sticky_key}" if model.sticky and needs.sticky_key else ""
        ordered = self._by_health(self._by_weight(permitted, sticky))
        if not ordered:
            waits = [self._health.wait_s(deployment.name) for _, deployment in permitted]
            return Deny(
                Code.NO_HEALTHY_DEPLOYMENT,
                "route:health",
                f"All permitted deployments of {grant.model} are resting after failures.",
                retry_after_s=max(min(waits), _MIN_RETRY_S),
            )
        self._health.count_request(grant.model)
        route = Route(
            model=grant.model,
            candidates=tuple([deployment for _, deployment in ordered]),
            why=_why(_how(ordered, permitted, sticky=bool(sticky)), grant, needs, excluded),
            attempts=model.retry.attempts,
            excluded=tuple([(exclusion.deployment, exclusion.reason) for exclusion in excluded]),
        )
        return Allow(route, "route:permitted")

    def worst_price(self, grant: Grant, needs: RouteNeeds) -> Price | None:
        """The dearest price over all deployments that may answer, per kind of token; None if any is unknown.

        What later stages learn only narrows the candidates, so a reservation made with this price stays sufficient.
        With no candidate the price is zero: nothing can be called, and `choose` refuses.
        """
        if grant.model not in self._models:
            return None
        input_micro = output_micro = 0
        for _, deployment in self._permitted(grant, needs)[0]:
            price = deployment.price
            if price is None:
                return None
            input_micro = max(input_micro, price.input_micro, price.cached_micro or 0)
            output_micro = max(output_micro, price.output_micro)
        return Price(input_micro, output_micro)

    def _permitted(self, grant: Grant, needs: RouteNeeds) -> tuple[list[_Target], list[Exclusion]]:
        permitted: list[_Target] = []
        excluded: list[Exclusion] = []
        for target in self._targets[grant.model]:
            settings, deployment = target
            found = exclusions(deployment, grant, needs)
            if not found and settings.weight == 0:
                found = [Exclusion(deployment.name, "drained", "drained (weight 0)")]
            if found:
                excluded += found
            else:
                permitted.append(target)
        return permitted, excluded

    def _by_weight(self, targets: list[_Target], sticky: str) -> list[_Target]:
        """Lower priority first; within one, a weighted random order, or the same order each time for a sticky key.

        Sorting by -ln(u)/weight draws without replacement in proportion to the weights (Efraimidis & Spirakis 2006).
        With u hashed from key and name it is weighted rendezvous hashing: a deployment that leaves moves only its own.
        """
        if len(targets) == 1:
            return targets

        def place(target: _Target) -> tuple[int, float]:
            settings, deployment = target
            u = _hashed(sticky, deployment.name) if sticky else 1.0 - self._random.random()
            return settings.priority, -math.log(u) / settings.weight

        return sorted(targets, key=place)

    def _by_health(self, targets: list[_Target]) -> list[_Target]:
        """Healthy ones in their order, then those waiting for a probe, then open ones; none if no one may be called.

        A rested deployment keeps its place only in the one request that probes it.
        """
        healthy: list[_Target] = []
        rested: list[_Target] = []
        resting: list[_Target] = []
        for target in targets:
            name = target[1].name
            state = self._health.state(name)
            if state == "closed" or (state == "ready" and not healthy and self._health.claim_probe(name)):
                healthy.append(target)
            elif state == "ready":
                rested.append(target)
            else:
                resting.append(target)
        return healthy + rested + resting if healthy else []


def _resolve(name: str, model: ModelSettings, deployments: Mapping[str, Deployment]) -> tuple[_Target, ...]:
    targets: dict[str, _Target] = {}
    for settings in model.targets:
        deployment = deployments.get(settings.deployment)
        if deployment is None:
            raise ValueError(f"model {name} names the deployment {settings.deployment}, which does not exist")
        if deployment.name in targets:
            raise ValueError(f"model {name} names the deployment {settings.deployment} twice")
        targets[deployment.name] = (settings, deployment)
    return tuple(targets.values())


def _hashed(key: str, name: str) -> float:
    digest = blake2b(f"{key}\0{name}".encode(), digest_size=7).digest()
    return (int.from_bytes(digest, "big") + 1) / (1 << 56)


def _why(how: str, grant: Grant, needs: RouteNeeds, excluded: list[Exclusion]) -> str:
    """One sentence in printable ASCII, safe in a header; it names no deployment but the chosen one."""
    parts = [how]
    if grant.obligations.on_premises_only or needs.on_premises_only:
        parts.append("on-premises only")
    if grant.obligations.regions:
        parts.append(f"regions {'/'.join(grant.obligations.regions)}")
    if needs.data_classes:
        parts.append(f"data {'/'.join(needs.data_classes)}")
    if excluded:
        parts.append("others excluded")
    sentence = "; ".join(parts)
    if sentence.isascii() and sentence.isprintable():
        return sentence
    return "".join([char if " " <= char <= "~" else "?" for char in sentence])


def _how(ordered: list[_Target], permitted: list[_Target], *, sticky: bool) -> str:
    settings, chosen = ordered[0]
    rivals = [other for other, _ in permitted if other.priority == settings.priority]
    if len(permitted) == 1:
        how = "the only permitted deployment"
    elif len(rivals) == 1:
        how = f"alone at priority {settings.priority}"
    elif sticky:
        how = "sticky"
    else:
        how = f"weight {settings.weight} of {sum(other.weight for other in rivals)}"
    return f"{chosen.name}: {how}"
