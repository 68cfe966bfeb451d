"""List models: only those the caller may use."""

from greffier.boundary.trail import Answered
from greffier.core.context import Arrival
from greffier.pipeline.answers import ModelCard
from greffier.pipeline.visit import Entrance


class ModelsPipeline:
    """The path of a request for the list of models."""

    def __init__(
        self,
        *,
        entrance: Entrance,
        titles: dict[str, str],
        owner: str,
        created: int,
    ) -> None:
        self._entrance = entrance
        self._titles = titles
        self._owner = owner
        self._created = created

    async def run(self, arrival: Arrival) -> tuple[ModelCard, ...]:
        """The models the caller may use, by name.

        Raises:
            Refused: The caller is unknown, or the evidence could not be written.
        """
        async with self._entrance.visit(arrival) as visit:
            context = await self._entrance.identify(visit, arrival)
            names = sorted(self._entrance.policy.visible_models(context))
            await visit.answered(Answered())
        return tuple(ModelCard(name, self._created, self._owner, self._titles.get(name, "")) for name in names)
