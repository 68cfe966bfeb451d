"""Facts about how long things are kept, and about who runs models for the organisation."""

from collections.abc import Iterator

from greffier.config.bundle import digest
from greffier.governance.documents.document import Statement
from greffier.governance.documents.saying import each, own_cases, platform, setting
from greffier.governance.documents.sources import Sources
from greffier.governance.privacy.law import law as privacy_law
from greffier.governance.privacy.processing import provider_of, storage_period
from greffier.policy.settings import UseCaseSettings


def erasure(sources: Sources, use_case: UseCaseSettings) -> str:
    """How long the content of a use case stays."""
    return storage_period(sources.snapshot, use_case)


# --- how long


def content_retention(sources: Sources) -> Iterator[Statement]:
    """Rules for content."""
    workspace = sources.snapshot.workspace
    days = workspace.audit.content_retention_days
    yield setting(sources, "audit", f"Without another rule: {days} days, deleted by the gateway itself")
    for rule in workspace.retention:
        named = [value for value in (rule.tenant, rule.use_case, rule.purpose, rule.data_class) if value]
        yield setting(
            sources,
            "retention",
            f"{rule.store.capitalize()} of {', '.join(named) or 'everyone'}: {rule.days} days. {rule.reason}",
        )
    yield from each(erasure)(sources)


def record_retention(sources: Sources) -> Iterator[Statement]:
    """Floor for records."""
    floor = privacy_law().floors["automatic_logs"]
    says = f"To be kept at least {floor.days} days ({floor.article}); they hold no content and no name"
    yield setting(sources, "audit", says)


def document_retention(sources: Sources) -> Iterator[Statement]:
    """Floor for documents."""
    del sources
    yield platform(
        "To be kept ten years after the last version (AI Act Art. 18(1)); each build of a document is on record "
        "with its digest"
    )


# --- vendors


def vendors(sources: Sources) -> Iterator[Statement]:
    """Who runs models for us."""
    for name, made in sources.snapshot.deployment_settings.items():
        if made.location == "external":
            used = [case.title for case in own_cases(sources) if name in _behind(sources, case)]
            owner = provider_of(sources.snapshot, sources.snapshot.deployments[name])
            says = f"{owner} ({name}): model {made.model}, for {', '.join(used) or 'no approved use case'}"
            yield Statement(says, f"deployment:{name}", digest(made))
    if all(made.location != "external" for made in sources.snapshot.deployment_settings.values()):
        yield platform("No deployment is outside the organisation.")


def _behind(sources: Sources, use_case: UseCaseSettings) -> set[str]:
    known = sources.snapshot.models
    return {target.deployment for name in use_case.models if name in known for target in known[name].targets}


def vendor_regions(sources: Sources) -> Iterator[Statement]:
    """Where they process what."""
    for name, made in sources.snapshot.deployment_settings.items():
        if made.location == "external":
            known = sources.snapshot.workspace.data_classes
            named = sources.snapshot.deployments[name].data_classes
            classes = ", ".join(known[one].title if one in known else one for one in named)
            yield Statement(f"{name}: region {made.region}; may receive {classes}", f"deployment:{name}", digest(made))
    if all(made.location != "external" for made in sources.snapshot.deployment_settings.values()):
        yield platform("No deployment is outside the organisation.")
