"""Predicts with the XGBoost model in the model folder."""

import io
import os

import flask
import numpy as np
import xgboost as xgb

MODEL = "/opt/ml/model/xgboost-model"

app = flask.Flask(__name__)
_booster = None


def booster():
    """The model, which each worker loads once."""
    global _booster
    if _booster is None:
        with open(MODEL, "rb") as f:
            loaded = xgb.Booster({"nthread": 1})
            loaded.load_model(bytearray(f.read()))
        _booster = loaded
    return _booster


@app.get("/ping")
def ping():
    return "", 200 if booster() is not None else 503


@app.get("/execution-parameters")
def execution_parameters():
    return flask.jsonify(MaxConcurrentTransforms=len(os.sched_getaffinity(0)), BatchStrategy="MULTI_RECORD", MaxPayloadInMB=6)


def text(v):
    """The shortest decimal text that reads back as the same float32."""
    return np.format_float_positional(v, trim="0")


@app.post("/invocations")
def invocations():
    if flask.request.mimetype != "text/csv":
        return "this model takes text/csv", 415
    try:
        rows = np.loadtxt(io.BytesIO(flask.request.get_data()), delimiter=",", ndmin=2, dtype=np.float32)
        predicted = booster().predict(xgb.DMatrix(rows))
    except ValueError as e:
        return str(e), 400
    return flask.Response("".join(text(v) + "\n" for v in predicted), mimetype="text/csv")
