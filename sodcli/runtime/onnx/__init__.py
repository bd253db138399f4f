"""Networks as ONNX graphs: written, made smaller, checked."""
