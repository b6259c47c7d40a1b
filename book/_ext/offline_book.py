"""Sphinx extension: a book that asks no outside host for anything.

Stored Vega-Lite charts are drawn by one local script, which is made when the build begins. Widgets
need a kernel, so a page leaves them out. sphinx-thebe, which jupyter-book always loads and this
book does not use, throws an error on every page: its scripts are left out too.
"""

import base64
import json
import re
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from myst_nb.core import render

from plasticity_utils.book.pages import write_bundle
from plasticity_utils.charts.theme import picture

CHARTS = [f"application/vnd.vegalite.v{v}{sign}json" for v in (5, 6) for sign in "+."]
WIDGET = "application/vnd.jupyter.widget-view+json"
SCRIPTS = ("vega-bundle.js", "charts.js")
# Under each page that a search finds stand some of its words, which are fetched; a browser fetches
# nothing from a file.
NO_SUMMARIES = """if (location.protocol === "file:")
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;"""


class Charts(render.MimeRenderPlugin):
    mime_priority_overrides: ClassVar = [("html", mime, 1) for mime in CHARTS]

    @staticmethod
    def handle_mime(renderer, data, inline):
        if data.mime_type not in CHARTS:
            return None
        for script in SCRIPTS:  # only pages that hold a chart load them
            renderer.add_js_file(script, script, {"defer": "defer"})
        spec = json.dumps(data.content).replace("</", "<\\/")
        opening = (
            '<div class="vl-chart"><div class="vl-view"></div>'
            f'<script type="application/json">{spec}</script><noscript>'
        )
        return [html(opening), *still(renderer, data), html("</noscript></div>")]


class Widgets(render.MimeRenderPlugin):
    mime_priority_overrides: ClassVar = [("html", WIDGET, 1)]

    @staticmethod
    def handle_mime(renderer, data, inline):
        # Nothing at all would make myst-nb show the output's next form, a line of text.
        return [html("")] if data.mime_type == WIDGET else None


def html(text):
    return nodes.raw("", text, format="html")


def still(renderer, data):
    """The chart as a picture, for a reader without JavaScript."""
    outputs = renderer.renderer.nb_client.notebook.cells[data.cell_index].outputs
    png = outputs[data.output_index].data.get("image/png")
    if png is None:
        png = base64.b64encode(picture(data.content)).decode()
    return renderer.render_image(render.MimeData("image/png", png))


def without_thebe(app, pagename, templatename, context, doctree):
    def is_thebe(script):
        return "thebe" in f"{script.filename} {script.attributes.get('body', '')}".lower()

    context["script_files"] = [s for s in context.get("script_files", []) if not is_thebe(s)]


def search_from_a_file(app, pagename, templatename, context, doctree):
    if pagename == "search":
        app.add_js_file(None, body=NO_SUMMARIES)


def bars_are_absolute_values(app, what, name, obj, options, lines):
    """Docstrings write |x| for an absolute value; reStructuredText would put in what x names."""
    for i, line in enumerate(lines):
        prose_and_code = re.split(r"(``.+?``)", line)
        prose_and_code[::2] = [prose.replace("|", r"\|") for prose in prose_and_code[::2]]
        lines[i] = "".join(prose_and_code)


def setup(app):
    write_bundle(Path(app.srcdir) / "book" / "_static" / "vega-bundle.js")
    load = render.load_mime_renders
    render.load_mime_renders = lambda: [Charts, Widgets, *load()]
    app.connect("autodoc-process-docstring", bars_are_absolute_values)
    app.connect("html-page-context", search_from_a_file)
    app.connect("html-page-context", without_thebe, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
