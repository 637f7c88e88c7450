"""``detzoo ui``: a local page on which models are tried."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Annotated

import typer

from detzoo.cli.common import Device, Imports, Precision, Trust, plain_console
from detzoo.errors import UserError

if TYPE_CHECKING:
    from detzoo.inference.predictor import Predictor


def ui(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CHECKPOINT_OR_NAME]...",
            help="The models to choose from. Default: those of the zoo with published weights, "
            "which are downloaded when they are chosen.",
            show_default=False,
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: any free one.")] = 7860,
    max_megabytes: Annotated[
        int, typer.Option(min=1, help="Larger pictures are not accepted.")
    ] = 32,
    precision: Precision = None,
    device: Device = None,
    imports: Imports = None,
    trust: Trust = False,
) -> None:
    """Open a page on which pictures are dropped and models compared. Needs 'detzoo\\[ui]'.

    Only programs on this machine can reach it.

    Examples:

      detzoo ui runs/x-1/best.pt runs/y-1/best.pt

      detzoo ui faster_rcnn_r50_fpn_1x_coco yolox_s_8x8_300e_coco --port 8000
    """
    try:
        import uvicorn

        from detzoo.ui.app import Models, create_app
    except ModuleNotFoundError as error:
        raise UserError(
            f"{error.name}: is not installed, and the page needs it: pip install 'detzoo[ui]'"
        ) from None

    from detzoo.cli.common import check_source
    from detzoo.devices import check_precision, resolve_device
    from detzoo.inference.loading import load
    from detzoo.zoo_list import zoo_rows

    for source in sources or ():
        check_source(source, None)
    chosen = resolve_device(device)
    number = None if precision is None else check_precision(precision)

    def open_model(name: str) -> Predictor:
        return load(name, device=chosen, precision=number, trust=trust)

    names = sources or [name for name, row in zoo_rows().items() if row["weights"]]
    models = Models(names, open_model)
    if sources:
        models.open(sources[0])  # a fault is told here rather than on the page
    app = create_app(models, max_megabytes * 2**20)
    with _listen(port) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        plain_console().print(f"{address}  (Ctrl-C stops)", soft_wrap=True)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none"))
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listener])


def _listen(port: int) -> socket.socket:
    """A socket that only this machine can reach."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise UserError(
            f"--port {port}: cannot be used ({error.strerror}). Give another, or 0 for any free "
            "one."
        ) from None
    return listener
