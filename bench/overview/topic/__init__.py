"""Makes the slides, a module per topic: `slides(material)` returns them in their order."""
