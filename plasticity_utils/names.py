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
