"""The few calls of CUDA that TensorRT needs, behind one interface with two implementations."""
