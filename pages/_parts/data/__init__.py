"""The Data screen's own pieces: ways in, the cards, one dataset with its parts, and the routes that pictures come in and go out by."""
