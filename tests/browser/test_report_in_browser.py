"""The report in a real browser, opened from ``file://``: filters, links that preset them, sorting, formulas, no network."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from flowcheck.pipeline.report.mathml import to_mathml
from report_fixture import SCALE, make_report, verdicts

pytestmark = pytest.mark.browser
OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--window-size=1280,1000"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
PAGES = ("index.html", "claims.html", "deviations.html", "claims/alpha/theorem-1.html", "claims/beta/conjecture-a.html")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_report(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        reason = "chromium and chromedriver are not installed"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for option in (*OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield chrome
    chrome.quit()


def visit(browser: webdriver.Chrome, report: Path, page: str) -> None:
    browser.get("about:blank")  # so that a mere change of the hash loads the page anew
    browser.get(f"{report.as_uri()}/{page}")


def shown(browser: webdriver.Chrome) -> list[str]:
    """Ids of the visible claims, in order."""
    rows = browser.find_elements(By.CSS_SELECTOR, "#claims tbody tr")
    links = [row.find_element(By.CSS_SELECTOR, "th a").get_attribute("href") for row in rows if row.is_displayed()]
    return ["/".join(link.removesuffix(".html").split("/")[-2:]) for link in links if link]


def choose(browser: webdriver.Chrome, key: str, value: str) -> None:
    Select(browser.find_element(By.ID, f"filter-{key}")).select_by_value(value)


def test_pages_make_no_network_request_and_log_no_error(browser: webdriver.Chrome, report: Path) -> None:
    browser.get_log("performance")
    for page in PAGES:
        visit(browser, report, page)
        assert browser.title
        assert not [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert any(url.endswith("report.css") for url in urls)
    assert all(url.startswith(("file://", "data:", "about:")) for url in urls)


def test_filter_by_verdict_paper_and_text(browser: webdriver.Chrome, report: Path) -> None:
    found = verdicts(report)
    visit(browser, report, "claims.html")
    assert shown(browser) == list(found)
    choose(browser, "verdict", "contradicted")
    assert shown(browser) == [name for name, verdict in found.items() if verdict == "contradicted"]
    assert browser.find_element(By.ID, "count").text == f"2 of {len(found)} claims shown"
    choose(browser, "paper", "beta")
    assert shown(browser) == ["beta/theorem-10"]
    assert browser.current_url.endswith("#paper=beta&verdict=contradicted")
    browser.find_element(By.CSS_SELECTOR, "#filters button").click()
    assert shown(browser) == list(found)
    browser.find_element(By.ID, "filter-text").send_keys("ROUGHLY nothing")
    assert shown(browser) == []
    assert browser.find_element(By.ID, "nothing").is_displayed()
    browser.find_element(By.ID, "filter-text").clear()
    browser.find_element(By.ID, "filter-text").send_keys("far tight")
    assert shown(browser) == ["beta/proposition-4"]
    browser.find_element(By.ID, "filter-text").clear()
    browser.find_element(By.ID, "filter-text").send_keys("conserved")
    assert shown(browser) == ["alpha/lemma-2"]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("class", "identity", ["alpha/lemma-2"]),
        ("kind", "proposition", ["beta/proposition-4"]),
        ("priority", "C", ["alpha/figure-3"]),
        ("variant", "printed", ["alpha/theorem-1-printed"]),
        ("origin", "flowcheck", ["beta/conjecture-a"]),
    ],
)
def test_filter_by(browser: webdriver.Chrome, report: Path, key: str, value: str, expected: list[str]) -> None:
    visit(browser, report, "claims.html")
    choose(browser, key, value)
    assert shown(browser) == expected


def test_filter_works_from_the_keyboard(browser: webdriver.Chrome, report: Path) -> None:
    visit(browser, report, "claims.html")
    browser.find_element(By.ID, "filter-paper").send_keys("beta")
    assert {name.split("/")[0] for name in shown(browser)} == {"beta"}
    active = browser.find_element(By.ID, "filter-paper")
    for key in ("verdict", "class", "kind", "priority", "variant", "origin", "text"):
        active.send_keys(Keys.TAB)
        active = browser.switch_to.active_element
        assert active.get_attribute("id") == f"filter-{key}"


def test_numbers_of_the_overview_lead_to_their_claims(browser: webdriver.Chrome, report: Path) -> None:
    visit(browser, report, "index.html")
    browser.find_element(By.CSS_SELECTOR, 'a[href^="claims.html#paper=alpha"][href$="verdict=contradicted"]').click()
    assert shown(browser) == ["alpha/theorem-1-printed"]
    assert browser.find_element(By.ID, "filter-verdict").get_attribute("value") == "contradicted"
    browser.back()
    assert browser.current_url.endswith("index.html")


def test_hash_presets_filters_and_sort_and_unknown_values_filter_nothing(browser: webdriver.Chrome, report: Path) -> None:
    visit(browser, report, "claims.html#paper=alpha&sort=-label")
    assert shown(browser) == ["alpha/theorem-1", "alpha/theorem-1-printed", "alpha/lemma-2", "alpha/figure-3"]
    browser.execute_script("location.hash = '#verdict=vacuous'")
    assert shown(browser) == ["beta/proposition-4"]
    visit(browser, report, "claims.html#paper=nonsense")
    assert len(shown(browser)) == len(verdicts(report))


def test_columns_sort_numbers_as_numbers_and_labels_as_people_do(browser: webdriver.Chrome, report: Path) -> None:
    visit(browser, report, "claims.html")
    head = browser.find_element(By.CSS_SELECTOR, "th[data-key=over_threshold]")
    head.find_element(By.TAG_NAME, "button").click()
    records = json.loads((report / "ledger.json").read_text())["claims"]
    measured = sorted((r for r in records if r["over_threshold"] is not None), key=lambda r: r["over_threshold"])
    assert shown(browser) == [r["id"] for r in measured] + ["beta/conjecture-a"]
    assert head.get_attribute("aria-sort") == "ascending"
    head.find_element(By.TAG_NAME, "button").click()
    assert shown(browser) == [r["id"] for r in reversed(measured)] + ["beta/conjecture-a"]
    browser.find_element(By.CSS_SELECTOR, "th[data-key=label] button").click()
    assert shown(browser).index("alpha/theorem-1") < shown(browser).index("beta/theorem-10")


def test_formulas_are_laid_out_and_fractions_are_stacked(browser: webdriver.Chrome, report: Path) -> None:
    for page in PAGES:
        visit(browser, report, page)
        sizes = browser.execute_script(
            "document.querySelectorAll('details').forEach(d => d.open = true);"
            "const boxes = [...document.querySelectorAll('math')].map(m => m.getBoundingClientRect());"
            "return boxes.map(box => [box.width, box.height])"
        )
        assert sizes
        assert all(width > 2 and height > 4 for width, height in sizes)
    visit(browser, report, "claims/alpha/theorem-1.html")
    top, bottom = browser.execute_script(
        "return [...document.querySelector('mfrac').children].map(c => c.getBoundingClientRect()).map(r => [r.top, r.bottom])"
    )
    assert top[1] <= bottom[0] + 1
    brace, cases = browser.execute_script(
        "const table = document.querySelector('mtable');"
        "return [table.previousElementSibling, table].map(e => e.getBoundingClientRect().height)"
    )
    assert brace > 0.8 * cases


FORMULAS = Path(__file__).parents[1] / "unit" / "pipeline" / "report" / "formulas.txt"
UNSEEN = """
const hidden = [];
for (const math of document.querySelectorAll('math')) {
  for (const token of math.querySelectorAll('mi, mn, mo, mtext, ms')) {
    const box = token.getBoundingClientRect();
    const ink = token.textContent.replace(/[\\s\\u2060-\\u2064\\u200b\\u00a0]/g, '');
    const seen = box.width >= 0.5 && box.height >= 0.5;
    if (ink && !seen && !token.closest('mphantom')) hidden.push([math.getAttribute('alttext'), ink]);
  }
}
const unknown = [...document.querySelectorAll('math *')].filter(e => !(e instanceof MathMLElement)).map(e => e.tagName);
return [hidden, unknown, document.querySelectorAll('math').length];
"""


def test_every_sign_of_three_hundred_formulas_has_a_place_on_the_page(browser: webdriver.Chrome, tmp_path: Path) -> None:
    formulas = FORMULAS.read_text(encoding="utf-8").splitlines()
    shown = "\n".join(f"<p>{to_mathml(tex, display)}</p>" for tex in formulas for display in (False, True))
    page = tmp_path / "formulas.html"
    page.write_text(f"<!doctype html><meta charset=utf-8><title>formulas</title>{shown}", encoding="utf-8")
    browser.get(page.as_uri())
    hidden, unknown, count = browser.execute_script(UNSEEN)
    assert (hidden, unknown, count) == ([], [], 2 * len(formulas))


@pytest.mark.parametrize("page", PAGES)
def test_pages_do_not_scroll_sideways_on_a_phone(browser: webdriver.Chrome, report: Path, page: str) -> None:
    phone = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        visit(browser, report, page)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_figures_load(browser: webdriver.Chrome, report: Path) -> None:
    visit(browser, report, "claims/alpha/figure-3.html")
    browser.execute_async_script("Promise.all([...document.images].map(i => i.decode())).then(arguments[0], arguments[0])")
    assert all(browser.execute_script("return [...document.images].map(i => i.naturalWidth)"))


def test_table_is_complete_without_javascript(browser: webdriver.Chrome, report: Path) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        visit(browser, report, "claims.html")
        assert not browser.find_element(By.ID, "filters").is_displayed()
        rows = browser.find_elements(By.CSS_SELECTOR, "#claims tbody tr")
        assert len(rows) == len(verdicts(report))
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_scale_is_named_on_the_overview(browser: webdriver.Chrome, report: Path) -> None:
    visit(browser, report, "index.html")
    assert SCALE in browser.title
