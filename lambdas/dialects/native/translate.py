"""The native API's words for the core's, both ways: pure tables and functions."""
