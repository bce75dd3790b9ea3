"""Tests which environments a command makes."""

from __future__ import annotations

from bench.command.environment import environments_of, named


def test_only_the_environments_of_the_named_backends_are_made():
    assert environments_of(("pytorch", "keras-torch", "reference")) == ["torch"]
    assert environments_of(("jax", "tensorflow")) == ["jax", "tensorflow"]


def test_a_suite_stands_for_the_environments_of_its_backends():
    course = named(("course-frameworks", "jax"))
    assert course[-1] == "jax"
    assert {"torch", "spark", "caffe"} < set(course)
    assert named(()) == named(("smoke",)) == ["tensorflow", "jax", "torch", "scikit-learn"]
    assert named(("nothing", "toy")) == ["nothing", "toy"]
