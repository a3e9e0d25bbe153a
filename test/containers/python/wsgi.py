"""What gunicorn serves."""

from predictor import app  # noqa: F401
