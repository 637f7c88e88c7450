"""All configuration files of MMDetection 2.28.2: which of them train here, and why not the rest.

Those that are entries of the zoo are in ``test_equality.py``.
"""

from __future__ import annotations

import re

import pytest

from detzoo import zoo
from detzoo.errors import ConfigError
from detzoo.mmdet import import_file
from tests.mmdet.published import CONFIGS, published_configs
from tests.mmdet.test_equality import CONTRADICTORY, OF_ANOTHER_WIDTH, OWN_FAMILIES

ENTRIES = {
    f"{family.folder}/{entry.name}.py": entry
    for family in zoo.families()
    if family.folder not in OWN_FAMILIES
    for entry in family.entries
}
# By the beginning of their names, what refuses the files that are no entries.
REFUSED = {
    "common/": "model: missing: this file describes no detector",  # parts of others
    "(retinanet|ssd)/ascend_": "detzoo has no dense head called 'Ascend",  # for Huawei's chips
}


def files() -> list[str]:
    """All but those that only others are made of."""
    found = (path.relative_to(CONFIGS).as_posix() for path in CONFIGS.glob("*/*.py"))
    return sorted(file for file in found if not file.startswith("_base_"))


def reason(file: str) -> str | None:
    return next((why for start, why in REFUSED.items() if re.match(start, file)), None)


@pytest.mark.parametrize("file", [f for f in files() if f not in ENTRIES])
def test_files_that_are_no_entries_say_why(file: str) -> None:
    with pytest.raises(ConfigError, match=reason(file)):
        import_file(published_configs() / file)


def test_the_count() -> None:
    """Of 632 files without those for Huawei's chips, 618 are the entries of their names.

    ``python -m tests.mmdet`` reads all of them, and says of each other one why not.
    """
    published_configs()
    found = [file for file in files() if "/ascend_" not in file]
    assert len(found) == 632
    assert set(ENTRIES) <= set(found)
    others = [file for file in found if file not in ENTRIES]
    assert len(others) == 6
    assert all(file.startswith("common/") for file in others)  # parts of others
    assert CONTRADICTORY.keys().isdisjoint(OF_ANOTHER_WIDTH)
    equal = len(ENTRIES) - len(CONTRADICTORY) - len(OF_ANOTHER_WIDTH)
    assert equal == 618
