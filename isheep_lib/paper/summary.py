"""How much of the paper given runs cover, in a sentence before the numbers.

    told(measured, summary_table(measured))
    # "Of 912 published numbers 151 have one of ours beside them, 0 of these comparable; 761 are not run."

Covers what is said. Does not cover counting (`paper.reproduction`).
"""

from isheep_lib.display.folded import Told
from isheep_lib.display.table import Table
from isheep_lib.paper.runs import Measured


def told(measured: Measured, counts: Table) -> Told:
    """Say how many of the published numbers were measured, how many of those may be subtracted, and what is lacking.

    Args:
        measured: the runs.
        counts: of `reproduction.summary_table`, the last row over all tables.
    """
    total = counts.rows[-1]
    bases = ", ".join(dict.fromkeys(run.model for run in measured.runs))
    ours = f"{len(measured.runs)} run(s) of {bases} measured {total['measured']} numbers in the same places"
    said = f"Of {total['published']} published numbers {total['not run']} are not run; {ours}, "
    said += f"of which {total['compared']} may be subtracted from a published one."
    if not total["compared"]:
        said += "\nNone may: that takes the same model and the whole benchmark. What can be compared is how a model changes."
    whole = [str(row["table"]) for row in counts.rows[:-1] if not row["measured"]]
    said += f"\nNothing is measured of table(s) {', '.join(whole)}; each is one line below, which opens." if whole else ""
    return Told(said, counts)
