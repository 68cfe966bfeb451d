"""Join the long-lived collaborators with one snapshot. Every concrete class meets here and nowhere else."""

from collections.abc import Iterable
from random import Random

from greffier.app.plant import Plant
from greffier.boundary.trail import Evidence
from greffier.config.settings import ServerSettings
from greffier.config.snapshot import Snapshot
from greffier.core.settings import LimitSettings
from greffier.gateway.exchange import Bounds
from greffier.gateway.ports import Pipelines
from greffier.guardrails.check import Checker
from greffier.guardrails.screen import Guard
from greffier.identity.authenticators import Authenticators
from greffier.identity.tokens import TokenVerifier
from greffier.limits.plan import Share, thin
from greffier.limits.service import Limits, SpendEntry
from greffier.pipeline.call import Caller
from greffier.pipeline.capture import Capture
from greffier.pipeline.chat import ChatPipeline
from greffier.pipeline.check import CheckPipeline
from greffier.pipeline.embed import EmbedPipeline
from greffier.pipeline.feedback import FeedbackPipeline
from greffier.pipeline.freshness import Expiry
from greffier.pipeline.ground import Grounding
from greffier.pipeline.models import ModelsPipeline
from greffier.pipeline.review import ReviewDesk, ReviewsPipeline
from greffier.pipeline.visit import Entrance
from greffier.policy.decide import PolicyDecisionPoint
from greffier.router.choose import Router

UNSIGNED = "unsigned"


def build_pipelines(plant: Plant, snapshot: Snapshot) -> Pipelines:
    """Build the request path of a snapshot.

    Raises:
        GreffierError: Something the workspace names cannot be loaded; the snapshot must not go into force.
    """
    workspace = snapshot.workspace
    clock = plant.clock
    providers = plant.providers.for_snapshot(snapshot)
    guard = Guard(
        snapshot.screens,
        snapshot.topics,
        clock=clock,
        outside=plant.own_detectors.for_snapshot(snapshot, providers),
        service=plant.guard_services.for_settings(workspace.guardrails_service),
        packs=snapshot.signature_packs,
    )
    randomness = Random()  # noqa: S311 - spreads load and hides nothing; the kernel would be asked for every request
    router = Router(snapshot.models, snapshot.deployments, plant.health, randomness, clock)
    entrance = Entrance(
        authenticators=Authenticators(plant.directory, _tokens(plant, snapshot)),
        policy=PolicyDecisionPoint(
            snapshot.use_cases,
            snapshot.use_case_digests,
            snapshot.rules,
            frozenset(snapshot.models),
            clock,
            standing=plant.standing,
        ),
        limits=_limits(plant, snapshot),
        evidence=Evidence(
            journal=plant.journal,
            observer=plant.observer,
            clock=clock,
            bundle=snapshot.revision,
            release=snapshot.signed_by or UNSIGNED,
            reference=plant.references,
        ),
        expiry=expiry_of(plant, snapshot),
    )
    extra_parameters = frozenset(p for d in snapshot.deployments.values() for p in d.extra_parameters)
    caller = Caller(providers, plant.health, workspace.server.request_timeout_s)
    return Pipelines(
        chat=ChatPipeline(
            entrance=entrance,
            guard=guard,
            reviews=ReviewDesk(guard, plant.reviews, plant.content, clock),
            grounding=Grounding(snapshot.use_cases, snapshot.prompts, snapshot.screens),
            router=router,
            caller=caller,
            capture=Capture(plant.content),
            output_caps=_output_caps(snapshot),
            extra_parameters=extra_parameters,
        ),
        embed=EmbedPipeline(entrance=entrance, guard=guard, router=router, caller=caller),
        models=ModelsPipeline(
            entrance=entrance,
            titles={name: model.title for name, model in snapshot.models.items()},
            owner=workspace.name,
            created=snapshot.built_ms // 1000,
        ),
        check=CheckPipeline(entrance=entrance, checker=Checker(guard)),
        feedback=FeedbackPipeline(
            entrance=entrance, reader=plant.reader, content=plant.content, observer=plant.metrics
        ),
        reviews=ReviewsPipeline(entrance=entrance, store=plant.reviews),
        known=entrance.known,
        extra_parameters=extra_parameters,
    )


def expiry_of(plant: Plant, snapshot: Snapshot) -> Expiry:
    """For how long a snapshot may serve without being confirmed."""
    workspace = snapshot.workspace
    development = not snapshot.signed_by
    return Expiry(plant.freshness, workspace.in_force, max_age_s=workspace.max_snapshot_age_s, development=development)


def recall_spend(plant: Plant, snapshot: Snapshot, spent: Iterable[SpendEntry]) -> None:
    """Count what was spent before this worker started; once, for the accounts outlive every snapshot."""
    _limits(plant, snapshot).replay(spent)


def limit_warnings(plant: Plant, snapshot: Snapshot) -> list[str]:
    """What ``/healthz`` says about ceilings that the workers cannot divide."""
    return thin(snapshot.workspace.limits, _case_limits(snapshot), plant.workers)


def _case_limits(snapshot: Snapshot) -> dict[str, LimitSettings]:
    return {name: use_case.limits for name, use_case in snapshot.use_cases.items()}


def _limits(plant: Plant, snapshot: Snapshot) -> Limits:
    settings = snapshot.workspace.limits
    use_cases = _case_limits(snapshot)
    share = Share() if settings.shared else Share(plant.worker, plant.workers)
    return Limits(settings, use_cases, plant.limits, plant.clock, share)


def _tokens(plant: Plant, snapshot: Snapshot) -> TokenVerifier:
    workspace = snapshot.workspace
    return TokenVerifier(workspace.tenants, plant.issuer_keys, plant.pseudonyms, workspace.identity)


def bounds_of(settings: ServerSettings) -> Bounds:
    """What callers may send, and how long they may take."""
    return Bounds(
        max_body_bytes=settings.max_body_bytes,
        max_json_depth=settings.max_json_depth,
        body_timeout_s=settings.body_timeout_s,
        max_concurrent_requests=settings.max_concurrent_requests,
    )


def _output_caps(snapshot: Snapshot) -> dict[str, int]:
    """Per model name, the longest answer any of its deployments may give when the caller sets no cap."""
    return {
        name: max(snapshot.deployments[target.deployment].max_output_tokens for target in model.targets)
        for name, model in snapshot.models.items()
    }
