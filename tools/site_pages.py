"""MkDocs hooks: the order of pages, the READMEs as pages, and links between documents.

A link to a file of the repository becomes a link to its page, or its plain name where it has no
page. A link to a file that does not exist is left alone, and MkDocs reports it.
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
"""Documents of the repository to their pages."""

ORDER = {
    "Start": ["index", "quick-start", "recipes"],
    "Use": [
        "platforms",
        "scheduling",
        "dlt",
        "airbyte",
        "transform",
        "report",
        "operating",
        "monitoring",
        "messages",
        "scaling",
        "streams",
    ],
    "Reference": ["tap", "target", "sandbox", "changelog"],
    "Trust": ["how-a-sync-works"],
    "Project": ["contributing", "security"],
}
"""Pages by section; others come under Trust. Decisions are not in the navigation."""

LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#:\s]+)(#[^)\s]*)?\)")


def on_config(config: MkDocsConfig) -> None:
    """Set the navigation."""
    docs = Path(config.docs_dir)
    named = {name for names in ORDER.values() for name in names}
    others = sorted(page.stem for page in docs.glob("*.md") if page.stem not in named)
    config.nav = [
        {section: [f"{name}.md" for name in (*names, *(others if section == "Trust" else ()))]}
        for section, names in ORDER.items()
    ]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the documents outside of docs/."""
    for document, name in READMES.items():
        content = (ROOT / document).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Rewrite links to point to pages."""
    name = page.file.src_uri
    sources = {made: document for document, made in READMES.items()}
    source = sources.get(name, f"docs/{name}")

    def rewritten(match: re.Match[str]) -> str:
        picture, text, target, anchor = match.groups()
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if not (ROOT / path).exists():
            return match.group()
        made = READMES.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else "")
        if path == "docs/decisions":
            made = "decisions/README.md"
        if not made:
            return text if "`" in text else f"`{path}`"
        relative = posixpath.relpath(made, posixpath.dirname(name) or ".")
        return f"{picture}[{text}]({relative}{anchor or ''})"

    return LINK.sub(rewritten, markdown)
