"""What the pages of docs/ need to be a site: an order, the READMEs, and links that lead somewhere.

MkDocs calls these functions. A link from docs/ to a file of the repository becomes a link to its
page where it has one, and its plain name where it has none, because the site holds pages only. A
link to a file that is not there stays as it is, and MkDocs reports it.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File, Files

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
READMES = {
    "README.md": "index.md",
    "tap-voucherify/README.md": "tap.md",
    "target-voucherify/README.md": "target.md",
    "sandbox/README.md": "sandbox.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
"""Documents of the repository to the pages that they become."""

ORDER = {
    "Start": ["index", "quick-start", "recipes"],
    "Use": ["scheduling", "transform", "report", "operating", "messages", "scaling", "streams"],
    "Reference": ["tap", "target", "sandbox", "changelog"],
    "Trust": ["how-a-sync-works"],
    "Project": ["contributing", "security"],
}
"""Pages by section; those that no section names come under Trust, and decisions at the end."""

LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#:\s]+)(#[^)\s]*)?\)")


def on_config(config: MkDocsConfig) -> None:
    """Put the pages in order."""
    docs = Path(config.docs_dir)
    named = {name for names in ORDER.values() for name in names}
    others = sorted(page.stem for page in docs.glob("*.md") if page.stem not in named)
    config.nav = [
        {section: [f"{name}.md" for name in (*names, *(others if section == "Trust" else ()))]}
        for section, names in ORDER.items()
    ]
    decisions = sorted(docs.glob("decisions/*.md"))
    config.nav.append({"Decisions": [str(page.relative_to(docs)) for page in decisions]})


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the documents that lie outside of docs/."""
    for document, name in READMES.items():
        content = (ROOT / document).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Let links lead to pages."""
    name = page.file.src_uri
    sources = {made: document for document, made in READMES.items()}
    source = sources.get(name, f"docs/{name}")

    def led(match: re.Match[str]) -> str:
        picture, text, target, anchor = match.groups()
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if not (ROOT / path).exists():
            return match.group()
        made = READMES.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else "")
        if path == "docs/decisions":
            made = "decisions/0001-no-shared-package.md"
        if not made:
            return text if "`" in text else f"`{path}`"
        relative = posixpath.relpath(made, posixpath.dirname(name) or ".")
        return f"{picture}[{text}]({relative}{anchor or ''})"

    return LINK.sub(led, markdown)
