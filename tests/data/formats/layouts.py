"""Data sets as people have them, what is typed for each, and what happens.

``python -m tests.data.formats.layouts`` writes the table of them into ``docs/data.md``.
All have an image of 100 x 50 pixels with one object, left 10, top 5, right 30, bottom 25.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[3] / "docs" / "data.md"
START, END = "<!-- The table of layouts, by tests/data/formats/layouts.py -->", "<!-- end -->"

BOX = [10, 5, 20, 20]
YOLO = "0 0.2 0.3 0.2 0.4\n"
POLYGON = "0 0.1 0.1 0.3 0.1 0.3 0.5 0.1 0.5\n"
XML = (
    "<annotation><filename>a.jpg</filename><size><width>100</width><height>50</height></size>"
    "<object><name>cat</name><bndbox><xmin>11</xmin><ymin>6</ymin><xmax>31</xmax><ymax>26</ymax>"
    "</bndbox></object></annotation>"
)
CVAT = (
    '<annotations><image id="0" name="a.jpg" width="100" height="50">'
    '<box label="cat" xtl="10" ytl="5" xbr="30" ybr="25"/></image></annotations>'
)
LABELME = {
    "shapes": [{"label": "cat", "points": [[10, 5], [30, 25]], "shape_type": "rectangle"}],
    "imagePath": "a.jpg",
    "imageHeight": 50,
    "imageWidth": 100,
}
VALUE = {"x": 10, "y": 10, "width": 20, "height": 40, "rectanglelabels": ["cat"]}
LABEL_STUDIO = [
    {
        "data": {"image": "/data/upload/1/4425adf9-a.jpg"},
        "annotations": [
            {"result": [{"value": VALUE, "original_width": 100, "original_height": 50}]}
        ],
    }
]
RECT = {"name": "rect", "x": 10, "y": 5, "width": 20, "height": 20}
VIA = {
    "a.jpg9": {
        "filename": "a.jpg",
        "regions": [{"shape_attributes": RECT, "region_attributes": {"class": "cat"}}],
    }
}
SCALABEL = [
    {
        "name": "a.jpg",
        "labels": [{"category": "cat", "box2d": {"x1": 10, "y1": 5, "x2": 29, "y2": 24}}],
    }
]
ODGT = {"ID": "a", "gtboxes": [{"tag": "person", "fbox": BOX, "hbox": BOX, "vbox": BOX}]}
OPEN_IMAGES = "ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf\na,/m/01yrx,0.1,0.3,0.1,0.5,0\n"
KITTI = "cat 0.00 0 -1.57 10 5 30 25 1.5 1.6 3.7 -2.7 1.7 10.2 -1.6\n"
DOTA = "imagesource:GoogleEarth\n10 5 30 5 30 25 10 25 cat 0\n"


def coco(name: str = "a.jpg", **more: Any) -> str:
    entry = {"id": 1, "image_id": 1, "category_id": 3, "bbox": BOX, "area": 400, "iscrowd": 0}
    content = {
        "images": [{"id": 1, "file_name": name, "width": 100, "height": 50}],
        "annotations": [{**entry, **more}],
        "categories": [{"id": 3, "name": "cat", "supercategory": "animal", "isthing": 1}],
    }
    return json.dumps(content)


PANOPTIC = json.dumps(
    {
        **json.loads(coco()),
        "annotations": [
            {
                "image_id": 1,
                "file_name": "a.png",
                "segments_info": [{"id": 1, "category_id": 3, "bbox": BOX, "area": 400}],
            }
        ],
    }
)


@dataclass(frozen=True)
class Layout:
    """``whose`` data they are, in words; ``files`` lie in ``my_data``, images without content here.

    ``happens`` is the format and the splits with what is said, or "refused" and how the message
    begins; ``class_name`` is that of the object.
    """

    whose: str
    files: Mapping[str, str]
    happens: str
    typed: str = "--data my_data"
    class_name: str = "cat"


LAYOUTS = (
    # COCO
    Layout(
        "COCO",
        {
            "annotations/instances_train2017.json": coco(),
            "annotations/instances_val2017.json": coco(),
            "train2017/a.jpg": "",
            "val2017/a.jpg": "",
        },
        "COCO: train, val",
    ),
    Layout(
        "Roboflow's COCO",
        {
            "train/_annotations.coco.json": coco(),
            "train/a.jpg": "",
            "valid/_annotations.coco.json": coco(),
            "valid/a.jpg": "",
        },
        "COCO: train, val",
    ),
    Layout("a single COCO file", {"annotations.json": coco(), "images/a.jpg": ""}, "COCO: train"),
    Layout(
        "Label Studio's COCO",
        {"result.json": coco("images/a.jpg"), "images/a.jpg": ""},
        "COCO: train",
    ),
    Layout(
        "CVAT's COCO",
        {"annotations/instances_default.json": coco(), "images/a.jpg": ""},
        "COCO: train",
    ),
    Layout(
        "COCO, one folder of images",
        {"labels/train.json": coco(), "labels/val.json": coco(), "images/a.jpg": ""},
        "COCO: train, val",
    ),
    Layout(
        "COCO, images elsewhere",
        {"labels.json": coco(), "photos/2024/a.jpg": ""},
        "COCO: the file",
        "--data my_data/labels.json --images my_data/photos/2024",
    ),
    Layout(
        "COCO, names of Windows",
        {"annotations.json": coco("C:\\data\\train\\a.jpg"), "images/a.jpg": ""},
        "COCO: train; the images are in my_data/images, without the 'C:/data/train/' of the "
        "annotations",
    ),
    Layout(
        "COCO, names in another case",
        {"annotations.json": coco("A.JPG"), "images/a.jpg": ""},
        "COCO: train; 1 image is called otherwise than in the annotations: 'A.JPG' is 'a.jpg'",
    ),
    Layout(
        "Objects365",
        {
            "annotations/zhiyuan_objv2_train.json": coco("images/v1/patch0/a.jpg"),
            "train/patch0/a.jpg": "",
        },
        "COCO: train; the images are in my_data/train, without the 'images/v1/' of the annotations",
    ),
    Layout(
        "COCO keypoints",
        {
            "annotations/person_keypoints_train2017.json": coco(keypoints=[15, 9, 2]),
            "train2017/a.jpg": "",
        },
        "COCO: train",
    ),
    Layout(
        "COCO panoptic",
        {"annotations/panoptic_train2017.json": PANOPTIC, "train2017/a.jpg": ""},
        "COCO: train; no folder my_data/annotations/panoptic_train2017 of panoptic maps: boxes "
        "without masks",
    ),
    # Pascal VOC
    Layout(
        "Pascal VOC",
        {
            "VOCdevkit/VOC2012/Annotations/a.xml": XML,
            "VOCdevkit/VOC2012/JPEGImages/a.jpg": "",
            "VOCdevkit/VOC2012/ImageSets/Main/train.txt": "a\n",
            "VOCdevkit/VOC2012/ImageSets/Main/val.txt": "a\n",
        },
        "Pascal VOC: train, val",
    ),
    Layout(
        "VOC without lists", {"Annotations/a.xml": XML, "JPEGImages/a.jpg": ""}, "Pascal VOC: train"
    ),
    Layout("XML beside images", {"a.xml": XML, "a.jpg": ""}, "Pascal VOC: train"),
    Layout("VOC, other folders", {"annots/a.xml": XML, "images/a.jpg": ""}, "Pascal VOC: train"),
    Layout(
        "Roboflow's VOC",
        {"train/a.xml": XML, "train/a.jpg": "", "valid/a.xml": XML, "valid/a.jpg": ""},
        "Pascal VOC: train, val",
    ),
    Layout(
        "CVAT's VOC",
        {
            "Annotations/a.xml": XML,
            "JPEGImages/a.jpg": "",
            "ImageSets/Main/default.txt": "a\n",
        },
        "Pascal VOC: train",
    ),
    # YOLO
    Layout(
        "Ultralytics, `path` of another machine",
        {
            "data.yaml": "path: ../datasets/mine\ntrain: images/train\nval: images/val\n"
            "names:\n  0: cat\n",
            "images/train/a.jpg": "",
            "labels/train/a.txt": YOLO,
            "images/val/b.jpg": "",
            "labels/val/b.txt": YOLO,
        },
        "YOLO: train, val",
    ),
    Layout(
        "Roboflow's YOLO",
        {
            "data.yaml": "train: ../train/images\nval: ../valid/images\nnc: 1\nnames: ['cat']\n",
            "train/images/a.jpg": "",
            "train/labels/a.txt": YOLO,
            "valid/images/b.jpg": "",
            "valid/labels/b.txt": YOLO,
        },
        "YOLO: train, val",
        "--data my_data/data.yaml",
    ),
    Layout(
        "YOLO, a list of images; polygons; no val",
        {
            "data.yaml": "train: train.txt\nval: val.txt\nnames: [cat]\n",
            "train.txt": "/home/me/images/a.jpg\n",
            "images/a.jpg": "",
            "labels/a.txt": POLYGON,
        },
        "YOLO: train",
    ),
    Layout(
        "CVAT's YOLO, Darknet",
        {
            "obj.data": "classes = 1\nnames = data/obj.names\ntrain = data/train.txt\n",
            "obj.names": "cat\n",
            "train.txt": "data/obj_train_data/a.jpg\n",
            "obj_train_data/a.jpg": "",
            "obj_train_data/a.txt": YOLO,
        },
        "YOLO: train",
    ),
    Layout(
        "Label Studio's YOLO",
        {"images/a.jpg": "", "labels/a.txt": YOLO, "classes.txt": "cat\n", "notes.json": "{}"},
        "YOLO: train",
    ),
    Layout(
        "YOLO beside images", {"a.jpg": "", "a.txt": YOLO, "classes.txt": "cat\n"}, "YOLO: train"
    ),
    Layout(
        "YOLO without names",
        {"images/a.jpg": "", "labels/a.txt": YOLO},
        "YOLO: train; no file of class names (classes.txt): classes are called 0, 1, ...",
        class_name="0",
    ),
    # Annotation tools
    Layout(
        "CVAT for images", {"annotations.xml": CVAT, "images/a.jpg": ""}, "CVAT for images: train"
    ),
    Layout("labelme", {"a.json": json.dumps(LABELME), "a.jpg": ""}, "labelme: train"),
    Layout(
        "Label Studio",
        {"project-1-at-2024.json": json.dumps(LABEL_STUDIO), "upload/a.jpg": ""},
        "Label Studio: train; the images are in my_data/upload, without the 'data/upload/1/' of "
        "the annotations",
    ),
    Layout(
        "VGG VIA, by split",
        {
            "train/via_region_data.json": json.dumps(VIA),
            "train/a.jpg": "",
            "val/via_region_data.json": json.dumps(VIA),
            "val/a.jpg": "",
        },
        "VGG VIA: train, val",
    ),
    # Tables
    Layout(
        "TensorFlow's CSV",
        {
            "train_labels.csv": "filename,width,height,class,xmin,ymin,xmax,ymax\n"
            "a.jpg,100,50,cat,10,5,30,25\n",
            "images/a.jpg": "",
        },
        "CSV: train",
    ),
    Layout(
        "keras-retinanet's CSV",
        {"annotations.csv": "/data/a.jpg,10,5,30,25,cat\n", "images/a.jpg": ""},
        "CSV: the file; the images are in my_data/images, without the '/data/' of the annotations",
        "--data my_data/annotations.csv",
    ),
    Layout(
        "Hugging Face's image folder",
        {
            "metadata.jsonl": json.dumps(
                {"file_name": "a.jpg", "objects": {"bbox": [BOX], "categories": ["cat"]}}
            ),
            "a.jpg": "",
        },
        "Hugging Face: train",
    ),
    # Public data sets
    Layout(
        "Open Images",
        {
            "train-annotations-bbox.csv": OPEN_IMAGES,
            "class-descriptions-boxable.csv": "/m/01yrx,cat\n",
            "train/a.jpg": "",
        },
        "Open Images: train; evaluated without image-level labels (*-human-imagelabels.csv) and "
        "the hierarchy of classes (*hierarchy.json): not there",
    ),
    Layout(
        "KITTI", {"training/label_2/a.txt": KITTI, "training/image_2/a.png": ""}, "KITTI: train"
    ),
    Layout(
        "VisDrone",
        {
            "VisDrone2019-DET-train/annotations/a.txt": "10,5,20,20,1,4,0,0\n",
            "VisDrone2019-DET-train/images/a.jpg": "",
        },
        "VisDrone: train",
        class_name="car",
    ),
    Layout(
        "DOTA",
        {"train/labelTxt/a.txt": DOTA, "train/images/a.png": ""},
        "DOTA: train; oriented boxes are taken as the upright boxes around them",
    ),
    Layout(
        "CrowdHuman",
        {"annotation_train.odgt": json.dumps(ODGT), "Images/a.jpg": ""},
        "CrowdHuman: train",
        class_name="person",
    ),
    Layout(
        "BDD100K",
        {
            "labels/det_20/det_train.json": json.dumps(SCALABEL),
            "images/100k/train/a.jpg": "",
        },
        "BDD100K: train",
    ),
    Layout(
        "WIDER FACE",
        {
            "wider_face_split/wider_face_train_bbx_gt.txt": "0--Parade/a.jpg\n1\n"
            "10 5 20 20 0 0 0 0 0 0\n",
            "WIDER_train/images/0--Parade/a.jpg": "",
        },
        "WIDER FACE: train",
        class_name="face",
    ),
    # What is not read
    Layout(
        "an archive",
        {"my_data.zip": "PK"},
        "refused: my_data/my_data.zip: is an archive. Unpack it and give the folder: "
        "unzip my_data/my_data.zip -d my_data/my_data --data my_data/my_data",
        "--data my_data/my_data.zip",
    ),
    Layout(
        "Git LFS without its files",
        {"annotations/instances_train2017.json": "version https://git-lfs.github.com/spec/v1\n"},
        "refused: my_data/annotations/instances_train2017.json: is a pointer of Git LFS, not the "
        "file itself. Run 'git lfs pull' in its repository.",
    ),
    Layout(
        "a folder around a data set without labels",
        {"project/data.yaml": "train: images\nnames: [cat]\n", "project/images/a.jpg": ""},
        "refused: my_data: is no data set in a known format. It holds 1 image, 1 .yaml (project). "
        "my_data/project looks like YOLO: give --data my_data/project",
    ),
    Layout(
        "an address",
        {},
        "refused: https://example.org/coco.zip: is an address. Download and unpack the data set, "
        "and give its folder.",
        "--data https://example.org/coco.zip",
    ),
)


def table() -> str:
    rows = ["| | what lies in `my_data` | what is typed | what happens |", "|---|---|---|---|"]
    for layout in LAYOUTS:
        files = ", ".join(f"`{name}`" for name in layout.files)
        happens = layout.happens.replace("*", r"\*")  # which would make text italic
        rows.append(f"| {layout.whose} | {files} | `{layout.typed}` | {happens} |")
    return "\n".join(rows)


def page(text: str) -> str:
    """``docs/data.md`` with the table."""
    before, rest = text.split(f"{START}\n")
    return "\n".join([before + START, table(), rest[rest.index(END) :]])


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
