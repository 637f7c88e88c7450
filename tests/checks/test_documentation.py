from __future__ import annotations

import re
from pathlib import Path

import detzoo.checks

PAGE = Path(__file__).parents[2] / "docs" / "data_check.md"


def test_every_finding_is_documented_with_its_severity() -> None:
    """In the table of ``docs/data_check.md``."""
    table = {
        kind: row.split("|")[2].strip()
        for row in PAGE.read_text("utf-8").splitlines()
        if row.startswith("| `")
        for kind in re.findall(r"`([a-z-]+)`", row.split("|")[1])
    }
    severities = {"error", "warning", "info"}
    code = "".join(file.read_text() for file in Path(detzoo.checks.__file__).parent.glob("*.py"))
    fixed = dict(
        re.findall(r'"([a-z]+(?:-[a-z]+)+|crowds|difficult)",\s+"(error|warning|info)"', code)
    )
    assert len(fixed) >= 12
    for kind, severity in fixed.items():
        assert table[kind] == severity, kind
    others = set(re.findall(r'"((?:box|image|object|class|mask|identical|similar)-[a-z-]+)"', code))
    assert others <= set(table) | severities, others - set(table)
