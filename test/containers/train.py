#!/usr/bin/python3
"""Trains the models of the example images on the diamonds of internal/demo/data.

    test/containers/train.py FOLDER

It needs python3-sklearn and python3-xgboost of Debian 12, and makes:

    FOLDER/NAME.tar.gz   the model of the image NAME, as ModelDataUrl wants it
    FOLDER/NAME.csv      what the library predicts for every row, one a line
    FOLDER/diamonds.csv  the rows

The model of xgboost and builtin is that of the demonstration, which
test/xgboost/demo.py makes. Everything is trained on four rows of five, with one
thread and a fixed seed.
"""

import gzip
import io
import json
import os
import sys
import tarfile

import joblib
import numpy as np
import xgboost as xgb
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import LinearRegression

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, "..", "..", "internal", "demo", "data")


def unzipped(name):
    with gzip.open(os.path.join(DATA, name), "rb") as f:
        return f.read()


def archive(path, name, content):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(content), 0o644
        tar.addfile(entry, io.BytesIO(content))
    with open(path, "wb") as f:
        f.write(gzip.compress(buffer.getvalue(), 9, mtime=0))


def lines(path, values):
    with open(path, "w") as f:
        f.writelines(v + "\n" for v in values)


def main(out):
    os.makedirs(out, exist_ok=True)
    rows = unzipped("diamonds.csv.gz")
    with open(os.path.join(out, "diamonds.csv"), "wb") as f:
        f.write(rows)
    x = np.loadtxt(io.BytesIO(rows), delimiter=",")
    y = np.loadtxt(io.BytesIO(unzipped("price.csv.gz")))
    trained_on = np.arange(1, len(y) + 1) % 5 != 0

    linear = LinearRegression().fit(x[trained_on], y[trained_on])
    model = {"weights": linear.coef_.tolist(), "bias": float(linear.intercept_)}
    archive(os.path.join(out, "static.tar.gz"), "model.json", json.dumps(model).encode())
    lines(os.path.join(out, "static.csv"), (repr(v) for v in linear.predict(x).tolist()))

    boosted = GradientBoostingRegressor(n_estimators=60, max_depth=4, subsample=0.5, random_state=1)
    boosted.fit(x[trained_on], y[trained_on])
    dumped = io.BytesIO()
    joblib.dump(boosted, dumped, compress=3)
    archive(os.path.join(out, "sklearn.tar.gz"), "model.joblib", dumped.getvalue())
    lines(os.path.join(out, "sklearn.csv"), (repr(v) for v in boosted.predict(x).tolist()))

    with open(os.path.join(DATA, "model.tar.gz"), "rb") as f:
        packed = f.read()
    booster = xgb.Booster({"nthread": 1})
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        booster.load_model(bytearray(tar.extractfile("xgboost-model").read()))
    predicted = booster.predict(xgb.DMatrix(x.astype(np.float32)))
    for name in ("xgboost", "builtin"):
        with open(os.path.join(out, name + ".tar.gz"), "wb") as f:
            f.write(packed)
        lines(os.path.join(out, name + ".csv"), (np.format_float_positional(v, trim="0") for v in predicted))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
