"""The measures that papers on salient object detection report."""
