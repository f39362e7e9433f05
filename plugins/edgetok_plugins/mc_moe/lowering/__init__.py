"""Packed weights in a model, so that it captures and exports with them.

>>> from edgetok_plugins.mc_moe.lowering.replace import packed_component
>>> component = packed_component(component, tensors)     # what compression wrote, by name in its safetensors files
>>> program = capture(component)                         # holds edgetok::packed_matmul, and the bytes as buffers
"""
