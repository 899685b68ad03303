"""Put the bundled images into data/ without DVC, from the copies under datastore/.

`make pull` does the same where DVC is installed.
"""

from __future__ import annotations

import json
import shutil
import sys

import yaml

from repro.data.bundled import verify_bundled
from repro.paths import bundled_data, repository_root


def main() -> int:
    root = repository_root()
    store = root / "datastore" / "files" / "md5"
    (tracked,) = yaml.safe_load((root / "data.dvc").read_text(encoding="utf-8"))["outs"]
    listing = json.loads((store / tracked["md5"][:2] / tracked["md5"][2:]).read_text("utf-8"))
    folder = bundled_data()
    for entry in listing:
        path = folder / entry["relpath"]
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(store / entry["md5"][:2] / entry["md5"][2:], path)
    print(f"{verify_bundled()} bundled files are in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
