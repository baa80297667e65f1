"""The comparison in a real browser: map, keys, pointer, size, no request."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from chromium import NEEDS_CHROMIUM, Page, open_page
from compare_sample import comparison, judge, judged
from report_sample import HOSTILE, Stages

from ds2.report import choose_points, render_comparison
from ds2.report.map_layout import Layout

pytestmark = NEEDS_CHROMIUM


def page_of(stages: Stages, *, texts: tuple[str, ...] = ("text", "more")) -> str:
    rng = np.random.default_rng(0)
    layout = Layout(rng.standard_normal((400, 2)).astype(np.float32), "PCA", 0.3)
    chosen = {"ds2": np.arange(40), "random": np.arange(30, 70), "length": np.arange(200, 240)}
    points = choose_points(stages.pool, layout, chosen, rng.permutation(400))
    fields = {name: getattr(points, name) for name in points.__dataclass_fields__}
    fields["texts"] = tuple(f"{HOSTILE[i % 9]} {i}" for i in range(points.n_texts))
    judges = judge("rater", texts[0], judged("ds2", 0.5), judged("length", 0.01))
    return render_comparison(comparison(judges, texts=texts), type(points)(**fields))


@pytest.fixture(scope="module")
def file(stages: Stages, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compare") / "compare.html"
    path.write_text(page_of(stages), encoding="utf-8")
    return path


@pytest.fixture
def page(file: Path) -> Iterator[Page]:
    with open_page(file) as found:
        yield found
        found.assert_quiet()


def legend(page: Page) -> list[str]:
    return page.text("legend").split("\n")


def test_selections_are_chosen_counted_and_drawn(page: Page) -> None:
    from selenium.webdriver.support.select import Select

    one, two = Select(page.find("one")), Select(page.find("two"))
    assert [each.text for each in one.options] == ["ds2", "random", "length"]
    assert legend(page) == ["ds2: 40", "not selected: 360"]
    before = page.picture()
    two.select_by_visible_text("random")
    assert legend(page) == ["ds2 alone: 30", "random alone: 30", "both: 10", "not selected: 330"]
    before = page.redrawn(before)
    one.select_by_visible_text("length")
    assert legend(page)[2] == "both: 0"
    page.redrawn(before)


def test_keyboard_alone_reaches_the_map_and_its_points(page: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    page.keys(Keys.TAB)
    visited = []
    while page.focus != "view" and len(visited) < 40:
        visited.append(page.focus)
        page.keys(Keys.TAB)
    assert visited[-5:] == ["one", "two", "in", "out", "all"]
    assert page.text("shown") == ""
    seen = []
    for way in (Keys.ARROW_RIGHT, Keys.ARROW_LEFT, Keys.ARROW_UP, Keys.ARROW_DOWN):
        for _ in range(6):
            page.keys(way)
            seen.append(page.text("shown"))
    assert all("Selected by ds2" in each for each in seen)
    assert len(set(seen)) > 8
    tags = page.run("return [...document.querySelectorAll('#shown *')].map((e) => e.localName)")
    assert set(tags) == {"p"}
    whole = page.picture()
    page.keys("+")
    near = page.redrawn(whole)
    page.keys(Keys.SHIFT + Keys.ARROW_LEFT)
    page.redrawn(near)
    page.keys("0")
    page.wait(lambda: page.picture() == whole, "0 did not show the whole map")
    page.keys(Keys.TAB)
    assert page.focus != "view"


def test_zoom_buttons_work_by_keyboard(page: Page) -> None:
    whole = page.picture()
    page.find("in").send_keys(" ")
    near = page.redrawn(whole)
    page.find("out").send_keys("\n")
    page.redrawn(near)


def test_pointer_shows_a_text_and_drags(page: Page) -> None:
    from selenium.webdriver import ActionChains

    view = page.find("view")
    page.run("arguments[0].scrollIntoView()", view)
    texts = []
    for x in range(-300, 300, 25):
        ActionChains(page.driver, 0).move_to_element_with_offset(view, x, 0).perform()
        texts.append(page.text("shown"))
    assert len(set(texts)) > 5
    assert any("Selected by" in each for each in texts)
    before = page.picture()
    page.find("in").click()
    near = page.redrawn(before)
    ActionChains(page.driver, 0).drag_and_drop_by_offset(view, 50, 20).perform()
    page.redrawn(near)


def test_a_tap_shows_a_text(page: Page) -> None:
    middle = """const view = document.getElementById("view"), box = view.getBoundingClientRect();
    for (let x = 10; x < box.width; x += 10) for (let y = 10; y < box.height; y += 10) {
      view.dispatchEvent(new PointerEvent("pointerdown", {clientX: box.left + x,
        clientY: box.top + y, pointerId: 1, pointerType: "touch", bubbles: true}));
      if (document.getElementById("shown").textContent) return;
    }"""
    page.run(middle)
    assert "Selected by" in page.text("shown")


@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_fits(file: Path, width: int) -> None:
    with open_page(file, width=width) as page:
        wide, fits, small = page.run("""
            document.querySelectorAll("details").forEach((one) => { one.open = true; });
            const all = (what) => [...document.querySelectorAll(what)];
            const root = document.documentElement, edge = root.clientWidth + 1;
            return [
              all("body *").filter((node) => !node.closest(".scroll, .skip")
                && node.getBoundingClientRect().right > edge).map((node) => node.outerHTML),
              root.scrollWidth <= root.clientWidth,
              all("button, select").filter((node) => node.offsetHeight < 24).length];
        """)
        assert wide == []
        assert fits
        assert small == 0
        page.assert_quiet()


def test_hostile_names_do_no_harm(tmp_path: Path, stages: Stages) -> None:
    path = tmp_path / "compare.html"
    path.write_text(page_of(stages, texts=HOSTILE), encoding="utf-8")
    with open_page(path) as page:
        page.assert_quiet()
        assert page.run("return document.querySelectorAll('h1').length") == 1
        assert page.run("return document.querySelectorAll('main img, main script').length") == 0


def test_the_checks_see_a_page_that_is_not_quiet(tmp_path: Path) -> None:
    path = tmp_path / "loud.html"
    path.write_text("<!DOCTYPE html><img src='http://127.0.0.1:9/x.png'><script>boom()</script>")
    with open_page(path) as page:
        page.wait(lambda: any("boom" in each for each in page.messages()), "no message")
        assert page.requests() == ["http://127.0.0.1:9/x.png"]
