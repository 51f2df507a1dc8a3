"""A real model: taken apart (`anatomy`), its weights loaded (`weights`), frozen (`freezing`), and steered while it trains (`steering`)."""
