"""Exporters that come with edgetok, one package per file format. They enter through the same door as anybody's."""
