"""Predicts with the scikit-learn model in the model folder."""

import io
import os

import flask
import joblib
import numpy as np

MODEL = "/opt/ml/model/model.joblib"

app = flask.Flask(__name__)
_model = None


def model():
    """The model, which each worker loads once."""
    global _model
    if _model is None:
        _model = joblib.load(MODEL)
    return _model


@app.get("/ping")
def ping():
    return "", 200 if model() is not None else 503


@app.get("/execution-parameters")
def execution_parameters():
    return flask.jsonify(MaxConcurrentTransforms=len(os.sched_getaffinity(0)), BatchStrategy="MULTI_RECORD", MaxPayloadInMB=6)


@app.post("/invocations")
def invocations():
    if flask.request.mimetype != "text/csv":
        return "this model takes text/csv", 415
    try:
        rows = np.loadtxt(io.BytesIO(flask.request.get_data()), delimiter=",", ndmin=2)
        predicted = model().predict(rows)
    except ValueError as e:
        return str(e), 400
    return flask.Response("".join(f"{v!r}\n" for v in predicted.tolist()), mimetype="text/csv")
