"""Tables as a reader sees them: sensible digits, words as they are written.

A word of the corpus is text and never markup: `<b>` is shown as the four characters that it is.
"""

from __future__ import annotations

import pandas as pd
from pandas.io.formats.style import Styler

DIGITS = 3
WORD_COLUMNS = ("words_base", "words_removed", "words_end")
NAMES = {
    "words_base": "words, base",
    "words_removed": "words, just removed",
    "words_end": "words, end",
    "selectivity_base": "σ base",
    "selectivity_end": "σ end",
    "effect_end": "effect, end",
    "rise_under_none": "rise of |σ| under none",
    "beyond_head": "beyond head",
    "epochs_to_95": "epochs to 95 %",
}


def number_table(frame: pd.DataFrame) -> Styler:
    """Show a tidy frame with three decimals and a dash where there is no value.

    Parameters
    ----------
    frame : DataFrame

    Returns
    -------
    Styler
        Displays as an HTML table.
    """
    shown = frame.rename(columns=NAMES)
    table = shown.style.format(precision=DIGITS, na_rep="–", escape="html").hide(axis="index")
    return table.set_table_attributes('class="dataframe"')


def words_table(frame: pd.DataFrame) -> Styler:
    """Show neurons with their highest-activating words, left-aligned.

    Parameters
    ----------
    frame : DataFrame
        From `tables.newly_salient` or `tables.removed_neurons`.

    Returns
    -------
    Styler
        Displays as an HTML table.
    """
    names = [NAMES[column] for column in WORD_COLUMNS]
    # On a phone the table scrolls in its box: narrower columns would make it many screens tall.
    looks = {"text-align": "left", "min-width": "8em"}
    return number_table(frame).set_properties(subset=names, **looks)
