// Draws every stored chart of the page, laid out for the column it stands in.
const GUTTER = 72;   // what the y axis and its title need beside the plot, unless a chart says more
const LEAST = 150;   // a plot is not narrower than this
const NATURAL = 560; // the width that the charts are made for

function wrap(text, width, font) {
  const pen = document.createElement("canvas").getContext("2d");
  pen.font = font;
  const lines = [];
  for (const word of text.split(" ")) {
    const longer = lines.length ? lines[lines.length - 1] + " " + word : word;
    if (lines.length && pen.measureText(longer).width <= width) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

function wrapTitle(view, width, family) {
  const title = typeof view.title === "string" ? {text: view.title} : view.title;
  if (!title) return;
  const fold = (text, font) =>
    (Array.isArray(text) ? text : [text]).flatMap(t => wrap(t, width, `${font} ${family}`));
  const font = `${title.fontWeight ?? 600} ${title.fontSize ?? 14}px`;
  if (title.text) title.text = fold(title.text, font);
  if (title.subtitle) title.subtitle = fold(title.subtitle, "12px");
  view.title = title;
}

function narrow(view, plot, family) {
  if (typeof view.width === "number") view.width = Math.min(view.width, plot);
  if (view.mark?.limit) view.mark.limit *= plot / NATURAL; // words in columns
  wrapTitle(view, plot, family);
  for (const part of [...(view.vconcat ?? []), ...(view.layer ?? [])]) narrow(part, plot, family);
}

function fitted(spec, column) {
  const gutter = spec.usermeta?.gutter ?? GUTTER;
  const plot = Math.max(LEAST, column - gutter);
  const config = spec.config ??= {};
  config.background = "transparent"; // pictures are white, the page may be dark
  const family = config.font ?? "sans-serif";
  const view = config.view ??= {};
  for (const kind of ["continuousWidth", "discreteWidth"])
    view[kind] = Math.min(view[kind] ?? NATURAL, plot);
  if (plot < NATURAL) {
    narrow(spec, plot, family);
    config.legend = {...config.legend, columns: 2, layout: {bottom: {direction: "vertical"}}};
  } else wrapTitle(spec, column - GUTTER / 2, family);
  return spec;
}

// All that a chart shows, as a table: its panels' rows below each other.
function withCsv(view, spec, name) {
  const rows = Object.values(spec.datasets ?? {}).flat();
  const menu = view.querySelector(".vega-actions");
  if (!menu || !rows.length) return;
  const columns = [...new Set(rows.flatMap(Object.keys))];
  const link = document.createElement("a");
  link.textContent = "Save as CSV";
  link.href = "#";
  link.addEventListener("click", event => {
    event.preventDefault();
    take(`${name}.csv`, csvOf([columns, ...rows.map(row => columns.map(c => row[c]))]));
  });
  menu.append(link);
}

// The neuron of a card on a sentence of the reader's own, in a fold below it, where the book has the
// page for that. Nothing is loaded before a fold is opened, and then once for all cards of the page.
function withSentence(chart, drawn, spec) {
  const choice = spec.params?.find(param => param.name === "neuron");
  const page = document.querySelector('a[href$="book/sentence.html"]');
  if (!choice || !page) return;
  const [fold, title, link] = ["details", "summary", "a"].map(kind => document.createElement(kind));
  const invitation = "Try this neuron, or any other, on a sentence of your own";
  fold.className = "fold sentence-fold";
  title.textContent = invitation;
  fold.append(title, link);
  let place;
  const choose = index => {
    place = choice.bind.labels[index].match(/\d+/g).slice(-2);
    link.href = `${page.href}#layer=${place[0]}&unit=${place[1]}`;
    link.textContent = `Layer ${place[0]}, unit ${place[1]} on a page of its own`;
    if (fold.open) show();
  };
  const show = () => sentenceForm(page, fold).then(form => {
    const [layer, unit, colour] = ["layer", "unit", "colour"]
      .map(name => form.querySelector(`#sentence-${name}`));
    [layer.value, unit.value, colour.checked] = [...place, true];
    colour.dispatchEvent(new Event("input", {bubbles: true}));
    title.textContent = invitation;
  }, ({message}) => {
    title.textContent = `The model did not load: ${message}. Close this and open it to try again`;
  });
  choose(choice.value);
  drawn.view.addSignalListener("neuron", (_, index) => choose(index));
  fold.addEventListener("toggle", () => { if (fold.open) show(); });
  chart.after(fold);
}

// The form of the page of a sentence, loaded once, and moved to the fold that was opened last.
let formOfPage;
function sentenceForm(page, fold) {
  const load = name => new Promise((found, lost) => {
    const src = new URL(`../_static/sentence/${name}`, page.href);
    const missed = () => lost(new Error(`${name} was not reached`));
    fold.append(Object.assign(document.createElement("script"), {src, onload: found, onerror: missed}));
  });
  formOfPage ??= load("form.js").then(() => load("sentence.js"))
    .then(() => {
      const form = document.getElementById("sentence-page");
      form.querySelector(`[name=concept][value="${PAGE}"]`)?.click(); // on a concept's own page
      return form;
    })
    .catch(error => {
      formOfPage = null;
      document.getElementById("sentence-page")?.remove();
      throw error;
    });
  return formOfPage.then(form => {
    if (form.parentElement !== fold) {
      form.parentElement.open = false;
      fold.append(form);
    }
    return form;
  });
}

const PAGE = location.pathname.split("/").pop().replace(".html", "");
for (const [i, chart] of document.querySelectorAll(".vl-chart").entries()) {
  const view = chart.querySelector(".vl-view");
  const spec = JSON.parse(chart.querySelector("script").textContent);
  // A chart in a closed box has no width yet: it gets the natural one and scrolls if need be.
  const column = chart.clientWidth || NATURAL + GUTTER;
  vegaEmbed(view, fitted(spec, column), {
    mode: "vega-lite", renderer: "svg", downloadFileName: `${PAGE}-figure-${i + 1}`,
    actions: {export: {svg: true, png: true}, source: false, compiled: false, editor: false},
    ...spec.usermeta?.embedOptions,
  }).then(drawn => {
    withSentence(chart, drawn, spec);
    // A list or slider comes before what it changes, for the eye and for the tab key.
    view.prepend(...view.querySelectorAll(".vega-bindings"));
    withCsv(view, spec, `${PAGE}-figure-${i + 1}`);
  }).catch(error => {
    view.textContent = "This chart could not be drawn: " + error.message;
    console.error(error);
  });
}
