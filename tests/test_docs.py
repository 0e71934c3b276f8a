import re

import pytest

from tests.documents import PAGES, ROOT, Block, all_commands, anchors, links, parse, runnable
from trine.core.extras import available

DOCS = [page for page in PAGES if page.name != "README.md"]
BLOCKS = [block for page in DOCS for block in runnable(page)]
COMMANDS = sorted({command for page in PAGES for command in all_commands(page)})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in links(page):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_on_the_way_from_the_index():
    found, queue = set(), [ROOT / "docs" / "index.md"]
    while queue:
        page = queue.pop()
        if page in found:
            continue
        found.add(page)
        paths = [(page.parent / link.partition("#")[0]).resolve() for link in links(page)]
        queue += [path for path in paths if path.suffix == ".md" and path.exists()]
    missing = {page for page in DOCS if page not in found}
    assert not missing


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.label)
def test_python_blocks_run(block: Block):
    for extra in re.findall(r"^# needs: (\w+)$", block.text, re.MULTILINE):
        if not available(extra):
            pytest.skip(f"needs the extra `{extra}`")
    exec(compile(block.text, block.label, "exec"), {"__name__": "docs"})


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_exist_with_their_options(command: str):
    parse(command)


def test_a_command_that_does_not_exist_would_be_found():
    with pytest.raises(Exception, match="sove"):
        parse("trine games sove comm")
    with pytest.raises(Exception, match="--sizes"):
        parse("trine games solve comm --sizes 3")
