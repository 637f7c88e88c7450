import io
import json
import math

from rich.console import Console

from detzoo.evaluate import Metrics

BOXES = Metrics(
    {"bbox/AP": 0.12345, "bbox/APl": math.nan},
    "bbox/AP",
    {"bbox/AP": {"cat": 0.5, "dog": math.nan}, "bbox/APl": {"cat": math.nan, "dog": 0.25}},
)
MASKS = Metrics({"segm/AP": 0.5}, "segm/AP", {"segm/AP": {"cat": 0.75, "[red]dog": 0.25}})


def _printed(renderable):
    console = Console(width=60, file=io.StringIO())
    console.print(renderable)
    return console.file.getvalue()


def test_main_is_that_of_the_first():
    both = Metrics.merge([BOXES, MASKS])
    assert both.main == both["bbox/AP"] == 0.12345
    assert list(both.values) == ["bbox/AP", "bbox/APl", "segm/AP"]


def test_json_has_null_for_not_a_number():
    data = json.loads(json.dumps(Metrics.merge([BOXES, MASKS]).to_json(), allow_nan=False))
    assert data["main"] == "bbox/AP"
    assert data["metrics"] == {"bbox/AP": 0.12345, "bbox/APl": None, "segm/AP": 0.5}
    assert data["per_class"]["bbox/AP"] == {"cat": 0.5, "dog": None}


def test_table():
    rows = [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in _printed(Metrics.merge([BOXES, MASKS]).table(per_class=True)).splitlines()
        if line.startswith("│")
    ]
    assert rows == [
        ["AP", "0.123", "0.500"],
        ["APl", "-", ""],
        ["cat", "0.500", "-"],
        ["dog", "-", "0.250"],
        ["cat", "0.750"],
        ["[red]dog", "0.250"],
    ]
    assert "per class" not in _printed(BOXES.table())
