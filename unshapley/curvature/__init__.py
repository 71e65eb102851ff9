"""Statistics of every provider's rows, with which they can be forgotten without reading them."""
