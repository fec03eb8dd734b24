"""Stacks compose constructs and pass typed values on; they decide nothing themselves."""
