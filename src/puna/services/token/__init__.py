"""The token process: wAR, or another coin of the same source."""
