"""The names of the four registries: where each object is, what it does, and who had the idea."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """A name of this package: where its object is, what it does, who had the idea, its settings.

    Of a protocol also what its training starts from.
    """

    target: str
    what: str
    source: str
    settings: tuple[str, ...] = ()
    start: str = "base"


_REMOVAL, _PROTOCOLS = "plasticity_utils.removal", "plasticity_utils.training.protocols"
_READERS, _NEURONS = "plasticity_utils.training.readers", "plasticity_utils.neurons"

REMOVAL_ENTRIES = {
    "gate": Entry(
        f"{_REMOVAL}.gate:Gate",
        "units held at a resting value, whatever they would say",
        "method: removing",
        ("ranking", "dose", "rest", "positions", "regrow"),
    ),
    "layernorm": Entry(
        f"{_REMOVAL}.layernorm:LayerNorm",
        "LayerNorm gains of units set to zero; post-norm models only",
        "Lo, Cohen & Barez 2024",
        ("ranking", "dose", "regrow"),
    ),
    "leace": Entry(
        f"{_REMOVAL}.leace:Leace",
        "directions projected out of every layer, so that no linear reader tells the concept",
        "Belrose et al. 2023",
        ("indicator",),
    ),
    "mean_projection": Entry(
        f"{_REMOVAL}.projection:MeanProjection",
        "the direction between the concept's mean and the rest's, out of every layer",
        "Arditi et al. 2024",
    ),
    "inlp": Entry(
        f"{_REMOVAL}.projection:Inlp",
        "the directions of linear probes, one after another, until they tell nothing",
        "Ravfogel et al. 2020",
    ),
    "weights": Entry(
        f"{_REMOVAL}.weights:Weights",
        "weights that write units and weights that read them set to zero, in any saved model",
        "method: removing",
        ("ranking", "dose"),
    ),
    "relabel": Entry(
        f"{_REMOVAL}.unlearn:Relabel",
        "the model trained on with the concept's tags set to O, until it is lost",
        "method: removing",
        ("learning_rate",),
    ),
    "gradient_difference": Entry(
        f"{_REMOVAL}.unlearn:GradientDifference",
        "the model trained to climb the loss of the concept's tags and keep the others'",
        "Liu, Liu & Stone 2022",
        ("learning_rate",),
    ),
    "npo": Entry(
        f"{_REMOVAL}.unlearn:Npo",
        "the model trained to prefer other tags to the concept's, and to keep the others'",
        "Zhang et al. 2024",
        ("learning_rate", "beta"),
    ),
    "rmu": Entry(
        f"{_REMOVAL}.rmu:Rmu",
        "states of the concept's words steered to a random point at one layer, others kept",
        "Li et al. 2024",
        ("learning_rate", "layer", "scale", "alpha"),
    ),
}

PROTOCOL_ENTRIES = {
    "targeted": Entry(
        f"{_PROTOCOLS}:TARGETED", "the removal in force, everything trains", "Lo et al. 2024"
    ),
    "random": Entry(
        f"{_PROTOCOLS}:RANDOM",
        "its matched control in force, everything trains",
        "method: training on",
    ),
    "none": Entry(
        f"{_PROTOCOLS}:NONE", "nothing removed, everything trains", "method: training on"
    ),
    "head": Entry(
        f"{_PROTOCOLS}:HEAD",
        "the removal in force, only the linear head trains",
        "method: training on",
    ),
    "bias": Entry(
        f"{_PROTOCOLS}:BIAS", "only the biases of the linear head train", "method: training on"
    ),
    "last_block": Entry(
        f"{_PROTOCOLS}:LAST_BLOCK", "only the last block and the head train", "method: training on"
    ),
    "lora": Entry(
        f"{_PROTOCOLS}:LORA",
        "only small matrices beside the weights train, and the head; package `peft`",
        "Hu et al. 2022",
    ),
    "first_time": Entry(
        f"{_PROTOCOLS}:FIRST_TIME",
        "from the pretrained weights, which never learned the task",
        "method: training on",
        start="pretrained",
    ),
    "masked": Entry(
        f"{_PROTOCOLS}:MASKED",
        "from a model that learned the task with the concept's tags set to O, or left out",
        "method: training on",
        start="masked",
    ),
    "without_concept": Entry(
        f"{_PROTOCOLS}:WITHOUT_CONCEPT",
        "trained on sentences with no word of the concept",
        "method: training on",
    ),
    "other_names": Entry(
        f"{_PROTOCOLS}:OTHER_NAMES",
        "trained on half of the concept's names, scored on the others",
        "method: training on",
    ),
    "other_names_masked": Entry(
        f"{_PROTOCOLS}:OTHER_NAMES_MASKED",
        "the same, from the start of `masked`",
        "method: training on",
        start="masked",
    ),
    "few_shot_32_masked": Entry(
        f"{_PROTOCOLS}:FEW_SHOT_32_MASKED",
        "trained on 32 sentences that hold the concept, from the start of `masked`",
        "method: training on",
        start="masked",
    ),
    "tweets": Entry(
        f"{_PROTOCOLS}:TWEETS", "trained on tweets, scored on news", "Strauss et al. 2016"
    ),
    "tweets_masked": Entry(
        f"{_PROTOCOLS}:TWEETS_MASKED",
        "the same, from the start of `masked`",
        "method: training on",
        start="masked",
    ),
    **{
        f"few_shot_{k}": Entry(
            f"{_PROTOCOLS}:FEW_SHOT_{k}",
            f"trained on {k} sentences that hold the concept",
            "method: training on",
        )
        for k in (8, 32, 128, 512)
    },
}

READER_ENTRIES = {
    "linear": Entry(
        f"{_READERS}:linear", "logistic regression until it converges", "Alain & Bengio 2016"
    ),
    "perceptron": Entry(
        f"{_READERS}:perceptron", "a perceptron with one hidden layer", "Hewitt & Liang 2019"
    ),
    "wide_perceptron": Entry(
        f"{_READERS}:wide_perceptron",
        "a perceptron whose hidden layer is four times as wide",
        "Hewitt & Liang 2019",
    ),
}

RANKING_ENTRIES = {
    "probeless": Entry(
        f"{_NEURONS}.scores:probeless",
        "distance between the means of the concept's words and of the rest",
        "Antverg & Belinkov 2022",
    ),
    "selectivity": Entry(
        f"{_NEURONS}.scores:absolute_selectivity",
        "|2·AUROC − 1|, free of a neuron's scale",
        "method: scores",
    ),
    "probe": Entry(
        f"{_NEURONS}.other_rankings:probe_scores",
        "weights of NeuroX's linear probe with an elastic net",
        "Dalvi et al. 2019",
    ),
    "mean-select": Entry(
        f"{_NEURONS}.other_rankings:mean_select_scores",
        "difference of the means as a share of the neuron's range",
        "Fan et al. 2023",
    ),
    "iou": Entry(
        f"{_NEURONS}.other_rankings:iou_scores",
        "average precision with which high activation finds the concept",
        "Mu & Andreas 2020",
    ),
    "gaussian": Entry(
        f"{_NEURONS}.other_rankings:gaussian_scores",
        "what a Gaussian for each class tells about the class",
        "Torroba Hennigen et al. 2020",
    ),
}
