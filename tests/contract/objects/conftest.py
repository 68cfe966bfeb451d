"""A real S3 server, and a sealed log whose copies lie in it."""

from collections.abc import Iterator

import pytest

from greffier.testing.object_storage import ObjectStorage, object_storage


@pytest.fixture(scope="session")
def storage() -> Iterator[ObjectStorage]:
    with object_storage() as running:
        yield running
