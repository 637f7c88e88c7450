"""One small data set of each format, valid as a whole."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tests.data.formats import (
    test_bdd100k,
    test_coco_files,
    test_crowdhuman,
    test_csv_tables,
    test_cvat,
    test_hugging_face,
    test_label_studio,
    test_labelme,
    test_open_images,
    test_text_labels,
    test_via,
    test_wider_face,
    test_yolo,
)


@dataclass(frozen=True)
class Case:
    """``files`` of a data set by their paths in it; ``file`` is the one that tests break."""

    file: str
    files: dict[str, str]


YOLO = {
    **test_yolo.IMAGES_FIRST,
    "labels/train/a.txt": "0 0.4 0.2 0.6 0.2 0.6 0.6\n" + test_yolo.BOX,
    "data.yaml": "path: .\ntrain: images/train\nval: images/val\nnames: {0: cat, 1: dog}\n",
}
TASKS = json.dumps([test_label_studio.task(1, "/data/upload/1/a.jpg", test_label_studio.RESULT)])
DARKNET = {
    "obj.data": "classes = 2\nnames = data/obj.names\ntrain = data/train.txt\n",
    "obj.names": "cat\ndog\n",
    "train.txt": "data/obj_train_data/a.jpg\n",
    "obj_train_data/a.jpg": "",
    "obj_train_data/a.txt": test_yolo.BOX,
}
OPEN_IMAGES = {
    "train-annotations-bbox.csv": test_open_images.BOXES,
    "class-descriptions.csv": test_open_images.CLASSES,
    "train-annotations-human-imagelabels.csv": test_open_images.LABELS,
    "hierarchy.json": json.dumps(test_open_images.HIERARCHY),
    "train/000026e7ee790996.jpg": "",
}
OPEN_IMAGES_LISTS = {
    "challenge-2019-train-detection-bbox.txt": test_open_images.LIST,
    "cls-label-description.csv": test_open_images.NUMBERS,
    "train/000026e7ee790996.jpg": "",
}
KITTI = {"label_2/a.txt": test_text_labels.KITTI, "image_2/a.png": ""}
VISDRONE = {"annotations/a.txt": test_text_labels.VISDRONE, "images/a.jpg": ""}
DOTA = {"labelTxt/a.txt": test_text_labels.DOTA, "images/a.png": ""}
WIDER_FACE = {
    "wider_face_split/wider_face_train_bbx_gt.txt": test_wider_face.PUBLISHED,
    **{
        f"WIDER_train/images/{line}": ""
        for line in test_wider_face.PUBLISHED.splitlines()
        if line.endswith(".jpg")
    },
}
CROWDHUMAN = {
    "annotation_train.odgt": test_crowdhuman.SAMPLE,
    f"Images/{test_crowdhuman.NAME}.jpg": "",
}
HUGGING_FACE = {
    "metadata.jsonl": test_hugging_face.SAMPLE,
    "README.md": test_hugging_face.CARD,
    "0001.png": "",
    "0002.png": "",
}
FRAMES = {
    "det_train.json": json.dumps(test_bdd100k.FRAMES),
    **{f"train/{frame['name']}": "" for frame in test_bdd100k.FRAMES},
}
PANOPTIC = test_coco_files.content("a.jpg", **test_coco_files.PANOPTIC)
CASES = {
    "yolo": Case("data.yaml", YOLO),
    "yolo labels": Case("labels/train/a.txt", YOLO),
    "darknet": Case("obj.data", DARKNET),
    "darknet list": Case("train.txt", DARKNET),
    "cvat": Case("annotations.xml", {**test_cvat.IMAGES, "annotations.xml": test_cvat.SAMPLE}),
    "labelme": Case("a.json", {"a.json": test_labelme.SAMPLE, "a.jpg": ""}),
    "label studio": Case("x.json", {"x.json": TASKS, "a.jpg": ""}),
    "via": Case("x.json", {"x.json": json.dumps(test_via.PROJECT), "a.jpg": ""}),
    "via table": Case("x.csv", {"x.csv": test_via.table(), "a.jpg": "", "b.jpg": ""}),
    "panoptic": Case("panoptic_train.json", {"panoptic_train.json": PANOPTIC, "train/a.jpg": ""}),
    "csv": Case("t.csv", {"t.csv": test_csv_tables.TENSORFLOW, "a.jpg": ""}),
    "keras": Case("t.csv", {"t.csv": test_csv_tables.KERAS, "a.jpg": "", "b.jpg": ""}),
    "open images": Case("train-annotations-bbox.csv", OPEN_IMAGES),
    "labels of open images": Case("train-annotations-human-imagelabels.csv", OPEN_IMAGES),
    "hierarchy of open images": Case("hierarchy.json", OPEN_IMAGES),
    "list of open images": Case("challenge-2019-train-detection-bbox.txt", OPEN_IMAGES_LISTS),
    "numbers of open images": Case("cls-label-description.csv", OPEN_IMAGES_LISTS),
    "kitti": Case("label_2/a.txt", KITTI),
    "visdrone": Case("annotations/a.txt", VISDRONE),
    "dota": Case("labelTxt/a.txt", DOTA),
    "wider face": Case("wider_face_split/wider_face_train_bbx_gt.txt", WIDER_FACE),
    "crowdhuman": Case("annotation_train.odgt", CROWDHUMAN),
    "hugging face": Case("metadata.jsonl", HUGGING_FACE),
    "dataset card": Case("README.md", HUGGING_FACE),
    "bdd100k": Case("det_train.json", FRAMES),
}
