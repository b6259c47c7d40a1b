"""The columns of the tables of a run: those that it leaves, and those that are made from them."""

from __future__ import annotations

from plasticity_utils.results.columns import OF_PROBES, SCORES, Column, Table

_WORDS = "words_base words_removed words_end"
_SHUFFLED = "the same of activations in another order: what chance gives"

RUN_TABLES = {
    "metrics": Table(
        "a condition, stage, epoch and type", f"condition stage epoch entity {SCORES}"
    ),
    "neurons": Table(
        "a neuron at a stage of a condition; not published",
        "condition stage epoch layer unit removed gain probeless selectivity effect "
        "ranking_selectivity rank rank_saliency selectivity_* words words_low",
    ),
    "layers": Table(
        "a layer and type at a stage of a condition",
        "condition stage epoch layer entity n_kept n_removed selectivity share "
        "rank_saliency removal_only word_precision word_recall word_f1 n_words",
        {
            "selectivity": Column("0 to 1", "mean |σ| of the kept neurons"),
            "share": Column("0 to 1", "of the total |σ| of kept neurons, that of this layer"),
            "rank_saliency": Column("0 to 1", "mean over all neurons; of the concept alone"),
            "removal_only": Column("0 to 1", "rank saliency that removal alone would leave here"),
            "n_words": Column("words", "of the type, that the probe was scored on"),
        },
    ),
    "dose": Table(
        "a dose, draw, part and type, without retraining",
        f"regime dose n_removed condition draw part entity {SCORES}",
        {
            "regime": Column("name", "`curve`: growing doses; `half`: the paper's one"),
            "part": Column("name", "sentences that pick the dose, or that give its scores"),
            "condition": Column("name", "`base`, `targeted`, or `random`"),
        },
    ),
    "reliance": Table(
        "a condition at its end, with neurons removed once more, and a type",
        f"condition again draw n_removed entity {SCORES}",
    ),
    "ranking": Table(
        "a neuron of the base model; not published",
        "layer unit mean score_* rank_*",
        {
            "mean": Column("activation", "its mean on the ranking sentences"),
            "score_*": Column("as the method", "its score by each ranking"),
            "rank_*": Column("0 to N − 1", "its place by each ranking, 0 the best"),
        },
    ),
    "base": Table(
        "a split and type, of the base model",
        f"split entity {SCORES}",
        {"split": Column("name", "`validation` or `test`")},
    ),
}

DERIVED_TABLES = {
    "kept_gain": Table(
        "a condition, type and layer",
        "condition entity layer gain gain_low gain_high n_neurons",
        {
            "gain": Column("−1 to 1", "mean rise of |σ| of kept neurons, ± 1.96 standard errors"),
        },
    ),
    "turnover": Table(
        "a condition",
        "condition n_kept n_top jaccard jaccard_by_chance spearman",
        {
            "n_top": Column("neurons", "of the kept ones that count as top: as many as the dose"),
            "jaccard": Column("0 to 1", "overlap of the top neurons of base and end"),
            "jaccard_by_chance": Column("0 to 1", "overlap of as many drawn at random"),
            "spearman": Column("−1 to 1", "rank correlation of |σ|, base and end"),
        },
    ),
    "regrowth": Table(
        "a condition and epoch",
        "condition epoch gain gain_low gain_high effect n_neurons",
        {
            "gain": Column("0 to 1", "median over removed neurons; ends: 5th and 95th percentile"),
            "effect": Column("share", "median size of the effect, of that in the base"),
        },
    ),
    "removed_neurons": Table(
        "a removed neuron, the most selective first",
        f"layer unit selectivity_base selectivity_end effect_end gain {_WORDS}",
        {"effect_end": Column("deviations", "as `effect` of `neurons`, after retraining")},
    ),
    "newly_salient": Table(
        "a kept neuron whose |σ| rose most, picked on the ranking sentences",
        f"layer unit selectivity_base selectivity_end rise_under_none {_WORDS}",
        {"rise_under_none": Column("−1 to 1", "rise of its |σ| with nothing removed")},
    ),
    "neuron_changes": Table(
        "a neuron under `targeted`: all removed and newly salient ones, and some of the kept",
        "layer unit selectivity_base selectivity_end kind words",
        {
            "kind": Column("name", "`kept`, `removed`, or `newly salient`"),
            "words": Column("words", "the highest-activating at the end; in the base if removed"),
        },
    ),
    "method_overlap": Table(
        "a ranking",
        "method *",
        {
            "method": Column("name", "a ranking"),
            "*": Column("0 to 1", "share of the row's top neurons that are this ranking's too"),
        },
    ),
    "card_neurons": Table(
        "a neuron that has a card",
        "layer unit kind place n_types low high",
        {
            "kind": Column("name", "`removed`, `newly salient`, or `polysemantic`"),
            "place": Column("number", "1 is the foremost of its kind"),
            "n_types": Column("types", "that it serves at the end, told from the other entities"),
            "low": Column("activation", "where its histogram begins"),
            "high": Column("activation", "where its histogram ends"),
        },
    ),
    "card_stages": Table(
        "such a neuron at a stage of `targeted` or `none`",
        "condition stage epoch layer unit gain selectivity_*",
    ),
    "card_words": Table(
        "such a neuron at a stage of `targeted`", "stage layer unit words words_low"
    ),
    "card_histograms": Table(
        "such a neuron, stage of `targeted` and class of words",
        "stage layer unit entity n_words share",
        {
            "entity": Column("name", "a type, the concept, or `other`"),
            "share": Column("20 shares", "of the class's words in each bin, from low to high"),
        },
    ),
    "representation": Table(
        "a condition, stage, choice of units and layer",
        "condition stage units layer cka cka_debiased n_words",
        {
            "cka": Column("0 to 1", "linear CKA of the concept's words, against the base"),
            "cka_debiased": Column("to 1", "the same, corrected for the number of words"),
        },
    ),
    "transfer": Table(
        "a condition, stage, choice of units, layer and alignment",
        "condition stage units layer alignment word_f1 balanced_accuracy n_words",
        OF_PROBES,
    ),
    "subconcepts": Table(
        "a condition, layer, part before and part after",
        "condition layer base end removed n_neurons",
        {
            "base": Column("name", "the part of the concept carried before, or `nothing`"),
            "end": Column("name", "the part carried at the end, or `nothing`"),
            "removed": Column("true, false", "whether `targeted` or the condition removed them"),
        },
    ),
    "subconcept_parts": Table(
        "a part of the concept",
        "part n_words n_names shown compared by_chance silhouette silhouette_reference",
        {
            "part": Column("name", "such as a continent, or a cluster's central words"),
            "n_names": Column("names", "different ones"),
            "shown": Column("words", "its most frequent names, or most central words"),
            "compared": Column("true, false", "whether it has 30 words"),
            "by_chance": Column("neurons", "that would carry it if names were shuffled"),
            "silhouette": Column("−1 to 1", "of the clusters; missing where parts are known"),
            "silhouette_reference": Column("−1 to 1", "greatest of words without clusters"),
        },
    ),
    "subconcept_neurons": Table(
        "a kept neuron that came to carry a part",
        "part layer unit base sigma_base sigma_end",
        {
            "part": Column("name", "carried at the end"),
            "base": Column("name", "the part carried before, or `nothing`"),
            "sigma_base": Column("−1 to 1", "σ for the part carried before"),
            "sigma_end": Column("−1 to 1", "σ for the part carried at the end"),
        },
    ),
    "polysemanticity": Table(
        "a condition, layer and quantity",
        "condition layer quantity base change change_none beyond_none n_neurons",
        {
            "layer": Column("0 to L", "missing: the whole model"),
            "quantity": Column(
                "name",
                "`n_concepts` served; `entropy` of the |σ| profile (0 to 1); or the share of "
                "neurons that are `polysemantic` (two concepts), `took_on` a concept, `lost` one, "
                "or `took_on_concept`: the run's own",
            ),
            "base": Column("as the quantity", "its mean over kept neurons in the base"),
            "change": Column("as the quantity", "from base to end"),
            "change_none": Column("as the quantity", "the same with nothing removed"),
            "beyond_none": Column("as the quantity", "`change` less `change_none`"),
        },
    ),
    "sharing": Table(
        "a condition, stage, scope and sign",
        "condition stage scope sign shared expected difference z p n_pairs low high p_adjusted",
        {
            "scope": Column("name", "`all` concepts, `entity types`, or `parts of speech`"),
            "sign": Column("name", "`same`: only neurons with σ of one sign for both; or `any`"),
            "shared": Column("−1 to 1", "mean similarity of concepts that share a neuron"),
            "expected": Column("−1 to 1", "of the same pairs, with concepts shuffled"),
            "z": Column("deviations", "the difference, in deviations under shuffling"),
            "n_pairs": Column("pairs", "of a neuron and two concepts that it serves"),
            "low": Column("−2 to 2", "the difference less 1.96 deviations under shuffling"),
            "high": Column("−2 to 2", "the difference and 1.96 deviations under shuffling"),
        },
    ),
    "superposition": Table(
        "a condition, stage and layer",
        "condition stage layer interference interference_shuffled dimensionality "
        "dimensionality_shuffled n_concepts",
        {
            "interference": Column("0 to 1", "how far directions of concepts point alike"),
            "interference_shuffled": Column("0 to 1", _SHUFFLED),
            "dimensionality": Column("0 to 1", "mean share of a dimension that a concept has"),
            "dimensionality_shuffled": Column("0 to 1", _SHUFFLED),
            "n_concepts": Column("concepts", "of the inventory"),
        },
    ),
    "migration": Table(
        "a condition, target and role",
        "condition target role share expected difference p p_adjusted n_neurons",
        {
            "target": Column("name", "entity type for which neurons gained σ beyond `none`"),
            "role": Column("name", "what they served best before: a type, a word class, nothing"),
            "share": Column("0 to 1", "of the gain, that of neurons with this role"),
            "expected": Column("0 to 1", "if within a layer the role made no difference"),
            "n_neurons": Column("neurons", "with this role"),
        },
    ),
    "priming": Table(
        "a condition, similarity, kind of errors, outcome and term of a regression",
        "condition similarity errors outcome term effect low high p n_neurons",
        {
            "similarity": Column("name", "to the concept's neurons before: `profile` or `words`"),
            "errors": Column("name", "`HC3`, or clustered by `layer`"),
            "outcome": Column("name", "gain of |σ|: `beyond_none`; `gain` and `gain_none`"),
            "term": Column("name", "`similarity`, or `base`: |σ| before"),
            "effect": Column("deviations", "of the outcome, for one deviation of the term"),
        },
    ),
    "mistakes_removal": Table(
        "a mistake of the public code, made or not, and a type",
        f"mistake made n_removed first_layer_share entity {SCORES}",
        {
            "mistake": Column("number", "as the page on the paper counts them"),
            "made": Column("true, false", "whether the mistake was made"),
            "first_layer_share": Column("0 to 1", "share of these neurons that lie in layer 0"),
        },
    ),
    "mistakes_profile": Table(
        "a layer",
        "layer meant made",
        {
            "meant": Column("0 to 1", "rank saliency that the right removal alone would leave"),
            "made": Column("0 to 1", "the same of the removal in the wrong layer"),
        },
    ),
    "mistakes_averaging": Table(
        "a layer",
        "layer rise rise_unequal dropped",
        {
            "rise": Column("−1 to 1", "of mean rank saliency, base to end, over all neurons"),
            "rise_unequal": Column("−1 to 1", "the same, averaged as in the public code"),
            "dropped": Column("0 to 1", "share of neurons that this leaves out at the end"),
        },
    ),
}

COMMAND_TABLES = {
    "indicators": Table(
        "an indicator, snapshot and type",
        f"indicator n_dimensions snapshot entity {SCORES}",
        {
            "indicator": Column("name", "what the eraser is to hide"),
            "n_dimensions": Column("dimensions", "erased, in all layers together"),
            "snapshot": Column("name", "`removed`, or `head`: the head alone trained on"),
        },
    ),
    "readers": Table(
        "a condition, reader and type",
        f"condition reader n_fitted entity {SCORES}",
        {
            "condition": Column("name", "`none`: base; `targeted`, `random`: just removed"),
            "reader": Column("name", "fitted anew on the frozen last layer"),
            "n_fitted": Column("sentences", "that the reader was fitted on"),
        },
    ),
}
