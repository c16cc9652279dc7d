"""TensorRT: engines built on the device, kept in a cache, run from fixed buffers, refitted beside the running one."""
