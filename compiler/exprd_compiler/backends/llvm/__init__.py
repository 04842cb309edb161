"""Native code by LLVM: text IR, vector math, objects, and the JIT that links them."""
