"""Pipelines that people declare as data: what they may say, how it is checked, how it reads as YAML.

Add here what is true of any declared pipeline. Keep out the products, which are declared in this repository and
reviewed: `defs` and `training` hold them.
"""
