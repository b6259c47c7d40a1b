"""Names that several packages share: conditions, stages, settings and what tables call things."""

OVER_SENTENCES = "95 % bootstrap over sentences"
OVER_NEURONS = "± 1.96 standard errors over the layer's neurons"
STAGES = ("base", "removed", "end")
KINDS = ("removed", "newly salient", "polysemantic")
OTHER = "other"
NOTHING = "nothing"
CONDITIONS = ("concept", "random", "none", "head")
RESTS, POSITIONS = ("mean", "zero", "layernorm"), ("words", "all")
INDICATORS = ("concept", "bio", "types", "outside")
READ_AGAIN = 0.9
