"""Make data/ from the images that the pinned wheels of scikit-image and scikit-learn carry.

Only images whose licence allows a copy are taken, byte for byte; licences and credits below are
those of the wheels (docstrings of `skimage.data`, `sklearn/datasets/images/README.txt`). Run it
after changing the list or a pin, then `dvc add data`, `dvc push`, and commit data.dvc, datastore/
and the manifest. `--check` changes nothing and fails if data/ is not what this script would make.

Usage: PYTHONPATH=. python scripts/build_bundled_data.py [--check]
"""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from repro import files, paths
from repro.data import bundled

VERSIONS = {"scikit-image": "0.26.0", "scikit-learn": "1.9.1"}
CC0 = "CC0 1.0"
PUBLIC_DOMAIN = "public domain"
CC_BY = "CC BY 2.0"


@dataclass(frozen=True)
class Picture:
    """One image to copy: where it lies in its wheel, and what its licence asks us to say."""

    file: str
    wheel: str
    path: str
    licence: str
    credit: str

    @classmethod
    def skimage(cls, file: str, licence: str, credit: str) -> Picture:
        return cls(file, "scikit-image", f"skimage/data/{file}", licence, credit)

    @classmethod
    def sklearn(cls, file: str, licence: str, credit: str) -> Picture:
        return cls(file, "scikit-learn", f"sklearn/datasets/images/{file}", licence, credit)

    def bytes_in_wheel(self) -> bytes:
        """The file as the installed wheel holds it.

        Raises:
            RuntimeError: the installed version is not the pinned one.
        """
        distribution = importlib.metadata.distribution(self.wheel)
        if distribution.version != VERSIONS[self.wheel]:
            raise RuntimeError(
                f"{self.wheel} must be {VERSIONS[self.wheel]}, got {distribution.version}: "
                "install requirements.lock"
            )
        return Path(str(distribution.locate_file(self.path))).read_bytes()


PICTURES = (
    Picture.skimage(
        "astronaut.png",
        PUBLIC_DOMAIN,
        "Eileen Collins, NASA Great Images database, https://flic.kr/p/r9qvLn",
    ),
    Picture.skimage("brick.png", CC0, "CC0Textures, Bricks25, warped and scaled by scikit-image"),
    Picture.skimage("camera.png", CC0, "Lav Varshney"),
    Picture.skimage(
        "cell.png",
        CC0,
        "Müller et al., Optics Express 26(8):10729 (2018), doi:10.1364/OE.26.010729",
    ),
    Picture.skimage("chelsea.png", CC0, "Stefan van der Walt"),
    Picture.sklearn(
        "china.jpg",
        CC_BY,
        "danielbuechele, https://www.flickr.com/photos/danielbuechele/6061409035/, unchanged",
    ),
    Picture.skimage("clock_motion.png", PUBLIC_DOMAIN, "Stefan van der Walt"),
    Picture.skimage("coffee.png", CC0, "Rachel Michetti; courtesy of Pikolo Espresso Bar"),
    Picture.sklearn(
        "flower.jpg",
        CC_BY,
        "vultilion, https://www.flickr.com/photos/vultilion/6056698931/, unchanged (the wheel's "
        "README links this page but names danielbuechele)",
    ),
    Picture.skimage("grass.png", CC0, "linolafett, Grass 01, DeviantArt, cropped, made grey"),
    Picture.skimage("gravel.png", CC0, "CC0Textures, Gravel04, scaled and cropped, made grey"),
    Picture.skimage(
        "hubble_deep_field.jpg",
        PUBLIC_DOMAIN,
        "NASA, http://hubblesite.org/newscenter/archive/releases/2012/37/image/a/",
    ),
    Picture.skimage(
        "retina.jpg",
        CC0,
        "Mikael Häggström, WikiJournal of Medicine 1(2) (2014), doi:10.15347/wjm/2014.008",
    ),
    Picture.skimage(
        "rocket.jpg",
        PUBLIC_DOMAIN,
        "SpaceX, https://www.flickr.com/photos/spacexphotos/16511594820/",
    ),
    Picture.skimage("text.png", PUBLIC_DOMAIN, "https://en.wikipedia.org/wiki/File:Corner.png"),
)

README_HEAD = """\
# Bundled images

{count} photographs and textures, {megabytes:.1f} MB: all the default run needs. They are copies,
byte for byte, of files in the wheels {wheels}, made by
`scripts/build_bundled_data.py`, pinned by `data.dvc`, stored in `datastore/`, and checked against
`repro/data/manifest.sha256` by the first stage of the pipeline. `dvc pull data.dvc` brings them
back.

| file | height x width | licence | by |
|---|---|---|---|
"""

README_TAIL = """
Licences: CC0 1.0 https://creativecommons.org/publicdomain/zero/1.0/ ; CC BY 2.0
https://creativecommons.org/licenses/by/2.0/ . We altered no image; what the project derives from
them (grey patches, scenes) is made at run time.

Not copied: images whose wheel states no licence (moon, page), or only "no known copyright
restrictions" (coins, immunohistochemistry), and the Middlebury stereo pair (research use, no
licence to copy), which `repro.data.bundled.stereo_pair` reads from the installed scikit-image.
"""


def contents() -> dict[str, bytes]:
    """Every file of data/ by name."""
    made = {picture.file: picture.bytes_in_wheel() for picture in PICTURES}
    made["README.md"] = readme(made).encode()
    return made


def readme(images: dict[str, bytes]) -> str:
    """The README beside the images: licence and attribution of each."""
    head = README_HEAD.format(
        count=len(images),
        megabytes=sum(map(len, images.values())) / 1e6,
        wheels=" and ".join(f"{name} {version}" for name, version in VERSIONS.items()),
    )
    return head + "\n".join(map(readme_row, PICTURES)) + "\n" + README_TAIL


def readme_row(picture: Picture) -> str:
    """One row of the README's table."""
    distribution = importlib.metadata.distribution(picture.wheel)
    with Image.open(str(distribution.locate_file(picture.path))) as image:
        shape = f"{image.height} x {image.width} {'grey' if image.mode == 'L' else 'colour'}"
    return f"| {picture.file} | {shape} | {picture.licence} | {picture.credit} |"


def write(folder: Path) -> None:
    """Write data/ and its manifest; whatever else lies in data/ is an error, not deleted."""
    made = contents()
    strangers = {path.name for path in folder.glob("*")} - set(made)
    if strangers:
        raise RuntimeError(f"{folder} holds files this script does not make: {sorted(strangers)}")
    for name, content in made.items():
        files.write_with(folder / name, lambda file, content=content: file.write(content))
    bundled.write_manifest(folder)


def check(folder: Path) -> list[str]:
    """Names of the files of data/ that differ from what the wheels hold."""
    made = contents()
    names = set(made) | {path.name for path in folder.glob("*")}
    return sorted(
        name
        for name in names
        if not (folder / name).is_file() or (folder / name).read_bytes() != made.get(name)
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, change nothing")
    folder = paths.bundled_data()
    if not parser.parse_args().check:
        write(folder)
        return 0
    different = check(folder)
    for name in different:
        print(f"{folder / name} differs from the wheel's", file=sys.stderr)
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
