"""The JSON Schemas in ``docs/reference/schemas`` are the ones that ``greffier config schema`` writes."""

from pathlib import Path

from greffier.config.demo import write_schemas

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "schemas"


def test_the_published_schemas_are_current(tmp_path: Path) -> None:
    written = write_schemas(tmp_path)
    assert {path.name for path in REFERENCE.glob("*.json")} == {path.name for path in written}
    for path in written:
        assert (REFERENCE / path.name).read_bytes() == path.read_bytes(), (
            "run: greffier config schema docs/reference/schemas"
        )
