#!/usr/bin/env python3
"""Trains the small models that the Go predictor is checked against.

Run it from anywhere: python3 test/xgboost/train.py
It needs numpy and xgboost 1.7 (Debian: python3-xgboost), the last release
line that still writes the old binary format beside JSON and UBJSON. It is
deterministic: the data come from a fixed seed and training uses one thread.

Written to internal/modelserver/xgboost/booster/testdata:
  numeric.csv, categorical.csv   the inputs, an empty field is a missing value
  NAME.json, NAME.ubj, NAME.bin  one model in up to three formats
  NAME.expected.csv              Booster.predict of XGBoost itself, a row a line
"""

import os

import numpy as np
import xgboost as xgb

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "..", "internal", "modelserver", "xgboost", "booster", "testdata")
ROWS, COLS = 600, 8
KEPT = 150  # rows written as test input


def text(v):
    """The shortest text of a float32, empty for a missing value."""
    return "" if np.isnan(v) else np.format_float_positional(np.float32(v), trim="-")


def write_rows(name, rows):
    with open(os.path.join(OUT, name), "w") as f:
        for row in rows:
            f.write(",".join(text(v) for v in row) + "\n")


def write_expected(name, values):
    values = np.asarray(values, dtype=np.float32)
    values = values.reshape(values.shape[0], -1)
    with open(os.path.join(OUT, name + ".expected.csv"), "w") as f:
        for row in values:
            f.write(",".join(repr(float(v)) for v in row) + "\n")


# The cases kept in every format. The others differ only in their objective,
# which all three formats store as the same name, and are kept as JSON.
EVERY_FORMAT = {"binary", "softprob", "softmax", "regression", "poisson", "dart", "dartmulti", "linear", "linearmulti",
                "early", "targets"}


def save(name, booster, inputs):
    booster.save_model(os.path.join(OUT, name + ".json"))
    if name in EVERY_FORMAT or name == "categorical":  # the old binary format has no categories
        booster.save_model(os.path.join(OUT, name + ".ubj"))
    if name in EVERY_FORMAT:
        with open(os.path.join(OUT, name + ".bin"), "wb") as f:
            f.write(booster.save_raw(raw_format="deprecated"))
    write_expected(name, booster.predict(inputs))


def numeric_data():
    rng = np.random.RandomState(20240611)
    x = rng.normal(size=(ROWS, COLS)).astype(np.float32)
    x[:, 3] = np.round(x[:, 3] * 3)
    score = x[:, 0] * 1.5 - x[:, 1] + np.abs(x[:, 2]) * x[:, 3] * 0.4 + rng.normal(size=ROWS) * 0.3
    x[rng.uniform(size=x.shape) < 0.1] = np.nan
    x[KEPT - 1] = np.nan  # one row without a single value
    return x, score.astype(np.float32), rng


def params(**more):
    base = dict(max_depth=4, eta=0.3, nthread=1, seed=7, tree_method="exact")
    base.update(more)
    return base


def numeric_cases(x, score, rng):
    binary = (score > 0).astype(np.float32)
    classes = np.digitize(score, [-1.0, 1.0]).astype(np.float32)
    count = rng.poisson(np.exp(np.clip(score, -2, 2))).astype(np.float32)
    positive = np.exp(np.clip(score, -3, 3)).astype(np.float32)
    shown = xgb.DMatrix(x[:KEPT])

    def train(name, label, rounds=8, **more):
        booster = xgb.train(params(**more), xgb.DMatrix(x, label=label), rounds)
        save(name, booster, shown)

    train("binary", binary, rounds=12, objective="binary:logistic", base_score=0.3)
    train("logitraw", binary, objective="binary:logitraw", base_score=0.25)
    train("hinge", binary, objective="binary:hinge")
    train("softprob", classes, objective="multi:softprob", num_class=3)
    train("softmax", classes, objective="multi:softmax", num_class=3)
    train("regression", score, rounds=12, objective="reg:squarederror", base_score=1.25)
    train("logistic", 1 / (1 + np.exp(-score)), objective="reg:logistic")
    train("absolute", score, objective="reg:absoluteerror", tree_method="hist")
    train("huber", score, objective="reg:pseudohubererror")
    train("squaredlog", positive, objective="reg:squaredlogerror")
    train("poisson", count, objective="count:poisson", base_score=2.0)
    train("gamma", positive, objective="reg:gamma")
    train("tweedie", count, objective="reg:tweedie", tweedie_variance_power=1.4)
    train("cox", np.where(binary > 0, positive, -positive), objective="survival:cox")
    train("dart", binary, rounds=12, booster="dart", objective="binary:logistic", rate_drop=0.4)
    train("dartmulti", classes, booster="dart", objective="multi:softprob", num_class=3, rate_drop=0.4)
    train("linear", score, booster="gblinear", objective="reg:squarederror", updater="coord_descent", base_score=0.7)
    train("linearmulti", classes, booster="gblinear", objective="multi:softprob", num_class=3, updater="coord_descent")
    train("forest", binary, rounds=3, objective="binary:logistic", num_parallel_tree=4, subsample=0.6)
    train("deep", score, rounds=2, objective="reg:squarederror", max_depth=0, max_leaves=120,
          grow_policy="lossguide", tree_method="hist", min_child_weight=0)
    train("targets", np.stack([score, -2 * score], axis=1), objective="reg:squarederror", tree_method="hist")

    rank = xgb.DMatrix(x, label=classes)
    rank.set_group([20] * (ROWS // 20))
    save("rank", xgb.train(params(objective="rank:pairwise"), rank, 8), shown)

    bounds = xgb.DMatrix(x)
    bounds.set_float_info("label_lower_bound", positive)
    bounds.set_float_info("label_upper_bound", np.where(binary > 0, positive, np.inf).astype(np.float32))
    save("aft", xgb.train(params(objective="survival:aft"), bounds, 8), shown)

    early_stopping(x, binary, shown)


def early_stopping(x, binary, shown):
    """A model that records best_ntree_limit: the expected rows use only these trees."""
    half = ROWS // 2
    fit, held = xgb.DMatrix(x[:half], label=binary[:half]), xgb.DMatrix(x[half:], label=binary[half:])
    booster = xgb.train(params(objective="binary:logistic", num_parallel_tree=2, subsample=0.5, eta=1.0), fit, 30,
                        evals=[(held, "held")], early_stopping_rounds=3, verbose_eval=False)
    best = booster.best_iteration
    assert best + 1 < booster.num_boosted_rounds()
    save("early", booster, shown)
    write_expected("early.all", booster.predict(shown))
    write_expected("early", booster.predict(shown, iteration_range=(0, best + 1)))


def categorical_case():
    rng = np.random.RandomState(5)
    small, large = rng.randint(0, 3, ROWS), rng.randint(0, 45, ROWS)
    x = np.stack([small, large, rng.normal(size=ROWS)], axis=1).astype(np.float32)
    effect = rng.normal(size=45)
    label = effect[large] * 3 + (small == 1) * 2 + x[:, 2]
    x[rng.uniform(size=x.shape) < 0.05] = np.nan
    types = ["c", "c", "float"]
    fit = xgb.DMatrix(x, label=label, feature_types=types, enable_categorical=True)
    booster = xgb.train(params(tree_method="hist", max_cat_to_onehot=4), fit, 8)
    shown = x[:KEPT].copy()
    shown[0, 1] = 44 if np.isnan(shown[0, 1]) else 63  # a category that training never saw
    shown[1, 1] = 1000
    inputs = xgb.DMatrix(shown, feature_types=types, enable_categorical=True)
    write_rows("categorical.csv", shown)
    save("categorical", booster, inputs)


def main():
    os.makedirs(OUT, exist_ok=True)
    x, score, rng = numeric_data()
    write_rows("numeric.csv", x[:KEPT])
    numeric_cases(x, score, rng)
    categorical_case()


if __name__ == "__main__":
    main()
