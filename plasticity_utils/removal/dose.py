"""How much a removal takes: the smallest dose at which the concept is lost.

A dose is a share of the neurons, or a number of steps of training. It is picked on sentences of its
own, the dose part, and never on those that are reported on.
"""

from __future__ import annotations

import pandas as pd

# Of the concept's F1 in the whole model: under so much of it the concept is lost.
LOST = 0.1
_SPECIFIC = 0.5


def losses(f1: pd.DataFrame, base: pd.Series, label: str) -> pd.DataFrame:
    """What each dose takes from the concept beyond what it takes from the other types.

    Of F1 by dose (rows) and type (columns), and of the whole model's by type: dose, entity_f1,
    entity_f1_base, loss (of the concept), loss_others (mean over the others, 0 where there are
    none), specificity (loss − loss_others, in [−1, 1]).
    """
    loss = base - f1
    others = loss.drop(columns=label).mean(axis=1).fillna(0.0)
    return pd.DataFrame(
        {
            "entity_f1": f1[label],
            "entity_f1_base": base[label],
            "loss": loss[label],
            "loss_others": others,
            "specificity": loss[label] - others,
        }
    ).reset_index()


def specificity(
    curve: pd.DataFrame, label: str, part: str = "scoring", regime: str = "curve"
) -> pd.DataFrame:
    """What each dose takes from the concept alone, of a part of the table and a regime of it.

    Gives the columns of `losses`.
    """
    rows = curve[(curve["part"] == part) & (curve["entity"] != "overall")]
    base = rows[rows["condition"] == "base"].set_index("entity")["entity_f1"]
    rows = rows[(rows["condition"] == "targeted") & (rows["regime"] == regime)]
    return losses(rows.pivot(index="dose", columns="entity", values="entity_f1"), base, label)


def enough(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of `losses` at which the concept is lost."""
    return table[table["entity_f1"] < LOST * table["entity_f1_base"]]


def pick(table: pd.DataFrame) -> float:
    """The smallest dose at which the concept is lost, of a table of `losses` in order of dose.

    If none is enough, or the dose that is takes other types along (specificity of at most ½), the
    dose with the best specificity is taken instead, if it is better.
    """
    best, lost = table.loc[table["specificity"].idxmax()], enough(table)
    if len(lost) and lost.iloc[0]["specificity"] > min(_SPECIFIC, best["specificity"] - 1e-12):
        return float(lost.iloc[0]["dose"])
    return float(best["dose"])


def is_settled(table: pd.DataFrame) -> bool:
    """Whether no larger dose could be picked than those of the table."""
    lost = enough(table)
    return len(lost) > 0 and bool(lost.iloc[0]["specificity"] > _SPECIFIC)
