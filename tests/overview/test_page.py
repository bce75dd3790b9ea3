"""The slides as a page in Chromium, and the command as users call it."""

from __future__ import annotations

import pytest

from bench.command.cli import main
from bench.overview.write.files import write_overview
from tests.support.browser import MARKS, chromium  # noqa: F401 - a fixture
from tests.support.overview import deck_of, write_run


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory, mnist_5k):
    return write_run(tmp_path_factory.mktemp("run") / "course", mnist_5k)


@pytest.fixture(scope="module")
def page_file(tmp_path_factory, run_folder, mnist_5k):
    folder = tmp_path_factory.mktemp("page")
    return write_overview(deck_of(run_folder, mnist_5k), "html", folder).document


def with_marks(test):
    for mark in MARKS:
        test = mark(test)
    return test


@with_marks
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_without_errors_requests_and_sideways_scroll(chromium, page_file, width):  # noqa: F811
    troubles = []
    page = chromium.new_page(viewport={"width": width, "height": 720})
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on(
        "request",
        lambda request: (
            None if request.url.startswith(("file:", "data:")) else troubles.append(request.url)
        ),
    )
    page.goto(page_file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if width == 1280:  # a slide fits the window
        tall = "[...document.querySelectorAll('section')].filter(s => s.offsetHeight > 721)"
        assert page.evaluate(f"{tall}.map(s => s.id)") == []
        cut = "[...document.querySelectorAll('.parts')].filter(p => p.scrollWidth > p.offsetWidth)"
        assert page.evaluate(f"{cut}.map(p => p.parentElement.id)") == []
    assert troubles == []
    page.close()


@with_marks
def test_keys_go_from_slide_to_slide(chromium, page_file):  # noqa: F811
    page = chromium.new_page(viewport={"width": 1280, "height": 720})
    page.goto(page_file.as_uri())
    seen = "Math.round(window.scrollY / window.innerHeight)"
    for key, slide in (("ArrowRight", 1), (" ", 2), ("PageDown", 3), ("ArrowLeft", 2)):
        page.keyboard.press(key)
        assert page.evaluate(seen) == slide, key
    page.close()


def test_the_command_says_what_it_wrote_and_what_is_missing(run_folder, tmp_path, capsys):
    assert main(["overview", str(run_folder), "--output", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert f"slides: {tmp_path / 'overview.md'}" in said.out
    # The data set of the made-up run is none that the bench has.
    assert "bench: no slide 'mistakes': " in said.err
    assert "bench: no slide 'devices': no training ran on both a CPU and a GPU" in said.err
    document = tmp_path / "overview.md"
    document.write_text(document.read_text().replace("## 4 exercises", "## Homework"))
    assert main(["overview", str(run_folder), "--output", str(tmp_path)]) == 0
    assert "kept exercises.title: ## Homework" in capsys.readouterr().out


def test_wrong_use_is_told_in_a_line(run_folder, tmp_path, capsys):
    assert main(["overview", str(tmp_path)]) == 2
    assert "is not a results folder" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["overview", str(run_folder), "--format", "powerpoint"])
    assert ended.value.code == 2
    (tmp_path / "overview.md").write_text("My lecture.")
    assert main(["overview", str(run_folder), "--output", str(tmp_path)]) == 2
    assert "was not made by" in capsys.readouterr().err
