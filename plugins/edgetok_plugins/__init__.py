"""Plugins that ship with edgetok, one folder each."""
