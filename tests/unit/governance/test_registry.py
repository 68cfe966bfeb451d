"""Every table anybody defines is answered for: who adds one must say whose data is in it."""

import importlib
import pkgutil
from pathlib import Path

from sqlalchemy import MetaData

import greffier.storage
from greffier.app.privacy_desk import open_office
from greffier.config.paths import WorkspacePaths
from greffier.governance.privacy.handling import unclaimed
from greffier.storage.inventory import state_entries


def defined_tables() -> dict[str, str]:
    """Name of each table of the embedded stores, and the module that defines it."""
    found: dict[str, str] = {}
    for module in pkgutil.iter_modules(greffier.storage.__path__):
        if module.ispkg:  # the same tables on PostgreSQL
            continue
        loaded = importlib.import_module(f"greffier.storage.{module.name}")
        for value in vars(loaded).values():
            if isinstance(value, MetaData):
                found |= dict.fromkeys(value.tables, module.name)
    return found


def test_every_table_is_claimed_by_a_connector(tmp_path: Path) -> None:
    paths = WorkspacePaths(tmp_path)
    paths.ensure()
    paths.settings.write_text("schema: 1\nname: t\nunsafe_development_mode: true\ntenants: {acme: {title: Acme}}\n")
    with open_office(paths) as office:
        claimed = {entry.partition(":")[2] for store in office.stores() for entry in store.holds}
        assert {name: module for name, module in defined_tables().items() if name not in claimed} == {}
        assert unclaimed(office.stores(), state_entries(paths)) == []


def test_no_two_connectors_answer_for_one_place(tmp_path: Path) -> None:
    paths = WorkspacePaths(tmp_path)
    paths.ensure()
    paths.settings.write_text("schema: 1\nname: t\nunsafe_development_mode: true\ntenants: {acme: {title: Acme}}\n")
    with open_office(paths) as office:
        entries = [entry for store in office.stores() for entry in store.holds]
    assert len(entries) == len(set(entries))
