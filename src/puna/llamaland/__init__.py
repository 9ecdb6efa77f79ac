"""Llama Land: worlds to walk in, characters run by the herd, and the coin that only they give out."""
