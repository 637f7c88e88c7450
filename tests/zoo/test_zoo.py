from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from detzoo import zoo
from detzoo.checkpoints.catalog import config_classes
from detzoo.config import check, from_dict, to_dict
from detzoo.errors import UserError
from detzoo.zoo.entry import Entry
from tests.meta import on_meta
from tests.mmdet.published import published_configs
from tests.shared import shared

# Two configurations for other hardware.
LEFT_OUT = re.compile(r"ascend_")
# detzoo's own detectors are no configurations of V2.
FAMILIES = [family.folder for family in zoo.families() if family.folder != "light"]


def test_names_are_unique() -> None:
    names = [entry.name for entry in zoo.entries()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("entry", zoo.entries(), ids=lambda entry: entry.name)
def test_entry(entry: Entry) -> None:
    """Reads back as it was written, holds only what its fields allow, and can be built."""
    classes = config_classes()
    written = json.loads(json.dumps(to_dict(entry.experiment)))
    assert from_dict(written, classes) == entry.experiment
    check(entry.experiment, classes)
    assert zoo.find(entry.name) is entry
    experiment = entry.experiment
    assert experiment.model.is_class_agnostic is (
        len(experiment.class_names) == 1 and "rpn" in entry.name
    )
    with on_meta():
        model = experiment.build_model()
    assert model.config == experiment.model
    counted = sum(parameter.numel() for parameter in model.parameters())
    refresh = "python docs/generate.py" + ("" if entry.parameters is None else " --all")
    assert entry.parameters == counted, f"detzoo/zoo/models.json is stale: run `{refresh}`"
    assert experiment.model.from_scratch().backbone.pretrained is None


def test_masks_are_loaded_exactly_where_they_are_predicted() -> None:
    for entry in zoo.entries():
        loads = entry.experiment.data.masks != "none"
        assert loads is entry.experiment.model.predicts_masks, entry.name


def test_entries_start_from_entries_that_are_there() -> None:
    starts = [e.experiment.initial_weights for e in zoo.entries() if e.experiment.initial_weights]
    assert starts
    for name in starts:
        assert zoo.find(name).weights is not None


def test_unknown_name() -> None:
    with pytest.raises(UserError, match="closest names are") as caught:
        zoo.find("faster_rcnn_r50_fpn_1x")
    assert "'faster_rcnn_r50_fpn_1x'" in str(caught.value)
    assert "faster_rcnn_r50_fpn_1x_coco" in str(caught.value)
    assert "detzoo models" in str(caught.value)
    with pytest.raises(UserError, match="no name is similar"):
        zoo.find("%%%%")


def test_family_and_place_of_the_weights() -> None:
    entry = zoo.find("retinanet_r50_fpn_1x_coco")
    family = zoo.family_of(entry)
    assert family.folder == "retinanet"
    wanted = f"retinanet/retinanet_r50_fpn_1x_coco/{entry.weights}"
    assert family.weights_path(entry) == wanted
    assert family.weights_path(Entry("x", entry.experiment)) is None
    elsewhere = Entry("x", entry.experiment, weights="other/folder/file.pth")
    assert family.weights_path(elsewhere) == "other/folder/file.pth"


# What the records call the figures of an entry.
METRICS = {
    "COCO box AP": "box_ap",
    "COCO mask AP": "mask_ap",
    "COCO PQ": "pq",
    "COCO AR1000": "ar1000",
    "COCO AR@1000": "ar1000",
    "LVIS v1 box AP": "box_ap",
    "LVIS v1 mask AP": "mask_ap",
    "VOC 2007 box AP50": "box_ap50",
    "Cityscapes box AP": "box_ap",
    "Cityscapes mask AP": "mask_ap",
    "Objects365 v1 box AP": "box_ap",
    "Objects365 v2 box AP": "box_ap",
    # Of Open Images' own metric, at an IoU of 0.5.
    "Open Images v6 box AP": "box_ap50",
    "Open Images Challenge 2019 box AP": "box_ap50",
}


def published() -> dict[str, dict]:  # type: ignore[type-arg]
    """The records of our families, by name."""
    path: Path = shared("zoo_facts.json")
    models = json.loads(path.read_text())["models"]
    recorded = {key.split("/")[0] for key in models}
    records = {}
    for key, record in models.items():
        folder, name = key.split("/")
        if folder in FAMILIES and not LEFT_OUT.match(name):
            records[name] = record
    for folder in set(FAMILIES) - recorded:
        records |= of_the_wheel(folder)
    return records


def of_the_wheel(folder: str) -> dict[str, dict]:  # type: ignore[type-arg]
    """Configurations of a folder of MMDetection's wheel, with what its metafile says of them."""
    files = published_configs() / folder
    records: dict[str, dict] = {path.stem: {} for path in files.glob("*.py")}  # type: ignore[type-arg]
    facts_file = files / "metafile.yml"
    if not facts_file.is_file():
        return records
    models = yaml.safe_load(facts_file.read_text())
    for model in models["Models"] if isinstance(models, dict) else models:
        facts = model["Metadata"]
        times = facts.get("inference time (ms/im)", [{}])
        records[Path(model["Config"]).stem] = {
            "metrics": {
                f"{result['Dataset']} {metric}": value
                for result in model["Results"]
                for metric, value in result["Metrics"].items()
            },
            "training_memory_gb": facts.get("Training Memory (GB)"),
            "inference_ms_v100": times[0].get("value"),
            "weights_url": model["Weights"],
            "weights_file": model["Weights"].split("/")[-1],
        }
    if folder == "rfnext":
        _after_their_search(records)
    return records


def _after_their_search(records: dict[str, dict]) -> None:  # type: ignore[type-arg]
    """What RF-Next's searches ended with belongs to the files that can open it; its panoptic
    qualities are called box APs."""
    for name, record in list(records.items()):
        if "panoptic" in name and record:
            record["metrics"] = {"COCO PQ": record["metrics"]["COCO box AP"]}
        if "_search_" in name:
            records[name.replace("_search_", "_fixed_multi_branch_")] = record
            records[name] = {"training_memory_gb": record["training_memory_gb"]}


def ours() -> dict[str, Entry]:
    return {
        e.name: e for family in zoo.families() if family.folder in FAMILIES for e in family.entries
    }


def test_every_published_configuration_is_there() -> None:
    assert set(ours()) == set(published())


def test_published_figures() -> None:
    records = published()
    for name, entry in ours().items():
        record = records[name]
        # FSAF's are written "39.3 (37.9)": those of the weights, and of the paper.
        metrics = {
            METRICS[key]: float(str(value).split(" (")[0])
            for key, value in record.get("metrics", {}).items()
        }
        figures = {field: getattr(entry, field) for field in set(METRICS.values())}
        assert {k: v for k, v in figures.items() if v is not None} == metrics, name
        assert entry.memory_gb == record.get("training_memory_gb"), name
        assert entry.inference_ms == record.get("inference_ms_v100"), name
        path = zoo.family_of(entry).weights_path(entry)
        url = record.get("weights_url")
        assert (path is None) is (url is None), name
        if path is not None:
            assert url.endswith(f"/v2.0/{path}"), name
            assert path.endswith(record["weights_file"]), name
