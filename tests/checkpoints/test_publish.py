from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from huggingface_hub import RepoCard

from detzoo.checkpoints import publish
from detzoo.checkpoints.checkpoint import Checkpoint, read
from detzoo.checkpoints.publish import Facts, model_card, without_training, write_published
from detzoo.errors import CheckpointError
from detzoo.weights.files import has_digits
from detzoo.weights.places import hash_digits
from tests.tiny import tiny_mask_rcnn, tiny_retinanet


def checkpoint(**changes: object) -> Checkpoint:
    experiment = tiny_retinanet()
    tensors = experiment.build_model().state_dict()
    averaged = {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}
    whole = Checkpoint(experiment, tensors, averaged, {"position": {"iteration": 3}})
    return replace(whole, **changes)


def test_what_is_left() -> None:
    """The averaged weights, where there are any, and nothing of the training."""
    whole = checkpoint()
    clean = without_training(whole)
    assert clean == replace(whole, model=whole.ema, ema=None, training=None)
    as_trained = checkpoint(ema=None)
    assert without_training(as_trained).model is as_trained.model


@pytest.mark.parametrize(
    ("pretrained", "published"),
    [
        ("/home/me/secret/resnet50_msra-5891d200.pth", "resnet50_msra-5891d200.pth"),
        ("torchvision://resnet18", "torchvision://resnet18"),
        ("https://a.example/b/c.pth", "https://a.example/b/c.pth"),
        (None, None),
    ],
)
def test_no_folder_of_this_machine_is_left(pretrained: str | None, published: str | None) -> None:
    """But the normalization, which the name of a file may tell, stays."""
    experiment = tiny_retinanet()
    backbone = replace(experiment.model.backbone, pretrained=pretrained)
    experiment = replace(
        experiment,
        model=replace(experiment.model, backbone=backbone),
        initial_weights="/home/me/start.pth",
    )
    clean = without_training(checkpoint(experiment=experiment)).experiment
    assert clean.model.backbone.pretrained == published
    assert clean.initial_weights == "start.pth"
    assert clean.model.input_pixels == experiment.model.input_pixels


def test_the_file(tmp_path: Path) -> None:
    clean = without_training(checkpoint())
    path = write_published(clean, tmp_path / "new", "mine")
    digits = hash_digits(path.name)
    assert path.name == f"mine-{digits}.pt"
    assert digits is not None
    assert has_digits(path, digits)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    opened = read(path)
    assert opened.experiment == clean.experiment
    assert all(torch.equal(value, clean.model[name]) for name, value in opened.model.items())
    assert write_published(clean, tmp_path / "new", "mine") == path  # the same bytes again


def test_weights_that_do_not_fit_are_not_published(tmp_path: Path) -> None:
    broken = checkpoint(ema=None, model={"a": torch.ones(1)})
    with pytest.raises(CheckpointError, match="weights belong to another model"):
        write_published(broken, tmp_path, "mine")
    assert not list(tmp_path.iterdir())


def card(tmp_path: Path, whole: Checkpoint, facts: Facts, repository: str | None = None) -> str:
    file = tmp_path / "my_model-0123abcd.pt"
    file.touch()
    return model_card(whole, file, facts, repository)


def test_a_full_card(tmp_path: Path) -> None:
    experiment = tiny_mask_rcnn(("a|b", "two\nlines", "*"))
    facts = Facts('a "license": x', "my data", "my test", {"bbox/AP": 0.25, "segm/AP": 0.125})
    text = card(tmp_path, checkpoint(experiment=experiment), facts, "me/mine")
    header = RepoCard(text).data.to_dict()  # as the hub reads it
    assert header == {
        "library_name": "detzoo",
        "pipeline_tag": "image-segmentation",
        "license": 'a "license": x',
        "tags": ["detzoo", "object-detection", "instance-segmentation"],
    }
    for part in (
        "\n# my_model\n",
        "TwoStage of ResNet, FPN, RPNHead, StandardRoIHead",
        "\n3: a\\|b, two lines, \\*\n",
        "detzoo predict hf://me/mine/my_model-0123abcd.pt photo.jpg",
        'detzoo.load("hf://me/mine/my_model-0123abcd.pt")',
        "| data | my data |",
        "On my test:\n\n| metric | value |\n|---|---|\n| bbox/AP | 0.2500 |\n",
        "\n| segm/AP | 0.1250 |\n",
    ):
        assert part in text, text
    assert "\n\n\n" not in text


def test_a_card_of_what_is_unknown(tmp_path: Path) -> None:
    text = card(tmp_path, checkpoint(changed_modules=("backbone.conv1: Mine",)), Facts())
    assert "license" not in RepoCard(text).data.to_dict()
    for part in (
        "No license was given",
        "| data | not recorded |",
        "Not recorded. `detzoo test my_model-0123abcd.pt --data my_data` measures them.",
        "- backbone.conv1: Mine",
    ):
        assert part in text
    assert "\n\n\n" not in text


def test_a_card_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / publish.CARD).write_text("mine")
    with pytest.raises(CheckpointError, match=r"README\.md: cannot be written \(File exists\)"):
        publish.write_card(tmp_path, "new")
    assert (tmp_path / publish.CARD).read_text() == "mine"
