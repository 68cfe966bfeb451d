"""List models: only those the caller may use."""

import asyncio

from greffier.boundary.points import Point
from greffier.boundary.trail import Answered, Evidence, enforce
from greffier.core.context import Arrival
from greffier.core.rulings import Refused
from greffier.identity.authenticators import Authenticators
from greffier.limits.service import Limits
from greffier.pipeline.answers import ModelCard
from greffier.pipeline.visit import Visit
from greffier.policy.decide import PolicyDecisionPoint


class ModelsPipeline:
    """The path of a request for the list of models."""

    def __init__(
        self,
        *,
        authenticators: Authenticators,
        policy: PolicyDecisionPoint,
        limits: Limits,
        evidence: Evidence,
        titles: dict[str, str],
        owner: str,
        created: int,
    ) -> None:
        self._authenticators = authenticators
        self._policy = policy
        self._limits = limits
        self._evidence = evidence
        self._titles = titles
        self._owner = owner
        self._created = created

    async def run(self, arrival: Arrival) -> tuple[ModelCard, ...]:
        """The models the caller may use, by name.

        Raises:
            Refused: The caller is unknown, or the evidence could not be written.
        """
        visit = Visit(arrival, self._evidence, self._limits)
        try:
            context = await enforce(visit.trail, Point.AUTHENTICATE, self._authenticators.authenticate(arrival))
            visit.identified(context)
            names = sorted(self._policy.visible_models(context))
            await visit.answered(Answered())
        except Refused as refused:
            raise await visit.refused(refused) from refused
        except asyncio.CancelledError:
            await visit.abandoned()
            raise
        return tuple(ModelCard(name, self._created, self._owner, self._titles.get(name, "")) for name in names)
