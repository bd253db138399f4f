"""How close saliency maps come to the ground truth: the measures that the field's papers report."""
