"""What is measured of a model at one moment: before removal, just after, and while it trains on.

Three tidy tables come of it. *metrics*: entity F1 on the scoring half. *neurons*: for every neuron
its selectivity, probeless score and effect for every entity type, and the words that excite and
silence it, on the measuring half. *layers*: how well a linear probe reads each entity type off each
layer. (A concept of one's own stands beside the entity types, or alone where a pair of files has
none.) The probe answers a question of its own: F1 falls as soon as the head is misled, but is the
concept still there to be read? It is Fisher's linear discriminant with Ledoit–Wolf shrinkage:
linear like the head, fitted in closed form on the ranking half, scored on the measuring half.

Neurons get their selectivity on the ranking half too (`picking_*`): whoever looks for the neurons
that rose most picks them by that, and reports what they do on the measuring half.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_fscore_support
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from plasticity_utils.activations import word_activations
from plasticity_utils.concepts import ENTITIES, file_corpus, kinds, members, with_words
from plasticity_utils.config import RunConfig
from plasticity_utils.corpus import Corpus, halves, load_corpus
from plasticity_utils.discriminant import fit_discriminants
from plasticity_utils.errors import InputError
from plasticity_utils.evaluation import entity_scores
from plasticity_utils.models import width
from plasticity_utils.progress import bar
from plasticity_utils.saliency import deviations, effect_sizes, layer_unit, probeless, selectivity
from plasticity_utils.training import TaggedSentences, predict_tags
from plasticity_utils.words import highest_activating_words

WORDS_SHOWN = 5
LEAST_WORDS, LEAST_AT_SMOKE = 30, 5
OWN_PARTS = ("ranking", "measuring", "own_dose", "own_scoring")


@dataclass(frozen=True)
class Sentences:
    """The sentences of a run, by what they are for.

    Attributes
    ----------
    train : Corpus
        Fine-tunes the base model and retrains it.
    ranking, measuring : Corpus
        Halves of the test split: one picks neurons and resting values, the other describes them.
    dose, scoring : Corpus
        Halves of the validation split: the one picks the dose, the other gives every F1.
    curve : Corpus
        The first sentences of `scoring`, for the many random draws.
    validation, test : Corpus
        Whole splits, on which only the base model is scored.
    own_dose, own_scoring, own_curve : Corpus or None
        The counterparts of `dose`, `scoring` and `curve` for a concept that is no entity type; None
        for one that is. For such a concept these and `ranking` and `measuring` have a column
        `concept`; of a pair of files they have no other.
    """

    train: Corpus
    ranking: Corpus
    measuring: Corpus
    dose: Corpus
    scoring: Corpus
    curve: Corpus
    validation: Corpus
    test: Corpus
    own_dose: Corpus | None = None
    own_scoring: Corpus | None = None
    own_curve: Corpus | None = None


def load_sentences(config: RunConfig) -> Sentences:
    """Load CoNLL-2003, and the files of a `file:` concept, and cut them as the scale says.

    Raises
    ------
    InputError
        If a concept of one's own has too few words in a part, or all of them.
    """
    sizes = config.sizes
    train, validation, test = (
        load_corpus("conll2003", split) for split in ("train", "validation", "test")
    )
    ranking, measuring = halves(test)
    dose, scoring = halves(validation)
    # A seeded sample: the first sentences of the training file are of one week.
    order = np.random.default_rng(config.seed).permutation(len(train))
    sentences = Sentences(
        train.select(order.tolist()).first(sizes.train),
        ranking.first(sizes.ranking),
        measuring.first(sizes.measuring),
        dose.first(sizes.dose),
        scoring.first(sizes.scoring),
        scoring.first(sizes.curve),
        validation.first(sizes.validation),
        test.first(sizes.validation),
    )
    if config.about.is_entity:
        return sentences
    if config.about.kind == "words":
        parts = [with_words(part, config.about) for part in (ranking, measuring, dose, scoring)]
    else:
        (ranking, dose), (measuring, scoring) = map(halves, halves(file_corpus(config.about)))
        parts = [ranking, measuring, dose, scoring]
    return replace(sentences, **_own_parts(config, dict(zip(OWN_PARTS, parts, strict=True))))


def part_counts(sentences: Sentences, label: str) -> pd.DataFrame:
    """Count the words of the concept in the parts of a run that it is measured on.

    Parameters
    ----------
    sentences : Sentences
        From `load_sentences`.
    label : str
        The concept's tag.

    Returns
    -------
    DataFrame
        part (an attribute of `Sentences`), sentences, words, of_concept (words).
    """
    own = sentences.own_dose is not None
    names = OWN_PARTS if own else ("ranking", "measuring", "dose", "scoring")
    parts = {name: getattr(sentences, name) for name in names}
    rows = [
        (name, len(part), part.n_words, int(members(part, label).sum()))
        for name, part in parts.items()
    ]
    return pd.DataFrame(rows, columns=["part", "sentences", "words", "of_concept"])


def score(model: PreTrainedModel, data: TaggedSentences) -> pd.DataFrame:
    """Entity precision, recall and F1 of a model: the table of `entity_scores`."""
    return entity_scores(data.tags, predict_tags(model, data), ENTITIES)


def entity_columns(corpus: Corpus) -> np.ndarray:
    """Membership of each word in each entity type, bool [n_words, n_entities]."""
    return np.stack([members(corpus, entity) for entity in ENTITIES], axis=1)


def concept_columns(corpus: Corpus) -> np.ndarray:
    """Membership of each word in each of `kinds`, bool [n_words, n_kinds]."""
    return np.stack([members(corpus, kind) for kind in kinds(corpus)], axis=1)


def measure_neurons(
    X: np.ndarray, corpus: Corpus, base_deviation: np.ndarray, d_model: int
) -> pd.DataFrame:
    """Describe every neuron on the measuring half.

    Parameters
    ----------
    X : float array, [n_words, n_layers * d_model]
        From `word_activations` on the measuring half.
    corpus : Corpus
        The measuring half.
    base_deviation : float array, [n_layers * d_model]
        Standard deviation of each neuron on these words in the base model.
    d_model : int

    Returns
    -------
    DataFrame
        One row a neuron in flat order: layer, unit, and for each entity type
        `selectivity_*` (in [−1, 1]), `probeless_*` (units of the activation), `effect_*` (standard
        deviations of the base); `words` and `words_low`, the highest- and lowest-activating.
    """
    inside_of = concept_columns(corpus)
    table = pd.DataFrame(layer_unit(range(X.shape[1]), d_model), columns=["layer", "unit"])
    sigma = selectivity(X, inside_of)
    for column, entity in enumerate(kinds(corpus)):
        inside = inside_of[:, column]
        table[f"selectivity_{entity}"] = sigma[:, column].astype(np.float32)
        table[f"probeless_{entity}"] = probeless(X, inside).astype(np.float32)
        table[f"effect_{entity}"] = effect_sizes(X, inside, base_deviation).astype(np.float32)
    return table.join(_top_words(X, corpus))


def probe_layers(
    X_fit: np.ndarray, fit: Corpus, X_test: np.ndarray, test: Corpus, d_model: int
) -> pd.DataFrame:
    """How well a linear probe reads each entity type off each layer.

    Parameters
    ----------
    X_fit, X_test : float array, [n_words, n_layers * d_model]
        Activations of the same model on the words that fit the probe and those that score it.
    fit, test : Corpus
        The ranking and the measuring half.
    d_model : int

    Returns
    -------
    DataFrame
        layer, entity, probe_precision, probe_recall, probe_f1 (word level, in [0, 1]), n (words of
        the concept scored).
    """
    y_fit, y_test = concept_columns(fit), concept_columns(test)
    rows = []
    for layer in bar(range(X_fit.shape[1] // d_model), "probes"):
        units = slice(layer * d_model, (layer + 1) * d_model)
        predicted = fit_discriminants(X_fit[:, units], y_fit).predict(X_test[:, units])
        for column, entity in enumerate(kinds(fit)):
            precision, recall, f1, _ = precision_recall_fscore_support(
                y_test[:, column], predicted[:, column], average="binary", zero_division=0
            )
            rows.append((layer, entity, precision, recall, f1, int(y_test[:, column].sum())))
    names = ["layer", "entity", "probe_precision", "probe_recall", "probe_f1", "n"]
    return pd.DataFrame(rows, columns=names)


def measure(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    sentences: Sentences,
    scoring: TaggedSentences,
    base_deviation: np.ndarray | None = None,
) -> dict[str, pd.DataFrame]:
    """Measure a model as it is now, with whatever is removed from it.

    Parameters
    ----------
    model, tokenizer
        From `load_model`.
    sentences : Sentences
        From `load_sentences`.
    scoring : TaggedSentences
        `sentences.scoring` through `tag_sentences`.
    base_deviation : float array, optional
        Standard deviations of the base model, [n_layers * d_model]; by default the model is the
        base.

    Returns
    -------
    dict of DataFrame
        `metrics`, `neurons` and `layers`, as in the module's description.
    """
    metrics = score(model, scoring)
    X = word_activations(model, tokenizer, sentences.measuring.sentences)
    own_deviation = deviations(X)
    reference = own_deviation if base_deviation is None else base_deviation
    neurons = measure_neurons(X, sentences.measuring, reference, width(model))
    neurons["deviation"] = own_deviation.astype(np.float32)
    X_fit = word_activations(model, tokenizer, sentences.ranking.sentences)
    picking = selectivity(X_fit, concept_columns(sentences.ranking)).astype(np.float32)
    neurons[[f"picking_{entity}" for entity in kinds(sentences.ranking)]] = picking
    layers = probe_layers(X_fit, sentences.ranking, X, sentences.measuring, width(model))
    return {"metrics": metrics, "neurons": neurons, "layers": layers}


def _top_words(X: np.ndarray, corpus: Corpus) -> pd.DataFrame:
    """Join the highest- and lowest-activating words of each neuron into one text each."""
    table = highest_activating_words(X, corpus.words, range(X.shape[1]), WORDS_SHOWN)
    texts = table.groupby(["neuron", "end"])["word"].agg(" · ".join).unstack()
    texts = texts.reindex(range(X.shape[1]), columns=["positive", "negative"]).fillna("")
    return texts.set_axis(["words", "words_low"], axis=1)


def _own_parts(config: RunConfig, halves_of: dict[str, Corpus]) -> dict[str, Corpus]:
    """Cut the halves to the scale's sizes, lengthened where the concept is rare."""
    sizes, label = config.sizes, config.label
    wanted = dict(
        zip(OWN_PARTS, (sizes.ranking, sizes.measuring, sizes.dose, sizes.scoring), strict=True)
    )
    least = LEAST_AT_SMOKE if config.scale == "smoke" else LEAST_WORDS
    parts = {
        name: _with_enough(half, wanted[name], label, least) for name, half in halves_of.items()
    }
    counts = {name: part.word_labels("concept").count(label) for name, part in parts.items()}
    said = ", ".join(f"{counts[name]} of {part.n_words} in {name}" for name, part in parts.items())
    if min(counts.values()) < least:
        raise InputError(
            f"concept {config.about.title!r} has too few words: {said}; at least {least} are "
            "needed in each"
        )
    if any(counts[name] == part.n_words for name, part in parts.items()):
        raise InputError(f"concept {config.about.title!r} is at all words of a part: {said}")
    return {**parts, "own_curve": _with_enough(parts["own_scoring"], sizes.curve, label, least)}


def _with_enough(half: Corpus, n_sentences: int | None, label: str, least: int) -> Corpus:
    """The first sentences, and as many more as it takes to hold `least` words of the concept."""
    so_far = np.cumsum([tags.count(label) for tags in half.labels["concept"]])
    needed = int(np.searchsorted(so_far, least)) + 1
    return half.first(n_sentences if n_sentences is None else max(n_sentences, needed))
