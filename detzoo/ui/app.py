"""The application: a page, the models to choose from, and what one finds in a picture."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse
from PIL import Image
from starlette.middleware.trustedhost import TrustedHostMiddleware

from detzoo.errors import UserError
from detzoo.inference.predictor import Predictor
from detzoo.ui.uploads import read_picture

PAGE = Path(__file__).parent / "page.html"
# Those that are compared.
KEPT = 2
# A page elsewhere whose name leads to this machine is not answered.
HOSTS = ["127.0.0.1", "localhost", "[::1]"]


class Models:
    """Detectors by name, loaded when they are first asked for; the last two are kept.

    One detects at a time.
    """

    def __init__(self, names: Sequence[str], load: Callable[[str], Predictor]) -> None:
        self.names = tuple(names)
        self._load = load
        self._loaded: OrderedDict[str, Predictor] = OrderedDict()
        self._lock = threading.Lock()

    def detect(self, name: str, image: Image.Image, min_score: float) -> dict[str, Any]:
        """What the model finds, as :meth:`Result.to_json` has it, and a JPEG of it in base64."""
        with self._lock:
            (result,) = self.open(name).predict(image, min_score=min_score)
        _, jpeg = cv2.imencode(".jpg", result.draw())
        return {**result.to_json(), "picture": base64.b64encode(jpeg.tobytes()).decode()}

    def open(self, name: str) -> Predictor:
        """The detector, loaded if it is not. Raises :class:`UserError` as ``load`` does."""
        if name not in self._loaded:
            while len(self._loaded) >= KEPT:
                self._loaded.popitem(last=False)
            self._loaded[name] = self._load(name)
        self._loaded.move_to_end(name)
        return self._loaded[name]


def create_app(models: Models, most_bytes: int) -> FastAPI:
    """The application.

    ``GET /models`` lists the names; ``POST /detect?model=NAME&min_score=0.3`` takes the bytes of a
    picture, at most ``most_bytes`` of them. Only the names of ``models`` are accepted, so that a
    page cannot open other files of this machine.
    """
    app = FastAPI(openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=HOSTS)

    @app.get("/", response_class=HTMLResponse)
    def page() -> str:
        return PAGE.read_text(encoding="utf-8")

    @app.get("/models")
    def names() -> dict[str, Any]:
        return {"models": models.names, "most_bytes": most_bytes}

    @app.post("/detect")
    async def detect(request: Request, model: str, min_score: float = 0.3) -> dict[str, Any]:
        if model not in models.names:
            raise HTTPException(404, f"{model}: is not one of the models of this page")
        if not 0 <= min_score <= 1:
            raise HTTPException(400, f"min_score: {min_score} is not between 0 and 1")
        image = await read_picture(request, most_bytes)
        try:
            return await asyncio.to_thread(models.detect, model, image, min_score)
        except UserError as error:
            raise HTTPException(400, str(error)) from None

    return app
