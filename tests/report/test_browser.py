"""The page in headless Chromium: without errors, requests, or anything cut off."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pypdf
import pytest

from backends.registry import DEFAULT_BACKENDS
from bench.records.files import PROJECT
from bench.report.form import words
from bench.report.nodes import Nodes
from bench.report.page import write_report
from tests.support.browser import MARKS, chromium  # noqa: F401 - a fixture
from tests.support.clusters import cluster, write_cluster

BACKENDS = DEFAULT_BACKENDS
pytestmark = MARKS


@pytest.fixture(scope="module")
def page_file(tmp_path_factory) -> Path:
    """The page of the kept baseline: seven backends, three workloads."""
    folder = tmp_path_factory.mktemp("page") / "quick"
    shutil.copytree(PROJECT / "results" / "baselines" / "quick", folder)
    write_report(folder)
    return folder / "report.html"


@pytest.fixture
def opened(chromium, page_file):  # noqa: F811
    """Opens the page in a window of a width; every message and request is an error in the end."""
    contexts, troubles = [], []

    def open_page(width=1280, *, script=True, **options):
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, java_script_enabled=script, **options
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(120_000)  # other tests may keep both CPUs busy
        page.on("console", lambda message: troubles.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on(
            "request",
            lambda request: (
                None if request.url == page_file.as_uri() else troubles.append(request.url)
            ),
        )
        page.goto(page_file.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []


def draw_all(page):
    """Scroll through the page until every visible chart is drawn by the script."""
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    for panel in page.locator(".panel").all():
        panel.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelectorAll('.panel:not([data-drawn])').length === 0")


def test_a_page_of_400_nodes_is_drawn_without_an_error(chromium, tmp_path):  # noqa: F811
    nodes = 400
    records = cluster(nodes, 2, slow={7: 1.5}, workloads=("softmax",), backends=("jax",))
    found = Nodes(write_cluster(tmp_path / "all", records), 0.05)
    found.write(tmp_path / "page")
    page, troubles = chromium.new_page(), []
    page.set_default_timeout(120_000)
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.goto((tmp_path / "page" / "report.html").as_uri())
    draw_all(page)
    short, whole = (
        table.locator("tbody tr").count() for table in page.locator("table.sorts").all()
    )
    assert (short, whole) == (20, nodes)
    assert page.locator("#chart-nodes svg path").count() > nodes
    assert troubles == []
    page.close()


def figures_of(page, chart):
    """The texts of a chart's panels, by the panel's title."""
    return {
        panel.locator("h3").inner_text(): panel.locator("svg text").all_text_contents()
        for panel in page.locator(f"#chart-{chart} .panel").all()
    }


def read_summary(page_file):
    with (page_file.parent / "summary.csv").open() as file:
        return list(csv.DictReader(file))


def table_of(page):
    """The rows of the table that sorts: by workload and backend."""
    table = page.locator("table.sorts")
    titles = [title.strip() for title in table.locator("th").all_text_contents()]
    rows = [row.locator("td").all_text_contents() for row in table.locator("tbody tr").all()]
    found = [dict(zip(titles, row, strict=True)) for row in rows]
    return {(row["workload"], row["backend"]): row for row in found}


@pytest.mark.parametrize("script", [True, False])
def test_every_number_of_a_chart_is_that_of_the_table(opened, script):
    page = opened(script=script)
    if script:
        draw_all(page)
    shown = table_of(page)
    for chart, column in (
        ("speed", "ratio to fastest"),
        ("accuracy", "test accuracy"),
        ("memory", "peak memory"),
    ):
        panels = figures_of(page, chart)
        assert len(panels) == 3
        for title, texts in panels.items():
            workload = title.partition(",")[0]
            rows = [row for (name, _), row in shown.items() if name == workload]
            assert len(rows) == (7 if workload == "cnn" else 8)  # scikit-learn has no cnn
            assert sorted(row[column] for row in rows) == sorted(
                text for text in texts if text in {row[column] for row in rows}
            )
            assert {row["backend"] for row in rows} <= set(texts)


def test_the_table_is_the_summary(opened, page_file):
    page = opened()
    shown = table_of(page)
    rows = read_summary(page_file)
    assert len(rows) == len(shown) == 23
    for row in rows:
        cells = shown[row["label"], row["backend"]]
        assert cells["test accuracy"] == f"{100 * float(row['test_accuracy']):.2f} %"
        ratio = words.ratio(float(row["times_fastest"]), provisional=row["unsure"] == "True")
        assert cells["ratio to fastest"] == ratio
        assert cells["epoch, median"].strip("*") == words.seconds(float(row["epoch_seconds"]))


def test_a_hidden_backend_leaves_all_charts_and_comes_back(opened):
    page = opened()
    draw_all(page)
    button = page.locator('.controls [data-backend="jax"]')
    button.click()
    page.wait_for_function(
        "[...document.querySelectorAll('#chart-speed svg text')]"
        ".every((text) => text.textContent !== 'jax')"
    )
    for chart in ("accuracy", "memory", "start-up", "time-to-accuracy"):
        assert all("tensorflow" in texts for texts in figures_of(page, chart).values())
    page.wait_for_function(
        "[...document.querySelectorAll('#chart-memory svg text')]"
        ".every((text) => text.textContent !== 'jax')"
    )
    button.click(modifiers=["Shift"])  # only this one
    page.wait_for_function(
        "[...document.querySelectorAll('#chart-speed svg text')]"
        ".every((text) => text.textContent !== 'pytorch')"
    )
    page.get_by_role("button", name="show all").click()
    page.wait_for_function(
        "[...document.querySelectorAll('#chart-speed svg text')]"
        ".filter((text) => text.textContent === 'pytorch').length === 3"
    )


def test_the_views_show_seconds_cpu_time_and_a_linear_scale(opened):
    page = opened()
    draw_all(page)
    shown = table_of(page)
    for button, column in (("show seconds", "epoch, median"), ("show CPU time", "CPU time")):
        page.get_by_role("button", name=button).click()
        expected = shown["cnn", "jax"][column].strip("*")
        page.wait_for_function(
            "(text) => [...document.querySelectorAll('#chart-speed svg text')]"
            ".some((each) => each.textContent === text)",
            arg=expected,
        )
    page.get_by_role("button", name="show linear").click()
    page.wait_for_function(
        "[...document.querySelectorAll('#chart-speed .panel:first-child svg text')]"
        ".some((each) => each.textContent === '0.0' || each.textContent === '0')"
    )


def test_the_table_sorts_and_filters_by_mouse_and_keyboard(opened):
    page = opened()
    page.get_by_role("button", name="epoch, median").click()
    head = page.locator("table.sorts th", has_text="epoch, median")
    assert head.get_attribute("aria-sort") == "ascending"
    keys = page.eval_on_selector_all(
        "table.sorts tbody tr",
        "rows => rows.map((row) => Number(row.cells[CELL].dataset.key))".replace(
            "CELL", str(list(next(iter(table_of(page).values()))).index("epoch, median"))
        ),
    )
    assert keys == sorted(keys)
    page.get_by_role("button", name="epoch, median").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    page.get_by_role("searchbox").fill("cnn jax")
    assert page.locator("table.sorts tbody tr:visible").count() == 2  # jax and keras-jax
    assert page.get_by_text("2 of 23 rows").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_hinders_a_reader(opened, width, scheme):
    from axe_playwright_python.sync_playwright import Axe

    page = opened(width, color_scheme=scheme)
    draw_all(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(page).response["violations"]
    assert [(each["id"], [node["html"] for node in each["nodes"]][:3]) for each in found] == []


def test_print_holds_every_backend_and_cuts_nothing_off(opened, page_file, tmp_path):
    page = opened(703)  # A4 without margins, in pixels
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    cut = page.evaluate(
        "[...document.querySelectorAll('main *')].filter((each) =>"
        " each.getBoundingClientRect().right > innerWidth + 1 && !each.closest('svg'))"
        ".map((each) => each.outerHTML.slice(0, 80))"
    )
    assert cut == []
    page.pdf(path=tmp_path / "page.pdf", prefer_css_page_size=True)
    pages = pypdf.PdfReader(tmp_path / "page.pdf").pages
    text = "\n".join(page.extract_text() for page in pages)
    assert all(name in text for name in BACKENDS)
    rows = read_summary(page_file)
    # A time stands in the chart and in the table; a table that is cut off lacks its last columns.
    assert all(words.seconds(float(row["epoch_seconds"])) in text for row in rows)
    assert all(words.per_second(float(row["train_examples_per_second"])) in text for row in rows)


def test_files_of_a_chart_and_commands_can_be_taken(opened):
    page = opened(accept_downloads=True, permissions=["clipboard-read", "clipboard-write"])
    draw_all(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="download speed.csv").click()
    rows = list(csv.DictReader(Path(download.value.path()).read_text().splitlines()))
    assert {row["backend"] for row in rows} == set(BACKENDS)
    with page.expect_download() as download:
        page.get_by_role("button", name="download speed.svg").click()
    assert "keras-torch" in Path(download.value.path()).read_text()
    page.get_by_role("button", name="copy: bench verify").first.click()
    assert page.evaluate("navigator.clipboard.readText()").startswith("bench verify")


def test_the_page_is_small(page_file):
    assert page_file.stat().st_size < 3_000_000
