"""Writes slides as LaTeX for Beamer; `pdflatex overview.tex` makes the PDF."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import ceil

from bench.overview.slides import Code, Deck, Part, Picture, Slide
from bench.overview.write.kept import OWN, Keeper, Marks
from bench.report.form import latex
from bench.report.form.blocks import Table
from bench.report.form.visible import visible

MARKS = Marks("% ", "")
_HEAD = r"""\documentclass[aspectratio=169,10pt,t]{beamer}
%% \setbeameroption{show notes} %% shows the speaker's notes
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{lmodern,textcomp,graphicx,booktabs,array,listings}
\setbeamertemplate{navigation symbols}{}
\setbeamertemplate{footline}{\hspace*{4mm}\tiny %s\hfill\insertframenumber\hspace*{4mm}%%
  \vspace*{2mm}}
\setbeamercolor{frametitle}{fg=black}
\setbeamerfont{frametitle}{size=\large,series=\bfseries}
\lstset{columns=fullflexible,keepspaces=true,
  keywordstyle=\bfseries,commentstyle=\itshape,showstringspaces=false,aboveskip=0pt,belowskip=0pt,
  breaklines=true,upquote=true}
\begin{document}
"""
# (most letters of a line, size), for a slide of 14.8 cm.
_SIZES = ((70, r"\footnotesize"), (84, r"\scriptsize"))
_SHORT = 14  # a column of at most this number of letters is not broken into lines
_CODE = 1.25  # the width of a letter of code, in widths of other letters
# Points: the width of a slide, and the sizes of letters in listings. A letter is half as wide.
_SLIDE, _SMALLEST, _LARGEST, _LETTER = 415.0, 5.0, 8.0, 0.57
# Characters of our texts -> LaTeX.
_COMMANDS = {
    "→": r"$\rightarrow$",
    "×": r"\texttimes{}",  # noqa: RUF001 - the sign of a product
    "≤": r"$\leq$",
    "√": r"$\surd$",
    "–": "--",  # noqa: RUF001 - a dash
    "…": r"\dots{}",
}
_MARKUP = re.compile(r"`([^`]+)`|\*\*([\w ,-]+)\*\*|\*(\w+)\*")
_LAST_LATIN = 0xFF


def to_beamer(deck: Deck, keeper: Keeper) -> str:
    """The deck as one LaTeX document; its pictures are in the folder `pictures`."""
    slides = [_slide(slide, keeper) for slide in deck.slides]
    left_over = keeper.left_over()
    if left_over:
        title = "Kept from slides that are not made any more"
        slides.append(_frame(rf"\frametitle{{{title}}}", *left_over.values()))
    head = _HEAD % escaped(deck.provenance)
    return "\n".join((head, *slides, r"\end{document}")) + "\n"


def escaped(text: str) -> str:
    r"""Text in which only our own markup works; characters outside of the font are `U+...`."""
    parts, end = [], 0
    for match in _MARKUP.finditer(text):
        parts.append(_literal(text[end : match.start()]))
        command = r"\texttt" if match[1] else r"\textbf" if match[2] else r"\textit"
        inner = _breakable(match[1]) if match[1] else _literal(match[2] or match[3])
        parts.append(f"{command}{{{inner}}}")
        end = match.end()
    return "".join([*parts, _literal(text[end:])])


def _breakable(code: str) -> str:
    """Code whose names may be broken into lines after a point and before a word."""
    parts = re.split(r"(?<=[._])(?=\w)|(?<=[a-z])(?=[A-Z])", code)
    return r"\allowbreak{}".join(map(_literal, parts))


def _literal(text: str) -> str:
    return "".join(map(_character, visible(text)))


def _character(character: str) -> str:
    if character in _COMMANDS:
        return _COMMANDS[character]
    if character in "`*":
        return {"`": r"\textasciigrave{}", "*": "*"}[character]
    if character == "-":  # "--" would be a dash
        return "-{}"
    if ord(character) > _LAST_LATIN:
        return rf"\texttt{{U+{ord(character):04X}}}"
    return latex.escaped(character)


def _frame(*parts: str) -> str:
    lines = (r"\begin{frame}[fragile]", *filter(None, parts), r"\end{frame}")
    return "\n".join(lines) + "\n"


def _slide(slide: Slide, keeper: Keeper) -> str:
    title = keeper.piece(slide.key, "title", escaped(slide.title))
    items = "\n".join(rf"\item {escaped(item)}" for item in slide.items)
    text = keeper.piece(slide.key, "text", rf"\small {escaped(slide.text)}") if slide.text else ""
    teachers_place = keeper.piece(slide.key, OWN, _table(slide.own) if slide.own else "")
    notes = "\n".join(rf"\item {escaped(note)}" for note in slide.notes)
    note = (
        keeper.piece(
            slide.key, "notes", f"\\note{{\\begin{{itemize}}\\tiny\n{notes}\n\\end{{itemize}}}}"
        )
        if notes
        else ""
    )
    return _frame(
        f"\\frametitle{{%\n{title}\n}}",
        _beside(slide.parts),
        f"\\begin{{itemize}}\n{items}\n\\end{{itemize}}" if items else "",
        f"\\par\\vspace{{1mm}}\n{text}" if text else "",
        teachers_place,
        note,
    )


def _beside(parts: Sequence[Part]) -> str:
    """Parts in columns; a single part is as wide as the slide."""
    letters = _size_of_code(parts)
    written = [_part(part, letters) for part in parts]
    if len(parts) <= 1:
        return "".join(written)
    longest = [_longest(part) for part in parts]
    columns = (
        f"\\column{{{0.97 * length / sum(longest):.2f}\\textwidth}}\n{part}"
        for length, part in zip(longest, written, strict=True)
    )
    return "\\begin{columns}[t]\n" + "\n".join(columns) + "\n\\end{columns}"


def _longest(part: Part) -> int:
    """The letters of a listing's longest line; they decide its share of the slide's width."""
    return max(map(len, part.text.splitlines()), default=1) if isinstance(part, Code) else 80


def _size_of_code(parts: Sequence[Part]) -> str:
    """The command for the largest letters with which no line of the listings is broken."""
    letters = sum(map(_longest, parts)) + 4 * len(parts)
    size = min(max(_SLIDE / _LETTER / max(letters, 1), _SMALLEST), _LARGEST)
    return rf"\ttfamily\fontsize{{{size:.1f}}}{{{1.18 * size:.1f}}}\selectfont"


def _part(part: Part, letters: str) -> str:
    """A part of a slide; `letters` is the command for the letters of its listings."""
    match part:
        case Picture(name):
            size = r"width=\textwidth,height=0.7\textheight,keepaspectratio"
            picture = rf"\includegraphics[{size}]{{pictures/{name}.pdf}}"
            return f"\\begin{{center}}\n{picture}\n\\end{{center}}"
        case Code(text, language):
            options = f"language={language},basicstyle={letters}"
            return f"\\begin{{lstlisting}}[{options}]\n{text}\n\\end{{lstlisting}}"
        case table:
            return _table(table)


def _table(table: Table) -> str:
    """A table in the largest size of letters that fits the width of the slide.

    If no size fits, the cells of long columns are broken into lines.
    """
    columns = zip(table.columns, *table.rows, strict=True)
    widths = [max(map(_letters, column)) + 2 for column in columns]
    most, size = next((pair for pair in _SIZES if sum(widths) <= pair[0]), _SIZES[-1])
    layout = "l" * len(widths)
    if sum(widths) > most:
        layout = _broken(widths, most)
    lines = (
        rf"\begin{{tabular}}{{@{{}}{layout}@{{}}}}",
        r"\toprule",
        _row(table.columns),
        r"\midrule",
        *map(_row, table.rows),
        r"\bottomrule",
        r"\end{tabular}",
    )
    body = "\n".join(lines)
    return f"\\begin{{center}}\n{size}\\setlength{{\\tabcolsep}}{{1mm}}\n{body}\n\\end{{center}}"


def _letters(cell: str) -> int:
    """The width of a cell in letters; letters of code are wider."""
    return ceil(_CODE * (len(cell) - 2)) if cell.startswith("`") else len(cell)


def _broken(widths: list[int], most: int) -> str:
    """The layout of a table whose long columns share the width that the short ones leave."""
    long = [width for width in widths if width > _SHORT]
    left = most - sum(width for width in widths if width <= _SHORT)
    share = 0.9 * left / most / max(sum(long), 1)
    return "".join(
        "l"
        if width <= _SHORT
        else rf">{{\raggedright\arraybackslash}}p{{{share * width:.3f}\textwidth}}"
        for width in widths
    )


def _row(cells: tuple[str, ...]) -> str:
    return "{}" + " & ".join(map(escaped, cells)) + r" \\"
