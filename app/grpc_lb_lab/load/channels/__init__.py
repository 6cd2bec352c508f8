"""How a client makes its channels, and what it knows of them."""
