"""How the explorer looks, in a notebook of any theme and in a card that was saved."""

from __future__ import annotations

from plasticity_utils.charts import theme

# What text and drawings need, wherever they stand.
CARD_STYLE = f"""
.pu-explorer {{ color: var(--pu-ink); line-height: 1.5; font-size: 13px; }}
.pu-explorer h4 {{ margin: .6em 0 .3em; font-size: 14px; color: var(--pu-ink); }}
.pu-explorer p {{ margin: .2em 0 .5em; }}
.pu-explorer .pu-muted {{ color: var(--pu-muted); }}
.pu-explorer .pu-message {{ border-left: 4px solid #c77700; padding: .2em .6em; margin: .3em 0; }}
.pu-explorer .pu-row {{ display: flex; flex-wrap: wrap; gap: .3rem 1rem; }}
.pu-explorer .pu-row h4 {{ font-size: 13px; }}
.pu-explorer .pu-row > * {{ flex: 0 1 auto; min-width: 0; max-width: 100%; align-self: start; }}
.pu-explorer .pu-scroll {{ overflow-x: auto; }}
.pu-explorer .pu-sentence {{ margin: .15em 0 .45em; line-height: 1.9; overflow-wrap: anywhere; }}
.pu-explorer .pu-sentence > span {{ border-radius: 3px; padding: .1em .15em; }}
.pu-explorer .pu-tagged {{ display: flex; flex-wrap: wrap; gap: .2em .5em; line-height: 1.35; }}
.pu-explorer .pu-tagged > span {{ text-align: center; }}
.pu-explorer .pu-tagged small {{ display: block; font-size: 11px; color: var(--pu-muted); }}
.pu-explorer .pu-tagged small b {{ color: var(--pu-ink); }}
.pu-explorer .pu-peak {{ font-weight: 700; }}
.pu-explorer code {{ user-select: all; font-size: 12px; overflow-wrap: anywhere; }}
.pu-explorer a {{ color: inherit; text-decoration: underline; }}
.pu-explorer summary {{ cursor: pointer; font-weight: 600; margin: .5em 0; }}
.pu-explorer table {{ border-collapse: collapse; font-size: 12.5px; margin: 0; }}
.pu-explorer :is(th, td) {{ padding: .1em .45em; text-align: right; color: var(--pu-ink); }}
.pu-explorer th:first-child, .pu-explorer td.pu-word {{ text-align: left; font-weight: normal; }}
.pu-explorer thead th {{ border-bottom: 1px solid var(--pu-line); font-weight: 600; }}
.pu-explorer svg {{ max-width: 100%; height: auto; margin-top: .6em; }}
.pu-explorer svg [fill="{theme.INK}"] {{ fill: var(--pu-ink); }}
.pu-explorer svg [stroke="{theme.INK}"] {{ stroke: var(--pu-ink); }}
.pu-explorer svg [fill="{theme.MUTED}"] {{ fill: var(--pu-muted); }}
.pu-explorer svg [stroke="{theme.MUTED}"] {{ stroke: var(--pu-muted); }}
.pu-explorer svg [stroke="{theme.GRID}"] {{ stroke: var(--pu-line); stroke-opacity: .6; }}
"""

STYLE = f"""<style>
.pu-explorer {{
  --pu-ink: var(--jp-content-font-color1, var(--vscode-editor-foreground, {theme.INK}));
  --pu-muted: var(--jp-content-font-color2, var(--vscode-descriptionForeground, {theme.MUTED}));
  --pu-line: var(--jp-border-color2, var(--vscode-panel-border, #bbb));
  max-width: 84rem;
}}
{CARD_STYLE}
.pu-explorer .widget-label, .pu-explorer .widget-html-content {{ color: var(--pu-ink); }}
.pu-explorer .widget-html-content {{ line-height: 1.5; font-size: 13px; }}
.pu-explorer .pu-waiting {{ visibility: hidden; }}
.pu-explorer .lm-TabBar-tab {{ flex: 0 1 auto; min-width: 0; }}
.pu-explorer .pu-wrapped {{ gap: .25rem 1.5rem; }}
.pu-explorer .pu-wrapped .pu-row {{ gap: .3rem .6rem; }}
.pu-explorer .pu-sides {{ display: flex; flex-flow: row wrap; align-items: flex-start; gap: 1rem; }}
.pu-explorer .pu-sides > :first-child {{ flex: 1 1 17rem; max-width: 24rem; min-width: 0; }}
.pu-explorer .pu-sides > :last-child {{ flex: 999 1 26rem; min-width: min(100%, 20rem); }}
</style>"""

# A page of its own, which asks no other host for anything.
PAGE = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{title}}</title><style>
:root {{{{ color-scheme: light dark; --pu-ink: {theme.INK}; --pu-muted: {theme.MUTED};
  --pu-line: #bbb; }}}}
@media (prefers-color-scheme: dark) {{{{
  :root {{{{ --pu-ink: #e4e6ea; --pu-muted: #a4abb6; --pu-line: #555; }}}}
}}}}
body {{{{ font-family: system-ui, sans-serif; max-width: 60rem; margin: auto; padding: 1rem; }}}}
{{style}}
</style></head><body class="pu-explorer">{{body}}</body></html>
"""

MAP_STYLE = """<style>
.pu-map-box { max-width: 24rem; }
.pu-map > div:last-child {
  position: relative; height: 220px; width: calc(100% - 28px); margin: 14px; display: block;
  border-left: 1px solid var(--pu-muted); border-bottom: 1px solid var(--pu-muted);
}
.pu-crossed > div:last-child {
  background: linear-gradient(var(--pu-line), var(--pu-line)) 50% 0 / 1px 100% no-repeat,
    linear-gradient(var(--pu-line), var(--pu-line)) 0 50% / 100% 1px no-repeat;
}
.widget-toggle-buttons.pu-map .widget-toggle-button {
  position: absolute; width: 9px; height: 9px; min-width: 0; padding: 0; border-radius: 50%;
  margin: 0 0 -4px -4px; font-size: 0; line-height: 0; overflow: hidden; flex: none;
  background: var(--pu-muted); opacity: .45; box-shadow: none;
}
.widget-toggle-buttons.pu-map .widget-toggle-button i { display: none; }
.widget-toggle-buttons.pu-map .widget-toggle-button:is(:hover, :focus-visible) {
  opacity: 1; z-index: 4; outline: 2px dashed var(--pu-muted); outline-offset: 6px;
}
.widget-toggle-buttons.pu-map .widget-toggle-button.mod-active {
  opacity: 1; z-index: 3; outline: 3px solid var(--pu-ink); outline-offset: 2px;
}
.pu-map-ticks { display: flex; justify-content: space-between; margin: 0 14px; }
</style>"""
