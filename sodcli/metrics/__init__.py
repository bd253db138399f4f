"""The measures that papers on salient object detection report."""

from typing import Final

MEASURES: Final = {
    "mae": "mean absolute error (Perazzi et al., CVPR 2012)",
    "f": "F-measure with beta squared 0.3: max, mean, adaptive (Achanta et al., CVPR 2009)",
    "wf": "weighted F-measure (Margolin et al., CVPR 2014)",
    "s": "structure measure (Fan et al., ICCV 2017)",
    "e": "enhanced-alignment measure: max, mean, adaptive (Fan et al., IJCAI 2018)",
    "mba": "mean boundary accuracy (Cheng et al., CVPR 2020)",
    "iou": "intersection over union of the map cut at half (Jaccard, 1901)",
    "dice": "Dice coefficient of the map cut at half (Dice, 1945)",
    "ber": "balanced error rate of the map cut at half, 0 to 1 (Vicente et al., ECCV 2016)",
}
"""Description and source of each measure, by name."""

ALL: Final = frozenset(MEASURES)
"""Names of all measures."""

USUAL: Final = ALL - {"iou", "dice", "ber"}
"""Names of the measures computed by default."""
