"""The explorer page in a real browser, served by the real service on a small release."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from browser import FAINT, UNCLEAR, chromium, visit
from playwright.sync_api import Browser, Page, Route, expect
from serving import Served, serving

from cortex_rec.testing.release import small_release

VIEWS = ("#shopper/h005", "#shopper/h005?why=i001", "#item", "#item/i004", "#compare/h005", "#about")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def served(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    release = small_release(tmp_path_factory.mktemp("explorer") / "releases")
    with serving(release.path.parent, tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def site(served: Served) -> str:
    return str(served.client.base_url)


@pytest.fixture
def page(browser: Browser, site: str) -> Iterator[Page]:
    with visit(browser, site) as visited:
        yield visited


def show(page: Page, where: str) -> None:
    """Go to a view and wait until it has all that it asked for."""
    page.goto("about:blank")
    page.goto("/" + where)
    page.wait_for_load_state("networkidle")


def cards(page: Page) -> list[str]:
    """The items of the cards, once the answer is there."""
    expect(page.locator(".slate[aria-busy=false] .card").first).to_be_visible()
    return [str(card.get_attribute("data-item")) for card in page.locator(".card").all()]


def answer(site: str, user: str, **asked: Any) -> dict[str, Any]:
    told = httpx.post(f"{site}/recommend", json={"user_id": user, "n": 12} | asked)
    assert told.status_code == 200, told.text
    return dict(told.json())


def items(told: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in told["items"]]


def press(page: Page, card: int, name: str) -> str:
    """Press a card's button, wait for the next answer, and give the card's item."""
    item = cards(page)[card]
    with page.expect_response("**/feedback") as sent, page.expect_response("**/recommend"):
        page.locator(f".card >> nth={card} >> [data-name={name}]").click()
    assert sent.value.json() == {"accepted": 1, "repeated": 0}
    expect(page.locator(".meta").first).to_contain_text(re.compile("moved|new|up|gone"))
    return item


def test_a_shopper_is_searched_and_shown_with_history_and_what_comes_next(page: Page, site: str) -> None:
    show(page, "")
    search = page.get_by_role("combobox", name="Another shopper")
    search.fill("h01")
    expect(page.locator("[role=option]")).to_have_text([f"h01{digit}" for digit in range(8)])
    search.press("ArrowDown")
    search.press("ArrowDown")
    search.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("h011")
    assert page.url.endswith("#shopper/h011")

    told = answer(site, "h011")
    assert cards(page) == items(told)
    first, item = page.locator(".card").first, told["items"][0]
    expect(first.get_by_role("heading")).to_have_text(item["title"][0].upper() + item["title"][1:])
    expect(first.locator(".reasons li")).to_have_text(item["reasons"])
    expect(first.locator(".chance")).to_contain_text("within a week")
    last = httpx.get(f"{site}/api/users/h011").json()["purchases"][0]
    expect(page.locator(".past li").first).to_contain_text(last["title"], ignore_case=True)


def test_what_is_bought_changes_the_list_says_what_moved_and_stands_in_the_history(page: Page, site: str) -> None:
    show(page, "#shopper/h020")
    before = cards(page)
    item = press(page, 0, "purchase")
    after = cards(page)
    assert after != before
    assert after == items(answer(site, "h020"))
    new = {each for each in after if each not in before}
    badges = page.locator(".card:has(.badge.new)")
    assert {str(card.get_attribute("data-item")) for card in badges.all()} == new
    up = [each for each in after if each in before and after.index(each) < before.index(each)]
    assert page.locator(".badge.up").count() == len(up)
    expect(page.locator("#said")).to_contain_text("Bought: ")
    expect(page.locator(".events .purchase")).to_have_count(1)
    expect(page.locator(".events a")).to_have_attribute("href", f"#item/{item}")


def test_a_hidden_item_is_gone_for_good(page: Page) -> None:
    show(page, "#shopper/h021")
    hidden = press(page, 1, "hide")
    assert hidden not in cards(page)
    page.reload()
    page.wait_for_load_state("networkidle")
    assert hidden not in cards(page)
    expect(page.locator(".events .hide")).to_have_count(1)


def test_what_is_in_the_cart_is_not_recommended(page: Page) -> None:
    show(page, "#shopper/h022")
    carted = press(page, 0, "cart")
    assert carted not in cards(page)
    expect(page.locator(".events .cart")).to_have_count(1)


@pytest.mark.parametrize(("label", "rule"), [("Diversity", "diversity"), ("New to the shopper", "new_share")])
def test_a_slider_sets_a_rule_the_address_holds_it_and_the_list_is_the_services(page: Page, site: str, label: str, rule: str) -> None:
    show(page, "#shopper/h007")
    plain = cards(page)
    with page.expect_response("**/recommend"):
        page.get_by_role("slider", name=label).fill("1")
    assert cards(page) == items(answer(site, "h007", rules={rule: 1.0}))
    assert cards(page) != plain
    assert page.url.endswith(f"#shopper/h007?{'new' if rule == 'new_share' else rule}=1")
    page.reload()
    expect(page.get_by_role("slider", name=label)).to_have_value("1")
    assert cards(page) == items(answer(site, "h007", rules={rule: 1.0}))


def test_only_one_department_is_shown_when_asked_for(page: Page, site: str) -> None:
    show(page, "#shopper/h008")
    with page.expect_response("**/recommend"):
        page.get_by_role("combobox", name="Department").select_option("DAIRY")
    shown = cards(page)
    assert shown
    groups = [httpx.get(f"{site}/api/items/{item}").json()["groups"]["department"] for item in shown]
    assert set(groups) == {"DAIRY"}


def refuse(status: int, error: str, detail: str) -> Any:
    def fulfil(route: Route) -> None:
        route.fulfill(status=status, content_type="application/json", body=json.dumps({"error": error, "detail": detail}))

    return fulfil


def trace_of(items: list[str], why_not: str | None) -> dict[str, Any]:
    """A trace small enough to be checked by hand, in the shape of `Slate.trace`."""
    one = {
        "place": 1, "score": 2.0, "ranked_place": 3, "features": {"pair_due": 0.5, "item_price": None}, "rules": ["new_share"],
        "retrievers": {"popular": {"rank": 40, "score": 0.1}, "repeats": {"rank": 2, "score": 0.5}},
        "contributions": {"offers": -0.25, "what_you_buy": 1.5},
    }  # fmt: skip
    filtered = {"exclude": 0, "bought_days": 4, "groups": 0, "price": 0, "in_store": 0, "hidden": 1, "basket": 0}
    told = {
        "candidates": {"total": 75, "by_retriever": {"repeats": 20, "popular": 60, "graph": 0}, "widened": 0, "filtered": filtered},
        "ranked": 70,
        "rules": [{"rule": "new_share", "moved": 2}],
        "milliseconds": {"retrieve": 3.0, "features": 1.0, "rank": 2.0, "rules": 0.1, "explain": 0.5},
        "items": {items[0]: one},
    }
    return told if why_not is None else told | {"why_not": {"item": why_not, "stage": "filter", "text": "You hid it."}}


@pytest.fixture
def traced(page: Page) -> Page:
    """The service's own answers with `trace_of` as their trace."""

    def add(route: Route) -> None:
        told, asked = route.fetch().json(), route.request.post_data_json
        assert asked["trace"] is True
        route.fulfill(json=told | {"trace": trace_of(items(told), asked.get("why_not"))})

    page.route("**/recommend", add)
    return page


def test_the_picture_counts_what_the_trace_counts(traced: Page) -> None:
    show(traced, "#shopper/h009")
    drawn = traced.locator("svg.picture")
    assert drawn.locator(".label").all_text_contents() == ["Found", "Filtered", "Ranked", "Rules", "Shown"]
    assert drawn.locator(".many").all_text_contents() == ["75", "70", "70", "70", "12"]
    assert drawn.locator(".time").all_text_contents() == ["3 ms", "3 ms", "0.1 ms", "0.5 ms"]
    assert drawn.locator(".name").all_text_contents() == ["repeats  20", "popular  60"]
    high = [float(str(bar.get_attribute("height"))) for bar in drawn.locator("rect").all()]
    assert high[1] / high[0] == pytest.approx(3), "a bar is as tall as its retriever found items"
    assert high[3] / high[2] == pytest.approx(70 / 75)
    expect(drawn).to_have_role("img")
    expect(drawn).to_have_attribute(
        "aria-label", re.compile("repeats 20, popular 60.*found 75, filtered 70, ranked 70, rules 70, shown 12")
    )
    expect(traced.locator("figcaption")).to_have_text("Left out: 4 bought lately, 1 hidden by the shopper. Rules: new share moved 2.")


def test_why_not_says_the_stage_and_marks_it_in_the_picture(traced: Page) -> None:
    show(traced, "#shopper/h010")
    traced.get_by_role("combobox", name="Item").fill("i079")
    traced.get_by_role("button", name="Ask").click()
    expect(traced.locator(".verdict p")).to_have_text("You hid it.")
    expect(traced.locator(".stage.fell")).to_have_attribute("data-stage", "filter")
    assert "why=i079" in traced.url
    traced.get_by_role("button", name="Forget the question").click()
    expect(traced.locator(".stage.fell")).to_have_count(0)
    assert "why=" not in traced.url


def test_a_question_that_is_refused_is_told_in_place_with_a_way_back(browser: Browser, site: str) -> None:
    with visit(browser, site, faults=("422",)) as page:

        def unknown(route: Route) -> None:
            if "why_not" in route.request.post_data_json:
                refuse(422, "unknown_item", "why_not: item 'nothing' is not in the catalogue.")(route)
            else:
                route.continue_()

        page.route("**/recommend", unknown)
        show(page, "#shopper/h010?why=nothing")
        expect(page.get_by_role("alert")).to_contain_text("'nothing' is not in the catalogue")
        page.get_by_role("button", name="Without the question about one item").click()
        assert len(cards(page)) == 12
        expect(page.get_by_role("alert")).to_have_count(0)


def test_a_card_opens_what_its_score_rests_on(traced: Page) -> None:
    show(traced, "#shopper/h012")
    traced.locator(".card .open").first.click()
    sheet = traced.get_by_role("dialog")
    assert sheet.locator(".parts li").all_inner_texts() == ["what you buy\n+1.50", "offers\n-0.25"]
    expect(sheet.locator(".facts")).to_contain_text("1, the ranker's 3")
    expect(sheet.locator(".facts")).to_contain_text("new share")
    assert sheet.locator("table").first.locator("tbody tr").all_inner_texts() == ["repeats\t2\t0.5", "popular\t40\t0.1"]
    sheet.get_by_text("2 features").click()
    assert sheet.locator("details tr").all_inner_texts() == ["pair due\t0.5", "item price\tnot known"]
    traced.keyboard.press("Escape")
    expect(sheet).to_have_count(0)


def test_the_services_own_trace_is_drawn(page: Page, site: str) -> None:
    trace = answer(site, "h023", trace=True, why_not="i079")["trace"]
    show(page, "#shopper/h023?why=i079")
    expect(page.locator(".picture .many").nth(2)).to_have_text(str(trace["ranked"]))
    expect(page.locator(".verdict p")).to_have_text(trace["why_not"]["text"])
    expect(page.locator(".verdict p")).to_have_attribute("data-stage", trace["why_not"]["stage"])
    page.locator(".card .open").first.click()
    expect(page.get_by_role("dialog").locator(".parts li").first).to_be_visible()


def test_an_item_has_a_page_with_what_is_like_it(page: Page, site: str) -> None:
    show(page, "#item/i004")
    told = httpx.get(f"{site}/api/items/i004").json()
    expect(page.get_by_role("heading", level=1)).to_have_text(told["title"].capitalize())
    expect(page.locator(".facts")).to_contain_text("Dairy", ignore_case=True)
    near = [item["item_id"] for item in httpx.get(f"{site}/api/similar/i004?n=12").json()["items"]]
    assert near
    links = page.locator(".tiles a").all()
    assert [link.get_attribute("href") for link in links] == [f"#item/{item}" for item in near]
    links[0].click()
    expect(page.get_by_text(f"Item {near[0]}")).to_be_visible()


def test_an_item_is_found_by_a_word_of_its_title(page: Page) -> None:
    show(page, "#item")
    page.get_by_role("combobox", name="Item").fill("coffee")
    expect(page.locator("[role=option]").first).to_contain_text("coffee", ignore_case=True)
    page.get_by_role("combobox", name="Item").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("coffee", ignore_case=True)


def test_two_lists_stand_side_by_side_and_the_same_items_are_joined(page: Page, site: str) -> None:
    show(page, "#compare/h013?right=fresh")
    left, right = items(answer(site, "h013", n=15)), items(answer(site, "h013", n=15, rules={"new_share": 0.5}))
    both = set(left) & set(right)
    expect(page.locator(".beside ol").first.locator("li")).to_have_count(len(left))
    for column, shown in enumerate((left, right)):
        links = page.locator(f".beside ol >> nth={column} >> a").all()
        assert [link.get_attribute("href") for link in links] == [f"#item/{item}" for item in shown]
    assert page.locator(".slopes path").count() == len(both)
    expect(page.locator(".board .meta")).to_contain_text(f"{len(both)} of 15 items are in both")


def test_the_answer_of_another_release_that_this_browser_saw_is_a_side(page: Page, site: str) -> None:
    show(page, "#shopper/h014")
    told = answer(site, "h014")
    older = [{"release": "2020-01-01-older", "user": "h014", "when": 0, "items": told["items"][::-1]}]
    page.evaluate("kept => localStorage.setItem('answers', kept)", json.dumps(older))
    show(page, "#compare/h014")
    page.get_by_role("combobox", name="Right").select_option("release 2020-01-01-older")
    links = page.locator(".beside ol >> nth=1 >> a")
    expect(links.first).to_have_attribute("href", f"#item/{items(told)[-1]}")
    expect(page.locator(".beside h2").nth(1)).to_contain_text("2020-01-01-older")


def test_the_keyboard_alone_goes_all_the_way(page: Page) -> None:
    show(page, "#shopper/h015")
    page.keyboard.press("Tab")
    focused = page.locator(":focus")
    expect(focused).to_have_text("Skip to the content")
    expect(focused).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(focused).to_have_role("combobox")
    reached = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        outline = focused.evaluate(
            "element => element.matches('button, input, select, summary, a') && getComputedStyle(element).outlineStyle"
        )
        assert outline == "solid", focused.evaluate("element => element.outerHTML")
        reached.add(focused.evaluate("element => element.dataset.name ?? element.type ?? element.tagName"))
        if focused.get_attribute("data-name") == "hide" and focused.evaluate("element => !element.closest('li').nextElementSibling"):
            break
    assert {"range", "select-one", "SUMMARY", "open", "purchase", "cart", "hide"} <= reached

    page.locator(".card .open").first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_role("button", name="Close")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator(".card .open").first).to_be_focused()

    page.keyboard.press("Tab")
    with page.expect_response("**/recommend"):
        page.keyboard.press("Enter")
    cards(page)
    expect(focused).to_have_attribute("data-name", "purchase")
    assert focused.evaluate("element => element.closest('li') === element.closest('ol').firstElementChild")


@pytest.mark.parametrize("where", VIEWS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_has_names_order_and_contrast(browser: Browser, site: str, where: str, scheme: Any) -> None:
    with visit(browser, site, color_scheme=scheme) as page:
        show(page, where)
        assert page.evaluate(UNCLEAR) == []
        assert page.evaluate(FAINT) == []


@pytest.mark.parametrize("where", VIEWS)
def test_a_phone_has_no_sideways_scroll(browser: Browser, site: str, where: str) -> None:
    with visit(browser, site, viewport={"width": 360, "height": 740}) as page:
        show(page, where)
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        assert page.evaluate(UNCLEAR) == []


@pytest.mark.parametrize("where", VIEWS)
def test_a_view_that_an_address_opens_begins_at_its_top(browser: Browser, site: str, where: str) -> None:
    with visit(browser, site, viewport={"width": 1280, "height": 500}) as page:
        show(page, where)
        assert page.evaluate("scrollY") == 0


def test_filters_stand_in_line_and_a_phones_bar_has_its_button_beside_the_name(browser: Browser, site: str) -> None:
    with visit(browser, site, viewport={"width": 375, "height": 740}) as page:
        show(page, "#shopper/h005?from=1")
        boxes = [entry.bounding_box() for entry in page.locator(".row input, .row select").all()]
        bottoms = [round(box["y"] + box["height"]) for box in boxes if box]
        assert (bottoms[0], bottoms[2]) == (bottoms[1], bottoms[3])
        assert len({round(box["height"]) for box in boxes if box}) == 1
        name, button = page.locator(".mark").bounding_box(), page.locator("#theme").bounding_box()
        assert name
        assert button
        assert button["y"] < name["y"] + name["height"]


def test_the_theme_is_the_systems_until_one_is_chosen_which_stays(browser: Browser, site: str) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    with visit(browser, site, color_scheme="dark") as page:
        show(page, "#about")
        assert page.evaluate(ground) == "rgb(17, 22, 29)"
        page.emulate_media(color_scheme="light")
        assert page.evaluate(ground) == "rgb(246, 247, 249)"
        page.get_by_role("button", name="Switch between light and dark").click()
        assert page.evaluate(ground) == "rgb(17, 22, 29)"
        page.reload()
        assert page.evaluate(ground) == "rgb(17, 22, 29)"


def test_numbers_and_dates_are_in_the_browsers_language(browser: Browser, site: str) -> None:
    with visit(browser, site, locale="de-DE") as page:
        show(page, "#about")
        figure = page.locator(".figure b").first
        expect(figure).to_have_text(re.compile(r"^0,\d{3}$"))
        show(page, "#shopper/h016")
        expect(page.locator(".chance b").first).to_have_text(re.compile(r"^[\d,]+\s%$"))
        expect(page.locator(".past time").first).to_have_text(re.compile(r"^\d\d\.\d\d\.2024$"))


@pytest.mark.parametrize(("motion", "glides"), [("no-preference", True), ("reduce", False)])
def test_cards_glide_unless_the_visitor_wants_no_motion(browser: Browser, site: str, motion: Any, glides: bool) -> None:
    with visit(browser, site, reduced_motion=motion) as page:
        show(page, "#shopper/h017" if glides else "#shopper/h018")
        page.evaluate(
            "() => { window.glided = 0; const own = Element.prototype.animate;"
            " Element.prototype.animate = function (...how) { window.glided++; return own.apply(this, how); }; }"
        )
        press(page, 0, "hide")
        assert (page.evaluate("window.glided") > 0) == glides


def test_a_refusal_is_shown_in_place_and_can_be_tried_again(browser: Browser, site: str) -> None:
    with visit(browser, site, faults=("503",)) as page:
        page.route("**/recommend", refuse(503, "overloaded", "32 questions wait already. Ask again in a second."))
        show(page, "#shopper/h019")
        expect(page.get_by_role("alert")).to_contain_text("32 questions wait already. Ask again in a second.")
        page.unroute("**/recommend")
        page.get_by_role("button", name="Try again").click()
        assert len(cards(page)) == 12
        expect(page.get_by_role("alert")).to_have_count(0)


def test_a_service_that_is_gone_is_told_with_what_to_do(browser: Browser, site: str) -> None:
    with visit(browser, site, faults=("net::ERR_FAILED",)) as page:
        page.route("**/recommend", lambda route: route.abort())
        show(page, "#shopper/h019")
        expect(page.get_by_role("alert")).to_contain_text("cortex-rec serve")


def test_a_service_that_wants_a_key_is_given_one(browser: Browser, site: str) -> None:
    with visit(browser, site, faults=("401",)) as page:

        def locked(route: Route) -> None:
            if route.request.headers.get("authorization") == "Bearer sesame":
                route.continue_()
            else:
                refuse(401, "no_key", "This service wants a key.")(route)

        page.route(re.compile("/recommend|/api/"), locked)
        show(page, "#shopper/h019")
        page.get_by_label("API key").fill("sesame")
        page.get_by_role("button", name="Use it").click()
        assert len(cards(page)) == 12
        expect(page.locator(".past time").first).to_be_visible()


@pytest.mark.parametrize("missing", ["**/api/users/*", "**/api/items?*", "**/api/similar/*", "**/api/popular*"])
def test_where_a_route_is_missing_its_part_says_so_and_the_rest_stays(browser: Browser, site: str, missing: str) -> None:
    with visit(browser, site, faults=("404",)) as page:
        page.route(missing, refuse(404, "not_found", "There is nothing at this path."))
        show(page, "#shopper/h019")
        assert len(cards(page)) == 12
        if "users" in missing:
            expect(page.locator(".past .note")).to_be_visible()
        show(page, "#item/i004")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        if "similar" in missing:
            expect(page.locator(".item .note")).to_be_visible()
        page.get_by_role("combobox", name="Item").fill("i005")
        page.get_by_role("combobox", name="Item").press("Enter")
        expect(page.get_by_text("Item i005")).to_be_visible()


def test_a_stranger_is_answered_with_a_sentence_that_says_so(page: Page) -> None:
    show(page, "#shopper/nobody%2Fat%20all")
    expect(page.get_by_role("heading", level=1)).to_have_text("nobody/at all")
    expect(page.locator(".trouble .note")).to_contain_text("unknown to this release")
    assert len(cards(page)) == 12
    assert page.locator(".chance").count() == 0


def test_the_page_may_run_its_own_files_only_and_no_other_file_is_given_out(site: str) -> None:
    page = httpx.get(f"{site}/")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    named = re.findall(r'(?:src|href)="(explorer/[^"]+)"', page.text)
    imported = {name for file in named for name in re.findall(r'from "\./([^"]+)"', httpx.get(f"{site}/{file}").text)}
    assert {"api.js", "shopper.js"} & imported
    for file in [*named, *(f"explorer/{name}" for name in imported)]:
        assert httpx.get(f"{site}/{file}").status_code == 200
    for path in ("explorer/__init__.py", "explorer/page.html", "explorer/..%2Fapi.py", "explorer/"):
        assert httpx.get(f"{site}/{path}").status_code == 404
