"""The page in a Chinese Chromium holds no English word, and an English one loads no Chinese."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from engine.machine.addresses import own_addresses
from tests.support.browser import MARKS, choose_scripted, generate, open_page, settled, watched
from tests.support.clipfiles import by_hand
from tests.support.served import Served, serving
from tests.support.texts_left_out import NAMES
from ui.server.catalogue import catalogue

pytestmark = [*MARKS, pytest.mark.long]
# Every visible word outside what isn't to be translated, with the text that it stands in.
SEEN = """() => {
  const found = [];
  const spared = (node) => node.closest('[translate=no], .notranslate, script, style, code, pre');
  const keep = (text, node) => {
    if (/[A-Za-z]{2}/.test(text) && !spared(node)) found.push(text.trim());
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, element = node.parentElement;
    if (element.checkVisibility() && !element.closest('textarea')) keep(node.data, element);
  }
  for (const node of document.querySelectorAll('body *')) {
    if (!node.checkVisibility()) continue;
    for (const name of ['placeholder', 'title', 'aria-label', 'aria-valuetext', 'alt']) {
      if (node.hasAttribute(name)) keep(node.getAttribute(name), node);
    }
    if (node.matches('input[readonly]')) {
      const value = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value');
      keep(value.get.call(node), node);
    }
  }
  return found;
}"""
# The page's language says nothing of that: Gradio sets it as well.
CHINESE = "window.headroomText('script.undo') === '撤销'"
# Words apart from names with signs or digits in them, such as files, and from short forms (GB).
WORD = re.compile(r"(?<![\w./\\@=:-])[A-Za-z]*[a-z]{2,}(?![\w/\\@=]|[.:-]\w)")


# What stands within a text and is its author's: prompts, a visitor's name, the tests' own pipeline.
THEIRS = re.compile(
    "a red ball moves left|a red ball|open, measured|fail=error|open：|：measured|“measured"
    "|For tests\\.?|Scripted: for tests only\\.|That many cores\\.|scripted failure|ValueError"
)


def english(tab: Any) -> list[str]:
    settled(tab)
    return sorted(
        f"{word}: {text}"
        for text in tab.evaluate(SEEN)
        for word in WORD.findall(THEIRS.sub("", text))
        if word not in NAMES
    )


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A page with two clips that came by hand, and one file that isn't ours."""
    folder = tmp_path_factory.mktemp("texts")
    by_hand(folder / "home" / "clips", "a red ball", "open, measured")
    with serving(folder) as running:
        yield running


@pytest.fixture
def page(chromium: Any, served: Served) -> Iterator[Any]:
    with watched(chromium, served, locale="zh-CN") as tab:
        tab.wait_for_function(CHINESE)
        yield tab


@pytest.fixture(scope="module")
def same_page(chromium: Any, served: Served) -> Iterator[Any]:
    """For what is written into it and taken away again."""
    with watched(chromium, served, locale="zh-CN") as tab:
        tab.wait_for_function(CHINESE)
        yield tab


def test_each_built_in_text_is_changed(same_page: Any) -> None:
    """As a whole: as a node's words, as an attribute, and with the page's own spaces around it."""
    pairs = [(en, zh) for en, zh in catalogue().items() if not re.search(r"\{\w+\}", en)]
    shown = same_page.evaluate(
        """async (texts) => {
          const nodes = texts.map((text) => {
            const node = document.createElement("p");
            node.append(`\n  ${text} `);
            node.title = text;
            return node;
          });
          document.body.append(...nodes);
          await Promise.resolve();
          const said = nodes.map((node) => [node.textContent.trim(), node.title]);
          nodes.forEach((node) => node.remove());
          return said;
        }""",
        [text for text, _ in pairs],
    )
    said = list(zip(pairs, shown, strict=True))
    assert [pair for pair, seen in said if seen != [pair[1], pair[1]]] == []


@pytest.mark.parametrize(
    "text",
    ["A sentence that nobody knows.", "Generate a clip", "generate", "Restore: open, measured"],
)
def test_what_is_no_whole_text_of_the_page_stays(same_page: Any, text: str) -> None:
    assert written(same_page, text) == text


@pytest.mark.parametrize("spared", ["translate=no", "class=notranslate"])
def test_what_is_not_to_be_translated_stays(same_page: Any, spared: str) -> None:
    assert written(same_page, "Generate", spared) == "Generate"
    assert written(same_page, "Generate") == "生成"


def written(page: Any, text: str, attribute: str = "lang=en") -> Any:
    """What becomes of ``text`` in an element with this attribute."""
    return page.evaluate(
        """async ([text, [name, value]]) => {
          const node = document.createElement("p");
          node.setAttribute(name, value);
          node.textContent = text;
          document.body.append(node);
          await Promise.resolve();
          const said = node.textContent;
          node.remove();
          return said;
        }""",
        [text, attribute.split("=")],
    )


def test_scripts_say_chinese(same_page: Any) -> None:
    """By id; a value stays as it is, though it be a word of the page's."""

    def say(text: str, **values: object) -> Any:
        return same_page.evaluate("([id, v]) => window.headroomText(id, v)", [text, values])

    assert say("script.selected", n=2) == "已选 2 个"
    assert say("script.restore_clip", prompt="Generate") == "恢复：Generate"
    assert say("script.clips_found", n=7) == "找到 7 个"


def test_what_scripts_said_before_the_table_came_is_changed(chromium: Any, served: Served) -> None:
    context = chromium.new_context(locale="zh-CN")
    tab, held = context.new_page(), []
    tab.route("**/texts/zh.json", lambda route: held.append(route))
    open_page(tab, served)
    tab.evaluate(
        """() => {
          const node = document.createElement("p");
          node.id = "early";
          node.textContent = window.headroomText("script.clips_found", { n: 7 });
          document.body.append(node);
        }"""
    )
    assert (tab.inner_text("#early"), tab.inner_text("#dice").strip()) == ("7 found", "Roll")
    held[0].continue_()
    tab.wait_for_function(CHINESE)
    assert (tab.inner_text("#early"), tab.inner_text("#dice").strip()) == ("找到 7 个", "随机")
    context.close()


def test_the_form_the_queue_and_the_end_of_clips(page: Any) -> None:
    page.wait_for_selector("#size >> text=尚未测试")  # sizes are said anew by an event of the load
    assert english(page) == []
    assert page.inner_text("#generate") == "生成"
    generate(page, "   ")
    page.wait_for_selector("#error >> text=请先写提示词")
    assert english(page) == []
    choose_scripted(page)
    assert english(page) == [], "cards, lengths, a verdict"
    generate(page, "fail=error open, measured")
    page.wait_for_selector("[data-live=outcome][data-kind=bad]")
    assert english(page) == []
    generate(page, "steps=300 step_seconds=0.2")
    # The preview of the clip before stays until this one runs.
    page.wait_for_selector("[data-live=title] >> text=/^steps=300 step_seconds=0.2$/")
    page.wait_for_function("document.querySelector('.preview')?.src.startsWith('data:')")
    generate(page, "measured")
    page.wait_for_selector("#strip [data-queue=waiting] .title")
    assert page.inner_text("#strip [data-queue=waiting] .title") == "measured"
    page.click("#strip [data-queue=waiting] [data-do=edit]")
    page.wait_for_selector("#save-job")
    assert english(page) == []
    page.click("#leave-job")
    page.click("#cancel")
    page.wait_for_selector("[data-live=outcome][data-kind=good]")
    for closed in page.locator("button.label-wrap:visible").all():
        closed.click()
    assert english(page) == []


def test_a_locked_size_is_measured_and_shown(page: Any) -> None:
    choose_scripted(page)
    page.locator("#size label").last.click()
    page.locator("#frames label").last.click()
    page.wait_for_selector("#truth p")
    assert english(page) == []
    page.get_by_role("tab", name="内存").click()
    page.wait_for_selector("#picture td")
    page.click("#measure-size input")
    page.wait_for_selector("[role=option]")
    assert english(page) == []
    page.keyboard.press("Escape")
    page.click("#measure")
    page.wait_for_selector("#measure-told >> text=正在测量")
    page.wait_for_selector("#picture td.measured")
    assert english(page) == []


def test_the_plan_and_its_choices(page: Any) -> None:
    page.click("#model input")
    page.click("[role=option] >> text=Planned")
    page.get_by_role("tab", name="内存").click()
    page.wait_for_selector("#plan >> text=Planned 在本机的运行方式")
    page.click("#plan-choices button.label-wrap")
    page.click("#plan-attention input")
    page.wait_for_selector("[role=option]")
    assert english(page) == []
    page.click("[role=option] >> text=sage_attn2")
    page.click("#use-attention")
    page.wait_for_selector("#plan-told .refusal")
    assert english(page) == []


def test_the_library_and_its_dialogs(page: Any) -> None:
    page.get_by_role("tab", name="片段库").click()
    page.wait_for_selector("#library .lib-card")
    page.wait_for_selector(".lib-refused summary")
    page.click(".lib-refused summary")
    assert english(page) == []
    card = page.locator("#library .lib-card", has_text="open, measured")
    assert card.locator(".lib-prompt").inner_text() == "open, measured"
    card.locator(".lib-icon").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#library .lib-icon[aria-pressed=true]")
    assert page.evaluate("document.activeElement.ariaPressed") == "true", "the focus stays"
    card.locator(".lib-picture").click()
    page.click("dialog summary")
    page.wait_for_selector("dialog table.receipt")
    assert english(page) == []
    page.keyboard.press("Escape")
    for box in page.locator("#library .lib-select").all()[:2]:
        box.check()
    assert english(page) == []
    page.click(".lib-choice >> text=比较")
    page.wait_for_selector("dialog .lib-differences > *")
    assert english(page) == []
    page.keyboard.press("Escape")
    card.locator(".lib-icon").last.click()
    page.wait_for_selector("#library .lib-told >> text=已删除")
    page.click("#library [name=trash]")
    page.wait_for_selector("#library .lib-days")
    assert english(page) == []


def test_set_up_with_the_doctor_and_a_refused_folder(page: Any) -> None:
    page.get_by_role("tab", name="模型").click()
    page.wait_for_selector("#machine table")
    assert english(page) == []
    page.click("#report-write")
    page.wait_for_selector("#report textarea")
    assert english(page) == []
    assert "packages: " in page.input_value("#report textarea"), "for an issue, in English"


def test_help_with_prompts(page: Any) -> None:
    page.click("#improve-open")
    page.wait_for_selector("#improve-status >> text=语言模型")
    page.wait_for_function(
        "!document.querySelector('#improve-status').textContent.includes('查找')"
    )
    assert english(page) == []
    theme = "#idea-theme input"
    page.click(theme)
    page.wait_for_selector("[role=option]")
    assert english(page) == []
    page.click("[role=option] >> nth=1")
    settled(page)
    assert english(page) == [], "the choice in a closed list, too"


@pytest.mark.skipif(not own_addresses(), reason="this machine is in no network")
def test_sharing_and_the_visitors_page(page: Any, chromium: Any) -> None:
    page.get_by_role("tab", name="分享").click()
    page.click("#share-where input[value=network]")
    assert english(page) == []
    page.click("#share-start")
    page.wait_for_selector("#share-password")
    assert english(page) == []
    address, password = page.inner_text("#share-address"), page.inner_text("#share-password")
    context = chromium.new_context(locale="zh-CN")
    guest = context.new_page()
    guest.goto(f"{address}#{password}")
    guest.wait_for_selector("#enter", state="visible")
    guest.wait_for_function("document.title === 'Headroom，有人与您分享'")
    assert english(guest) == []
    guest.fill("#enter [name=name]", "open")
    guest.click("#enter button")
    guest.wait_for_selector("#make", state="visible")
    guest.fill("#make textarea", "a red ball moves left")
    guest.click("#make button")
    guest.wait_for_selector("#jobs li")
    assert english(guest) == []
    page.wait_for_selector("#share-live >> text=open：")
    assert english(page) == []
    page.click("#share-stop")
    page.wait_for_selector("#share-told >> text=分享已结束")
    guest.wait_for_selector("#told >> text=联系不上")
    assert english(guest) == []
    context.close()


def test_an_english_browser_loads_no_catalogue(chromium: Any, served: Served) -> None:
    context = chromium.new_context(locale="en-US")
    tab, asked = context.new_page(), []
    tab.on("request", lambda request: asked.append(request.url))
    open_page(tab, served)
    settled(tab)
    assert [url for url in asked if "texts/" in url] == []
    assert tab.evaluate("document.documentElement.lang") == "en"
    assert tab.inner_text("#generate") == "Generate"
    context.close()


def test_the_address_can_choose_and_the_browser_remembers(chromium: Any, served: Served) -> None:
    context = chromium.new_context(locale="en-US")
    tab = context.new_page()
    for address, word in (("?lang=zh", "生成"), ("", "生成"), ("?lang=en", "Generate")):
        tab.goto(f"{served.url}{address}")
        tab.wait_for_selector(f"#generate >> text={word}")
    context.close()


def test_without_the_table_what_is_built_in_is_english(chromium: Any, served: Served) -> None:
    context = chromium.new_context(locale="zh-CN")
    tab = context.new_page()
    tab.route("**/texts/zh.json", lambda route: route.abort())
    open_page(tab, served)
    assert "Roll" in tab.inner_text("#dice")
    said = tab.evaluate("window.headroomText('script.clips_found', { n: 7 })")
    assert said == "7 found"
    context.close()


def test_a_word_is_changed_before_it_is_painted(same_page: Any) -> None:
    """What is written is Chinese in the same turn, and quiet after that."""
    turned = same_page.evaluate(
        """async () => {
          const node = document.createElement('p');
          document.body.append(node);
          let writes = 0;
          new MutationObserver((records) => { writes += records.length; })
            .observe(node, { childList: true, characterData: true, subtree: true });
          node.textContent = 'Newest clips';
          await Promise.resolve();
          const first = node.textContent;
          node.textContent = 'Running';
          await new Promise((done) => setTimeout(done, 300));
          const said = [first, node.textContent, writes];
          node.remove();
          return said;
        }"""
    )
    assert turned[:2] == ["最新片段", "正在生成"]
    assert turned[2] <= 4, "it doesn't answer its own writing"


def test_tabs_of_two_languages_have_a_stream_each(chromium: Any, served: Served) -> None:
    """They share a browser, and would share the worker that keeps the stream."""
    context = chromium.new_context(locale="en-US")
    said = "document.querySelector('.live-panel [data-live=engine]').textContent"
    for language, word, signs in (
        ("zh", "生成", "/[\u4e00-\u9fff]/"),
        ("en", "Generate", "/^[ -~…]+$/"),
    ):
        tab = context.new_page()
        tab.goto(f"{served.url}?lang={language}")
        tab.wait_for_selector(f"#generate >> text={word}")
        tab.wait_for_selector(".live-panel[data-engine]")
        assert tab.evaluate("window.headroomLanguage") == language
        tab.wait_for_function(f"{signs}.test({said})")
    context.close()
