"""A detector as a web service: pictures in, objects out, as JSON.

pip install detzoo[serve]
python examples/service.py model.onnx --port 8000
curl --data-binary @photo.jpg http://127.0.0.1:8000/detect

It takes checkpoints and exported files. Pictures that arrive while others are looked at wait, and
are then looked at together.
"""

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from PIL import Image

import detzoo
from detzoo.ui.uploads import read_picture

MOST_BYTES = 32 * 2**20


def create_app(predictor: Any, batch_size: int = 8, min_score: float = 0.3) -> FastAPI:
    """The service; ``POST /detect`` takes the bytes of one picture."""
    waiting: asyncio.Queue[tuple[Image.Image, asyncio.Future[Any]]] = asyncio.Queue()

    def detect(images: list[Image.Image]) -> list[Any]:
        found = predictor.predict(images, batch_size=batch_size, min_score=min_score)
        return [result.to_json()["detections"] for result in found]

    async def work() -> None:
        while True:
            batch = [await waiting.get()]
            while len(batch) < batch_size and not waiting.empty():
                batch.append(waiting.get_nowait())
            try:
                answers = await asyncio.to_thread(detect, [image for image, _ in batch])
            except Exception as error:  # the service goes on
                for _, answer in batch:
                    if not answer.done():
                        answer.set_exception(error)
                continue
            for (_, answer), found in zip(batch, answers):
                if not answer.done():  # the client may have gone
                    answer.set_result(found)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        worker = asyncio.create_task(work())
        yield
        worker.cancel()

    app = FastAPI(lifespan=lifespan)

    @app.post("/detect")
    async def answer(request: Request) -> Any:
        image = await read_picture(request, MOST_BYTES)
        future = asyncio.get_running_loop().create_future()
        waiting.put_nowait((image, future))
        return {"detections": await future}

    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="a checkpoint, an exported file, or a name of the zoo")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--batch-size", type=int, default=8)
    options = parser.parse_args()
    app = create_app(detzoo.load(options.model), options.batch_size)
    uvicorn.run(app, host=options.host, port=options.port)
