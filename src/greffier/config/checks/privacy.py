"""Checks of what concerns data protection: consent, retention, the controller's time zone, how long it all holds."""

from collections.abc import Collection, Iterator
from datetime import date
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from greffier.config.checks.references import environment, exists
from greffier.config.problems import Path, Problem, quoted
from greffier.config.settings import RetentionRule, WorkspaceSettings
from greffier.config.workspace import Located, Sources
from greffier.policy.settings import UseCaseSettings

CONSENT = "6(1)(a)"
_SAFE = ("https://", "env:", "http://127.0.0.1:", "http://localhost:", "http://[::1]:")


def check_privacy(sources: Sources) -> Iterator[Problem]:
    """Check use cases, retention rules and the controller."""
    for place in sources.use_cases.values():
        yield from _consent(place)
    if sources.settings is not None:
        yield from _valid_until(sources.settings)
        yield from _timezone(sources.settings)
        yield from _retention(sources.settings, sources)
        yield from _recipients(sources.settings, sources)


def _valid_until(place: Located[WorkspaceSettings]) -> Iterator[Problem]:
    last = place.value.valid_until
    try:
        date.fromisoformat(last or "2026-01-01")
    except ValueError:
        yield place.problem(
            ("valid_until",), "wrong_value", f"There is no day {quoted(last)}.", "Write it as YYYY-MM-DD."
        )


def _consent(place: Located[UseCaseSettings]) -> Iterator[Problem]:
    use_case = place.value
    basis = use_case.lawful_basis
    if use_case.requires_consent and (basis is None or basis.article_6 != CONSENT):
        yield place.problem(
            ("requires_consent",),
            "consent_without_basis",
            "The use case asks for consent, but consent is not the basis it states.",
            f"Set 'article_6: \"{CONSENT}\"', or remove 'requires_consent'.",
        )
    if use_case.decision_effect == "legal_or_similar" and not use_case.decision_logic.strip():
        yield place.problem(
            ("decision_effect",),
            "logic_missing",
            "Decisions with legal effect must be explained to the people concerned (GDPR Art. 15(1)(h), 22).",
            "Add 'decision_logic:' in words they understand.",
        )


def _timezone(place: Located[WorkspaceSettings]) -> Iterator[Problem]:
    controller = place.value.controller
    if controller is None:
        return
    try:
        ZoneInfo(controller.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield place.problem(
            ("controller", "timezone"),
            "wrong_value",
            f"There is no time zone {quoted(controller.timezone)}.",
            "Write it as Europe/Berlin.",
        )


def _recipients(place: Located[WorkspaceSettings], sources: Sources) -> Iterator[Problem]:
    """Each recipient can be told in the way it says."""
    deployments = sources.deployments
    for key, recipient in place.value.recipients.items():
        path: Path = ("recipients", key)
        for index, name in enumerate(recipient.deployments):
            yield from exists(place, (*path, "deployments", index), "deployment", name, deployments)
        yield from environment(place, (*path, "webhook"), recipient.webhook)
        if recipient.webhook is not None and recipient.secret is None:
            yield place.problem(
                path,
                "missing_key",
                "A webhook needs 'secret', or anybody could tell the recipient to erase data.",
                "Add 'secret:' with a reference to the shared secret.",
                at_key=True,
            )
        if recipient.webhook is not None and recipient.mail_folder is not None:
            yield place.problem(
                (*path, "mail_folder"), "wrong_value", "One way to tell a recipient is enough.", "Remove one of them."
            )
        if recipient.mail_folder is not None and "@" not in recipient.contact:
            yield place.problem(
                path,
                "missing_key",
                "A message needs the e-mail address it goes to.",
                "Add 'contact:' with an e-mail address.",
                at_key=True,
            )
        if recipient.webhook is not None and not recipient.webhook.startswith(_SAFE):
            yield place.problem(
                (*path, "webhook"),
                "insecure_url",
                f"Expected https://, got {quoted(recipient.webhook)}: what is told would go unencrypted.",
                "Use https://; only loopback addresses may use http://.",
            )


def _retention(place: Located[WorkspaceSettings], sources: Sources) -> Iterator[Problem]:
    settings = place.value
    purposes = {use_case.value.purpose for use_case in sources.use_cases.values()}
    taken: set[str] = set()
    for index, rule in enumerate(settings.retention):
        if rule.id in taken:
            yield place.problem(
                ("retention", index, "id"),
                "duplicate",
                f"There are two retention rules {quoted(rule.id)}.",
                "Rename one of them.",
            )
        taken.add(rule.id)
        for field, name, known in _named(rule, settings, sources, purposes):
            if name is not None:
                yield from exists(place, ("retention", index, field), field.replace("_", " "), name, known)


def _named(
    rule: RetentionRule, settings: WorkspaceSettings, sources: Sources, purposes: Collection[str]
) -> Iterator[tuple[str, str | None, Collection[str]]]:
    yield "tenant", rule.tenant, settings.tenants
    yield "data_class", rule.data_class, settings.data_classes
    if "use_cases" not in sources.incomplete:
        yield "use_case", rule.use_case, sources.use_cases
        yield "purpose", rule.purpose, purposes
