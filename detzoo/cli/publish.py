"""``detzoo publish``: writes a trained detector for others to use, with a model card."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from detzoo.cli.common import Imports, check_source, plain_console
from detzoo.cli.run_data import FILE as SPLIT_FILE
from detzoo.cli.run_options import read_options
from detzoo.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from detzoo.checkpoints.publish import Facts


def publish(
    source: Annotated[
        str, typer.Argument(metavar="RUN|CHECKPOINT", help="A run folder, or a checkpoint.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the files.")],
    name: Annotated[
        str | None, typer.Option(help="Name of the model. Default: the run's, or the file's.")
    ] = None,
    license_: Annotated[
        str | None,
        typer.Option("--license", help="License of the weights, for the card: apache-2.0, ..."),
    ] = None,
    metrics: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Metrics for the card, from detzoo test --json. Default: those of the run.",
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="hf://USER/REPO",
            help="Also upload to this repository of the Hugging Face Hub, created if it does not "
            "exist.",
        ),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="With --to: create a private repository.")
    ] = False,
    imports: Imports = None,
) -> None:
    """Publish a trained detector: a checkpoint for others to use, with a model card.

    The checkpoint holds the weights for inference (the averaged ones, if any), the configuration
    and the class names, and nothing that only training needs. Its name ends with its hash. For a
    run, best.pt is published. MMDetection 2.x checkpoints are converted.

    The card, README.md, states what is known about classes, data, metrics, license and use.
    Complete it before you share it.

    Examples:

      detzoo publish runs/retinanet-1 -o published --license cc-by-4.0

      detzoo publish best.pt -o published --metrics metrics.json --to hf://me/my-detector
    """
    check_source(None, source)
    repository = None if to is None else _check_repository(to)
    if private and to is None:
        raise ConfigError("--private: works only with --to")
    if name is not None and not re.fullmatch(r"\w[\w.+-]*", name):
        raise ConfigError(f"--name {name}: use letters, digits and -_+. only")

    from detzoo.checkpoints.checkpoint import read
    from detzoo.checkpoints.publish import (
        CARD,
        Facts,
        model_card,
        without_training,
        write_card,
        write_published,
    )
    from detzoo.weights.locate import local_file

    if (out / CARD).exists():
        raise ConfigError(
            f"--out {out}: already has a {CARD}, which may have been edited. Give another folder."
        )
    file = local_file(source)
    facts = _facts_of_run(file, Facts(license=license_))
    if metrics is not None:
        facts = replace(facts, metrics=_read_metrics(metrics), test_data=None)
    clean = without_training(read(file))
    path = write_published(clean, out, name or _name_of(file))
    card = write_card(out, model_card(clean, path, facts, repository))

    console = plain_console()
    count = len(clean.class_names)
    classes = f"{count} class" if count == 1 else f"{count} classes"
    size = path.stat().st_size / 1e6
    console.print(f"{file} -> {path} ({size:.1f} MB, {classes})", soft_wrap=True)
    missing = {
        "license (--license)": facts.license,
        "metrics (--metrics)": facts.metrics,
        "training data": facts.training_data,
    }
    unknown = [fact for fact, value in missing.items() if value is None]
    notes = f"; please complete: {', '.join(unknown)}" if unknown else ""
    console.print(f"model card {card}{notes}", soft_wrap=True)
    if repository is None:
        console.print(f"to share it: hf upload USER/REPO {out}", soft_wrap=True)
    else:
        address = _upload(out, (path, card), repository, private)
        console.print(f"uploaded to {address}: hf://{repository}/{path.name}", soft_wrap=True)


# ---------------------------------------------------------------------------------- internals


def _check_repository(address: str) -> str:
    """Returns ``user/repo`` of an address, after checking that the user is logged in to the hub."""
    from detzoo.weights.hub import hub_package, repository_of

    repository = repository_of(address)
    if hub_package(address).get_token() is None:
        raise ConfigError(
            f"--to {address}: you are not logged in to the Hugging Face Hub. Run `hf auth login`, "
            "or set HF_TOKEN."
        )
    return repository


def _name_of(file: Path) -> str:
    """The name of the zoo model that a run trained, else of the run or file."""
    options = read_options(file.parent)
    if options is None:
        name = re.sub(r"-[0-9a-f]{8}$", "", file.stem)
    else:
        trained = options.name or ""
        name = trained if re.fullmatch(r"[\w.+-]+", trained) else file.resolve().parent.name
    return re.sub(r"[^\w.+-]", "-", name)


def _facts_of_run(file: Path, facts: Facts) -> Facts:
    """Adds to ``facts`` what the run folder records about its checkpoint ``file``."""
    options = read_options(file.parent)
    if options is None:
        return facts
    data = _listed(options.data, options.split)
    if (file.parent / SPLIT_FILE).is_file():
        test_data = _listed(options.data, f"images held out of {options.split}")
    else:
        test_data = _listed(options.val or options.data, options.val_split or "val")
    return replace(facts, training_data=data, test_data=test_data, metrics=_metrics_of_run(file))


def _listed(paths: Sequence[str], split: str) -> str | None:
    return f"{' + '.join(Path(path).name for path in paths)}, {split}" if paths else None


def _metrics_of_run(file: Path) -> Mapping[str, float] | None:
    """The metrics of ``best.pt``, as recorded in ``last.pt`` in the same folder."""
    from detzoo.checkpoints.checkpoint import read

    last = file.with_name("last.pt")
    if file.name != "best.pt" or not last.is_file():
        return None
    training: Mapping[str, Any] = read(last).training or {}
    best: Mapping[str, float] = training.get("position", {}).get("best", {})
    return {name: value for name, value in best.items() if math.isfinite(value)} or None


def _read_metrics(path: Path) -> dict[str, float]:
    """Reads the metrics from a file that ``detzoo test --json`` wrote."""
    from detzoo.files import read_json

    content = read_json(path)
    values = content.get("metrics") if isinstance(content, dict) else None
    if not isinstance(values, dict) or not all(
        value is None or isinstance(value, int | float) for value in values.values()
    ):
        raise ConfigError(f"--metrics {path}: was not written by `detzoo test --json`")
    return {str(name): float(value) for name, value in values.items() if value is not None}


def _upload(folder: Path, files: tuple[Path, ...], repository: str, private: bool) -> str:
    """Uploads ``files`` and returns the address of the repository's page."""
    from detzoo.weights.hub import hub_package, hub_reason

    api = hub_package(repository).HfApi()
    # The hub's client raises its own errors, those of its HTTP library, and OSErrors.
    try:
        url = api.create_repo(repository, private=private or None, exist_ok=True)
        api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            allow_patterns=[file.name for file in files],
            commit_message=f"Add {files[0].name}",
        )
    except Exception as error:
        plain_console().print(
            f"upload to hf://{repository} failed ({hub_reason(error)}). The files are in {folder}; "
            f"upload them with `hf upload {repository} {folder}`.",
            soft_wrap=True,
        )
        raise typer.Exit(1) from error
    return str(url)
