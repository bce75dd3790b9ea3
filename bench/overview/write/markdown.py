"""Writes slides as Markdown for Marp; any other reader shows the same text and pictures."""

from __future__ import annotations

from bench.overview.slides import Code, Deck, Part, Picture, Slide
from bench.overview.write.kept import OWN, Keeper, Marks
from bench.report.form.markdown import escaped, markdown_table
from bench.report.form.visible import visible

# Marp reads a comment of the form "key: value" as a setting, and leaves out those it does not know.
# All other comments are the speaker's notes.
MARKS = Marks("<!-- ", " -->")
_STYLE = """\
  section { font-size: 24px; padding: 40px 50px 50px; place-content: start; }
  h2 { font-size: 34px; margin: 0 0 16px; }
  p { margin: 8px 0; }
  img { width: 100%; height: 430px; object-fit: contain; display: block; }
  table { font-size: 17px; }
  th, td { padding: 3px 9px; }
  pre { font-size: 13.5px; margin: 4px 0; padding: 8px; }
  footer { font-size: 13px; }
  section.split { display: grid; grid-template-columns: auto auto; column-gap: 20px; }
  section.split h2, section.split p { grid-column: 1 / -1; }"""


def to_markdown(deck: Deck, keeper: Keeper) -> str:
    """The deck as one Markdown document; its pictures are in the folder `pictures`."""
    head = "\n".join(
        (
            "---",
            "marp: true",
            "size: 16:9",
            "paginate: true",
            f"title: {_quoted(deck.title)}",
            f"footer: {_quoted(deck.provenance)}",
            "style: |",
            _STYLE,
            "---",
        )
    )
    slides = [_slide(slide, keeper) for slide in deck.slides]
    left_over = keeper.left_over()
    if left_over:
        slides.append(
            "\n\n".join(("## Kept from slides that are not made any more", *left_over.values()))
        )
    return "\n\n---\n\n".join((f"{head}\n\n{slides[0]}", *slides[1:])) + "\n"


def _quoted(text: str) -> str:
    """A text as a value of YAML; Marp reads a footer as Markdown."""
    return "'" + escaped(text).replace("'", "''") + "'"


def _slide(slide: Slide, keeper: Keeper) -> str:
    notes = "\n".join(f"- {visible(note).replace('-->', '--&gt;')}" for note in slide.notes)
    parts = [
        "<!-- _class: split -->" if len(slide.parts) > 1 else "",
        keeper.piece(slide.key, "title", f"## {escaped(slide.title)}"),
        *map(_part, slide.parts),
        "\n".join(f"- {escaped(item)}" for item in slide.items),
        keeper.piece(slide.key, "text", escaped(slide.text)) if slide.text else "",
        keeper.piece(slide.key, OWN, markdown_table(slide.own) if slide.own else ""),
        keeper.piece(slide.key, "notes", f"<!--\n{notes}\n-->") if notes else "",
    ]
    return "\n\n".join(filter(None, parts))


def _part(part: Part) -> str:
    match part:
        case Picture(name, caption):
            return f"![{escaped(caption)}](pictures/{name}.svg)"
        case Code(text, language):
            return f"```{language}\n{text}\n```"
        case table:
            return markdown_table(table)
