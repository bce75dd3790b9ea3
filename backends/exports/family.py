"""The environment that reads exported models; the family has no backends."""

from __future__ import annotations

from backends.exports.formats import ENVIRONMENT
from backends.family import Environment, Family

FAMILY = Family(
    backends={},
    environments={
        # OpenCV 5 reads neither format.
        ENVIRONMENT: Environment(
            engine="",
            requirements=("opencv-python-headless==4.14.0.94",),
            versions=("opencv-python-headless", "numpy"),
        )
    },
)
