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
    """All slides that can be made from these records, and those that are missing."""
    results = material.results
    slides = [slide for topic in TOPICS for slide in topic(material)]
    if results.elsewhere:
        reason = f"slides show {results.where['machine']} {results.where['device']} only"
        slides.append(Missing("elsewhere", f"{reason}; left out: {', '.join(results.elsewhere)}"))
    return Deck(
        title=teaching.TITLE,
        provenance=teaching.provenance(results),
        slides=tuple(slide for slide in slides if isinstance(slide, Slide)),
        missing=tuple(slide for slide in slides if isinstance(slide, Missing)),
    )
