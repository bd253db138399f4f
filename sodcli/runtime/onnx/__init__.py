"""Make, change and check ONNX graphs."""
