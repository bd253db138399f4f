"""Dense labels for sparsely annotated films."""
