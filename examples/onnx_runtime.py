"""Runs a detector exported by ``detzoo export``, with only ONNX Runtime, NumPy and OpenCV.

python onnx_runtime.py model.onnx photo.jpg
"""

import json
import sys

import cv2
import numpy as np
import onnxruntime


def detect(session: onnxruntime.InferenceSession, image: np.ndarray, min_score: float = 0.3):
    """Detects objects in an image (H, W, 3: BGR) -> class names, scores, boxes (x1, y1, x2, y2)."""
    facts = session.get_modelmeta().custom_metadata_map
    names = [one.name for one in session.get_inputs()]
    batch, *_ = session.get_inputs()[names.index("pixels")].shape
    batch = batch if isinstance(batch, int) else 1  # a name: any number up to a largest one

    # Resize to fit the frame for the image's format; beyond it, the input is padding.
    old_height, old_width = image.shape[:2]
    frame = json.loads(facts["frames"])[old_height > old_width]
    x, y = frame[1] / old_width, frame[0] / old_height
    if json.loads(facts["keep_ratio"]):
        x = y = min(x, y)
    size = min(frame[0], int(old_height * y + 0.5)), min(frame[1], int(old_width * x + 0.5))
    height, width = json.loads(facts["largest"])
    smallest = json.loads(facts["smallest"])
    if smallest is not None:  # any size between the two, in steps of 32
        height, width = (max(-(-side // 32) * 32, low) for side, low in zip(size, smallest))
    resized = cv2.resize(image, size[::-1]).astype(np.float32)
    if facts["channel_order"] == "rgb":
        resized = resized[:, :, ::-1]
    mean, std = (np.float32(json.loads(facts[key])) for key in ("pixel_mean", "pixel_std"))
    padding = json.loads(facts["padding"])
    pixels = np.zeros((batch, height, width, 3), np.float32)
    if padding is not None:
        pixels[:] = (padding - mean) / std
    pixels[:, : size[0], : size[1]] = (resized - mean) / std

    inputs = {"pixels": pixels.transpose(0, 3, 1, 2), "sizes": np.int64([size] * batch)}
    boxes, scores, labels, num, *_ = session.run(None, {name: inputs[name] for name in names})
    kept = np.flatnonzero(scores[0, : num[0]] >= min_score)
    scale = np.float32([size[1] / old_width, size[0] / old_height] * 2)
    found = np.clip(boxes[0, kept] / scale, 0, np.float32([old_width, old_height] * 2))
    class_names = json.loads(facts["class_names"])
    return [class_names[k] for k in labels[0, kept]], scores[0, kept], found


if __name__ == "__main__":
    model, *files = sys.argv[1:]
    opened = onnxruntime.InferenceSession(model)
    for file in files:
        for name, score, box in zip(*detect(opened, cv2.imread(file))):
            print(f"{file}  {name} {score:.2f}  {', '.join(f'{side:.0f}' for side in box)}")
