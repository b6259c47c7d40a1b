"""Sphinx extension: the page on which a reader tries a sentence, where what it needs is there.

The model lies in `book/sentence`. What runs it in a browser is taken from npm when the book is
built, at one version whose checksum is known, and served from the book's own folder. Without the
one or the other the page says so, and the rest of the book is as it is.
"""

import base64
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from sphinx.util import logging

PAGE, MARK = "book/sentence", "<!-- sentence -->"
RUNTIME = "onnxruntime-web@1.30.0"
SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
# In the package, and on the page.
TAKEN = {
    "package/dist/ort.wasm.bundle.min.mjs": "ort.js",
    "package/dist/ort-wasm-simd-threaded.wasm": "ort.wasm",
}
OURS = (
    "arrays.safetensors", "model.onnx", "sentence.css", "sentence.js", "settings.json",
    "vocabulary.txt", "worker.js",
)  # fmt: skip
# The form as a script, which puts it where it stands: so a neuron's card holds the same form.
FORM, PLACED = "form.js", "document.currentScript.insertAdjacentHTML('beforebegin', {form});\n"
SECONDS = 120
NOT_HERE = """```{{note}}
The demonstration is not in this copy of the book: {why}. Everything else is.
```"""
log = logging.getLogger(__name__)


def source_of(app):
    return Path(app.srcdir) / "book" / "sentence"


def target_of(app):
    return Path(app.outdir) / "_static" / "sentence"


def runtime():
    """Fetch what runs a model: the content of each file by its name on the page."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", RUNTIME, "--json", "--prefer-offline"]
        command += ["--pack-destination", folder]
        found = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        if found.returncode:
            raise OSError(f"npm pack {RUNTIME} failed")
        package = Path(folder, json.loads(found.stdout)[0]["filename"]).read_bytes()
    if hashlib.sha512(package).digest() != base64.b64decode(SHA512):
        raise ValueError(f"{RUNTIME} is not the file whose checksum is known")
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        return {name: archive.extractfile(path).read() for path, name in TAKEN.items()}


def missing(app):
    """Say what the demonstration lacks, having fetched what can be fetched; None if it is whole."""
    if not all((source_of(app) / name).is_file() for name in OURS):
        return "no model was made for it (`plasticity sentence`)"
    folder = target_of(app)
    if all((folder / name).is_file() for name in TAKEN.values()):
        return None
    if shutil.which("npm") is None:
        return "npm was not there when it was built"
    try:
        files = runtime()
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        log.info("the page of a sentence: %s", error)
        return "what runs a model in a browser could not be fetched when it was built"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return None


def form_of(app):
    return (source_of(app) / "form.html").read_text(encoding="utf-8")


def fill(app, docname, source):
    """Put the form in place of its mark, or a note on what is missing."""
    if docname != PAGE or app.builder.format != "html":
        return
    why = missing(app)
    shown = NOT_HERE.format(why=why) if why else f"```{{raw}} html\n{form_of(app)}```"
    source[0] = source[0].replace(MARK, shown)


def read_anew(app, env, added, changed, removed):
    """Read the page at every build: what it shows depends on what is there."""
    return [PAGE] if PAGE in env.found_docs else []


def copy_ours(app, exception):
    """Put the model and what is ours beside the runtime, where there is one."""
    folder = target_of(app)
    if exception is None and folder.is_dir():
        for name in OURS:
            shutil.copyfile(source_of(app) / name, folder / name)
        script = PLACED.format(form=json.dumps(form_of(app)))
        (folder / FORM).write_text(script, encoding="utf-8")


def setup(app):
    app.connect("source-read", fill)
    app.connect("env-get-outdated", read_anew)
    app.connect("build-finished", copy_ours)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
