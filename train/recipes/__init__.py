"""Recipes: one function per training run, returning its whole config; `train.commands_supervised` names them."""
