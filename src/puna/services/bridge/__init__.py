"""The bridge between AR on layer 1 and wAR: rules on chain, a watcher of deposits and a payer of burns."""
