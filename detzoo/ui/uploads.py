"""Pictures that arrive over HTTP."""

from __future__ import annotations

import asyncio
import io

from fastapi import HTTPException, Request
from PIL import Image


async def read_picture(request: Request, most_bytes: int) -> Image.Image:
    """Returns the picture in the body of ``request``, decoded.

    Raises status 413 as soon as more than ``most_bytes`` have arrived, and 400 for what Pillow
    cannot decode.
    """
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > most_bytes:
            raise HTTPException(413, f"more than {most_bytes} bytes")
    try:
        image = Image.open(io.BytesIO(content))
        await asyncio.to_thread(image.load)
    except Exception as error:  # Pillow raises many kinds
        raise HTTPException(400, f"not a picture: {error}") from None
    return image
