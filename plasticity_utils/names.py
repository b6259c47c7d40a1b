"""Names that several packages share: conditions, stages, settings and what tables call things."""

OVER_SENTENCES = "95 % bootstrap over sentences"
OVER_NEURONS = "± 1.96 standard errors over the layer's neurons"
STAGES = ("base", "removed", "end")
STAGE_TITLES = {"base": "base model", "removed": "just after removal", "end": "after retraining"}
# How the epoch of a snapshot is written, where not as a number.
EPOCH_TITLES = {-1.0: "base", 0.0: "removed", 0.125: "⅛", 0.25: "¼", 0.5: "½"}
KINDS = ("removed", "newly salient", "polysemantic")
OTHER = "other"
NOTHING = "nothing"
OVERALL = "overall"
CONDITIONS = ("targeted", "random", "none", "head")
RESTS, POSITIONS = ("mean", "zero"), ("words", "all")
INDICATORS = ("concept", "bio", "types", "outside")
READ_AGAIN = 0.9
# Adam moves a weight by at most the sum of its rates: at the whole model's rate a linear layer by
# itself has not converged when the training ends, and what it could have read would pass for
# relearned. The more so where the whole model's rate is low.
HEAD_RATE = 2e-3
# The snapshot that all others are compared with: condition and stage.
BASE = ("none", "base")
# The packaged sentence transformer that measures how alike words are; its fine-tuned copies are
# studied too.
RULER = "minilm"
# Of a ranking of features beside neurons: concepts, kinds and rankings.
ASKED = ("locations", "persons", "organisations")
FEATURE, RANDOM_FEATURE, NEURON = "feature", "random feature", "neuron"
LAST_NEURON = "last-layer neuron"
BY_SELECTIVITY, BY_PRECISION = "selectivity", "average precision"
