"""The record of processing activities (GDPR Art. 30(1)), made from the configuration in force, never kept by hand."""

from collections.abc import Iterator
from typing import Any

from greffier.config.settings import ControllerSettings
from greffier.config.snapshot import Snapshot
from greffier.core.deployment import Deployment
from greffier.governance.privacy.law import law
from greffier.governance.privacy.retention import Schedule
from greffier.policy.settings import UseCaseSettings

_MEASURES = (
    "Encryption of captured content under keys per person; keyed references instead of identifiers; access by role "
    "and purpose; input and output screening; tamper-evident log; two people for access to content"
)
_OF_NO_PERSON = frozenset({"public", "internal"})


def build_record(snapshot: Snapshot, tenant: str | None = None) -> dict[str, Any]:
    """All approved use cases that may process personal data, with the seven items of Art. 30(1)."""
    controller = snapshot.workspace.controller
    return {
        "law": law().citation,
        "items": law().processing_record,
        "revision": snapshot.revision,
        "controller": None
        if controller is None
        else {
            "name": controller.name,
            "contact": controller.contact,
            "joint_controllers": list(controller.joint_controllers),
            "representative": controller.representative,
            "dpo": controller.dpo,
        },
        "activities": [
            activity(snapshot, use_case)
            for use_case in snapshot.use_cases.values()
            if use_case.status == "approved" and tenant in (None, use_case.tenant)
        ],
    }


def activity(snapshot: Snapshot, use_case: UseCaseSettings) -> dict[str, Any]:
    """One use case as a processing activity."""
    controller = snapshot.workspace.controller
    basis = use_case.lawful_basis
    articles = [] if basis is None else [a for a in (basis.article_6, basis.article_9) if a]
    return {
        "use_case": use_case.id,
        "digest": snapshot.use_case_digests[use_case.id],
        "title": use_case.title,
        "owner": use_case.owner,
        "lawful_basis": articles,
        "items": {
            "a": "" if controller is None else ". ".join(controller_lines(controller)),
            "b": f"{use_case.purpose}: {use_case.intended_purpose}",
            "c": subjects_and_data(snapshot, use_case),
            "d": "; ".join(recipients_of(snapshot, use_case)) or "none outside the organisation",
            "e": transfers_of(snapshot, use_case),
            "f": storage_period(snapshot, use_case),
            "g": (controller.security if controller is not None and controller.security else _MEASURES),
        },
    }


def controller_lines(controller: ControllerSettings) -> Iterator[str]:
    """Who answers for it and how to reach them (Art. 30(1)(a)), a line each."""
    yield f"{controller.name}, {controller.contact}"
    for label, value in (
        ("Joint controllers", "; ".join(controller.joint_controllers)),
        ("Representative", controller.representative),
        ("Data protection officer", controller.dpo),
        ("Supervisory authority", controller.supervisory_authority),
    ):
        if value:
            yield f"{label}: {value}"


def categories_of(snapshot: Snapshot, use_case: UseCaseSettings) -> list[str]:
    """Categories of personal data: the use case's classes without those that are of no person."""
    known = snapshot.workspace.data_classes
    return [known[name].title for name in use_case.data_classes if name in known and name not in _OF_NO_PERSON]


def subjects_and_data(snapshot: Snapshot, use_case: UseCaseSettings) -> str:
    """Whose data, and which (Art. 30(1)(c)); empty where nobody said whose."""
    if not use_case.data_subjects:
        return ""
    data = "; ".join(categories_of(snapshot, use_case)) or "no personal data are intended"
    return f"People: {'; '.join(use_case.data_subjects)}. Data: {data}"


def recipients_of(snapshot: Snapshot, use_case: UseCaseSettings) -> list[str]:
    """Recipients the workspace names, and who runs external model servers; by name, where the register knows it."""
    register = snapshot.workspace.recipients
    found = dict.fromkeys(register[name].name if name in register else name for name in use_case.recipients)
    for server in external_servers(snapshot, use_case):
        found[f"{provider_of(snapshot, server)} ({server.name}, {server.region})"] = None
    return list(found)


def provider_of(snapshot: Snapshot, server: Deployment) -> str:
    """Who runs a model server: the recipient that the register says it is, else what kind of service it is."""
    register = snapshot.workspace.recipients.values()
    return next((one.name for one in register if server.name in one.deployments), server.provider)


def external_servers(snapshot: Snapshot, use_case: UseCaseSettings) -> list[Deployment]:
    """Model servers outside the organisation that the use case may reach."""
    names = [
        target.deployment
        for name in use_case.models
        if name in snapshot.models
        for target in snapshot.models[name].targets
    ]
    found = [snapshot.deployments[name] for name in dict.fromkeys(names)]
    return [
        server
        for server in found
        if server.location == "external"
        and not use_case.on_premises_only
        and (not use_case.regions or server.region in use_case.regions)
    ]


def third_country_servers(snapshot: Snapshot, use_case: UseCaseSettings) -> list[Deployment]:
    """Those in a region that is not known to lie in the European Economic Area."""
    inside = law().inside_eea
    return [server for server in external_servers(snapshot, use_case) if server.region.lower() not in inside]


def transfers_of(snapshot: Snapshot, use_case: UseCaseSettings) -> str:
    """Transfers to third countries in a sentence; empty where one takes place and nobody says what safeguards it."""
    outside = third_country_servers(snapshot, use_case)
    if outside and not use_case.transfers:
        return ""
    stated = "; ".join(use_case.transfers) or "no transfer to a third country is stated"
    if not outside:
        return stated
    return f"{stated}. Model servers outside the EEA: {'; '.join(f'{one.name} in {one.region}' for one in outside)}"


def storage_period(snapshot: Snapshot, use_case: UseCaseSettings) -> str:
    """How long, in a sentence."""
    floor = law().floors["automatic_logs"]
    records = f"Records without content or name are evidence and are kept for at least {floor.days} days."
    if not use_case.capture_content:
        return f"{use_case.retention_criteria or 'Content is not kept.'} {records}"
    workspace = snapshot.workspace
    limit = Schedule(workspace.retention, snapshot.use_cases, workspace.audit.content_retention_days).limit(
        tenant=use_case.tenant,
        use_case=use_case.id,
        purpose=use_case.purpose,
        data_classes=frozenset(use_case.data_classes),
        part="prompt",
    )
    kept = f"Content is deleted after {limit.days} {'day' if limit.days == 1 else 'days'}."
    return " ".join(filter(None, (kept, use_case.retention_criteria, records)))


def missing(record: dict[str, Any]) -> list[str]:
    """Items that nobody filled in."""
    gaps = [] if record["controller"] else ["controller (greffier.yaml)"]
    gaps += [
        f"{activity['use_case']} ({item}): {record['items'][item]}"
        for activity in record["activities"]
        for item, text in activity["items"].items()
        if not text and item != "a"
    ]
    return gaps
