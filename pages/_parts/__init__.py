"""Pieces that screens share."""
