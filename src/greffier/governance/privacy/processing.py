"""The record of processing activities (GDPR Art. 30(1)), made from the configuration in force, never kept by hand."""

from typing import Any

from greffier.config.snapshot import Snapshot
from greffier.governance.privacy.law import law
from greffier.governance.privacy.retention import Schedule
from greffier.policy.settings import UseCaseSettings

_MEASURES = (
    "Encryption of captured content under keys per person; keyed references instead of identifiers; access by role "
    "and purpose; input and output screening; tamper-evident log; two people for access to content"
)


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
    workspace = snapshot.workspace
    controller = workspace.controller
    basis = use_case.lawful_basis
    articles = [] if basis is None else [a for a in (basis.article_6, basis.article_9) if a]
    titles = [workspace.data_classes[name].title for name in use_case.data_classes if name in workspace.data_classes]
    return {
        "use_case": use_case.id,
        "digest": snapshot.use_case_digests[use_case.id],
        "title": use_case.title,
        "owner": use_case.owner,
        "lawful_basis": articles,
        "items": {
            "a": "" if controller is None else f"{controller.name}, {controller.contact}",
            "b": f"{use_case.purpose}: {use_case.intended_purpose}",
            "c": f"{'; '.join(use_case.data_subjects)} | {'; '.join(titles)}" if use_case.data_subjects else "",
            "d": "; ".join(recipients_of(snapshot, use_case)) or "none outside the organisation",
            "e": "; ".join(use_case.transfers) or "none stated",
            "f": storage_period(snapshot, use_case),
            "g": (controller.security if controller is not None and controller.security else _MEASURES),
        },
    }


def recipients_of(snapshot: Snapshot, use_case: UseCaseSettings) -> list[str]:
    """Recipients the workspace names, and the providers of external deployments."""
    found = dict.fromkeys(use_case.recipients)
    for name in use_case.models:
        for target in snapshot.models[name].targets if name in snapshot.models else ():
            deployment = snapshot.deployments[target.deployment]
            if deployment.location == "external":
                found[f"{deployment.provider} ({deployment.name}, {deployment.region})"] = None
    return list(found)


def storage_period(snapshot: Snapshot, use_case: UseCaseSettings) -> str:
    """How long, in a sentence."""
    if not use_case.capture_content:
        return use_case.retention_criteria or "content is not kept; records without content are kept as evidence"
    workspace = snapshot.workspace
    limit = Schedule(workspace.retention, snapshot.use_cases, workspace.audit.content_retention_days).limit(
        tenant=use_case.tenant,
        use_case=use_case.id,
        purpose=use_case.purpose,
        data_classes=frozenset(use_case.data_classes),
        part="prompt",
    )
    return f"content {limit.days} days ({limit.rule}). {use_case.retention_criteria}".strip()


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
