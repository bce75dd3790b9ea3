"""The files of `bench overview`: a teacher's words stay, names are text, the LaTeX compiles."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest
from msgspec.structs import replace

from bench.overview.slides import Code, Deck, Slide
from bench.overview.write import beamer, html, markdown
from bench.overview.write.files import write_overview
from bench.records.files import PROJECT, RunError
from bench.report.form.blocks import Table
from tests.support.overview import deck_of, write_run
from tests.support.processes import run_python

FORMATS = {"markdown": "overview.md", "beamer": "overview.tex", "html": "overview.html"}
WRITERS = {"markdown": markdown, "beamer": beamer, "html": html}
HOSTILE = (
    r"\input{/etc/passwd} \end{frame} 50% #1 $x$ a_b {c} ~^ & \\",
    "<script>alert(1)</script> --> <!-- overview: end -->",
    "| a | b | **c** `d` [e](f) ![g](h)",
    "% overview: end",
    "\x1b[31m red \u202e turned \x00",
    "日本語 ∑ 🎉 ﬁ",
    "line\n\n---\n\nbreak",
)


@pytest.fixture(scope="module")
def deck(tmp_path_factory, mnist_5k) -> Deck:
    return deck_of(write_run(tmp_path_factory.mktemp("run") / "course", mnist_5k), mnist_5k)


def a_deck(*slides: Slide) -> Deck:
    return Deck(title="Title", provenance="a run", slides=slides)


def a_slide(key="one", title="A claim", **parts) -> Slide:
    return Slide(key=key, title=title, **{"text": "Words.", "notes": ("A note.",), **parts})


@pytest.mark.parametrize("form", FORMATS)
def test_a_sentence_that_a_teacher_changed_stays_and_all_else_is_new(tmp_path, form):
    first = a_deck(a_slide(), a_slide("two", "Two", notes=("Old note.",)))
    write_overview(first, form, tmp_path)
    document = tmp_path / FORMATS[form]
    document.write_text(document.read_text().replace("A claim", "My own claim"))
    second = a_deck(
        a_slide(title="Another claim", text="New words."), a_slide("two", "Two", notes=("New.",))
    )
    written = write_overview(second, form, tmp_path)
    text = document.read_text()
    assert "My own claim" in text
    assert "Another claim" not in text
    assert "New words." in text
    assert "Old note." not in text
    [kept] = written.kept
    assert kept.piece == "one.title"
    assert kept.is_outdated
    assert "Another claim" in kept.made
    assert written.copy is None
    # Once more, with the same slides: nothing changes.
    write_overview(second, form, tmp_path)
    assert document.read_text() == text


@pytest.mark.parametrize("form", FORMATS)
def test_what_stands_in_the_teachers_place_stays(tmp_path, form):
    write_overview(a_deck(a_slide()), form, tmp_path)
    document = tmp_path / FORMATS[form]
    marks = WRITERS[form].MARKS
    begin = re.search(re.escape(marks.open) + r"overview: one\.own \w+.*", document.read_text())[0]
    document.write_text(document.read_text().replace(begin, f"{begin}\nHello, course!\nBye."))
    written = write_overview(a_deck(a_slide(title="New")), form, tmp_path)
    assert f"{begin}\nHello, course!\nBye.\n{marks.end}" in document.read_text()
    assert written.copy is None


@pytest.mark.parametrize("form", FORMATS)
def test_the_text_of_a_slide_that_is_not_made_any_more_is_not_lost(tmp_path, form):
    write_overview(a_deck(a_slide(), a_slide("gone", "Gone")), form, tmp_path)
    document = tmp_path / FORMATS[form]
    document.write_text(document.read_text().replace("Gone", "Mine"))
    for _ in range(2):  # it stays at the second time, too
        written = write_overview(a_deck(a_slide()), form, tmp_path)
        assert [kept.made for kept in written.kept] == [None]
        assert "Mine" in document.read_text()
        assert "not made any more" in document.read_text()
    write_overview(a_deck(a_slide(), a_slide("gone", "Gone")), form, tmp_path)
    assert document.read_text().count("Mine") == 1
    assert "not made any more" not in document.read_text()


@pytest.mark.parametrize("form", FORMATS)
def test_a_change_outside_of_the_marks_is_copied_before_it_is_lost(tmp_path, form):
    slide = a_slide(parts=(Table(("a", "b"), (("c", "d"),)),))
    assert write_overview(a_deck(slide), form, tmp_path).copy is None
    document = tmp_path / FORMATS[form]
    changed = document.read_text().replace("Title", "Title").replace("d", "D", 1)
    document.write_text(changed)
    copy = write_overview(a_deck(slide), form, tmp_path).copy
    assert copy is not None
    assert copy.read_text() == changed
    assert write_overview(a_deck(slide), form, tmp_path).copy is None


@pytest.mark.parametrize("form", FORMATS)
def test_no_copy_is_overwritten(tmp_path, form):
    write_overview(a_deck(a_slide()), form, tmp_path)
    document = tmp_path / FORMATS[form]
    copies = set()
    for added in ("My first slide.", "My second slide."):
        text = document.read_text() + added + "\n"
        document.write_text(text)
        copies.add(write_overview(a_deck(a_slide()), form, tmp_path).copy)
    assert sorted("first" in copy.read_text() for copy in copies) == [False, True]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("damage", ["spaces", "crlf", "bom"])
def test_what_editors_change_around_a_mark_loses_nothing(tmp_path, form, damage):
    write_overview(a_deck(a_slide()), form, tmp_path)
    document = tmp_path / FORMATS[form]
    text = document.read_text().replace("A claim", "My own claim")
    if damage == "spaces":
        text = "\n".join(f"{line}  " if "overview:" in line else line for line in text.splitlines())
    content = text.encode("utf-8-sig" if damage == "bom" else "utf-8")
    document.write_bytes(content.replace(b"\n", b"\r\n") if damage == "crlf" else content)
    written = write_overview(a_deck(a_slide(title="Another claim")), form, tmp_path)
    assert [kept.piece for kept in written.kept] == ["one.title"]
    assert written.copy is None
    assert "My own claim" in document.read_text()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("damage", ["digest", "begin", "end", "twice"])
def test_a_damaged_mark_is_refused_with_its_line(tmp_path, form, damage):
    write_overview(a_deck(a_slide()), form, tmp_path)
    document, marks = tmp_path / FORMATS[form], WRITERS[form].MARKS
    text = document.read_text()
    begin = next(line for line in text.splitlines() if "one.title" in line)
    changed = {
        "digest": text.replace(begin, begin.replace(begin.split()[3], "")),
        "begin": text.replace(f"{begin}\n", ""),
        "end": text.replace(f"{marks.end}\n", "", 1),
        "twice": text.replace(begin, f"{begin}\n{begin}"),
    }[damage]
    document.write_text(changed)
    with pytest.raises(RunError, match="line [0-9]+"):
        write_overview(a_deck(a_slide()), form, tmp_path)
    assert document.read_text() == changed


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_of_somebody_else_is_not_overwritten(tmp_path, form):
    document = tmp_path / FORMATS[form]
    document.write_text("My lecture.")
    with pytest.raises(RunError, match="not made by"):
        write_overview(a_deck(a_slide()), form, tmp_path)
    assert document.read_text() == "My lecture."


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_piece_is_read_back_whatever_names_stand_in_it(tmp_path, form, name):
    """No name ends a piece, and none is taken for an edit."""
    slide = a_slide(title=name, text=name, notes=(name, name), items=(name,))
    for _ in range(2):
        written = write_overview(a_deck(slide), form, tmp_path)
        assert written.kept == []
        assert written.copy is None
    document = WRITERS[form].MARKS.read((tmp_path / FORMATS[form]).read_text())
    assert len(document.pieces) == 4


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text_in_html(tmp_path, name):
    slide = a_slide(
        title=name, text=name, notes=(name,), parts=(Code(name), Table((name,), ((name,),)))
    )
    write_overview(replace(a_deck(slide), provenance=name), "html", tmp_path)
    text = (tmp_path / "overview.html").read_text()
    assert "<script>alert" not in text
    assert text.count("<section") == 1


def test_markdown_has_a_slide_between_two_rules(deck, tmp_path):
    write_overview(deck, "markdown", tmp_path)
    text = (tmp_path / "overview.md").read_text()
    head, *slides = re.split(r"^---$", text, flags=re.MULTILINE)[1:]
    assert "marp: true" in head
    assert len(slides) == len(deck.slides)
    for picture in re.findall(r"!\[[^]]*\]\((.*?)\)", text):
        assert (tmp_path / picture).is_file(), picture


needs_tex = pytest.mark.skipif(
    shutil.which("pdflatex") is None,
    reason="needs pdflatex: apt-get install texlive-latex-recommended texlive-pictures lmodern",
)


def compiled(folder) -> str:
    """The text of the PDF that pdflatex makes of overview.tex."""
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "overview.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:].decode(errors="replace")
    log = (folder / "overview.log").read_text(errors="replace")
    assert "Overfull" not in log, re.findall(r"Overfull.*", log)
    import pypdf

    pages = pypdf.PdfReader(folder / "overview.pdf").pages
    return "\f".join(page.extract_text() for page in pages)


@needs_tex
@pytest.mark.slow
def test_the_slides_compile_with_pdflatex(deck, tmp_path):
    write_overview(deck, "beamer", tmp_path)
    pages = compiled(tmp_path).split("\f")
    assert len(pages) == len(deck.slides)
    for page, slide in zip(pages, deck.slides, strict=True):
        assert slide.title.split()[0] in page


@needs_tex
@pytest.mark.slow
def test_names_are_text_in_latex(tmp_path):
    slides = [
        a_slide(
            f"s{number}",
            name,
            text=name,
            notes=(name,),
            items=(name,),
            parts=(Table(("a", name), (("b", name), (name, "c"))),),
        )
        for number, name in enumerate(HOSTILE)
    ]
    deck = replace(a_deck(*slides), provenance=HOSTILE[0])
    write_overview(deck, "beamer", tmp_path)
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "overview.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:].decode(errors="replace")
    import pypdf

    pages = pypdf.PdfReader(tmp_path / "overview.pdf").pages
    assert len(pages) == len(slides)
    assert "root:" not in "".join(page.extract_text() for page in pages)


def test_a_file_of_settings_in_the_current_folder_is_not_obeyed(tmp_path, monkeypatch):
    (tmp_path / "matplotlibrc").write_text("font.size: 99\ntext.usetex: True\n")
    code = (
        "import bench.overview.picture.style, matplotlib; print(matplotlib.rcParams['font.size'])"
    )
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    monkeypatch.chdir(tmp_path)
    assert run_python(code) == "10.0\n"


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_a_document_that_is_no_file_is_named(make, tmp_path):
    make(tmp_path / "overview.md")
    with pytest.raises(RunError, match="cannot be read: .*not a regular file"):
        write_overview(a_deck(a_slide()), "markdown", tmp_path)
