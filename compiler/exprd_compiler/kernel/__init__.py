"""From a graph to a plan: extents, storage, fusion, kernels and their order."""
