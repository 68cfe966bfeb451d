"""Facts that documents state, each taken from what runs and carrying the digest of where it was found.

A fact with nothing to say comes out empty; the document then names it as missing instead of leaving it out.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from greffier import __version__
from greffier.config.bundle import digest
from greffier.governance.documents.document import Statement
from greffier.governance.documents.saying import Facts, each, own_cases, platform, setting
from greffier.governance.documents.sources import Sources
from greffier.governance.documents.terms import (
    content_retention,
    document_retention,
    erasure,
    record_retention,
    vendor_regions,
    vendors,
)
from greffier.governance.privacy.processing import controller_lines, recipients_of, subjects_and_data, transfers_of
from greffier.guardrails.settings import ScreenRule
from greffier.identity.settings import TenantSettings
from greffier.policy.settings import RuleSettings, UseCaseSettings

_JUDGED_BY_PEOPLE = ("require_approval", "escalate")
_SURFACES = (
    "An API that OpenAI's and Anthropic's client libraries speak: chat completions, responses, messages, embeddings, "
    "moderations, models. Self-hosted by the organisation; no copy is distributed by this installation."
)


# --- who


def controller(sources: Sources) -> Iterator[Statement]:
    """The controller, as ``greffier.yaml`` names it."""
    settings = sources.snapshot.workspace.controller
    yield setting(sources, "controller", "" if settings is None else ". ".join(controller_lines(settings)))


def _role(sources: Sources, use_case: UseCaseSettings) -> str:
    """Who the organisation is to the system, by name: Annex IV describes the provider's."""
    settings = sources.snapshot.workspace.controller
    if settings is None:
        return ""
    role = {"provider": "Provider", "both": "Provider and deployer"}.get(use_case.aia_role, "Deployer, not provider")
    represented = f"; authorised representative: {settings.representative}" if settings.representative else ""
    return f"{role}: {settings.name}, {settings.contact}{represented}"


def tenants(sources: Sources) -> Iterator[Statement]:
    """Organisations whose data is kept apart: the controllers a processor acts for, and how to reach each."""
    for settings in sources.snapshot.workspace.tenants.values():
        yield setting(sources, "tenants", ". ".join(_tenant_lines(settings)) if settings.contact else "")


def _tenant_lines(settings: TenantSettings) -> Iterator[str]:
    yield f"{settings.title}, {settings.contact}"
    for label, value in (("Representative", settings.representative), ("Data protection officer", settings.dpo)):
        if value:
            yield f"{label}: {value}"


# --- what for


def _purposes(_: Sources, use_case: UseCaseSettings) -> str:
    return f"{use_case.purpose}: {use_case.intended_purpose.strip()}"


def _for_whom(sources: Sources, use_case: UseCaseSettings) -> str:
    controller_ = sources.snapshot.workspace.tenants[use_case.tenant].title
    return f"for {controller_}, {_purposes(sources, use_case)}"


def _purpose(_: Sources, use_case: UseCaseSettings) -> str:
    approval = f" by {', '.join(use_case.approval.by)} on {use_case.approval.on}" if use_case.approval else ""
    return (
        f"{use_case.title}. {use_case.intended_purpose.strip()} Purpose {use_case.purpose}; role under the AI Act "
        f"{use_case.aia_role}; risk class {use_case.risk_class}; owner {use_case.owner}; {use_case.status}{approval}"
    )


def _basis(_: Sources, use_case: UseCaseSettings) -> str:
    basis = use_case.lawful_basis
    if basis is None:
        return ""
    articles = basis.article_6 + (f" and Art. {basis.article_9}" if basis.article_9 else "")
    return f"Lawful basis: GDPR Art. {articles}{', with consent in the ledger' if use_case.requires_consent else ''}"


# --- whose data, and where it goes


def _subjects_and_data(sources: Sources, use_case: UseCaseSettings) -> str:
    return subjects_and_data(sources.snapshot, use_case)


def _subjects(_: Sources, use_case: UseCaseSettings) -> str:
    effect = {"none": "no decisions about people", "assist": "assists decisions about people"}
    said = effect.get(use_case.decision_effect, "decisions with legal or similarly significant effect")
    return (
        f"{'; '.join(use_case.data_subjects)}; {said}. {use_case.decision_logic}".strip()
        if use_case.data_subjects
        else ""
    )


def _data(sources: Sources, use_case: UseCaseSettings) -> str:
    known = sources.snapshot.workspace.data_classes
    return "; ".join(known[name].title if name in known else name for name in use_case.data_classes)


def _recipients(sources: Sources, use_case: UseCaseSettings) -> str:
    return "; ".join(recipients_of(sources.snapshot, use_case)) or "none outside the organisation"


def _transfers(sources: Sources, use_case: UseCaseSettings) -> str:
    regions = f"regions allowed: {', '.join(use_case.regions)}" if use_case.regions else "no region is excluded"
    where = "on premises only" if use_case.on_premises_only else regions
    stated = transfers_of(sources.snapshot, use_case)
    return f"{stated}; {where}" if stated else ""


def _capture(_: Sources, use_case: UseCaseSettings) -> str:
    return "prompts and answers are kept, encrypted" if use_case.capture_content else "prompts and answers are not kept"


def security(sources: Sources) -> Iterator[Statement]:
    """Measures of Art. 32(1): what the controller says, and what the platform always does."""
    settings = sources.snapshot.workspace.controller
    if settings is not None and settings.security:
        yield setting(sources, "controller", settings.security)
    yield platform(
        "Authentication, purpose and policy are checked before each request; personal data are screened on the way in "
        "and out; captured content is encrypted under keys per tenant and person; identifiers are kept as keyed "
        "references; every decision is recorded in a signed, append-only log that outsiders can verify."
    )


# --- how it works


def software(_: Sources) -> Iterator[Statement]:
    """Which version runs."""
    yield platform(f"Greffier {__version__}; updates are installed by the operator.")


def surfaces(_: Sources) -> Iterator[Statement]:
    """How it can be reached."""
    yield platform(_SURFACES)


def architecture(sources: Sources) -> Iterator[Statement]:
    """The order of the stages."""
    yield platform(
        "Gateway, authentication, authorisation, limits, input screen, prompt, choice of deployment, call, output "
        "screen; two durable records per request, sealed in a Merkle log."
    )
    yield from deployments(sources)


def instructions(_: Sources) -> Iterator[Statement]:
    """Where the instructions for use are."""
    yield platform("The instructions for use are a document of their own: greffier docs build instructions.")


def _version(sources: Sources, use_case: UseCaseSettings) -> str:
    identity = sources.snapshot.use_case_digests[use_case.id]
    return (
        f"The version is the SHA-256 of its settings, {identity}; it stands on every record. Every change "
        "gives another."
    )


def _targets(sources: Sources) -> dict[str, None]:
    snapshot = sources.snapshot
    names = [name for use_case in own_cases(sources) for name in use_case.models if name in snapshot.models]
    return dict.fromkeys(target.deployment for name in names for target in snapshot.models[name].targets)


def deployments(sources: Sources) -> Iterator[Statement]:
    """Where models are called."""
    for name in _targets(sources):
        made = sources.snapshot.deployment_settings[name]
        where = made.location.replace("_", " ")
        says = f"{name}: model {made.model} through {made.provider}, {where}, region {made.region}"
        yield Statement(says, f"deployment:{name}", digest(made))


def hardware(sources: Sources) -> Iterator[Statement]:
    """Where the computing happens."""
    own = [name for name in _targets(sources) if sources.snapshot.deployments[name].location == "on_premises"]
    for name in _targets(sources):
        made = sources.snapshot.deployment_settings[name]
        where = "hardware of the organisation" if name in own else "hardware of the provider"
        yield Statement(f"{name}: {where}", f"deployment:{name}", digest(made))


def models(sources: Sources) -> Iterator[Statement]:
    """Names callers use, and what stands behind them."""
    for name in dict.fromkeys(name for use_case in own_cases(sources) for name in use_case.models):
        settings = sources.snapshot.models.get(name)
        if settings is not None:
            targets = ", ".join(target.deployment for target in settings.targets)
            yield Statement(f"Model {name}: {targets} (pre-trained)", f"model:{name}", digest(settings))


def prompt(sources: Sources) -> Iterator[Statement]:
    """The prompt the organisation wrote."""
    for use_case in own_cases(sources):
        found = sources.snapshot.prompts.get(use_case.prompt or "")
        if found is not None:
            says = f"Prompt {found.name}, version {found.version}, {len(found.text)} characters"
            yield Statement(says, f"prompt:{found.name}", found.digest)


def screen(sources: Sources) -> Iterator[Statement]:
    """What the screens do."""
    for use_case in own_cases(sources):
        found = sources.snapshot.screens[use_case.screen]
        says = f"Screen {use_case.screen}. Input: {_rules(found.input)}. Output: {_rules(found.output)}"
        yield Statement(says, f"screen:{use_case.screen}", digest(found))


def _rules(found: Iterable[ScreenRule]) -> str:
    return "; ".join(f"{rule.then} {', '.join(rule.types)} ({rule.id})" for rule in found) or "no rule"


def rules(sources: Sources) -> Iterator[Statement]:
    """Policy rules that may concern the use case."""
    listed = "; ".join(f"{rule.id} ({rule.effect}): {rule.description}" for rule in _concerning(sources))
    yield Statement(listed, "rules:all", digest(sources.snapshot.rules))


def _concerning(sources: Sources) -> Iterator[RuleSettings]:
    names = {use_case.id for use_case in own_cases(sources)}
    for rule in sources.snapshot.rules:
        if not rule.when.use_cases or names & set(rule.when.use_cases) or "*" in rule.when.use_cases:
            yield rule


def _limits(_: Sources, use_case: UseCaseSettings) -> str:
    stated = msgspec.to_builtins(use_case.limits)
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in stated.items()) or "no limit of its own"


def oversight(sources: Sources) -> Iterator[Statement]:
    """Where a person decides."""
    yield from each(_effect)(sources)
    human = [rule.id for rule in _concerning(sources) if rule.obligations.human_approval]
    yield Statement(
        f"Policy rules that ask for a person: {', '.join(human) or 'none'}", "rules:all", _rules_digest(sources)
    )
    for use_case in own_cases(sources):
        found = sources.snapshot.screens[use_case.screen]
        asking = [rule.id for rule in (*found.input, *found.output) if rule.then in _JUDGED_BY_PEOPLE]
        says = f"Rules of screen {use_case.screen} that ask for a person: {', '.join(asking) or 'none'}"
        yield Statement(says, f"screen:{use_case.screen}", digest(found))


def _effect(_: Sources, use_case: UseCaseSettings) -> str:
    return f"Effect of the answers on people: {use_case.decision_effect}. {use_case.decision_logic}".strip()


def _rules_digest(sources: Sources) -> str:
    return digest(sources.snapshot.rules)


# --- what was seen


def logging(sources: Sources) -> Iterator[Statement]:
    """How it records (AI Act Art. 12)."""
    settings = sources.snapshot.workspace.audit
    yield setting(
        sources,
        "audit",
        f"Every request leaves an admission and an outcome record without content, sealed every "
        f"{settings.seal_interval_ms} ms in log {settings.origin}; 'greffier audit show' explains one, 'greffier audit "
        f"verify' checks all. Captured content stays at most {settings.content_retention_days} days.",
    )


def usage(sources: Sources) -> Iterator[Statement]:
    """What the sealed log counted."""
    found = sources.usage
    if found is None:
        return
    seen = "; ".join(f"{name} {count}" for name, count in found.findings.items()) or "none"
    says = (
        f"From {found.since} to {found.until}: {found.answered} answered, {found.denied} refused, "
        f"{found.failed} failed, {found.cancelled} cancelled; findings: {seen}; {found.ratings} ratings of users"
    )
    yield Statement(says, f"log:{found.size}", found.root)


def evidence(sources: Sources) -> Iterator[Statement]:
    """Reports and certificates attached in ``evidence/``, with a summary of guardrail results."""
    for path, source in sources.files.items():
        if "/evidence/" in path:
            name = path.rpartition("/")[2]
            says = f"{name} ({len(source.data)} bytes){_results(source.data)}"
            yield Statement(says, f"evidence:{path}", hashlib.sha256(source.data).hexdigest())


def _results(data: bytes) -> str:
    try:
        found = msgspec.json.decode(data)
    except msgspec.DecodeError:
        return ""
    if not isinstance(found, Mapping) or not {"passed", "failed", "known_gaps"} <= set(found):
        return ""
    return f": guardrail tests, {found['passed']} passed, {found['failed']} failed, {found['known_gaps']} known gaps"


FACTS: dict[str, Facts] = {
    "architecture": architecture,
    "basis": each(_basis),
    "capture": each(_capture),
    "categories_of_processing": each(_for_whom),
    "content_retention": content_retention,
    "controller": controller,
    "data": each(_data),
    "deployments": deployments,
    "document_retention": document_retention,
    "erasure": each(erasure),
    "evidence": evidence,
    "hardware": hardware,
    "instructions": instructions,
    "limits": each(_limits),
    "logging": logging,
    "models": models,
    "oversight": oversight,
    "processor": controller,
    "prompt": prompt,
    "purpose": each(_purpose),
    "purposes": each(_purposes),
    "recipients": each(_recipients),
    "record_retention": record_retention,
    "role": each(_role),
    "rules": rules,
    "screen": screen,
    "security": security,
    "software": software,
    "subjects": each(_subjects),
    "subjects_and_data": each(_subjects_and_data),
    "surfaces": surfaces,
    "tenants": tenants,
    "transfers": each(_transfers),
    "usage": usage,
    "vendor_regions": vendor_regions,
    "vendors": vendors,
    "version": each(_version),
}
"""Facts by the name that ``governance/law/documents.yaml`` calls them."""
