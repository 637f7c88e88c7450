from __future__ import annotations

import pytest

from detzoo.data.scenes import scenes_of

HASH = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("names", "others"),
    [
        # Frames of one video, and what is none of its frames.
        (("street_mp4-12.jpg", "street_mp4-7.png"), ("alley_mp4-12.jpg", "street.jpg")),
        (("street.mp4_frame12.jpg", "street.mp4_frame13.jpg"), ("street.jpg",)),
        (("clip3/frame_0012.jpg", "clip3/frame_0013.jpg"), ("clip4/frame_0012.jpg",)),
        (("clip3-frame12.jpg", "clip3-frame13.jpg"), ("clip4-frame12.jpg",)),
        (("cam2_000123.png", "cam2_000124.png"), ("cam3_000123.png",)),
        (("cam2/000123.png", "cam2/000124.png"), ("cam3/000123.png",)),
        (("seq03/img1/000001.jpg", "seq03/img1/000002.jpg"), ("seq04/img1/000001.jpg",)),
        (("frame_1.jpg", "frame_2.jpg"), ("frames.jpg",)),
        # https://github.com/VisDrone/VisDrone-Dataset
        (
            ("0000001_02999_d_0000005.jpg", "0000001_03499_d_0000006.jpg"),
            ("0000002_02999_d_0000005.jpg",),
        ),
        # Versions of one photo.
        (
            (f"photo_jpg.rf.{HASH}.jpg", f"photo_jpg.rf.{HASH[::-1]}.jpg"),
            (f"other_jpg.rf.{HASH}.jpg",),
        ),
        ((f"street_mp4-12_jpg.rf.{HASH}.jpg", f"street_mp4-13_jpg.rf.{HASH}.jpg"), ()),
        (("photo.jpg", "photo (1).jpg", "photo - Copy.jpg", "photo_aug_3.png"), ("photo2.jpg",)),
        # Photos that are counted.
        (("IMG_0012.jpg",), ("IMG_0013.jpg", "framework_3.jpg", "framework_4.jpg")),
        (("video_1.jpg",), ("video_2.jpg",)),
        (("000000391895.jpg",), ("000000391896.jpg",)),
        (("2007_000027.jpg",), ("2007_000032.jpg",)),
        (("b1c66a42-6f7d68ca.jpg",), ("b1c66a42-6f7d68cb.jpg",)),
        (("copy.jpg",), ("flip.jpg",)),
    ],
)
def test_scenes_that_names_show(names: tuple[str, ...], others: tuple[str, ...]) -> None:
    scenes = scenes_of([*names, *others])
    assert len(set(scenes[: len(names)])) == 1
    assert len(set(scenes[len(names) :])) == len(others)
    assert scenes[0] not in scenes[len(names) :]


def test_a_number_after_many_words_counts_pictures_of_a_scene() -> None:
    towns = [
        "aachen",
        "bochum",
        "bremen",
        "cologne",
        "erfurt",
        "hamburg",
        "jena",
        "krefeld",
        "ulm",
        "weimar",
    ]
    pattern = "{town}/{town}_{place:06}_{time:06}_leftImg8bit.png"  # Cityscapes
    names = [
        pattern.format(town=town, place=place, time=time)
        for town in towns
        for place in range(3)
        for time in range(19, 22)
    ]
    scenes = scenes_of(names)
    assert len(set(scenes)) == 30
    assert len(set(scenes[:3])) == 1
    # Nine words may as well be classes, and a word with most of the images a name for all.
    rooms = [f"room{chr(97 + k)}_{n:03}.jpg" for k in range(10) for n in range(4)]
    assert len(set(scenes_of(rooms))) == 10
    assert len(set(scenes_of(rooms[:36]))) == 36
    many = [f"BloodImage_{n:05}.jpg" for n in range(60)]
    assert len(set(scenes_of(rooms + many))) == 100
