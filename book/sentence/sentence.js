// The page on which a reader tries a sentence: asks the worker, shows what it answers.
(() => {
  const DEVIATIONS = 4; // from its mean: where a neuron's colour is full
  const NAMES = {PER: "person", LOC: "location", ORG: "organisation", MISC: "other name"};
  const part = name => document.getElementById(`sentence-${name}`);
  const form = part("page"), script = document.currentScript.src;
  const chosen = name => form.querySelector(`[name=${name}]:checked`).value;
  const minus = number => (Math.round(10 * number) / 10 + 0).toFixed(1).replace("-", "−");

  // In the zip each file is a script that puts it here as a data: address, and their names stand
  // here before: from a file a browser fetches nothing, but it runs scripts.
  const packed = window.sentenceFiles ?? {};
  if (location.protocol === "file:" && !window.sentenceFiles) {
    part("status").textContent = "From a file the model runs in the zip of the book alone. Serve "
      + "this folder, for instance with: python -m http.server";
    return;
  }
  const begun = performance.now();
  const unpacked = name => new Promise((found, lost) => {
    const file = document.createElement("script"), src = new URL(`${name}.js`, script);
    const missed = () => lost(new Error(`${name} is not there`));
    Object.assign(file, {src, onload: () => { file.remove(); found(); }, onerror: missed});
    document.head.append(file);
  });
  let worker;
  Promise.all(Object.keys(packed).map(unpacked)).then(() => {
    worker = new Worker(packed["worker.js"] ?? new URL("worker.js", script), {type: "module"});
    Object.assign(worker, {onmessage: hear, onerror: fail});
    worker.postMessage({addresses: packed});
    for (const name in packed) packed[name] = null; // some 50 MB, which the worker has now
  }).catch(fail);
  let facts, rest, deviation, doses, busy = false, waiting = false;
  let whole = {text: null}, shown = null;

  // Words as the corpus has them: punctuation is a word of its own, and so is ’s.
  const split = text => text.replace(/([’'])s(?=\s|$)/g, " $1s")
    .split(/\s+/).flatMap(word => /^(\p{L}\.)+$/u.test(word) ? [word]
      : word.split(/^(["“”„«»()[\]¿¡]+)|([.,;:!?…"“”„«»()[\]]+)$/u)).filter(word => word);

  const setting = () => {
    const concept = chosen("concept"), kind = chosen("kind"), dose = doses[part("dose").value];
    const found = facts.settings.findIndex(each => each.concept === concept && each.kind === kind
      && (kind === "erased" || each.dose === dose));
    return Math.max(found, 0); // the first is the whole model
  };
  const trained = () => part("train").getAttribute("aria-pressed") === "true";

  function ask() {
    if (!facts) return;
    showChoices();
    form.dataset.asked = "waits";
    if (busy) { waiting = true; return; }
    const text = part("text").value, words = split(text);
    if (!words.length) { part("words").replaceChildren(); part("status").textContent = "No words yet."; return; }
    busy = true;
    const isNew = whole.text !== text;
    worker.postMessage({words, text, isNew, setting: isNew ? 0 : setting(), trained: !isNew && trained()});
  }

  function hear({data}) {
    if (data.ready) return begin(data.ready);
    busy = false;
    if (data.failed) { part("status").textContent = `The model did not answer: ${data.failed}`; return; }
    if (data.request.isNew) whole = {text: data.request.text, tags: data.tags};
    const isLast = !waiting && !(data.request.isNew && (setting() || trained()));
    waiting = false;
    if (!data.request.isNew || isLast) { shown = data; show(); }
    if (!isLast) ask(); else form.dataset.asked = "shown";
  }

  // Of a worker whose script does not come a browser says nothing.
  function fail({message = "its worker did not start"}) {
    part("status").textContent = `The model did not load: ${message}`;
  }

  function begin(ready) {
    ({facts, rest, deviation} = ready);
    doses = [0, ...new Set(facts.settings.filter(each => each.kind === "concept").map(each => each.dose))];
    part("dose").max = doses.length - 1;
    part("layer").max = facts.layers - 1;
    part("unit").max = facts.units - 1;
    for (const [type, colour] of Object.entries(facts.colours)) form.style.setProperty(`--${type}`, colour);
    form.dataset.loaded = Math.round(performance.now() - begun);
    listKnown();
    takeAddress();
    ask();
  }

  // A neuron's card leads here with the neuron in the address: #layer=5&unit=158.
  function takeAddress() {
    const asked = new URLSearchParams(location.hash.slice(1));
    if (!asked.has("layer") || !asked.has("unit")) return;
    for (const name of ["layer", "unit"]) part(name).value = asked.get(name);
    part("colour").checked = true;
  }

  function showChoices() {
    const number = setting(), {kind, neurons, f1} = facts.settings[number];
    const share = `${+(100 * doses[part("dose").value]).toFixed(1)} %`;
    part("dose").disabled = chosen("kind") === "erased";
    const said = kind === "erased" ? "its directions, in every layer"
      : number ? `${share}, ${neurons.length} neurons` : "none";
    part("share").textContent = said;
    part("dose").setAttribute("aria-valuetext", said);
    part("train").disabled = !number;
    const {label} = facts.concepts[chosen("concept")];
    const now = f1[trained() ? "trained" : "own"][label].toFixed(2);
    const before = facts.settings[0].f1.own[label].toFixed(2);
    part("score").textContent = `One sentence shows little. F1 of ${label} on `
      + `${facts.sentences} other sentences: whole ${before}, now ${now}.`;
  }

  function show() {
    const {request, tags, activations, milliseconds} = shown;
    const colour = part("colour").checked, layer = +part("layer").value, unit = +part("unit").value;
    const neuron = layer * facts.units + unit;
    const isNeuron = neuron in deviation && layer < facts.layers && unit < facts.units;
    part("words").replaceChildren(...request.words.map((word, number) => {
      const type = tags[number].slice(2), before = whole.tags[number].slice(2);
      const item = document.createElement("li");
      if (type) item.style.setProperty("--tag", `var(--${type})`);
      const said = labelled("span", type);
      if (before !== type) said.append(" ", labelled("del", before || "no name"));
      item.append(labelled("b", word), said);
      if (colour && isNeuron) {
        const value = activations[(layer * request.words.length + number) * facts.units + unit];
        const away = deviation[neuron] ? (value - rest[neuron]) / deviation[neuron] : 0;
        const strength = Math.min(Math.abs(away) / DEVIATIONS, 1) * 80;
        item.dataset.away = minus(away);
        item.style.setProperty("--ground",
          `color-mix(in srgb, var(--${away < 0 ? "below" : "above"}) ${strength}%, transparent)`);
        item.append(labelled("small", minus(away)));
      }
      return item;
    }));
    const isCut = facts.settings[request.setting].neurons.includes(neuron);
    part("legend").hidden = !colour;
    part("note").textContent = !isNeuron ? "There is no such neuron."
      : isCut ? "This neuron is cut: it rests at its mean." : "Numbers are standard deviations from its mean.";
    const types = tags.map(tag => tag.slice(2));
    const begins = i => types[i] && (tags[i].startsWith("B-") || types[i] !== types[i - 1]);
    const names = types.filter((_, i) => begins(i)).map(type => NAMES[type]);
    part("status").textContent = `${names.length || "No"} name${names.length === 1 ? "" : "s"} found`
      + `${names.length ? ": " + names.join(", ") : ""}. Answered in ${Math.round(milliseconds)} ms.`;
    form.dataset.answered = milliseconds;
    form.dataset.shown = "yes";
  }

  function labelled(kind, text) {
    const made = document.createElement(kind);
    made.textContent = text;
    return made;
  }

  function listKnown() {
    const own = facts.concepts[chosen("concept")].neurons;
    part("known").replaceChildren(...["choose …", ...own.map(pair => pair.join(", "))]
      .map((text, number) => Object.assign(labelled("option", text), {value: number ? own[number - 1] : ""})));
    if (!part("colour").checked) [part("layer").value, part("unit").value] = own[0];
  }

  form.addEventListener("submit", event => event.preventDefault());
  form.querySelector(".sentence-examples").addEventListener("click", ({target}) => {
    if (target.tagName === "BUTTON") { part("text").value = target.textContent; ask(); }
  });
  part("train").addEventListener("click", () => {
    part("train").setAttribute("aria-pressed", !trained());
    ask();
  });
  form.addEventListener("input", ({target}) => {
    if (!facts) return;
    if (target.name === "concept") listKnown();
    if (target === part("known") && target.value) {
      [part("layer").value, part("unit").value] = target.value.split(",");
      part("colour").checked = true;
    }
    if (target.closest(".sentence-neuron")) show(); else ask();
  });
})();
