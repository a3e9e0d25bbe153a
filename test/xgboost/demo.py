#!/usr/bin/env python3
"""Makes the files of `sagebrush demo`: internal/demo/data/*.gz.

Run it from anywhere: python3 test/xgboost/demo.py
It needs Rscript with ggplot2 (Debian: r-cran-ggplot2) for the data, numpy and
xgboost 1.7 (Debian: python3-xgboost). It is deterministic: every fifth row
(row numbers 5, 10, 15 ... counted from 1) is held out, the model is trained on
the other 80 % with one thread and a fixed seed, and no file carries a time.
"""

import gzip
import io
import os
import subprocess
import tarfile
import tempfile

import numpy as np
import xgboost as xgb

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "..", "internal", "demo", "data")


def exported_lines():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "diamonds.csv")
        subprocess.run(["Rscript", os.path.join(HERE, "diamonds.R"), path], check=True)
        with open(path) as f:
            return f.read().splitlines()


def write_gzip(name, data):
    with open(os.path.join(OUT, name), "wb") as f:
        f.write(gzip.compress(data, 9, mtime=0))


def write_lines(name, lines):
    write_gzip(name, ("\n".join(lines) + "\n").encode())


def model_archive(raw):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        entry = tarfile.TarInfo("xgboost-model")
        entry.size, entry.mode = len(raw), 0o644
        archive.addfile(entry, io.BytesIO(raw))
    return buffer.getvalue()


def text(v):
    """The shortest decimal text that reads back as the same float32."""
    return np.format_float_positional(np.float32(v), trim="0")


def main():
    lines = [line.rsplit(",", 1) for line in exported_lines()]
    features, price = [l[0] for l in lines], [l[1] for l in lines]
    x = np.array([[np.float32(v) for v in row.split(",")] for row in features], dtype=np.float32)
    y = np.array(price, dtype=np.float32)
    held = np.arange(1, len(y) + 1) % 5 == 0

    booster = xgb.train(
        dict(objective="reg:squarederror", tree_method="hist", max_depth=6, eta=0.12, min_child_weight=5,
             subsample=0.8, nthread=1, seed=1, base_score=float(round(y[~held].mean()))),
        xgb.DMatrix(x[~held], label=y[~held]), 120)
    predicted = booster.predict(xgb.DMatrix(x))

    os.makedirs(OUT, exist_ok=True)
    write_lines("diamonds.csv.gz", features)
    write_lines("price.csv.gz", price)
    write_lines("expected.csv.gz", [text(v) for v in predicted])
    write_gzip("model.tar.gz", model_archive(bytes(booster.save_raw(raw_format="ubj"))))

    for label, rows in (("trained on", ~held), ("held out", held)):
        left = ((y[rows] - predicted[rows]) ** 2).sum() / ((y[rows] - y[rows].mean()) ** 2).sum()
        error = np.sqrt(((y[rows] - predicted[rows]) ** 2).mean())
        print(f"{label}: {rows.sum()} rows, R2 {1 - left:.4f}, RMSE {error:.1f}")


if __name__ == "__main__":
    main()
