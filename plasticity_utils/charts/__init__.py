"""Charts: a tidy table in, an Altair chart or a table for the reader out.

How many neurons must go, and what goes with them (:func:`dose_response`)? What comes back, and by
what (:func:`f1_through_retraining`, :func:`outcomes`, :func:`regained`, :func:`differences`)? Where
does the concept live, and where can it be read (:func:`layer_profile`, :func:`probe_by_layer`)?
What do kept neurons come to serve (:func:`kept_gain`, :func:`claims`, :func:`superposition`)? Is
it the same concept (:func:`cka_by_layer`, :func:`values`), and who carries its
parts (:func:`part_transitions`)? Can neurons be forced to carry two (:func:`forced_f1`)? What
became of one neuron (:func:`neuron_card`,
:func:`neuron_map`)? What does the paper's own file show (:func:`released_profile`), and what does
it all cost (:func:`growth`)? What does an audit say of a removal (:func:`returns`,
:func:`readings`, :func:`found_by_dose`)?

Nothing is computed here: what a chart shows stands in its table, so every number can be exported
and tested without a browser. The columns of tables are described in the data dictionary. A chart
raises InputError where a column is missing, the table is empty, or a value has no sign; a condition
that it does not know has a colour all the same.
"""

from plasticity_utils.charts.cards import neuron_card, neuron_map
from plasticity_utils.charts.f1 import (
    differences,
    dose_response,
    f1_through_retraining,
    forced_f1,
    outcomes,
    regained,
)
from plasticity_utils.charts.layers import (
    cka_by_layer,
    kept_gain,
    layer_profile,
    probe_by_layer,
    released_profile,
    superposition,
)
from plasticity_utils.charts.questions import (
    claims,
    found_by_dose,
    growth,
    part_transitions,
    readings,
    returns,
    values,
)
from plasticity_utils.charts.tables import marked_table, number_table, words_table

__all__ = [
    "cka_by_layer",
    "claims",
    "differences",
    "dose_response",
    "f1_through_retraining",
    "forced_f1",
    "found_by_dose",
    "growth",
    "kept_gain",
    "layer_profile",
    "marked_table",
    "neuron_card",
    "neuron_map",
    "number_table",
    "outcomes",
    "part_transitions",
    "probe_by_layer",
    "readings",
    "regained",
    "released_profile",
    "returns",
    "superposition",
    "values",
    "words_table",
]
