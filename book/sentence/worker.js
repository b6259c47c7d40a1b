// Runs the model of the page in a thread of its own: words in, tags and activations out.
const MOST_LETTERS = 100; // of a word that is cut into pieces; a longer one is unknown
let ort;

// --- Words to pieces, as the Python tokenizer cuts them (uncased WordPiece) ---

const CHINESE = [
  [0x4e00, 0x9fff], [0x3400, 0x4dbf], [0x20000, 0x2a6df], [0x2a700, 0x2b73f], [0x2b740, 0x2b81f],
  [0x2b820, 0x2ceaf], [0xf900, 0xfaff], [0x2f800, 0x2fa1f],
];
const isChinese = letter => {
  const code = letter.codePointAt(0);
  return CHINESE.some(([first, last]) => code >= first && code <= last);
};
const isControl = letter => /[\p{Cc}\p{Cf}\p{Cn}\p{Co}\ufffd]/u.test(letter) && !/[\t\n\r]/.test(letter);
const isPunctuation = letter => /[\p{P}$+<=>^`|~]/u.test(letter);

export function basicParts(text) {
  const clean = [...text].filter(letter => !isControl(letter))
    .map(letter => isChinese(letter) ? ` ${letter} ` : /\s/u.test(letter) ? " " : letter).join("");
  const bare = clean.normalize("NFD").replace(/\p{Mn}/gu, "");
  const lower = [...bare].map(letter => letter.toLowerCase()).join("");
  const apart = [...lower].map(letter => isPunctuation(letter) ? ` ${letter} ` : letter).join("");
  return apart.split(/\s+/u).filter(part => part);
}

function pieces(part, vocabulary, unknown) {
  const letters = [...part];
  if (letters.length > MOST_LETTERS) return [unknown];
  const found = [];
  for (let start = 0; start < letters.length;) {
    let end = letters.length, id;
    for (; end > start; end--) {
      id = vocabulary.get((start ? "##" : "") + letters.slice(start, end).join(""));
      if (id !== undefined) break;
    }
    if (id === undefined) return [unknown];
    found.push(id);
    start = end;
  }
  return found;
}

// The ids of a sentence's tokens, and for each the number of its word; −1 for [CLS] and [SEP].
export function encode(words, vocabulary, tokens) {
  const ids = [tokens.cls], wordOfToken = [-1];
  words.forEach((word, number) => {
    const own = basicParts(word).flatMap(part => pieces(part, vocabulary, tokens.unk));
    for (const id of own.length ? own : [tokens.unk]) {
      ids.push(id);
      wordOfToken.push(number);
    }
  });
  return {ids: [...ids, tokens.sep], wordOfToken: [...wordOfToken, -1]};
}

// --- What lies beside the page ---

function tensorsOf(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  delete header.__metadata__;
  return Object.fromEntries(Object.entries(header).map(([name, {data_offsets: [start, end]}]) =>
    [name, new Float32Array(buffer, 8 + length + start, (end - start) / 4)]));
}

// Each file lies beside this one, unless it has an address among those that the page sent. Such an
// address is the file itself, so it is kept no longer than it is needed.
async function load(addresses) {
  const address = name => addresses[name] ?? new URL(name, import.meta.url).href;
  const got = async (name, read) => {
    const answer = await fetch(address(name));
    if (!answer.ok) throw new Error(`${name}: ${answer.status}`);
    const content = await answer[read]();
    delete addresses[name];
    return content;
  };
  const short = async name => addresses[name] ? URL.createObjectURL(await got(name, "blob"))
    : address(name);
  const [runtime, wasm, facts, list, buffer, model] = await Promise.all([
    import(address("ort.js")), short("ort.wasm"), got("settings.json", "json"),
    got("vocabulary.txt", "text"), got("arrays.safetensors", "arrayBuffer"),
    got("model.onnx", "arrayBuffer"),
  ]);
  ort = runtime;
  ort.env.wasm.numThreads = 1; // more threads need headers that a simple server does not send
  ort.env.wasm.wasmPaths = {wasm}; // it is kept by what runs the model
  const vocabulary = new Map(list.split("\n").map((piece, id) => [piece, id]));
  const session = await ort.InferenceSession.create(model);
  URL.revokeObjectURL(wasm);
  return {facts, vocabulary, arrays: tensorsOf(buffer), session};
}

// --- The model with a setting in force ---

const gatesOf = new Map();

function gates(number, {facts, arrays}) {
  if (!gatesOf.has(number)) {
    const {layers, units, settings} = facts, size = layers * units;
    const nth = (array, place, length) => array.subarray(place * length, (place + 1) * length);
    const setting = settings[number];
    const gain = new Float32Array(size).fill(1);
    for (const neuron of setting.neurons) gain[neuron] = 0;
    const columns = arrays.left.length / (Object.keys(facts.concepts).length * size);
    const place = Object.keys(facts.concepts).indexOf(setting.concept);
    const eraser = (name, length) => setting.kind === "erased"
      ? nth(arrays[name], place, length) : new Float32Array(length);
    const tensor = (data, ...shape) => new ort.Tensor("float32", data, shape);
    gatesOf.set(number, {
      gain: tensor(gain, layers, units),
      rest: tensor(arrays.rest, layers, units),
      left: tensor(eraser("left", size * columns), layers, units, columns),
      right: tensor(eraser("right", size * columns), layers, columns, units),
      mean: tensor(eraser("mean", size), layers, units),
    });
  }
  return gatesOf.get(number);
}

export async function run({words, setting, trained}, loaded) {
  const {facts, arrays, session} = loaded, {layers, units, tags} = facts;
  const {ids, wordOfToken} = encode(words, loaded.vocabulary, facts.tokens);
  const found = await session.run({
    ids: new ort.Tensor("int64", BigInt64Array.from(ids, BigInt), [1, ids.length]),
    word: new ort.Tensor("float32", Float32Array.from(wordOfToken, w => w < 0 ? 0 : 1), [1, ids.length, 1]),
    ...gates(setting, loaded),
  });
  const states = found.states.data, head = trained ? setting : 0;
  const first = words.map((_, word) => wordOfToken.indexOf(word));
  const named = first.map(token => {
    const start = ((layers - 1) * ids.length + token) * units;
    const scores = tags.map((_, tag) => {
      const row = (head * tags.length + tag) * units;
      let sum = arrays.bias[head * tags.length + tag];
      for (let unit = 0; unit < units; unit++) sum += arrays.weight[row + unit] * states[start + unit];
      return sum;
    });
    return tags[scores.indexOf(Math.max(...scores))];
  });
  // Each neuron's activation on each word: the mean over the word's tokens, [layer, word, unit].
  const activations = new Float32Array(layers * words.length * units);
  const counts = words.map((_, word) => wordOfToken.filter(owner => owner === word).length);
  for (let layer = 0; layer < layers; layer++)
    wordOfToken.forEach((word, token) => {
      if (word < 0) return;
      const to = (layer * words.length + word) * units, from = (layer * ids.length + token) * units;
      for (let unit = 0; unit < units; unit++)
        activations[to + unit] += states[from + unit] / counts[word];
    });
  return {tags: named, activations, ids};
}

// The first message says where the files lie. Requests are answered in their order; few are sent.
export const ready = new Promise(begin => {
  onmessage = ({data}) => { onmessage = answer; begin(load(data.addresses)); };
});
ready.then(
  ({facts, arrays}) => postMessage({ready: {facts, rest: arrays.rest, deviation: arrays.deviation}}),
  error => postMessage({failed: error.message}),
);
let last = ready.catch(() => {});
function answer({data}) {
  last = last.then(async () => {
    const begun = performance.now();
    const answered = await run(data, await ready);
    postMessage({...answered, request: data, milliseconds: performance.now() - begun});
  }).catch(error => postMessage({failed: error.message, request: data}));
}
