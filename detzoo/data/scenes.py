"""Which images show the same scene, by their names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

# photo_jpg.rf.0123456789abcdef: Roboflow's versions of photo.jpg
_ROBOFLOW = re.compile(r"(?:_(?:jpe?g|png|bmp|webp|tiff?))?\.rf\.[0-9A-Za-z]{8,}$")
# photo (1), photo - Copy, photo_aug_3, photo_hflip
_COPY = re.compile(
    r"(?:\s*\(\d+\)|[\s_-]+(?:copy|aug(?:mented)?|[hv]?flip(?:ped)?|rot(?:ated)?)[\s_-]*\d*)+$",
    re.I,
)
_NUMBER = r"[^/a-z0-9]*\d+[^/]*$"  # the last part of a name, from a number on
_FRAMES = (
    # clip3/frame_0012, street-frame12
    re.compile(rf"^(?P<scene>.*?)[^/a-z0-9]*(?<![a-z])(?:frames?|frm){_NUMBER}", re.I),
    # street_mp4-12, street.mp4_frame12
    re.compile(
        rf"^(?P<scene>.*[._-](?:mp4|mov|avi|mkv|webm|m4v|mpe?g))(?![a-z0-9]){_NUMBER}", re.I
    ),
    # video3_0012, cam-2/000123: a numbered recording, and a number in it
    re.compile(
        r"^(?P<scene>.*?(?<![a-z])(?:videos?|vid|clip|seq|sequence|scene|shot|cam|camera)"
        r"[^/a-z0-9]*\d+(?:[^0-9].*?)??)(?:(?<=/)\d+[^/]*$|[^a-z0-9]+\d+[^/0-9]*$)",
        re.I,
    ),
    # VisDrone's 0000001_02999_d_0000005: sequence, frame, drone
    re.compile(r"^(?P<scene>(?:.*/)?\d{7})_\d{5}_d_\d{7}$"),
)
_LAST_NUMBER = re.compile(r"^(?P<prefix>.*)(?<!\d)\d+(?![a-z0-9])[^/]*$", re.I)
# Prefixes before a number name scenes if there are several, and none has most of the images.
_MIN_SCENES, _MAX_SHARE = 10, 0.2


def scenes_of(names: Sequence[str]) -> list[str]:
    """The scene of each image file: images of one scene may be near-duplicates.

    Scenes are frames of one video (``street_mp4-12.jpg``, ``clip3/frame_0012.jpg``,
    ``cam2_000123.png``) and versions of one photo (Roboflow's ``photo_jpg.rf.<hash>.jpg``,
    ``photo (1).jpg``, ``photo_aug_3.jpg``), whatever other images there are. Names that differ in
    their last number alone are one scene as well (``aachen_000001_000019.png``,
    ``kitchen/0012.jpg``), where there are ten such scenes or more and none has over a fifth of the
    images: otherwise the number counts photos (``IMG_0012.jpg``). All other images are scenes of
    their own.
    """
    stems = [_stem(name) for name in names]
    scenes = [_video(stem) for stem in stems]
    numbered = [None if scene else _LAST_NUMBER.match(stem) for scene, stem in zip(scenes, stems)]
    prefixes = [match and match["prefix"].rstrip(" _-.") for match in numbered]
    counts = Counter(prefix for prefix in prefixes if prefix)
    are_scenes = len(counts) >= _MIN_SCENES and max(counts.values()) <= _MAX_SHARE * len(names)
    return [
        scene or (are_scenes and prefix) or stem
        for scene, prefix, stem in zip(scenes, prefixes, stems)
    ]


def _stem(name: str) -> str:
    """The name without what tells versions of one photo apart."""
    stem = str(PurePosixPath(name.replace("\\", "/")).with_suffix(""))
    return _COPY.sub("", _ROBOFLOW.sub("", stem)) or stem


def _video(stem: str) -> str | None:
    """The video that ``stem`` is a frame of."""
    for pattern in _FRAMES:
        match = pattern.match(stem)
        if match is not None:
            return f"{match['scene']}#"  # no file is called that
    return None
