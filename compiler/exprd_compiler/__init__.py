"""exprd's compiler: symbolic tensor graphs, their rewriting, and native code for them."""
