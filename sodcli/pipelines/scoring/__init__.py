"""Saliency maps beside their ground truth: found, read, measured in several processes."""
