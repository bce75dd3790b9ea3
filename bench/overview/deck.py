"""Makes the deck: all slides of an overview in their order."""

from __future__ import annotations

from bench.overview.material import Material
from bench.overview.slides import Deck, Missing, Slide
from bench.overview.topic import accuracy, differences, history, mistakes, model, speed, teaching

# To add slides, write a module with `slides(material)`, and name it here.
TOPICS = (
    teaching.opening,
    history.slides,
    model.slides,
    mistakes.slides,
    accuracy.slides,
    speed.slides,
    differences.slides,
    teaching.closing,
)


def make_deck(material: Material) -> Deck:
    """All slides that these records can make, and those that are missing."""
    made = [slide for topic in TOPICS for slide in topic(material)]
    return Deck(
        title=teaching.TITLE,
        provenance=teaching.provenance(material.results),
        slides=tuple(slide for slide in made if isinstance(slide, Slide)),
        missing=tuple(slide for slide in made if isinstance(slide, Missing)),
    )
