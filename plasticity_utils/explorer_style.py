"""The look of the explorer: one style sheet, for light and dark, wide and narrow.

Colours of text, lines and ground are those of the front end (JupyterLab's and Notebook's variables,
else VS Code's), so that the explorer follows its theme. In the drawings the neutral colours of
`vega` stand for them. Every rule is bound to the explorer's own class.
"""

from __future__ import annotations

from plasticity_utils import vega

_ENTITY_RULES = "\n".join(
    f".pu-explorer .pu-{entity} {{ border-bottom: 2px solid {colour}; }}"
    for entity, colour in vega.ENTITY_COLOURS.items()
)
STYLE = f"""<style>
.pu-explorer {{
  --pu-ink: var(--jp-content-font-color1, var(--vscode-editor-foreground, {vega.INK}));
  --pu-muted: var(--jp-content-font-color2, var(--vscode-descriptionForeground, {vega.MUTED}));
  --pu-line: var(--jp-border-color2, var(--vscode-panel-border, #bbb));
  color: var(--pu-ink); max-width: 62rem;
}}
.pu-explorer .widget-label, .pu-explorer .widget-html-content {{ color: var(--pu-ink); }}
.pu-explorer .widget-html-content {{ line-height: 1.5; font-size: 13px; }}
.pu-explorer h4 {{ margin: .6em 0 .3em; font-size: 14px; color: var(--pu-ink); }}
.pu-explorer p {{ margin: .2em 0 .5em; }}
.pu-explorer .pu-muted {{ color: var(--pu-muted); }}
.pu-explorer .pu-message {{ border-left: 4px solid #c77700; padding: .2em .6em; margin: .3em 0; }}
.pu-explorer .pu-row {{ display: flex; flex-wrap: wrap; gap: .5rem 1.2rem; }}
.pu-explorer .pu-row > * {{ flex: 0 1 auto; min-width: 0; max-width: 100%; align-self: start; }}
.pu-explorer .pu-scroll {{ overflow-x: auto; }}
.pu-explorer .pu-sentence {{ margin: .15em 0 .45em; line-height: 1.9; overflow-wrap: anywhere; }}
.pu-explorer .pu-sentence span {{ border-radius: 3px; padding: .1em .15em; }}
.pu-explorer .pu-peak {{ font-weight: 700; }}
{_ENTITY_RULES}
.pu-explorer .lm-TabBar-tab {{ flex: 0 1 auto; min-width: 0; }}
.pu-explorer .pu-wrapped {{ gap: .25rem 1.5rem; }}
.pu-explorer table {{ border-collapse: collapse; font-size: 12.5px; }}
.pu-explorer :is(th, td) {{ padding: .15em .45em; text-align: right; color: var(--pu-ink); }}
.pu-explorer th:first-child, .pu-explorer td.pu-word {{ text-align: left; font-weight: normal; }}
.pu-explorer thead th {{ border-bottom: 1px solid var(--pu-line); font-weight: 600; }}
.pu-explorer svg {{ max-width: 100%; height: auto; margin-top: .6em; }}
.pu-explorer svg [fill="{vega.INK}"] {{ fill: var(--pu-ink); }}
.pu-explorer svg [stroke="{vega.INK}"] {{ stroke: var(--pu-ink); }}
.pu-explorer svg [fill="{vega.MUTED}"] {{ fill: var(--pu-muted); }}
.pu-explorer svg [stroke="{vega.MUTED}"] {{ stroke: var(--pu-muted); }}
.pu-explorer svg [stroke="{vega.GRID}"] {{ stroke: var(--pu-line); stroke-opacity: .6; }}
</style>"""

MAP_STYLE = """<style>
.pu-map-box { max-width: 26rem; }
.pu-map > div:last-child {
  position: relative; height: 260px; width: 100%; margin: 8px; display: block;
  background: linear-gradient(var(--pu-line), var(--pu-line)) 50% 0 / 1px 100% no-repeat,
    linear-gradient(var(--pu-line), var(--pu-line)) 0 50% / 100% 1px no-repeat;
  border-left: 1px solid var(--pu-muted); border-bottom: 1px solid var(--pu-muted);
}
.widget-toggle-buttons.pu-map .widget-toggle-button {
  position: absolute; width: 9px; height: 9px; min-width: 0; padding: 0; border-radius: 50%;
  margin: 0 0 -4px -4px; font-size: 0; line-height: 0; overflow: hidden; flex: none;
  background: var(--pu-muted); opacity: .45; box-shadow: none;
}
.widget-toggle-buttons.pu-map .widget-toggle-button i { display: none; }
.widget-toggle-buttons.pu-map .widget-toggle-button:is(:hover, :focus-visible) {
  opacity: 1; z-index: 2; outline: 3px solid var(--pu-ink);
}
.widget-toggle-buttons.pu-map .widget-toggle-button.mod-active {
  opacity: 1; z-index: 3; outline: 3px solid var(--pu-ink); outline-offset: 2px;
}
.pu-map-ticks { display: flex; justify-content: space-between; margin: 0 8px; }
</style>"""
