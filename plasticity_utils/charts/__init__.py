"""The charts of a concept's page: tidy table in, Altair chart out.

Which question does each answer? How many neurons must go before the concept is lost, and what goes
with it (:func:`dose_response`)? What comes back, how fast, and how much of that does the head alone
regain (:func:`f1_through_retraining`)? In which layers does the concept live before and after
(:func:`layer_profile`), and where can it be read although F1 is gone (:func:`probe_by_layer`)?
Which concepts do the kept neurons come to serve (:func:`kept_gain`, :func:`neuron_scatter`)? On
which neurons does the retrained model rely (:func:`reliance`)? Is the concept represented as it was
(:func:`cka_by_layer`, :func:`transfer_by_layer`), and which neurons carry its parts
(:func:`carrier_counts`, :func:`part_transitions`)? What do neurons take on, and who took over
(:func:`functions_by_layer`, :func:`sharing`, :func:`superposition`, :func:`migration`,
:func:`priming`)? What has become of a single neuron (:func:`neuron_card`,
:func:`neuron_map`)? And what does it all cost (:func:`growth`)?

Nothing is computed here: what a chart shows stands in its table, which the tables module made, so
every number can be exported and tested without a browser. A chart says what is there, not what it
means; titles name the subject, and the verdict stands in the text.
"""

from plasticity_utils.charts.across import differences, outcomes, steps
from plasticity_utils.charts.cards import neuron_card, neuron_map
from plasticity_utils.charts.f1 import dose_response, f1_through_retraining, reliance
from plasticity_utils.charts.growth_curves import growth
from plasticity_utils.charts.layers import (
    kept_gain,
    layer_profile,
    neuron_scatter,
    probe_by_layer,
    released_profile,
)
from plasticity_utils.charts.questions import (
    functions_by_layer,
    migration,
    priming,
    sharing,
    superposition,
)
from plasticity_utils.charts.same import (
    carrier_counts,
    cka_by_layer,
    part_transitions,
    transfer_by_layer,
)
from plasticity_utils.charts.tables import number_table, words_table

__all__ = [
    "carrier_counts",
    "cka_by_layer",
    "differences",
    "dose_response",
    "f1_through_retraining",
    "functions_by_layer",
    "growth",
    "kept_gain",
    "layer_profile",
    "migration",
    "neuron_card",
    "neuron_map",
    "neuron_scatter",
    "number_table",
    "outcomes",
    "part_transitions",
    "priming",
    "probe_by_layer",
    "released_profile",
    "reliance",
    "sharing",
    "steps",
    "superposition",
    "transfer_by_layer",
    "words_table",
]
