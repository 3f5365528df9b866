"""The in-process engine: a stock causal language model whose rows share one flat forward."""
